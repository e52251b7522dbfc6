"""The distributions of a sweep's parameters, each as its quantile function.

One function from (0, 1) to a value is all that a search needs: random search gives it uniform numbers, the Bayesian one
searches in the unit interval. The names and their meaning are those of W&B's sweep configuration.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import Any

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """A family of distributions.

    Attributes:
        required: Fields that must be given.
        defaults: Fields that may be given, with what holds otherwise.
        quantile: From the fields and a number in (0, 1) to a value; None where the values are listed.
    """

    required: tuple[str, ...]
    defaults: Fields
    quantile: Callable[[Fields, float], float] | None = None


def _uniform(low: float, high: float, u: float) -> float:
    return low + (high - low) * u


def _normal(of: Fields, u: float) -> float:
    from scipy.special import ndtri  # noqa: PLC0415 -- for the few sweeps that draw it

    return float(of["mu"] + of["sigma"] * ndtri(u))


def _beta(of: Fields, u: float) -> float:
    from scipy.special import betaincinv  # noqa: PLC0415 -- the same

    return float(betaincinv(of["a"], of["b"], u))


def _log_between(of: Fields, u: float) -> float:
    low, high = float(of["min"]), float(of["max"])
    return min(max(math.exp(_uniform(math.log(low), math.log(high), u)), low), high)  # exp and log may round beyond


_BOUNDS = ("min", "max")
_GAUSS = MappingProxyType({"mu": 0.0, "sigma": 1.0})
_SHAPE = MappingProxyType({"a": 1, "b": 1})
_NONE: Fields = MappingProxyType({})
_CONTINUOUS: dict[str, Family] = {
    "uniform": Family(_BOUNDS, _NONE, lambda of, u: _uniform(of["min"], of["max"], u)),
    "log_uniform": Family(_BOUNDS, _NONE, lambda of, u: math.exp(_uniform(of["min"], of["max"], u))),
    "log_uniform_values": Family(_BOUNDS, _NONE, _log_between),
    "normal": Family((), _GAUSS, _normal),
    "log_normal": Family((), _GAUSS, lambda of, u: math.exp(_normal(of, u))),
    "beta": Family((), _SHAPE, _beta),
}
_INVERSE: dict[str, Family] = {
    "inv_log_uniform": Family(_BOUNDS, _NONE, lambda of, u: math.exp(-_uniform(of["min"], of["max"], 1 - u))),
    "inv_log_uniform_values": Family(_BOUNDS, _NONE, _log_between),  # log(1/X) is uniform exactly when log X is
}
FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "constant": Family(("value",), _NONE),
        "categorical": Family(("values",), MappingProxyType({"probabilities": None})),
        "categorical_w_probabilities": Family(("values", "probabilities"), _NONE),
        "int_uniform": Family(_BOUNDS, _NONE, lambda of, u: of["min"] + math.floor(u * (of["max"] - of["min"] + 1))),
        **_CONTINUOUS,
        **_INVERSE,
        **{
            f"q_{name}": Family(of.required, MappingProxyType({**of.defaults, "q": 1}), of.quantile)
            for name, of in _CONTINUOUS.items()
        },
    }
)
"""Every distribution of W&B's sweep configuration by its name; q_NAME is NAME rounded to multiples of q."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How one parameter is drawn.

    Attributes:
        name: Key of `FAMILIES`.
        fields: Its fields, defaults filled in.
    """

    name: str
    fields: Fields

    @property
    def values(self) -> tuple[Any, ...] | None:
        """The values it is chosen from, as they are listed; None where they are not."""
        if self.name == "constant":
            return (self.fields["value"],)
        return tuple(self.fields["values"]) if "values" in self.fields else None

    def grid(self) -> tuple[Any, ...] | None:
        """The values a grid search goes through, each once; None when a grid cannot: they are not finitely many.

        As in W&B's grid search, `q_uniform` is stepped through from min in steps of q and ends before max.
        """
        if self.name == "int_uniform":
            return tuple(range(self.fields["min"], self.fields["max"] + 1))
        if self.name == "q_uniform":
            low, high, q = (self.fields[key] for key in ("min", "max", "q"))
            return tuple(low + step * q for step in range(max(math.ceil((high - low) / q), 0)))
        if self.values is None or self.fields.get("probabilities"):
            return None
        return tuple(value for at, value in enumerate(self.values) if not any(_same(value, v) for v in self.values[:at]))

    def at(self, u: float) -> Any:
        """The value at a quantile.

        Args:
            u: Between 0 and 1, both left out.
        """
        if self.values is not None:
            return self.values[self._index(u)]
        family = FAMILIES[self.name]
        value = family.quantile(self.fields, u) if family.quantile else None
        if value is None or "q" not in self.fields:
            return value
        q = self.fields["q"]
        return round(value / q) * q

    def _index(self, u: float) -> int:
        count = len(self.values or ())
        sums = list(accumulate(self.fields.get("probabilities") or [1.0] * count))
        return min(bisect_right(sums, u * sums[-1]), count - 1)


def _same(left: Any, right: Any) -> bool:
    """Whether two listed values are one: 1 and 1.0 are for W&B, true and 1 are not."""
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)
