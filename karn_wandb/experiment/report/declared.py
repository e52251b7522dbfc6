"""When claims were declared, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from karn_wandb.experiment.declarations import Declaration, EarlierFile, FieldChange
from karn_wandb.experiment.report.words import count

MOST_LISTED = 8
"""Runs that are named; the others are counted."""


def sentences(found: Declaration) -> Iterator[str]:
    """What the runs show of when the claims were declared."""
    if found.standing == "before":
        yield f"Declared before the runs: {_all(found)} started with {_these(found)}{_since(found.first)}."
    elif found.carried:
        yield f"{found.carried} of {count(found.runs, 'run')} in its arms were started with this file{_since(found.first)}."
    for file in found.earlier:
        yield from _of_earlier(file, found.runs)
    if found.without and len(found.without) == found.runs:
        yield (
            f"None of {count(found.runs, 'run')} in its arms was started with a claims file: that this one was declared before "
            "them is not shown. Give it to karn_wandb.init(claims=...)."
        )
    elif found.without:
        one = len(found.without) == 1
        yield (
            f"{count(len(found.without), 'run was', 'runs were')} started without a claims file ({listed(found.without)}): that "
            f"it was declared before {'this one' if one else 'these'} is not shown."
        )


def changes(found: Declaration) -> tuple[tuple[str, str], ...]:
    """Every change since the runs began: what it concerns, and what was and is."""
    every = dict.fromkeys(change for file in found.earlier for change in file.changes if change.field != "text")
    return tuple((f"Claim “{change.claim}”" if change.claim else "The file", _changed(change)) for change in every)


def of_claim(found: Declaration, claim: str) -> Iterator[str]:
    """What a verdict must say of when its claim was declared; nothing where it was before its runs."""
    own = [_changed(change) for change in found.changes_of(claim)]
    if own:
        yield f"Changed since runs were started: {'; '.join(own)}."
    elif found.standing in ("in part", "not shown"):
        yield "That the claim was declared before its runs is not shown."


def not_given(files: Mapping[str, int]) -> str:
    """What is to be said when runs were started with claims that the report was not given."""
    many = sum(files.values())
    hashes = ", ".join(sha256[:12] for sha256 in files)
    return (
        f"{count(many, 'run was', 'runs were')} started with a claims file (SHA-256 {hashes}) that this report was not given: "
        "what was declared is not what is reported."
    )


def listed(ids: tuple[str, ...]) -> str:
    """Run ids, of many the first."""
    more = f" and {len(ids) - MOST_LISTED} more" if len(ids) > MOST_LISTED else ""
    return ", ".join(ids[:MOST_LISTED]) + more


def _all(found: Declaration) -> str:
    return "the one run in its arms was" if found.runs == 1 else f"all {found.runs:,} runs in its arms were"


def _these(found: Declaration) -> str:
    return "this file" if found.carried == found.runs else "a file that declares the same"


def _since(first: str) -> str:
    return f", the first on {first} UTC" if first else ""


def _of_earlier(file: EarlierFile, runs: int) -> Iterator[str]:
    who = (
        f"{file.runs} of {count(runs, 'run')} in its arms {'was' if file.runs == 1 else 'were'} started with another claims file"
    )
    when = f"{who} (SHA-256 {file.sha256[:12]}{_since(file.first)})"
    if not file.readable:
        yield f"{when}, whose text is not in the runs: what was changed since cannot be told."
    elif all(change.field == "text" for change in file.changes):
        yield f"{when}, which declares the same in another text."
    else:
        yield f"{when}. Since then was changed:"


def _changed(change: FieldChange) -> str:
    if change.field == "claim":
        return "it was added" if change.now else "it was taken out"
    if change.field == "name":
        return f"it was called “{change.was}”"
    return f"{change.field} was {change.was}, is {change.now}"
