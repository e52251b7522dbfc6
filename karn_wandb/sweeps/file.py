"""A W&B sweep file: read strictly, every mistake named with its line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from karn_wandb.errors import KarnError, SweepError
from karn_wandb.sweeps.distributions import FAMILIES, Distribution
from karn_wandb.yaml_file import BOOLEAN, COUNT, NUMBER, TEXT, Field, YamlFile, is_number, is_text, one_of

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
    file = _Reader(str(path), "sweep file", "It must have a method and parameters.", SweepError)
    return file.sweep(Path(path), file.content())


def _is_positive(value: Any) -> bool:
    return is_number(value) and value > 0


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


_ANYTHING = Field("a value", lambda _: True)
_MAPPING = Field("a mapping", lambda value: isinstance(value, dict))
_TOP = {
    "program": TEXT,
    "method": Field("one of grid, random, bayes", lambda value: value in ("grid", "random", "bayes"), required=True),
    "parameters": Field("parameters by name", lambda value: isinstance(value, dict) and bool(value), required=True),
    "command": Field("a list of words", _is_list),
    "metric": _MAPPING,
    "early_terminate": _MAPPING,
    "run_cap": COUNT,
    **dict.fromkeys(("name", "description", "project", "entity", "apiVersion", "kind"), TEXT),
}
_ELSEWHERE = ("controller", "job", "image_uri", "scheduler", "metrics")
_METRIC = {"name": Field("text", is_text, required=True), "goal": one_of("minimize", "maximize"), "target": NUMBER}
_HYPERBAND = {
    "type": Field("hyperband", lambda value: value == "hyperband", required=True),
    "min_iter": COUNT,
    "max_iter": COUNT,
    "s": COUNT,
    "eta": Field("a number above 1", lambda value: is_number(value) and value > 1),
    "strict": BOOLEAN,
}
_POSITIVE = Field("a number above 0", _is_positive)
_PARAMETER = {
    "distribution": one_of(*FAMILIES),
    "value": _ANYTHING,
    "values": Field("a list of at least one value", _is_list),
    "probabilities": Field(
        "a list of numbers of at least 0, not all 0",
        lambda value: _is_list(value) and all(is_number(p) and p >= 0 for p in value) and sum(value) > 0,
    ),
    **dict.fromkeys(("min", "max", "mu"), NUMBER),
    **dict.fromkeys(("q", "sigma", "a", "b"), _POSITIVE),
    "parameters": _MAPPING,
}


class _Reader(YamlFile):
    """The sweep file being read."""

    __slots__ = ()

    def sweep(self, path: Path, content: bytes) -> SweepFile:
        root = self.root(content)
        top = self.fields(root, _TOP, "the sweep")
        method = self.value(top["method"])
        metric = self._metric(top["metric"]) if "metric" in top else None
        stop = self._hyperband(top["early_terminate"]) if "early_terminate" in top else None
        for key in ("early_terminate",) if stop else ("method",) if method == "bayes" else ():
            if metric is None:
                raise self.error(top[key], f"{key!r} needs a metric to judge runs by", do="Add metric: {name: ..., goal: ...}.")
        plain = {key: self.value(node) for key, node in top.items()}
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

    def unknown(self, node: yaml.Node, key: str, known: Mapping[str, Field], what: str) -> KarnError:
        if what == "the sweep" and key in _ELSEWHERE:
            return self.error(node, f"{key!r} is W&B Launch's or of an own scheduler, which is not run here", do="Take it out.")
        return YamlFile.unknown(self, node, key, known, what)

    def _metric(self, node: yaml.Node) -> Metric:
        # impute and impute_while_running steer W&B's own Bayesian search; a file with them is valid for the service.
        known = {**_METRIC, "impute": _ANYTHING, "impute_while_running": _ANYTHING}
        found = self.fields(node, known, "the metric")
        return Metric(**{key: self.value(value) for key, value in found.items() if key in _METRIC})

    def _hyperband(self, node: yaml.Node) -> Hyperband:
        found = {key: self.value(value) for key, value in self.fields(node, _HYPERBAND, "early_terminate").items()}
        found.pop("type")
        if ("min_iter" in found) == ("max_iter" in found):
            raise self.error(node, "early_terminate takes either min_iter or max_iter", got=", ".join(found) or "neither")
        if "max_iter" in found and "s" not in found:
            raise self.error(node, "early_terminate with max_iter lacks the field 's'", do="It says how many brackets there are.")
        return Hyperband(**found)

    def _parameters(self, node: yaml.Node, outer: tuple[str, ...], method: str) -> Iterator[Parameter]:
        for key_node, key, value_node in self.entries(node, "parameters"):
            path = (*outer, key)
            what = f"the parameter {'.'.join(path)!r}"
            if "." in key:
                raise self.error(
                    key_node,
                    f"{what} has a dot in its name, which W&B's filters cannot find",
                    do="Nest it: name: {parameters: ...}.",
                )
            found = self.fields(value_node, _PARAMETER, what)
            if "parameters" not in found:
                yield Parameter(path, self._distribution(value_node, found, what, method), key_node.start_mark.line + 1)
            elif len(found) > 1:
                raise self.error(value_node, f"{what} is nested and drawn at once", got=", ".join(found))
            else:
                yield from self._parameters(found["parameters"], path, method)

    def _distribution(self, node: yaml.Node, found: Mapping[str, yaml.Node], what: str, method: str) -> Distribution:
        fields = {key: self.value(value) for key, value in found.items()}
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
