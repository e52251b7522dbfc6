# Independent reference values for karn_wandb.statistics, from R's own functions.
#
#   Rscript tests/statistics/reference.R > tests/statistics/reference.json
#
# Made with R 4.2.2, jsonlite 1.8.4, effectsize 0.8.3, coin 1.4-2. Data: R's datasets package; Darwin's maize heights (inches)
# from Fisher 1935, "The Design of Experiments", chapter III; small made-up samples for ties and exact enumeration.

suppressPackageStartupMessages({
  library(jsonlite)
  library(effectsize)
  library(coin)
})

chicks <- function(feed) chickwts$weight[chickwts$feed == feed]
samples <- list(
  sleep = list(treatment = sleep$extra[11:20], control = sleep$extra[1:10], margin = 1, pairs = TRUE),
  maize = list(
    treatment = c(23.5, 12, 21, 22, 19.125, 21.5, 22.125, 20.375, 18.25, 21.625, 23.25, 21, 22.125, 23, 12),
    control = c(17.375, 20.375, 20, 20, 18.375, 18.625, 18.625, 15.25, 16.5, 18, 16.25, 18, 12.75, 15.5, 18),
    margin = 5, pairs = TRUE
  ),
  plants = list(
    treatment = PlantGrowth$weight[PlantGrowth$group == "trt2"], control = PlantGrowth$weight[PlantGrowth$group == "ctrl"],
    margin = 1, pairs = FALSE
  ),
  sprays = list(
    treatment = InsectSprays$count[InsectSprays$spray == "E"], control = InsectSprays$count[InsectSprays$spray == "C"],
    margin = 4, pairs = FALSE
  ),
  cars = list(treatment = mtcars$mpg[mtcars$am == 1], control = mtcars$mpg[mtcars$am == 0], margin = 2, pairs = FALSE),
  chicks = list(treatment = chicks("linseed")[1:4], control = chicks("horsebean")[1:7], margin = 90, pairs = FALSE),
  teeth = list(
    treatment = ToothGrowth$len[ToothGrowth$dose == 0.5 & ToothGrowth$supp == "OJ"][1:8],
    control = ToothGrowth$len[ToothGrowth$dose == 0.5 & ToothGrowth$supp == "VC"][1:8],
    margin = 3, pairs = TRUE
  ),
  separated = list(treatment = c(71.5, 72.25, 73), control = c(60.5, 61, 59.25), margin = 2, pairs = TRUE),
  ties = list(treatment = c(3, 3, 1, 2, 5), control = c(1, 2, 2, 3, 1), margin = 4, pairs = TRUE)
)

bounds <- function(test) c(test$conf.int[1], test$conf.int[2])

noncentrality <- function(t, df, p) {
  uniroot(function(ncp) pt(t, df, ncp) - p, c(t - 5 - abs(t), t + 5 + abs(t)), tol = 1e-13)$root
}

effect_interval <- function(t, df, size, level) {
  tail <- (1 - level) / 2
  c(noncentrality(t, df, 1 - tail), noncentrality(t, df, tail)) / sqrt(size)
}

t_tests <- function(x, y, margin, paired) {
  run <- function(...) t.test(x, y, paired = paired, ...)
  list(
    p_value = run()$p.value,
    interval_95 = bounds(run()),
    interval_99 = bounds(run(conf.level = 0.99)),
    p_greater = run(alternative = "greater")$p.value,
    p_less = run(alternative = "less")$p.value,
    p_not_worse = run(mu = -margin, alternative = "greater")$p.value,
    p_not_better = run(mu = margin, alternative = "less")$p.value
  )
}

effects <- function(x, y, paired) {
  n <- length(x)
  m <- length(y)
  student <- t.test(x, y, paired = paired, var.equal = TRUE)
  size <- if (paired) n else n * m / (n + m)
  list(
    d = cohens_d(x, y, paired = paired)$Cohens_d,
    g = hedges_g(x, y, paired = paired)$Hedges_g,
    interval_95 = effect_interval(student$statistic[[1]], student$parameter[[1]], size, 0.95),
    interval_90 = effect_interval(student$statistic[[1]], student$parameter[[1]], size, 0.90)
  )
}

needed <- function(delta, sd, type) {
  n <- tryCatch(
    power.t.test(delta = abs(delta), sd = sd, power = 0.8, type = type)$n,
    error = function(e) 2 # fewer than two: R looks no further
  )
  ceiling(n)
}

sign_flips <- function(d) { # every assignment of signs, one at a time
  grid <- as.matrix(expand.grid(rep(list(c(-1, 1)), length(d))))
  mean(abs(grid %*% d) >= abs(sum(d)) - 1e-9)
}

relabellings <- function(x, y) { # every choice of arms, Welch's t by t.test itself
  both <- c(x, y)
  welch <- function(chosen) abs(t.test(both[chosen], both[-chosen])$statistic)
  mean(combn(length(both), length(x), welch) >= welch(seq_along(x)) - 1e-9)
}

by_coin <- function(x, y) {
  frame <- data.frame(value = c(x, y), arm = factor(rep(c("a", "b"), c(length(x), length(y)))))
  as.numeric(pvalue(oneway_test(value ~ arm, frame, distribution = "exact")))
}

unpaired <- function(s) {
  x <- s$treatment
  y <- s$control
  pooled <- sqrt(((length(x) - 1) * var(x) + (length(y) - 1) * var(y)) / (length(x) + length(y) - 2))
  list(
    tests = t_tests(x, y, s$margin, FALSE),
    effects = effects(x, y, FALSE),
    sd = pooled,
    required_n = needed(mean(x) - mean(y), pooled, "two.sample"),
    required_n_margin = needed(s$margin, pooled, "two.sample"),
    p_permutation = if (choose(length(x) + length(y), length(x)) <= 1000) relabellings(x, y),
    p_coin = if (length(x) == length(y) && length(x) <= 9) by_coin(x, y),
    probability = suppressWarnings(wilcox.test(x, y))$statistic[[1]] / (length(x) * length(y))
  )
}

matched <- function(s) {
  x <- s$treatment
  y <- s$control
  list(
    tests = t_tests(x, y, s$margin, TRUE),
    effects = effects(x, y, TRUE),
    sd = sd(x - y),
    required_n = needed(mean(x - y), sd(x - y), "paired"),
    required_n_margin = needed(s$margin, sd(x - y), "paired"),
    p_permutation = sign_flips(x - y),
    probability = mean((1 + sign(x - y)) / 2)
  )
}

describe <- function(s) {
  list(
    treatment = s$treatment, control = s$control, margin = s$margin,
    mean = c(mean(s$treatment), mean(s$control)),
    iqm = c(mean(s$treatment, trim = 0.25), mean(s$control, trim = 0.25)),
    unpaired = unpaired(s),
    paired = if (s$pairs) matched(s)
  )
}

families <- list(c(0.02, 0.03, 0.001), c(0.04, 0.01, 0.03, 0.5, 0.2), c(0.05, 0.05, 0.05), c(0.6, 0.7), c(0.011))
adjusted <- lapply(families, function(p) list(p = I(p), holm = I(p.adjust(p, "holm")), bh = I(p.adjust(p, "BH"))))

result <- list(r = R.version.string, samples = lapply(samples, describe), families = adjusted)
cat(toJSON(result, digits = I(17), auto_unbox = TRUE, null = "null", pretty = TRUE), "\n")
