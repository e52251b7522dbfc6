"""A W&B sweep file: read strictly, every mistake named with its line."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from karn_wandb.errors import SweepError
from karn_wandb.sweeps.distributions import FAMILIES, Distribution

Method = Literal["grid", "random", "bayes"]
COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""What W&B's agent runs when the file has no `command`."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a sweep sets.

    Attributes:
        path: Its name; several where it is nested.
        distribution: How it is drawn.
        line: Where it stands in the file, from 1.
    """

    path: tuple[str, ...]
    distribution: Distribution
    line: int

    @property
    def name(self) -> str:
        """The parts of its path, joined with dots."""
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is optimised.

    Attributes:
        name: Key in W&B, such as host/val_accuracy.
        goal: Which way is better.
        target: No run is begun once one has reached it; None without one.
    """

    name: str
    goal: Literal["minimize", "maximize"] = "minimize"
    target: float | None = None

    def reached(self, value: float | None) -> bool:
        """Whether a run's value is at the target or beyond."""
        if self.target is None or value is None:
            return False
        return value <= self.target if self.goal == "minimize" else value >= self.target


@dataclass(frozen=True, slots=True)
class Hyperband:
    """When runs are stopped early; see `karn_wandb.sweeps.hyperband`.

    Attributes:
        min_iter: First bracket, in values of the metric; None when it follows from `max_iter`.
        max_iter: Where the last bracket would be; None when `min_iter` is given.
        s: Brackets below `max_iter`.
        eta: Quotient of a bracket and the one before; 1/eta of the runs go on.
        strict: Whether the value at the bracket decides; else the best so far does.
    """

    min_iter: int | None = None
    max_iter: int | None = None
    s: int = 0
    eta: float = 3.0
    strict: bool = False


@dataclass(frozen=True, slots=True)
class SweepFile:
    """A sweep as its file describes it.

    Attributes:
        path: The file.
        config: What `wandb.sweep` takes: the file's content as it is.
        method: How values are searched.
        parameters: What is set, in the file's order, the parts of nested ones one by one.
        command: What is run for each point; macros are not filled in yet.
        program: The training script, "" when the command names it.
        name: What it is called, "" without a name.
        project: W&B project, "" when not given.
        entity: W&B entity, "" when not given.
        metric: What is optimised; None when nothing is.
        run_cap: Most runs; None without a bound.
        early_terminate: When runs are stopped early; None when they are not.
    """

    path: Path
    config: Mapping[str, Any]
    method: Method
    parameters: tuple[Parameter, ...]
    command: tuple[str, ...] = COMMAND
    program: str = ""
    name: str = ""
    project: str = ""
    entity: str = ""
    metric: Metric | None = None
    run_cap: int | None = None
    early_terminate: Hyperband | None = None

    @property
    def sha256(self) -> str:
        """Hash of what the file says; comments and layout do not count."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True, default=str).encode()).hexdigest()


def read_sweep(path: str | Path) -> SweepFile:
    """Read a sweep file.

    Raises:
        SweepError: It cannot be read, is not YAML, or does not say what a sweep file must; with the line.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise SweepError(f"the sweep file {str(path)!r} cannot be read", got=error.strerror or str(error)) from error
    return _Reader(str(path)).sweep(Path(path), content)


@dataclass(frozen=True, slots=True)
class _Field:
    """What a field must be: in words, and as a check of its value."""

    expected: str
    holds: Callable[[Any], bool]
    required: bool = False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _one_of(*options: str) -> _Field:
    return _Field(f"one of {', '.join(options)}", lambda value: value in options)


_TEXT, _NUMBER, _ANYTHING = _Field("text", _is_text), _Field("a number", _is_number), _Field("a value", lambda _: True)
_COUNT = _Field("a whole number above 0", _is_count)
_MAPPING = _Field("a mapping", lambda value: isinstance(value, dict))
_TOP = {
    "program": _TEXT,
    "method": _Field("one of grid, random, bayes", lambda value: value in ("grid", "random", "bayes"), required=True),
    "parameters": _Field("parameters by name", lambda value: isinstance(value, dict) and bool(value), required=True),
    "command": _Field("a list of words", _is_list),
    "metric": _MAPPING,
    "early_terminate": _MAPPING,
    "run_cap": _COUNT,
    **dict.fromkeys(("name", "description", "project", "entity", "apiVersion", "kind"), _TEXT),
}
_ELSEWHERE = ("controller", "job", "image_uri", "scheduler", "metrics")
_METRIC = {"name": _Field("text", _is_text, required=True), "goal": _one_of("minimize", "maximize"), "target": _NUMBER}
_HYPERBAND = {
    "type": _Field("hyperband", lambda value: value == "hyperband", required=True),
    "min_iter": _COUNT,
    "max_iter": _COUNT,
    "s": _COUNT,
    "eta": _Field("a number above 1", lambda value: _is_number(value) and value > 1),
    "strict": _Field("true or false", lambda value: isinstance(value, bool)),
}
_POSITIVE = _Field("a number above 0", _is_positive)
_PARAMETER = {
    "distribution": _one_of(*FAMILIES),
    "value": _ANYTHING,
    "values": _Field("a list of at least one value", _is_list),
    "probabilities": _Field(
        "a list of numbers of at least 0, not all 0",
        lambda value: _is_list(value) and all(_is_number(p) and p >= 0 for p in value) and sum(value) > 0,
    ),
    **dict.fromkeys(("min", "max", "mu"), _NUMBER),
    **dict.fromkeys(("q", "sigma", "a", "b"), _POSITIVE),
    "parameters": _MAPPING,
}


@dataclass(frozen=True, slots=True)
class _Reader:
    """The file being read: names the line in every error."""

    name: str
    constructor: yaml.constructor.SafeConstructor = field(default_factory=yaml.constructor.SafeConstructor)

    def error(self, where: yaml.Node | yaml.Mark | None, what: str, got: str = "", do: str = "") -> SweepError:
        mark = where.start_mark if isinstance(where, yaml.Node) else where
        line = f", line {mark.line + 1}" if mark else ""
        return SweepError(f"{self.name}{line}: {what}", got=got, do=do)

    def sweep(self, path: Path, content: bytes) -> SweepFile:
        root = self._root(content)
        top = self._fields(root, _TOP, "the sweep")
        method = self._value(top["method"])
        metric = self._metric(top["metric"]) if "metric" in top else None
        stop = self._hyperband(top["early_terminate"]) if "early_terminate" in top else None
        for key in ("early_terminate",) if stop else ("method",) if method == "bayes" else ():
            if metric is None:
                raise self.error(top[key], f"{key!r} needs a metric to judge runs by", do="Add metric: {name: ..., goal: ...}.")
        plain = {key: self._value(node) for key, node in top.items()}
        command = tuple(map(str, plain.get("command", COMMAND)))
        if "${program}" in command and "program" not in plain:
            raise self.error(root, "the sweep lacks the field 'program'", do="Name the training script.")
        return SweepFile(
            path=path,
            config=plain,
            method=method,
            parameters=tuple(self._parameters(top["parameters"], (), method)),
            command=command,
            metric=metric,
            run_cap=plain.get("run_cap"),
            early_terminate=stop,
            **{key: plain[key] for key in ("program", "name", "project", "entity") if key in plain},
        )

    def _root(self, content: bytes) -> yaml.Node:
        try:
            node = yaml.compose(content, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            raise self.error(mark, "this is not YAML", getattr(error, "problem", "") or str(error)) from error
        if node is None:
            raise self.error(None, "the sweep file is empty", do="It must have a method and parameters.")
        return node

    def _value(self, node: yaml.Node) -> Any:
        try:
            return yaml.constructor.SafeConstructor().construct_document(node)
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(node, "this value cannot be read", getattr(error, "problem", "") or str(error)) from error

    def _items(self, node: yaml.Node, what: str) -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
        """The entries of a mapping, none twice."""
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping", got=repr(self._value(node)))
        self.constructor.flatten_mapping(node)
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(self._value(key_node))
            if key in seen:
                raise self.error(key_node, f"{what} has {key!r} twice")
            seen.add(key)
            yield key_node, key, value_node

    def _fields(self, node: yaml.Node, known: Mapping[str, _Field], what: str) -> dict[str, yaml.Node]:
        found: dict[str, yaml.Node] = {}
        for key_node, key, value_node in self._items(node, what):
            if key not in known:
                raise self._unknown(key_node, key, known, what)
            value = self._value(value_node)
            if not known[key].holds(value):
                hint = "YAML reads 1e-3 as text: write 0.001 or 1.0e-3." if _is_exponent(value) else ""
                raise self.error(value_node, f"{key!r} must be {known[key].expected}", got=repr(value), do=hint)
            found[key] = value_node
        for key, each in known.items():
            if each.required and key not in found:
                raise self.error(node, f"{what} lacks the field {key!r}", do=f"It must be {each.expected}.")
        return found

    def _unknown(self, node: yaml.Node, key: str, known: Mapping[str, _Field], what: str) -> SweepError:
        if what == "the sweep" and key in _ELSEWHERE:
            return self.error(node, f"{key!r} is W&B Launch's or of an own scheduler, which is not run here", do="Take it out.")
        near = difflib.get_close_matches(key, known, n=1)
        do = f"Did you mean {near[0]!r}?" if near else f"The fields are {', '.join(known)}."
        return self.error(node, f"{what} has an unknown field {key!r}", do=do)

    def _metric(self, node: yaml.Node) -> Metric:
        # impute and impute_while_running steer W&B's own Bayesian search; a file with them is valid for the service.
        known = {**_METRIC, "impute": _ANYTHING, "impute_while_running": _ANYTHING}
        found = self._fields(node, known, "the metric")
        return Metric(**{key: self._value(value) for key, value in found.items() if key in _METRIC})

    def _hyperband(self, node: yaml.Node) -> Hyperband:
        found = {key: self._value(value) for key, value in self._fields(node, _HYPERBAND, "early_terminate").items()}
        found.pop("type")
        if ("min_iter" in found) == ("max_iter" in found):
            raise self.error(node, "early_terminate takes either min_iter or max_iter", got=", ".join(found) or "neither")
        if "max_iter" in found and "s" not in found:
            raise self.error(node, "early_terminate with max_iter lacks the field 's'", do="It says how many brackets there are.")
        return Hyperband(**found)

    def _parameters(self, node: yaml.Node, outer: tuple[str, ...], method: str) -> Iterator[Parameter]:
        for key_node, key, value_node in self._items(node, "parameters"):
            path = (*outer, key)
            what = f"the parameter {'.'.join(path)!r}"
            if "." in key:
                raise self.error(
                    key_node,
                    f"{what} has a dot in its name, which W&B's filters cannot find",
                    do="Nest it: name: {parameters: ...}.",
                )
            found = self._fields(value_node, _PARAMETER, what)
            if "parameters" not in found:
                yield Parameter(path, self._distribution(value_node, found, what, method), key_node.start_mark.line + 1)
            elif len(found) > 1:
                raise self.error(value_node, f"{what} is nested and drawn at once", got=", ".join(found))
            else:
                yield from self._parameters(found["parameters"], path, method)

    def _distribution(self, node: yaml.Node, found: Mapping[str, yaml.Node], what: str, method: str) -> Distribution:
        fields = {key: self._value(value) for key, value in found.items()}
        name = fields.pop("distribution", None) or self._implied(node, fields, what)
        family = FAMILIES[name]
        missing = [key for key in family.required if key not in fields]
        extra = [key for key in fields if key not in (*family.required, *family.defaults)]
        if missing or extra:
            takes = ", ".join((*family.required, *family.defaults))
            raise self.error(node, f"{what}: {name} takes {takes}", got=", ".join(fields) or "nothing")
        made = Distribution(name, {**family.defaults, **fields})
        wrong = _wrong(made)
        if wrong:
            raise self.error(node, f"{what}: {wrong}")
        if method == "grid" and made.grid() is None:
            do = "Give value or values, int_uniform or q_uniform; or method: random."
            raise self.error(node, f"{what}: a grid cannot go through {name}", do=do)
        return made

    def _implied(self, node: yaml.Node, fields: Mapping[str, Any], what: str) -> str:
        """The distribution that the fields alone mean, by W&B's documentation."""
        for key, name in (("value", "constant"), ("values", "categorical")):
            if key in fields:
                return name
        if "min" in fields and "max" in fields:
            kinds = {type(fields["min"]), type(fields["max"])}
            if len(kinds) == 1:
                return "int_uniform" if kinds == {int} else "uniform"
            raise self.error(node, f"{what} has one whole bound and one that is not", do="Write both as 1 or both as 1.0.")
        raise self.error(node, f"{what} says neither value, values nor min and max", do="Or name its distribution.")


def _wrong(made: Distribution) -> str:
    """What does not fit together; "" when all does."""
    of = made.fields
    if "min" in of and of["min"] > of["max"]:
        return f"min {of['min']} is above max {of['max']}"
    if made.name.endswith("log_uniform_values") and of["min"] <= 0:
        return f"{made.name} takes limits above 0, not {of['min']}"
    if made.name == "int_uniform" and not (isinstance(of["min"], int) and isinstance(of["max"], int)):
        return "int_uniform takes whole limits"
    if of.get("probabilities") and len(of["probabilities"]) != len(of["values"]):
        return f"{len(of['values'])} values and {len(of['probabilities'])} probabilities"
    return ""


def _is_exponent(value: Any) -> bool:
    """Whether a text is a number to everyone but YAML 1.1."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
