# Independent reference values for karn_wandb.statistics, from R's own functions.
#
#   Rscript tests/statistics/reference.R > tests/statistics/reference.json
#
# Made with R 4.2.2, jsonlite 1.8.4, effectsize 0.8.3, coin 1.4-2, rpact 3.3.4, sandwich 3.0-2. Data: R's datasets package; Darwin's
# maize heights (inches) from Fisher 1935, "The Design of Experiments", chapter III; small made-up samples for ties and exact
# enumeration.

suppressPackageStartupMessages({
  library(jsonlite)
  library(effectsize)
  library(coin)
  library(rpact)
  library(sandwich)
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

# Plans: power in the right direction and the least detectable difference by power.t.test; both one-sided tests at once by
# averaging over the estimated standard error, whose square is chi-squared distributed.

plan_cases <- expand.grid(paired = c(TRUE, FALSE), n = c(3, 5, 10, 40), delta = c(0.3, 1.1), confidence = c(0.9, 0.95))

both_sides <- function(delta, margin, se, df, confidence) {
  t <- qt((1 + confidence) / 2, df)
  inside <- function(r) { # r: estimated over true standard error
    most <- margin - t * se * r
    2 * df * r * dchisq(df * r^2, df) * pmax(pnorm((most - delta) / se) - pnorm((-most - delta) / se), 0)
  }
  edges <- sort(unique(pmin(c(0, seq(0.05, 3, 0.05), 5), margin / (t * se)))) # in pieces: the density may be a spike
  sum(mapply(function(a, b) integrate(inside, a, b, rel.tol = 1e-12)$value, head(edges, -1), tail(edges, -1)))
}

plans <- lapply(seq_len(nrow(plan_cases)), function(i) {
  case <- as.list(plan_cases[i, c("paired", "n", "delta", "confidence")])
  type <- if (case$paired) "paired" else "two.sample"
  level <- 1 - case$confidence
  se <- if (case$paired) sqrt(1 / case$n) else sqrt(2 / case$n)
  df <- if (case$paired) case$n - 1 else 2 * case$n - 2
  c(case, list(
    power = power.t.test(n = case$n, delta = case$delta, sig.level = level, type = type)$power,
    detectable = power.t.test(n = case$n, power = 0.8, sig.level = level, type = type, tol = 1e-12)$delta,
    non_inferiority = power.t.test(
      n = case$n, delta = 1 - case$delta / 4, sig.level = level / 2, type = type, alternative = "one.sided"
    )$power,
    equivalence = both_sides(case$delta / 4, 1.5, se, df, case$confidence)
  ))
})

welch_plan <- function(s1, s2, n, m, delta, margin) {
  a <- s1^2 / n
  b <- s2^2 / m
  df <- (a + b)^2 / (a^2 / (n - 1) + b^2 / (m - 1))
  list(
    deviations = c(s1, s2), runs = c(n, m), delta = delta, margin = margin, df = df,
    equivalence = both_sides(delta, margin, sqrt(a + b), df, 0.95),
    power = pt(qt(0.975, df), df, delta / sqrt(a + b), lower.tail = FALSE)
  )
}
unequal <- list(welch_plan(1, 3, 8, 12, 1, 4), welch_plan(2, 0.5, 5, 20, 0.3, 3), welch_plan(1, 1, 6, 9, 0, 2))

# Planned looks: rpact, two-sided.

spendings <- list(obrien_fleming = "asOF", pocock = "asP")
look_cases <- list(c(0.5, 1), (1:3) / 3, (1:5) / 5, c(0.25, 0.4, 0.9, 1))
spend <- function(rates, type, alpha) {
  design <- getDesignGroupSequential(
    sided = 2, alpha = alpha, typeOfDesign = type, informationRates = rates, tolerance = 1e-10
  )
  by_definition <- list(
    asOF = 4 * pnorm(-qnorm(1 - alpha / 4) / sqrt(rates)), asP = alpha * log(1 + (exp(1) - 1) * rates)
  )
  list(fractions = rates, confidence = 1 - alpha, boundaries = design$criticalValues, spent = by_definition[[type]])
}
planned_looks <- lapply(spendings, function(type) {
  c(lapply(look_cases, spend, type, 0.05), lapply(look_cases[1:2], spend, type, 0.01))
})

# Probability of improvement: binom.test for pairs; the score interval by its definition for two arms.

proportions <- lapply(list(c(0, 6), c(5, 5), c(6, 6), c(7, 9), c(12, 20)), function(case) {
  list(wins = case[1], n = case[2], interval = bounds(binom.test(case[1], case[2])))
})

score_interval <- function(x, y) {
  n <- length(x)
  m <- length(y)
  estimate <- mean(outer(x, y, function(a, b) (a > b) + (a == b) / 2))
  t <- qt(0.975, n + m - 2)
  beyond <- function(p) {
    half <- (n + m) / 2 - 1
    abs(estimate - p) - t * sqrt(p * (1 - p) * (1 + half * ((1 - p) / (2 - p) + p / (1 + p))) / (n * m))
  }
  near <- function(end) { # not up to the estimate itself: at 0 and 1 the score is zero there
    if (end == estimate) return(end)
    uniroot(beyond, sort(c(end, estimate + (end - estimate) * 1e-6)), tol = 1e-14)$root
  }
  c(near(0), near(1))
}

# Ratios: the values at which t.test of x - r y changes its mind. Two arms: t by hand, degrees of freedom at the ratio found.

ratio_bounds <- function(x, y, paired) {
  r <- mean(x) / mean(y)
  a <- var(x) / length(x)
  b <- r^2 * var(y) / length(y)
  df <- (a + b)^2 / (a^2 / (length(x) - 1) + b^2 / (length(y) - 1))
  excess <- function(rho) {
    if (paired) return(t.test(x - rho * y)$p.value - 0.05)
    2 * pt(-abs(mean(x) - rho * mean(y)) / sqrt(var(x) / length(x) + rho^2 * var(y) / length(y)), df) - 0.05
  }
  c(uniroot(excess, c(r - 10, r), tol = 1e-14)$root, uniroot(excess, c(r, r + 10), tol = 1e-14)$root)
}

bounded <- list( # where the denominator is far from zero
  maize = samples$maize, plants = samples$plants, cars = samples$cars, chicks = samples$chicks
)
ratios <- lapply(bounded, function(s) {
  list(
    unpaired = ratio_bounds(s$treatment, s$control, FALSE),
    paired = if (s$pairs) ratio_bounds(s$treatment, s$control, TRUE)
  )
})

# Clusters: sandwich's cluster-robust variance of a mean, and the mean squares of aov.

cluster <- function(y, groups) {
  groups <- as.integer(factor(groups))
  fit <- lm(y ~ 1)
  squares <- summary(aov(y ~ factor(groups)))[[1]][["Mean Sq"]]
  list(
    values = y, clusters = groups, mean = mean(y), between = squares[1], within = squares[2],
    error = sqrt(vcovCL(fit, cluster = groups, type = "HC0", cadjust = TRUE)[1, 1])
  )
}
clusters <- list(
  chicks = cluster(chickwts$weight, chickwts$feed), # unequal sizes
  trees = cluster(Orange$circumference, Orange$Tree),
  warps = cluster(warpbreaks$breaks, interaction(warpbreaks$wool, warpbreaks$tension))
)

# Glass's delta, corrected by the exact factor.

glass <- lapply(samples, function(s) {
  df <- length(s$control) - 1
  glass_delta(s$treatment, s$control)$Glass_delta * gamma(df / 2) / (sqrt(df / 2) * gamma((df - 1) / 2))
})

# The confidence sequence: the t at which the likelihood of a normally distributed effect, averaged over effects, is 20 times
# that of none, by R's non-central t.

reached <- function(n, scale, confidence) {
  ratio <- function(t) {
    at <- function(effect) dt(t, n - 1, effect * sqrt(n)) * dnorm(effect, 0, scale)
    middle <- t / sqrt(n)
    average <- integrate(at, -Inf, middle, rel.tol = 1e-11)$value + integrate(at, middle, Inf, rel.tol = 1e-11)$value
    log(average) - log(dt(t, n - 1)) + log1p(-confidence)
  }
  uniroot(ratio, c(2, 30), tol = 1e-12)$root
}
sequence_cases <- list(c(5, 1, 0.95), c(8, 1, 0.95), c(20, 1, 0.95), c(20, 0.5, 0.9), c(60, 1, 0.99))
sequences <- lapply(sequence_cases, function(case) {
  list(n = case[1], scale = case[2], confidence = case[3], t = suppressWarnings(reached(case[1], case[2], case[3])))
})

michelson <- (morley$Speed + 299000) / 1000 # in the unit of NIST's data set Michelso

result <- list(
  r = R.version.string, samples = lapply(samples, describe), families = adjusted, plans = plans, unequal = unequal,
  looks = planned_looks, proportions = proportions,
  scores = lapply(samples, function(s) score_interval(s$treatment, s$control)),
  ratios = ratios, clusters = clusters, glass = glass, sequences = sequences, michelson = michelson
)
cat(toJSON(result, digits = I(17), auto_unbox = TRUE, null = "null", pretty = TRUE), "\n")
