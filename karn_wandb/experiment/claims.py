"""Claims declared in a YAML file: read strictly, every mistake named with its line.

A hypothesis written down after looking at the runs is no hypothesis, so the file is hashed, and nothing in it is guessed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from karn_wandb.errors import ClaimsError
from karn_wandb.records import Unfinished
from karn_wandb.statistics.sequential import Spending
from karn_wandb.yaml_file import BOOLEAN, EXPONENT, TEXT, Field, YamlFile, is_count, is_number, is_text, one_of

Test = Literal["superiority", "non_inferiority", "equivalence"]
Correction = Literal["holm", "bh"]


@dataclass(frozen=True, slots=True)
class Claim:
    """One hypothesis about two arms.

    Attributes:
        name: What is claimed, unique in the file.
        treatment: Filter of the treatment arm; dotted names reach into `episode.*` and the config.
        control: Filter of the control arm.
        metric: Column of the experiment's episodes.
        higher_is_better: Direction of the metric.
        pair_by: Column whose equal values make a pair; None for unpaired.
        test: What has to be shown.
        margin: Largest difference that does not matter, positive, in the metric's unit; None without one.
        confidence: Confidence of the two-sided interval.
        unfinished: What runs count as that did not finish or lack the metric; see `aggregate`.
        line: Where it stands in the file, from 1; 0 when it stands in none.
    """

    name: str
    treatment: Mapping[str, Any]
    control: Mapping[str, Any]
    metric: str = "final_accuracy"
    higher_is_better: bool = True
    pair_by: str | None = "base_seed"
    test: Test = "superiority"
    margin: float | None = None
    confidence: float = 0.95
    unfinished: Unfinished = "left_out"
    line: int = 0

    @property
    def level(self) -> float:
        """Level of the one-sided test: what the two-sided interval of this confidence leaves on one side."""
        return round((1 - self.confidence) / 2, 12)


@dataclass(frozen=True, slots=True)
class Claims:
    """A family of claims, corrected together.

    Attributes:
        claims: The claims.
        family: Its name.
        correction: "holm" bounds the chance of any false claim, "bh" the expected share of false ones.
        planned_runs: Runs planned for each arm; None when not declared.
        looks: Runs of an arm at which the comparisons are looked at, rising to those planned; empty for one look.
        spending: Which part of the level each look may use.
        sha256: Hash of the file's bytes; "" when nothing was declared.
        text: The file's text, whose bytes in UTF-8 have that hash.
    """

    claims: tuple[Claim, ...]
    family: str = ""
    correction: Correction = "holm"
    planned_runs: int | None = None
    looks: tuple[int, ...] = ()
    spending: Spending = "obrien_fleming"
    sha256: str = ""
    text: str = field(default="", repr=False)

    @property
    def declared(self) -> bool:
        """Whether they were written down in a file."""
        return bool(self.sha256)


def read_claims(path: str | Path) -> Claims:
    """Read a claims file.

    Raises:
        ClaimsError: It cannot be read, is not YAML, or does not say what a claims file must; with the line.
    """
    file = _file(str(path))
    return file.claims(file.content())


def parse_claims(content: bytes, name: str) -> Claims:
    """The claims that a file's bytes declare.

    Args:
        content: The bytes.
        name: What errors call the file.

    Raises:
        ClaimsError: They are not YAML in UTF-8, or do not say what a claims file must; with the line.
    """
    return _file(name).claims(content)


def _are_looks(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(map(is_count, value)) and value == sorted(set(value))


def _is_filter(value: Any) -> bool:
    scalars = (str, int, float, bool, type(None))
    return isinstance(value, dict) and bool(value) and all(is_text(k) and isinstance(v, scalars) for k, v in value.items())


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


_FILTER = "config names with the value each must have, such as {controller: heuristic}"
_TOP = {
    "family": TEXT,
    "correction": one_of("holm", "bh"),
    "planned_runs": Field("a whole number above 0", _optional(is_count)),
    "looks": Field("numbers of runs of an arm, at least two, rising", _are_looks, hint="Such as [5, 10, 20]."),
    "spending": one_of("obrien_fleming", "pocock"),
    "claims": Field("a list of claims", None, required=True),
}
_CLAIM = {
    "name": Field("text", is_text, required=True),
    "metric": TEXT,
    "higher_is_better": BOOLEAN,
    "treatment": Field(_FILTER, _is_filter, required=True),
    "control": Field(_FILTER, _is_filter, required=True),
    "pair_by": Field("a column's name or null", _optional(is_text)),
    "test": one_of("superiority", "non_inferiority", "equivalence"),
    "margin": Field("a number above 0, or null", _optional(lambda v: is_number(v) and v > 0), hint=EXPONENT),
    "confidence": Field(
        "a number from 0.5 to 0.9999", lambda v: is_number(v) and 0.5 <= v <= 0.9999, hint="Write 0.95 for 95 %."
    ),
    "unfinished": one_of("left_out", "worst", "last"),
}


class _File(YamlFile):
    """The claims file being read."""

    __slots__ = ()

    def claims(self, content: bytes) -> Claims:
        top = self.known_fields(self.root(content), _TOP, "the file")
        claims = tuple(self.claim(node) for node in self.sequence(top.pop("claims")))
        self.check_names(claims)
        said = {key: self.value(node) for key, node in top.items()}
        said["looks"] = tuple(said.get("looks", ()))
        said["planned_runs"] = self.planned_runs(said.get("planned_runs"), said["looks"])
        sha256 = hashlib.sha256(content).hexdigest()
        return Claims(claims, **{"family": "claims", **said}, sha256=sha256, text=self.text(content))

    def known_fields(self, node: yaml.Node, known: Mapping[str, Field], what: str) -> dict[str, yaml.Node]:
        """The fields of a mapping; who wrote something else is told which there are."""
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping of fields", do=f"The fields are {', '.join(known)}.")
        return self.fields(node, known, what, "the field ")

    def planned_runs(self, planned: int | None, looks: tuple[int, ...]) -> int | None:
        """Runs planned for each arm: as declared, or those at the last look."""
        if not looks or planned == looks[-1]:
            return planned
        if planned is not None:
            raise self.error(
                None,
                "'looks' must end with the planned runs",
                f"{looks[-1]} and planned_runs {planned}",
                "The last look is the one at which all planned runs are in.",
            )
        return looks[-1]

    def text(self, content: bytes) -> str:
        """The file as text that can be kept; YAML may be in UTF-16 too, whose bytes nobody would get back."""
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise self.error(None, "the claims file is not in UTF-8", do="Save it in UTF-8.") from error

    def sequence(self, node: yaml.Node) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.error(node, "'claims' must be a list of at least one claim", do="Begin each claim with '- name: ...'.")
        return list(node.value)

    def claim(self, node: yaml.Node) -> Claim:
        found = self.known_fields(node, _CLAIM, "a claim")
        claim = Claim(**{key: self.value(value) for key, value in found.items()}, line=node.start_mark.line + 1)
        if claim.test != "superiority" and claim.margin is None:
            raise self.error(
                node,
                f"the claim {claim.name!r} tests {claim.test} and lacks a margin",
                do="Give the largest difference that does not matter, in the metric's unit.",
            )
        if claim.treatment == claim.control:
            raise self.error(node, f"the claim {claim.name!r} compares an arm with itself", do="Make the filters differ.")
        return claim

    def check_names(self, claims: tuple[Claim, ...]) -> None:
        lines: dict[str, int] = {}
        for claim in claims:
            if claim.name in lines:
                raise ClaimsError(
                    f"{self.name}, line {claim.line}: a claim named {claim.name!r} stands on line {lines[claim.name]} already",
                    do="Give each claim its own name.",
                )
            lines[claim.name] = claim.line


def _file(name: str) -> _File:
    return _File(name, "claims file", "It must have a list of claims.", ClaimsError)
