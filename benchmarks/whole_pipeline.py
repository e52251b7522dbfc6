"""What the whole way from records to verdicts claims: of nothing, and of true effects.

python -m benchmarks.whole_pipeline
python -m benchmarks.whole_pipeline --experiments 200 --only null

An experiment is two arms of 12 planned runs, paired by random seed, of which one in five crashes. It is looked at when 4, 8 and
12 of an arm have ended, and what is claimed at any look is claimed. Every look makes the frames of the runs' records and judges
the claims, as a report does.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import numpy as np

from benchmarks.offline import table
from karn_wandb.experiment import Experiment
from karn_wandb.experiment.claims import Claim, Claims
from karn_wandb.experiment.decide import decide
from karn_wandb.experiment.runs import RunData
from karn_wandb.experiment.telemetry import Held
from karn_wandb.records import (
    EpisodeContext,
    EpisodeOutcome,
    EpochSnapshot,
    HostSnapshot,
    Record,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.statistics.power import paired_plan, power_of_difference

WHEN = datetime(2026, 1, 1, tzinfo=UTC)
PLANNED = 12
LOOKS = (4, 8, 12)
CRASHES = 0.2
ARMS = ("heuristic", "none")
METRICS = {"final_accuracy": True, "final_loss": False, "best_accuracy": True, "total_params": False}
"""Columns that claims are about, and whether higher is better."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind of experiment.

    Attributes:
        name: In the table.
        metrics: Claims, one a metric.
        effect: True difference in the first metric, in standard deviations of the paired deltas.
        looks: When it is looked at.
    """

    name: str
    metrics: tuple[str, ...]
    effect: float = 0.0
    looks: tuple[int, ...] = LOOKS

    @property
    def claims(self) -> Claims:
        """The family as a claims file would declare it."""
        declared = self.looks if len(self.looks) > 1 else ()
        filters = [{"controller": arm} for arm in ARMS]
        family = tuple(Claim(metric, *filters, metric=metric, higher_is_better=METRICS[metric]) for metric in self.metrics)
        return Claims(family, planned_runs=PLANNED, looks=declared, sha256="declared")


SETTINGS = {
    "null": Setting("equal arms, 4 claims, 3 looks", tuple(METRICS)),
    "once": Setting("equal arms, 4 claims, 1 look", tuple(METRICS), looks=(PLANNED,)),
    "one": Setting("true effect, 1 claim, 1 look", ("final_accuracy",), 1.2, (PLANNED,)),
    "looks": Setting("true effect, 1 claim, 3 looks", ("final_accuracy",), 1.2),
    "four": Setting("true effect in one of 4 claims, 3 looks", tuple(METRICS), 1.2),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one experiment.

    Attributes:
        better: Metrics claimed to be better, at any look.
        worse: Metrics whose arm was called worse, at any look.
        pairs: Pairs of the first claim that were analysed at the last look.
    """

    better: frozenset[str]
    worse: frozenset[str]
    pairs: int


def run(arm: str, seed: int, values: np.ndarray, *, crashed: bool) -> RunData:
    """A run of two epochs."""
    accuracy, loss, best, params = values
    last = 60 + accuracy
    context = EpisodeContext(f"{arm}-{seed}", WHEN, "c0ffee", seed, seed, seed, "cnn", 1000, {}, 2, "classification", {})
    records: list[tuple[TelemetryEventType, Record]] = [
        (TelemetryEventType.EPISODE_STARTED, context),
        (TelemetryEventType.EPOCH_COMPLETED, _epoch(1, last + math.exp(best / 4), loss, params)),
    ]
    if not crashed:
        records.append((TelemetryEventType.EPOCH_COMPLETED, _epoch(2, last, loss, params)))
        records.append((TelemetryEventType.EPISODE_OUTCOME, EpisodeOutcome(epochs=2)))
    events = [TelemetryEvent(kind, data=record, timestamp=WHEN) for kind, record in records]
    state = "crashed" if crashed else "finished"
    return RunData(f"{arm}-{seed}", "runs", config={"controller": arm}, started=WHEN, state=state, telemetry=Held(events))


def _epoch(number: int, accuracy: float, loss: float, params: float) -> EpochSnapshot:
    return EpochSnapshot(
        number, HostSnapshot(number, val_accuracy=accuracy, val_loss=1 + loss / 10, total_params=round(1e6 + 1e4 * params))
    )


def experiment(setting: Setting, number: int) -> Outcome:
    """Make one and look at it; the numbers depend on the setting's name and this number alone."""
    generator = np.random.default_rng([number, *setting.name.encode()])
    common = generator.standard_normal((PLANNED, 4))  # of a seed, in both arms
    runs: list[list[RunData]] = []
    for place in range(2):
        values = (common + generator.standard_normal((PLANNED, 4))) / math.sqrt(2)  # so that deltas have unit variance
        values[:, 0] += setting.effect * (place == 0)
        crashed = generator.random(PLANNED) < CRASHES
        runs.append([run(ARMS[place], seed, values[seed], crashed=bool(crashed[seed])) for seed in range(PLANNED)])
    better: set[str] = set()
    worse: set[str] = set()
    pairs = 0
    for look in setting.looks:
        decisions = decide(Experiment((*runs[0][:look], *runs[1][:look])), setting.claims)
        better |= {decision.claim.name for decision in decisions if decision.supported}
        compared = [(decision.claim.name, decision.aggregation.comparison) for decision in decisions]
        worse |= {name for name, comparison in compared if comparison and comparison.verdict == "worse"}
        pairs = compared[0][1].n_treatment if compared[0][1] else 0
    return Outcome(frozenset(better), frozenset(worse), pairs)


def upper_bound(count: int, of: int, confidence: float = 0.95) -> float:
    """One-sided upper bound of a rate (Clopper & Pearson 1934)."""
    from scipy.stats import beta  # noqa: PLC0415 -- takes a second

    return 1.0 if count == of else float(beta.ppf(confidence, count + 1, of - count))


def nominal(setting: Setting, pairs: Sequence[int]) -> float:
    """Power of the paired t test at the numbers of pairs there were, at the level that Holm's first step leaves."""
    confidence = 1 - 0.05 / len(setting.metrics)
    powers = [power_of_difference(paired_plan(setting.effect, 1.0, n), confidence=confidence) if n > 2 else 0.0 for n in pairs]
    return float(np.mean(powers))


def rows(names: Sequence[str], experiments: int, pool: ProcessPoolExecutor) -> Iterator[list[str]]:
    """The table's rows."""
    for name in names:
        setting = SETTINGS[name]
        found = list(pool.map(partial(experiment, setting), range(experiments), chunksize=10))
        claimed = sum(setting.metrics[0] in each.better if setting.effect else bool(each.better) for each in found)
        expected = f"{100 * nominal(setting, [each.pairs for each in found]):.1f}" if setting.effect else "at most 2.5"
        error = 100 * math.sqrt(claimed / experiments * (1 - claimed / experiments) / experiments)
        yield [
            setting.name,
            str(experiments),
            f"{100 * claimed / experiments:.1f} ± {error:.1f}",
            f"{100 * upper_bound(claimed, experiments):.1f}",
            expected,
            f"{np.mean([each.pairs for each in found]):.1f}",
        ]


def main(arguments: list[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--experiments", type=int, default=1000, help="experiments of each kind")
    parser.add_argument("--only", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="kinds")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    header = ["experiments", "number", "claimed better, %", "95 % upper bound", "nominal, %", "pairs at the end"]
    print(table(header, []), flush=True)
    with ProcessPoolExecutor(options.jobs) as pool:
        for row in rows(options.only, options.experiments, pool):
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
