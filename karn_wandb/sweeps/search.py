"""Which values the next run of a sweep gets.

Every search is a function of the file, the seed, the run's place and, for `bayes`, the runs before it. So a sweep that
was interrupted goes on with the runs it would have had.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from karn_wandb.errors import SweepError
from karn_wandb.sweeps.file import SweepFile

if TYPE_CHECKING:
    import optuna

STARTUP = 10
"""Runs of `bayes` that are drawn at random before the model is asked."""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Values of a run.

    Attributes:
        parameters: Values by name, nested ones as mappings.
        point: For `bayes`, where they are in the space that is searched, by dotted name.
    """

    parameters: Mapping[str, Any]
    point: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Tried:
    """A run before.

    Attributes:
        point: Its proposal's.
        over: Whether it has ended.
        value: Its metric; None when it has none.
    """

    point: Mapping[str, float]
    over: bool = False
    value: float | None = None


def size(file: SweepFile) -> int:
    """How many runs there will be at most.

    Raises:
        SweepError: There is no bound.
    """
    if file.method == "grid":
        points = math.prod(len(each.distribution.grid() or ()) for each in file.parameters)
        return min(points, file.run_cap or points)
    if file.run_cap is None:
        raise SweepError(f"{file.path}: a {file.method} search without run_cap never ends", do="Add run_cap: 20, say.")
    return file.run_cap


def propose(file: SweepFile, seed: int, index: int, tried: Sequence[Tried] = ()) -> Proposal:
    """The values of a run.

    Args:
        file: The sweep.
        seed: Random seed of the sweep.
        index: Which run, from 0.
        tried: The runs before it, in their order; only `bayes` looks at them.
    """
    if file.method == "grid":
        return Proposal(_grid_point(file, index), {})
    if file.method == "random":
        draws = np.random.default_rng([seed, index]).uniform(np.finfo(float).tiny, 1.0, len(file.parameters))
        return Proposal(_nested(file, [p.distribution.at(float(u)) for p, u in zip(file.parameters, draws, strict=True)]), {})
    return _bayes(file, seed, index, tried)


def _grid_point(file: SweepFile, index: int) -> dict[str, Any]:
    """The point in the order of `itertools.product`: the last parameter changes first."""
    values = []
    for parameter in reversed(file.parameters):
        choices = parameter.distribution.grid() or ()
        index, at = divmod(index, len(choices))
        values.append(choices[at])
    return _nested(file, values[::-1])


def _nested(file: SweepFile, values: Sequence[Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for parameter, value in zip(file.parameters, values, strict=True):
        *outer, last = parameter.path
        branch = tree
        for name in outer:
            branch = branch.setdefault(name, {})
        branch[last] = value
    return tree


def _bayes(file: SweepFile, seed: int, index: int, tried: Sequence[Tried]) -> Proposal:
    """Optuna's tree-structured Parzen estimator, made anew for each run, so that its state is the runs before it alone."""
    try:
        import optuna  # noqa: PLC0415 -- an extra
    except ImportError as error:
        raise SweepError("method: bayes needs optuna", do="pip install 'karn-wandb[sweeps]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = _space(file)
    own = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=own)
    direction = file.metric.goal if file.metric else "minimize"
    study = optuna.create_study(sampler=sampler, direction=direction)
    for each in tried:
        study.add_trial(_trial(each, space))
    point = study.ask(fixed_distributions=space).params
    values = []
    for parameter in file.parameters:
        listed = parameter.distribution.values
        at = point.get(parameter.name, 0)
        values.append(parameter.distribution.at(at) if listed is None else listed[int(at)])
    return Proposal(_nested(file, values), point)


def _space(file: SweepFile) -> dict[str, optuna.distributions.BaseDistribution]:
    """What is searched: a quantile for each parameter that is drawn, the index of each that is chosen."""
    import optuna  # noqa: PLC0415 -- an extra

    space: dict[str, optuna.distributions.BaseDistribution] = {}
    for parameter in file.parameters:
        listed = parameter.distribution.values
        if listed is None:
            space[parameter.name] = optuna.distributions.FloatDistribution(1e-9, 1 - 1e-9)
        elif len(listed) > 1:
            space[parameter.name] = optuna.distributions.CategoricalDistribution(range(len(listed)))
    return space


def _trial(tried: Tried, space: Mapping[str, optuna.distributions.BaseDistribution]) -> optuna.trial.FrozenTrial:
    """A run as optuna takes it; one that has ended without a value has failed."""
    import optuna  # noqa: PLC0415 -- an extra

    known = tried.value is not None and math.isfinite(tried.value)
    states = optuna.trial.TrialState
    state = states.RUNNING if not tried.over else states.COMPLETE if known else states.FAIL
    return optuna.trial.create_trial(
        state=state,
        value=tried.value if state is states.COMPLETE else None,
        params=dict(tried.point),
        distributions=dict(space),
    )
