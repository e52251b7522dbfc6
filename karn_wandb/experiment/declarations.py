"""Whether claims were declared before their runs: what the runs were started with, held against the file of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import pandas as pd

from karn_wandb.errors import ClaimsError
from karn_wandb.experiment.aggregation import in_words
from karn_wandb.experiment.claims import Claim, Claims, parse_claims
from karn_wandb.experiment.filters import select

Standing = Literal["before", "changed", "in part", "not shown"]
"""Declared before all its runs; changed since; known of some of its runs only; of none."""

_FAMILY = ("family", "correction", "planned_runs")
_NOT_DECLARED = ("name", "line")


@dataclass(frozen=True, slots=True)
class FieldChange:
    """What a claims file says otherwise than an earlier one did.

    Attributes:
        claim: Name of the claim; "" when it concerns all of the file.
        field: Field of the claim or of the file; "claim" when the whole claim came or went, "text" for what declares nothing,
            such as comments.
        was: What it said; "" where it said nothing.
        now: What it says; "" where it says nothing.
    """

    claim: str
    field: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class EarlierFile:
    """Another claims file that runs were started with.

    Attributes:
        sha256: Its hash.
        runs: How many.
        first: When the first of them started, in UTC; "" when unknown.
        readable: Whether the runs hold a text that can be read as claims.
        changes: What was changed since.
    """

    sha256: str
    runs: int
    first: str
    readable: bool
    changes: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class Declaration:
    """What the runs in a family's arms say of when it was declared.

    Attributes:
        standing: The sum of it.
        runs: Runs in the arms.
        carried: Those that were started with this file.
        first: When the first of those started, in UTC; "" when unknown.
        without: Those that were started with none, by id.
        earlier: Other files that runs were started with, by hash.
    """

    standing: Standing
    runs: int
    carried: int
    first: str
    without: tuple[str, ...]
    earlier: tuple[EarlierFile, ...]

    def changes_of(self, claim: str) -> tuple[FieldChange, ...]:
        """What was changed of one claim, each change once."""
        return tuple(dict.fromkeys(change for file in self.earlier for change in file.changes if change.claim == claim))


def declaration(episodes: pd.DataFrame, claims: Claims) -> Declaration:
    """What the runs in a family's arms were started with.

    Args:
        episodes: The experiment's episodes.
        claims: Claims from a file, whose arms are there.
    """
    runs = _runs(episodes, claims)
    mine = runs[runs["claims_sha256"] == claims.sha256]
    others = runs[runs["claims_sha256"].notna() & (runs["claims_sha256"] != claims.sha256)]
    without = tuple(sorted(map(str, runs.loc[runs["claims_sha256"].isna(), "run_id"])))
    earlier = tuple(_earlier(str(sha256), rows, claims) for sha256, rows in others.groupby("claims_sha256", sort=True))
    return Declaration(
        standing=_standing(len(mine), without, earlier),
        runs=len(runs),
        carried=len(mine),
        first=_first(mine),
        without=without,
        earlier=earlier,
    )


def differences(was: Claims, now: Claims) -> tuple[FieldChange, ...]:
    """What one claims file says otherwise than another: of the file, then claim by claim in the order of the newer.

    A claim that says the same under another name was renamed.
    """
    return (*_of_family(was, now), *_of_claims(was, now))


def carried_files(episodes: pd.DataFrame) -> dict[str, int]:
    """How many runs were started with each claims file, by its hash."""
    counts = episodes.dropna(subset=["claims_sha256"]).groupby("claims_sha256", sort=True)["run_id"].nunique()
    return {str(sha256): int(count) for sha256, count in counts.items()}


def _runs(episodes: pd.DataFrame, claims: Claims) -> pd.DataFrame:
    """One row for every run in an arm."""
    chosen = pd.Series(data=False, index=episodes.index)
    for arm in {in_words(arm): arm for claim in claims.claims for arm in (claim.treatment, claim.control)}.values():
        chosen |= select(episodes, arm)
    rows = episodes.loc[chosen, ["run_id", "started", "claims_sha256", "claims"]]
    return rows.sort_values(["run_id", "started"], kind="stable").drop_duplicates("run_id")


def _standing(carried: int, without: tuple[str, ...], earlier: tuple[EarlierFile, ...]) -> Standing:
    if any(not file.readable or any(change.field != "text" for change in file.changes) for file in earlier):
        return "changed"
    if not without:
        return "before"
    return "in part" if carried or earlier else "not shown"


def _first(rows: pd.DataFrame) -> str:
    started = rows["started"].dropna()
    return "" if started.empty else f"{started.min():%Y-%m-%d %H:%M}"


def _earlier(sha256: str, rows: pd.DataFrame, now: Claims) -> EarlierFile:
    text = next((text for text in rows["claims"] if isinstance(text, str)), None)
    changes: tuple[FieldChange, ...] = ()
    try:
        was = parse_claims(text.encode(), "the claims in the runs") if text else None
    except ClaimsError:
        was = None
    if was is not None:
        changes = differences(was, now) or (FieldChange("", "text", "", ""),)
    return EarlierFile(sha256, len(rows), _first(rows), was is not None, changes)


def _of_family(was: Claims, now: Claims) -> Iterator[FieldChange]:
    for name in _FAMILY:
        before, after = _said(getattr(was, name)), _said(getattr(now, name))
        if before != after:
            yield FieldChange("", name, before, after)


def _of_claims(was: Claims, now: Claims) -> Iterator[FieldChange]:
    before = {claim.name: claim for claim in was.claims}
    after = {claim.name: claim for claim in now.claims}
    gone = {name: claim for name, claim in before.items() if name not in after}
    for name, claim in after.items():
        if name in before:
            yield from _of_claim(before[name], claim)
            continue
        same = next((old for old, other in gone.items() if not list(_of_claim(other, claim))), None)
        if same is None:
            yield FieldChange(name, "claim", "", "declared")
        else:
            del gone[same]
            yield FieldChange(name, "name", same, name)
    for name in gone:
        yield FieldChange(name, "claim", "declared", "")


def _of_claim(was: Claim, now: Claim) -> Iterator[FieldChange]:
    for field in fields(Claim):
        before, after = _said(getattr(was, field.name)), _said(getattr(now, field.name))
        if field.name not in _NOT_DECLARED and before != after:
            yield FieldChange(now.name, field.name, before, after)


def _said(value: Any) -> str:
    """A value as the file has it."""
    if isinstance(value, Mapping):
        return in_words(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
