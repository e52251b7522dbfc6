"""Threats that lie in how runs and comparisons were chosen: copies, tuning, several data sets, more looked at than declared."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from karn_wandb.experiment.claims import Claim, Claims
from karn_wandb.experiment.decide import Decision
from karn_wandb.experiment.declarations import carried_files
from karn_wandb.experiment.experiment import Experiment
from karn_wandb.experiment.filters import column_of, select
from karn_wandb.experiment.report.arms import Arms
from karn_wandb.experiment.report.content import Declared, Threat
from karn_wandb.experiment.report.declared import listed, not_given
from karn_wandb.experiment.report.words import count
from karn_wandb.records import Verdict

_TRAJECTORY = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
_OUTCOMES = ("final_accuracy", "final_loss", "best_accuracy", "total_params", "reward_total")
"""Columns of episodes that a claim could be about."""
FEWEST_EPOCHS = 3
"""Epochs that must be equal before two runs are called copies."""
MOST_GROUPS = 3
"""Groups of copies that are listed; the others are counted."""


def of_experiment(experiment: Experiment, family: Claims | None, plan: Declared | None, arms: Arms) -> Iterator[Threat]:
    """What threatens all comparisons of an experiment together."""
    yield from _declared(experiment.episodes, family, plan)
    yield from _copies(experiment, arms)
    yield from _data(experiment.episodes)


def _declared(episodes: pd.DataFrame, family: Claims | None, plan: Declared | None) -> Iterator[Threat]:
    """Claims that were changed, or not shown to be declared before the runs; and what could have been chosen instead."""
    carried = carried_files(episodes)
    if plan is None:
        if carried:
            yield Threat("Plan", not_given(carried))
    elif plan.found.standing == "before":
        return
    elif plan.found.standing == "changed":
        yield Threat("Plan", "The claims were changed after runs had been started with them; what was changed stands above.")
    else:
        yield Threat("Plan", " ".join(plan.sentences))
    if family is not None:
        yield from _choice(episodes, family)


def _choice(episodes: pd.DataFrame, family: Claims) -> Iterator[Threat]:
    """How many comparisons the runs would have allowed, of which these were made."""
    outcomes = [name for name in _OUTCOMES if np.isfinite(episodes[name].to_numpy(dtype=float, na_value=math.nan)).any()]
    factors = dict.fromkeys(name for claim in family.claims for arm in (claim.treatment, claim.control) for name in arm)
    columns = list(dict.fromkeys([column_of(episodes, name) for name in factors]))
    there = len(episodes[columns].dropna(how="all").astype(str).drop_duplicates())
    possible, made = len(outcomes) * (there - 1), len(family.claims)
    if possible <= made:
        return
    level = family.claims[0].level
    yield Threat(
        "Choice",
        f"The runs hold {count(len(outcomes), 'outcome')} ({', '.join(outcomes)}) of {count(there, 'arm')}, so {possible} "
        f"comparisons with one of the arms could have been made, and {made} {'was' if made == 1 else 'were'}. That nobody chose "
        f"among them after a look is not shown. Were all made at {level:.4g}, and independent, one would succeed by chance with "
        f"probability {1 - (1 - level) ** possible:.2f}.",
    )


def _copies(experiment: Experiment, arms: Arms) -> Iterator[Threat]:
    """Runs that logged the same values at every epoch."""
    alike: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for epochs in experiment.epochs_by_run(*_TRAJECTORY):
        for trajectory in _trajectories(epochs):
            alike[trajectory][str(epochs["run_id"].iloc[0])] = None
    groups = sorted(tuple(runs) for runs in alike.values() if len(runs) > 1)
    if groups:
        seeds = experiment.episodes.drop_duplicates("run_id").set_index("run_id")["base_seed"]
        yield from _of_copies(groups, seeds, arms)


def _trajectories(epochs: pd.DataFrame) -> Iterator[str]:
    """A hash of the values at every epoch, of each episode of a run that has enough, and in which they ever change."""
    values = epochs[list(_TRAJECTORY)].to_numpy(np.float64)
    known = ~np.isnan(values).all(axis=1)
    keys = epochs[["env_id", "episode_idx", "epoch"]].to_numpy(np.int64)[known]
    bits = np.where(np.isnan(values), np.nan, values)[known].view(np.int64)  # one NaN is as good as another
    begins = np.flatnonzero(np.any(np.diff(keys[:, :2], axis=0, prepend=-1), axis=1))  # they are sorted
    for begin, end in pairwise((*begins, len(keys))):
        if end - begin >= FEWEST_EPOCHS and (bits[begin:end] != bits[begin]).any():
            yield hashlib.sha256(np.column_stack([keys[begin:end, 2], bits[begin:end]]).tobytes()).hexdigest()


def _of_copies(groups: Sequence[tuple[str, ...]], seeds: pd.Series[int], arms: Arms) -> Iterator[Threat]:
    """Runs that are alike, a group once: of runs with several episodes, in how many of them."""
    kinds: defaultdict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for group in groups:
        by_arm: defaultdict[str, list[str]] = defaultdict(list)
        for run in group:
            by_arm[arms.of_run.get(run, "")].append(run)
        if len(by_arm) > 1:
            kinds["across"][group] += 1
        for members in by_arm.values():
            if len(members) > 1:
                one_seed = len({str(seeds.get(run)) for run in members}) == 1
                kinds["seed" if one_seed else "copy"][tuple(members)] += 1
    for kind, meaning in _MEANINGS.items():
        if found := [f"{listed(runs)}{f' (in {many} episodes)' if many > 1 else ''}" for runs, many in kinds[kind].items()]:
            more = f"; and {len(found) - MOST_GROUPS} groups more" if len(found) > MOST_GROUPS else ""
            yield Threat("Copies", f"The same values at every epoch: {'; '.join(found[:MOST_GROUPS])}{more}. {meaning}")


_MEANINGS = {
    "copy": "Their random seeds differ, so that equal values are no chance: one is a copy of the other, or the seed had no "
    "effect. They are no independent repetitions.",
    "seed": "They have one random seed, so that this is one result more than once.",
    "across": "They are in different arms: what tells the arms apart changed nothing in them.",
}


def _data(episodes: pd.DataFrame) -> Iterator[Threat]:
    """Runs that were trained on different data."""
    hashes = {value for value in episodes.get("episode.data_hash", ()) if isinstance(value, str) and value}
    if len(hashes) > 1:
        names = ", ".join(value[:12] for value in sorted(hashes)[:5])
        yield Threat("Data", f"The runs were trained on {len(hashes)} different data sets (hashes {names}).")


def of_rules(verdicts: Mapping[str, Verdict]) -> Iterator[Threat]:
    """A verdict that hangs on the rule for runs that failed, or on values far from the others; the first is the claim's own."""
    (own, said), *others = verdicts.items() if verdicts else [("", None)]
    flipped = [f"{rule}: {verdict}" for rule, verdict in others if verdict != said]
    if flipped:
        yield Threat("Robustness", f"The verdict hangs on which runs count. {own.capitalize()}: {said}; {'; '.join(flipped)}.")


def of_claim(episodes: pd.DataFrame, decision: Decision, arms: Arms, planned: int | None) -> Iterator[Threat]:
    """What threatens one comparison by how its runs came about."""
    claim = decision.claim
    arms_of_claim = [(arms.label(arm), select(episodes, arm).tolist()) for arm in (claim.control, claim.treatment)]
    yield from _tuning([(label, _configurations(episodes, chosen, claim)) for label, chosen in arms_of_claim])
    times = episodes[["run_id", "state", "started", "ended_at"]]
    yield from _stopping([(label, times[chosen]) for label, chosen in arms_of_claim], planned)


def _tuning(tried: Sequence[tuple[str, int]]) -> Iterator[Threat]:
    """Arms that were tried in different numbers of configurations."""
    if len({n for _, n in tried}) > 1:
        many = " and ".join(f"{label} in {count(n, 'configuration')}" for label, n in tried)
        yield Threat(
            "Tuning",
            f"Apart from random seeds there are runs of {many}. The arm that was tried in more gains where the best of them was "
            "chosen, and loses where all are averaged; its runs are no repetitions of one configuration.",
        )


def _configurations(episodes: pd.DataFrame, chosen: Sequence[bool], claim: Claim) -> int:
    """Different configurations among the runs of an arm, apart from the factor, random seeds, and what names each run."""
    factors = {column_of(episodes, name) for arm in (claim.treatment, claim.control) for name in arm}
    last = {run: place for place, (run, kept) in enumerate(zip(episodes["run_id"], chosen, strict=True)) if kept}
    varying = []
    for name in episodes.columns:
        if not name.startswith("config.") or name in factors or name == claim.pair_by or "seed" in name.lower():
            continue
        column = episodes[name].tolist()
        values = [column[place] for place in last.values()]
        texts = tuple(map(str, values))
        if len(set(texts)) > 1 and not _names_each(values):
            varying.append(texts)
    return len(set(zip(*varying, strict=True))) if varying else 1


def _names_each(values: Sequence[object]) -> bool:
    """Whether values name the run: different in each, and no measure with decimals, as a learning rate is."""
    return len(set(map(str, values))) == len(values) and not any(isinstance(value, float) for value in values)


def _stopping(sides: Sequence[tuple[str, pd.DataFrame]], planned: int | None) -> Iterator[Threat]:
    """Runs that were started when results were in."""
    if planned is None:
        rows = pd.concat([rows for _, rows in sides])
        late, since = _started_after(rows, 1)
        if late:
            yield Threat(
                "Stopping",
                f"No number of runs was planned, and {late} of {count(rows['run_id'].nunique(), 'run')} were started after the "
                f"first result was in ({since}). That runs were added until the result was as wanted is not ruled out.",
            )
        return
    for label, rows in sides:
        late, since = _started_after(rows, planned)
        if late:
            yield Threat(
                "Stopping",
                f"{count(late, 'run')} of {label} {'was' if late == 1 else 'were'} started after the {planned} planned had "
                f"finished ({since}): adding runs after a look inflates false findings.",
            )


def _started_after(rows: pd.DataFrame, finished: int) -> tuple[int, str]:
    """How many runs were started after so many had finished, and when that was."""
    ends = rows[rows["state"] == "finished"].groupby("run_id")["ended_at"].max().dropna().sort_values()
    if len(ends) < finished:
        return 0, ""
    since = ends.iloc[finished - 1]
    return int((rows.groupby("run_id")["started"].min() > since).sum()), f"{since:%Y-%m-%d %H:%M} UTC"
