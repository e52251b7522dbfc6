"""How the numbers came about, in words that can be pasted into a paper, and what to cite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from karn_wandb.experiment.claims import Claims
from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.report.content import ContributionsContent, RunContent, SlotAttribution
from karn_wandb.experiment.report.words import count, percent

REFERENCES = {
    "Agarwal 2021": "Agarwal, Schwarzer, Castro, Courville, Bellemare: Deep reinforcement learning at the edge of the "
    "statistical precipice. NeurIPS 2021.",
    "Benjamini 1995": "Benjamini, Hochberg: Controlling the false discovery rate. J. R. Stat. Soc. B 57, 1995.",
    "Davison 1997": "Davison, Hinkley: Bootstrap methods and their application. 1997.",
    "Draper 1998": "Draper, Smith: Applied regression analysis. 3rd ed., 1998.",
    "Glasserman 1992": "Glasserman, Yao: Some guidelines and guarantees for common random numbers. Manage. Sci. 38, 1992.",
    "Golub 1973": "Golub, Pereyra: The differentiation of pseudo-inverses and nonlinear least squares problems whose variables "
    "separate. SIAM J. Numer. Anal. 10, 1973.",
    "Efron 1993": "Efron, Tibshirani: An introduction to the bootstrap. Chapman and Hall, 1993.",
    "Hedges 1981": "Hedges: Distribution theory for Glass's estimator of effect size. J. Educ. Stat. 6, 1981.",
    "Hoffmann 2022": "Hoffmann et al.: Training compute-optimal large language models. NeurIPS 2022.",
    "Holm 1979": "Holm: A simple sequentially rejective multiple test procedure. Scand. J. Stat. 6, 1979.",
    "ICH 1998": "ICH E9: Statistical principles for clinical trials. 1998.",
    "Kaplan 2020": "Kaplan et al.: Scaling laws for neural language models. arXiv:2001.08361, 2020.",
    "Lan 1983": "Lan, DeMets: Discrete sequential boundaries for clinical trials. Biometrika 70, 1983.",
    "Liu 2008": "Liu, Anderson: On adaptive extensions of group sequential trials for clinical investigations. "
    "J. Am. Stat. Assoc. 103, 2008.",
    "Mann 1947": "Mann, Whitney: On a test of whether one of two random variables is stochastically larger than the other. "
    "Ann. Math. Stat. 18, 1947.",
    "Phipson 2010": "Phipson, Smyth: Permutation p-values should never be zero. Stat. Appl. Genet. Mol. Biol. 9, 2010.",
    "Schuirmann 1987": "Schuirmann: A comparison of the two one-sided tests procedure and the power approach. "
    "J. Pharmacokinet. Biopharm. 15, 1987.",
    "Shapley 1953": "Shapley: A value for n-person games. Contributions to the Theory of Games II, 1953.",
    "Student 1908": "Student: The probable error of a mean. Biometrika 6, 1908.",
    "Weerahandi 1993": "Weerahandi: Generalized confidence intervals. J. Am. Stat. Assoc. 88, 1993.",
    "Welch 1947": "Welch: The generalization of Student's problem when several different population variances are involved. "
    "Biometrika 34, 1947.",
    "Wilcoxon 1945": "Wilcoxon: Individual comparisons by ranking methods. Biometrics Bull. 1, 1945.",
}
"""By the short form that stands in the text."""

_CORRECTIONS = {
    "holm": "Holm's procedure (Holm 1979)",
    "bh": "the procedure of Benjamini and Hochberg (Benjamini 1995)",
}
ROBUSTNESS = (
    "For robustness each comparison was repeated with every rule for runs that failed (left out; at the worst value of any run; "
    "at their last value), and without values more than ten median absolute deviations from the median, each by the t test, by "
    "permutation, by percentile bootstrap (Efron 1993) of mean, interquartile mean and median, and by the signed-rank test "
    "(Wilcoxon 1945) of pairs or the rank-sum test (Mann 1947) of unpaired arms. None of these changes a verdict."
)
_UNFINISHED = {
    "left_out": "are listed and not analysed",
    "worst": "count as the worst value of any run",
    "last": "count as the last value they logged, and as the worst of any run where that is none",
}


def methods(
    runs: Sequence[RunContent],
    decisions: Sequence[Decision],
    claims: Claims | None,
    slots: Sequence[SlotAttribution],
    contributed: Sequence[ContributionsContent],
) -> tuple[str, ...]:
    """The paragraphs, saying only what was done."""
    paragraphs = [_runs(runs, decisions)]
    if any(decision.aggregation.comparison for decision in decisions):
        paragraphs += [_design(decisions), _beside(), ROBUSTNESS]
    if claims is not None and decisions:
        paragraphs.append(_claims(claims, decisions))
    if slots:
        paragraphs.append(_attribution(slots))
    if contributed:
        paragraphs.append(_contributions(contributed[0]))
    return tuple(paragraphs)


def citations(paragraphs: Sequence[str]) -> tuple[str, ...]:
    """The references whose short forms the paragraphs hold."""
    return tuple(full for short, full in REFERENCES.items() if any(short in text for text in paragraphs))


def _runs(runs: Sequence[RunContent], decisions: Sequence[Decision]) -> str:
    finished = sum(run.state == "finished" for run in runs)
    rules = {_UNFINISHED[decision.claim.unfinished]: decision.claim.name for decision in decisions}
    said = "".join(rules) if len(rules) < 2 else "; ".join(f"{rule} (as in “{name}”)" for rule, name in rules.items())
    return (
        "The unit of analysis is the training run; the episodes of one run count once, by their mean. "
        f"{count(len(runs), 'run')} {'was' if len(runs) == 1 else 'were'} found, of which {finished} finished. "
        f"Runs that did not finish, or lack the metric, {said or _UNFINISHED['left_out']}."
    )


def _design(decisions: Sequence[Decision]) -> str:
    return " ".join(dict.fromkeys(text for decision in decisions for text in _designs(decision)))


def _designs(decision: Decision) -> Iterator[str]:
    comparison = decision.aggregation.comparison
    if comparison is None:
        return
    interval = f"{percent(comparison.confidence)} interval"
    if comparison.paired:
        yield (
            f"Runs with the same {decision.aggregation.pair_by} were paired, and the mean of their differences is given with the "
            f"paired t {interval} (Student 1908)."
        )
    else:
        yield f"Arms were compared unpaired, and the difference of their means is given with the Welch t {interval} (Welch 1947)."


def _beside() -> str:
    return (
        "Beside it stand the two-sided permutation p, exact or Monte Carlo with (b+1)/(m+1) (Phipson 2010), Hedges' g with the "
        "exact correction (Hedges 1981) and its interval by the non-central t distribution, the probability of improvement and "
        "interquartile means (Agarwal 2021), and a percentile bootstrap interval with a fixed seed."
    )


def _claims(claims: Claims, decisions: Sequence[Decision]) -> str:
    one = len(decisions) == 1
    tests = {decision.claim.test for decision in decisions}
    who = count(len(decisions), "claim" if claims.declared else "comparison")
    how = f"declared in a file (SHA-256 {claims.sha256})" if claims.declared else "not declared beforehand,"
    text = f"{who} {how} {'was' if one else 'were'} tested one-sided at the level that the two-sided interval leaves on one side "
    text += "(ICH 1998)" if one else f"(ICH 1998), and corrected for their number by {_CORRECTIONS[claims.correction]}"
    text += "; equivalence by two one-sided tests (Schuirmann 1987)" if "equivalence" in tests else ""
    text += "; non-inferiority by the one-sided test against the margin" if "non_inferiority" in tests else ""
    return text + "." + (_looks(claims) if claims.looks else "")


def _looks(claims: Claims) -> str:
    kind = {"obrien_fleming": "O'Brien-Fleming", "pocock": "Pocock"}[claims.spending]
    times = ", ".join(map(str, claims.looks))
    return (
        f" Looks were declared at {times} runs an arm. Each look's interval has the confidence that {kind}-type alpha spending "
        "leaves it (Lan 1983), and p-values count all looks so far (Liu 2008) before they are corrected for the number of claims."
    )


def _attribution(slots: Sequence[SlotAttribution]) -> str:
    exact = all(value.exact for slot in slots for value in slot.runs)
    how = (
        "all coalitions were evaluated, so the values are exact for each network"
        if exact
        else "some values rest on sampled coalitions"
    )
    return (
        "Attribution to slots is the Shapley value (Shapley 1953) of the game that gives each coalition of slots the network's "
        "validation result with the other slots switched off, at the last evaluated epoch of each finished run; "
        f"{how}. Across runs each run is one observation; the mean is given with its 95 % t interval (Student 1908), and its p "
        "corrected by Holm's procedure (Holm 1979) over the slots of an arm."
    )


def _contributions(contributed: ContributionsContent) -> str:
    found = contributed.found
    return (
        f"A slot's causal contribution is the difference in {found.metric} between runs trained with all slots and control runs "
        f"of the same {found.pair_by} in which nothing ever germinated in that slot. Its removal cost is the difference, at the "
        "last evaluated epoch of the runs with all slots, between the network as it is and with the slot switched off. Both, and "
        f"their difference by {found.pair_by}, are given with paired t {percent(found.confidence)} intervals (Student 1908), and "
        "their p corrected by Holm's procedure (Holm 1979) over the slots."
    )
