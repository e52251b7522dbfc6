"""Sweeps and the agents that ask them what to run: grid and random search; no Bayesian one, no early stop."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import yaml

from .blobs import now
from .graphql import RefusedError

Arguments = dict[str, dict[str, Any]]
"""A run's parameters, each as {"value": ...}."""

OVER = ("FINISHED", "CANCELED", "STOPPED")
"""States in which agents are sent home."""


@dataclass
class Sweep:
    """A sweep: its config as it was written, and what it has handed out."""

    entity: str
    project: str
    name: str
    text: str
    state: str = "PENDING"
    display_name: str | None = None
    description: str | None = None
    agents: dict[str, str] = field(default_factory=dict)
    handed_out: list[str] = field(default_factory=list)
    created_at: str = field(default_factory=now)
    _next: Iterator[Arguments] | None = None

    @property
    def config(self) -> dict[str, Any]:
        """The config."""
        return yaml.safe_load(self.text)

    @property
    def expected(self) -> int | None:
        """How many runs there will be; None when that has no end."""
        if self.config["method"] == "grid":
            return math.prod(len(values) for values in _grid(self.config["parameters"]).values())
        return self.config.get("run_cap")

    def seen(self) -> dict[str, Any]:
        """The sweep as filters see it."""
        return {"name": self.name, "display_name": self.display_name, "state": self.state, "created_at": self.created_at}

    def commands(self, running: Mapping[str, bool]) -> list[dict[str, Any]]:
        """What an agent is to do next.

        Args:
            running: The agent's runs that go on, which it is given no others beside.
        """
        if self.state in OVER:
            return [{"type": "exit"}]
        if running or self.state == "PAUSED":
            return []
        self.state = "RUNNING"
        if self._next is None:
            self._next = _search(self.config, self.name)
        arguments = next(self._next, None)
        if arguments is None or len(self.handed_out) >= self.config.get("run_cap", math.inf):
            self.state = "FINISHED"
            return [{"type": "exit"}]
        self.handed_out.append(f"{self.name}r{len(self.handed_out)}")
        return [{"type": "run", "run_id": self.handed_out[-1], "args": arguments, "program": self.config.get("program")}]


class Sweeps:
    """All sweeps."""

    def __init__(self) -> None:
        self.all: dict[str, Sweep] = {}

    def upsert(self, entity: str, project: str, **given: Any) -> Sweep:
        """A new sweep, or one with another state or config.

        Raises:
            RefusedError: There is no sweep of that id.
        """
        if given.get("id"):
            sweep = self.get(given["id"])
            sweep.text = given.get("config") or sweep.text
            sweep.state = given.get("state") or sweep.state
            return sweep
        name = f"sweep{len(self.all):03}"
        shown = given.get("display_name") or (yaml.safe_load(given["config"]) or {}).get("name")
        self.all[name] = Sweep(entity, project, name, given["config"], display_name=shown, description=given.get("description"))
        return self.all[name]

    def get(self, name: str) -> Sweep:
        """A sweep by its id.

        Raises:
            RefusedError: There is none.
        """
        if name not in self.all:
            raise RefusedError(f"sweep {name} not found")
        return self.all[name]

    def register(self, name: str, host: str) -> str:
        """A new agent's id."""
        agents = self.get(name).agents
        agents[f"{name}-agent{len(agents)}"] = host
        return f"{name}-agent{len(agents) - 1}"

    def heartbeat(self, agent_id: str, running: str | None) -> str:
        """What an agent is to do next, as JSON."""
        sweep = self.get(agent_id.rpartition("-")[0])
        return json.dumps(sweep.commands({run: on for run, on in json.loads(running or "{}").items() if on}))


def _search(config: Mapping[str, Any], seed: str) -> Iterator[Arguments]:
    parameters = config["parameters"]
    if config["method"] == "grid":
        grid = _grid(parameters)
        for values in product(*grid.values()):
            yield {name: {"value": value} for name, value in zip(grid, values, strict=True)}
    elif config["method"] == "random":
        rng = random.Random(seed)
        while True:
            yield {name: {"value": _draw(each, rng)} for name, each in parameters.items()}
    else:
        raise RefusedError(f"the stand-in has no search {config['method']!r}: take grid or random")


def _grid(parameters: Mapping[str, Any]) -> dict[str, list[Any]]:
    return {name: [each["value"]] if "value" in each else each["values"] for name, each in parameters.items()}


def _draw(parameter: Mapping[str, Any], rng: random.Random) -> Any:
    if "value" in parameter:
        return parameter["value"]
    if "values" in parameter:
        return rng.choices(parameter["values"], parameter.get("probabilities"))[0]
    low, high = parameter["min"], parameter["max"]
    distribution = parameter.get("distribution", "int_uniform" if isinstance(low, int) and isinstance(high, int) else "uniform")
    if distribution == "int_uniform":
        return rng.randint(low, high)
    if distribution == "uniform":
        return rng.uniform(low, high)
    if distribution == "log_uniform_values":
        return math.exp(rng.uniform(math.log(low), math.log(high)))
    raise RefusedError(f"the stand-in draws no {distribution!r}")
