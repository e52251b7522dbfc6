"""Claims declared in a YAML file: read strictly, every mistake named with its line.

A hypothesis written down after looking at the runs is no hypothesis, so the file is hashed, and nothing in it is guessed.
"""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from karn_wandb.errors import ClaimsError
from karn_wandb.records import Unfinished

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
        sha256: Hash of the file's bytes; "" when nothing was declared.
        text: The file's text, whose bytes in UTF-8 have that hash.
    """

    claims: tuple[Claim, ...]
    family: str = ""
    correction: Correction = "holm"
    planned_runs: int | None = None
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
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ClaimsError(f"the claims file {str(path)!r} cannot be read", got=error.strerror or str(error)) from error
    return parse_claims(content, str(path))


def parse_claims(content: bytes, name: str) -> Claims:
    """The claims that a file's bytes declare.

    Args:
        content: The bytes.
        name: What errors call the file.

    Raises:
        ClaimsError: They are not YAML in UTF-8, or do not say what a claims file must; with the line.
    """
    file = _File(name)
    top = file.fields(file.root(content), _TOP, "the file")
    claims = tuple(file.claim(node) for node in file.sequence(top["claims"]))
    file.check_names(claims)
    return Claims(
        claims=claims,
        family=top["family"],
        correction=top["correction"],
        planned_runs=top["planned_runs"],
        sha256=hashlib.sha256(content).hexdigest(),
        text=file.text(content),
    )


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field must be: in words, and as a check of its value."""

    expected: str
    holds: Callable[[Any], bool]
    default: Any = None
    required: bool = False
    hint: str = ""


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_filter(value: Any) -> bool:
    scalars = (str, int, float, bool, type(None))
    return isinstance(value, dict) and bool(value) and all(_is_text(k) and isinstance(v, scalars) for k, v in value.items())


def _optional(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _one_of(*options: str) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(options)}", lambda value: value in options


_EXPONENT = "YAML reads 1e-3 as text: write 0.001 or 1.0e-3."
_FILTER = "config names with the value each must have, such as {controller: heuristic}"
_TOP = {
    "family": _Field("text", _is_text, default="claims"),
    "correction": _Field(*_one_of("holm", "bh"), default="holm"),
    "planned_runs": _Field("a whole number above 0", _optional(_is_count)),
    "claims": _Field("a list of claims", lambda _: True, required=True),
}
_CLAIM = {
    "name": _Field("text", _is_text, required=True),
    "metric": _Field("text", _is_text, default="final_accuracy"),
    "higher_is_better": _Field("true or false", lambda value: isinstance(value, bool), default=True),
    "treatment": _Field(_FILTER, _is_filter, required=True),
    "control": _Field(_FILTER, _is_filter, required=True),
    "pair_by": _Field("a column's name or null", _optional(_is_text), default="base_seed"),
    "test": _Field(*_one_of("superiority", "non_inferiority", "equivalence"), default="superiority"),
    "margin": _Field("a number above 0, or null", _optional(lambda v: _is_number(v) and v > 0), hint=_EXPONENT),
    "confidence": _Field(
        "a number from 0.5 to 0.9999", lambda v: _is_number(v) and 0.5 <= v <= 0.9999, default=0.95, hint="Write 0.95 for 95 %."
    ),
    "unfinished": _Field(*_one_of("left_out", "worst", "last"), default="left_out"),
}


@dataclass(frozen=True, slots=True)
class _File:
    """The file being read: names the line in every error."""

    name: str

    def error(self, where: yaml.Node | yaml.Mark | None, what: str, got: str = "", do: str = "") -> ClaimsError:
        mark = where.start_mark if isinstance(where, yaml.Node) else where
        line = f", line {mark.line + 1}" if mark else ""
        return ClaimsError(f"{self.name}{line}: {what}", got=got, do=do)

    def root(self, content: bytes) -> yaml.Node:
        try:
            node = yaml.compose(content, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            raise self.error(mark, "this is not YAML", getattr(error, "problem", "") or str(error)) from error
        if node is None:
            raise self.error(None, "the claims file is empty", do="It must have a list of claims.")
        return node

    def text(self, content: bytes) -> str:
        """The file as text that can be kept; YAML may be in UTF-16 too, whose bytes nobody would get back."""
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise self.error(None, "the claims file is not in UTF-8", do="Save it in UTF-8.") from error

    def value(self, node: yaml.Node) -> Any:
        try:
            return yaml.constructor.SafeConstructor().construct_document(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(node, "this value cannot be read", getattr(error, "problem", "") or str(error)) from error

    def fields(self, node: yaml.Node, known: Mapping[str, _Field], what: str) -> dict[str, Any]:
        """The values of a mapping's fields, defaults filled in; the list of claims stays a node."""
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping of fields", do=f"The fields are {', '.join(known)}.")
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self.key(key_node, known, what)
            if key in found:
                raise self.error(key_node, f"{what} has the field {key!r} twice")
            found[key] = value_node if key == "claims" else self.checked(value_node, key, known[key])
        for key, rule in known.items():
            if rule.required and key not in found:
                raise self.error(node, f"{what} lacks the field {key!r}", do=f"It must be {rule.expected}.")
        return {key: found.get(key, rule.default) for key, rule in known.items()}

    def key(self, node: yaml.Node, known: Mapping[str, _Field], what: str) -> str:
        key = str(node.value if isinstance(node, yaml.ScalarNode) else self.value(node))
        if key in known:
            return key
        near = difflib.get_close_matches(key, known, n=1)
        do = f"Did you mean {near[0]!r}?" if near else f"The fields are {', '.join(known)}."
        raise self.error(node, f"{what} has an unknown field {key!r}", do=do)

    def checked(self, node: yaml.Node, key: str, field: _Field) -> Any:
        value = self.value(node)
        if field.holds(value):
            return value
        raise self.error(node, f"{key!r} must be {field.expected}", got=repr(value), do=field.hint)

    def sequence(self, node: yaml.Node) -> list[yaml.Node]:
        if not isinstance(node, yaml.SequenceNode) or not node.value:
            raise self.error(node, "'claims' must be a list of at least one claim", do="Begin each claim with '- name: ...'.")
        return list(node.value)

    def claim(self, node: yaml.Node) -> Claim:
        found = self.fields(node, _CLAIM, "a claim")
        claim = Claim(**found, line=node.start_mark.line + 1)
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
