"""What goes wrong in a policy's training, read from its PPO updates.

Thresholds without a source are this package's conventions: they say when a person should look, and prove nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from karn_wandb.analysis.collapse import (
    LASTING,
    Condition,
    EntropyCollapse,
    Patience,
    ReturnsSpread,
    ValueCollapse,
    entropy_collapsed,
    value_collapsed,
)
from karn_wandb.analysis.sanity import must_be_finite
from karn_wandb.records import PPOUpdate

__all__ = ["EntropyCollapse", "Finding", "PPODiagnosis", "ValueCollapse", "entropy_collapsed", "value_collapsed"]

Level = Literal["info", "warning", "error"]

HIGH_KL = 0.1
"""KL of an update, nats, above which the learning rate is too high (review, P1-6)."""
NO_KL = 1e-5
"""KL of an update, nats, below which the policy stands still: its probabilities change by less than half a percent."""
CLIPPED = 0.3
"""Fraction of clipped ratios above which much of the batch teaches nothing any more."""
SATURATED = 0.3
"""Fraction of the hidden state with |h| > 0.9 above which gradients through time may vanish."""
ROUNDING = 1e-6
"""Differences from 1 below it may be single precision's rounding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a policy's training that a person should look at.

    Attributes:
        kind: "kl_divergence", "kl_vanishing", "explained_variance", "ratio_clipping", "head_clipping", "head_kl",
            "lstm_saturation" or "non_finite".
        text: What was seen, and what it may mean.
        level: "error" for numbers that are not finite, else "warning".
    """

    kind: str
    text: str
    level: Level = "warning"


AT_ONCE = Patience(needed=1, window=1, over=0)


class PPODiagnosis:
    """Findings of a policy's training, update by update.

    A finding is reported when it begins, and again only after it was over. At once and over with the first update without:

    - "kl_divergence": KL(old || new) above 0.1; "head_kl": that of a head
    - "non_finite": a statistic is NaN or infinite. Explained variance and value NRMSE do not count: they divide by the
      variance of the returns, which may be 0.

    When 3 of the newest 5 updates that tell show it, over when at most 1 does:

    - "kl_vanishing": KL below 1e-5. Updates in which it must be so do not tell: those of one pass over the batch, of
      learning rate 0, and those that do not say their passes and whose KL and ratios are 0 and 1 to rounding, as they are
      before the first step.
    - "explained_variance": below 0. Only updates whose returns vary tell: `return_std` is known, above 0, at least a
      tenth of the median of up to ten updates, and a thousandth of the critic's RMSE.
    - "ratio_clipping": more than 30 % of the ratios are clipped; "head_clipping": of a head's
    - "lstm_saturation": more than 30 % of the hidden state is above 0.9 in magnitude

    What is None or NaN tells nothing. A head is forgotten when an update with heads lacks it, so that memory is bounded.
    """

    def __init__(self) -> None:
        self._spread = ReturnsSpread()
        self._conditions: dict[str, dict[str, Condition]] = {symptom.kind: {} for symptom in SYMPTOMS}

    def observe(self, update: PPOUpdate) -> tuple[Finding, ...]:
        """Take an update into account; the findings that begin with it."""
        returns_vary = self._spread.varies(update)
        found = []
        for symptom in SYMPTOMS:
            begun = self._begun(symptom, update) if returns_vary or not symptom.needs_returns else []
            if begun:
                found.append(Finding(symptom.kind, f"{'; '.join(begun)}: {symptom.meaning}", symptom.level))
        return tuple(found)

    def _begun(self, symptom: _Symptom, update: PPOUpdate) -> list[str]:
        signs = symptom.signs(update)
        if not signs:
            return []
        before = self._conditions[symptom.kind]
        now = self._conditions[symptom.kind] = {head: before.get(head) or Condition(symptom.patience) for head in signs}
        return [sign for head, sign in signs.items() if now[head].observe(bad=sign is not None) and sign is not None]


class _Symptom(NamedTuple):
    """What a finding is made of.

    Attributes:
        kind: Its kind.
        signs: What is seen in an update by head, "" being all: words when it is bad, None when not; unknown is left out.
        meaning: What it means, or what to do.
        patience: When it begins and is over.
        level: Its level.
        needs_returns: Whether it says something only where returns vary.
    """

    kind: str
    signs: Callable[[PPOUpdate], Mapping[str, str | None]]
    meaning: str
    patience: Patience = LASTING
    level: Level = "warning"
    needs_returns: bool = False


def _non_finite(update: PPOUpdate) -> dict[str, str | None]:
    bad = [f"{name} {value:g}" for name, value in must_be_finite(update) if not math.isfinite(value)]
    return {"": ", ".join(bad) or None}


def _above(threshold: float, values: Mapping[str, float | None], told: Callable[[str, float], str]) -> dict[str, str | None]:
    known = {head: value for head, value in values.items() if value is not None and not math.isnan(value)}
    return {head: told(head, value) if value > threshold else None for head, value in known.items()}


def _high_kl(update: PPOUpdate) -> dict[str, str | None]:
    values = {"": update.kl_divergence}
    return _above(HIGH_KL, values, lambda _, kl: f"KL(old || new) is {kl:.3g} nats, above {HIGH_KL:g}")


def _high_head_kl(update: PPOUpdate) -> dict[str, str | None]:
    return _above(HIGH_KL, update.per_head_kl, lambda head, kl: f"KL of head {head!r} is {kl:.3g} nats, above {HIGH_KL:g}")


def _vanishing_kl(update: PPOUpdate) -> dict[str, str | None]:
    kl = update.kl_divergence
    if kl is None or math.isnan(kl) or update.learning_rate == 0 or update.ppo_epochs == 1 or _before_the_first_step(update):
        return {}
    if abs(kl) >= NO_KL:  # some estimators may be negative
        return {"": None}
    seen = {"passes": update.ppo_epochs, "learning rate": update.learning_rate, "gradient norm": update.grad_norm}
    context = ", ".join(f"{name} {value:.3g}" for name, value in seen.items() if value is not None)
    return {"": f"KL(old || new) is {kl:.3g} nats, below {NO_KL:g}{f' ({context})' if context else ''}"}


def _before_the_first_step(update: PPOUpdate) -> bool:
    """Whether KL may have been measured where it is 0 by construction, since nothing says otherwise."""
    same = update.ratios is None or abs(update.ratios.mean - 1) <= ROUNDING
    return update.ppo_epochs is None and same and abs(update.kl_divergence or 0.0) <= ROUNDING**2


def _negative_variance(update: PPOUpdate) -> dict[str, str | None]:
    explained = update.explained_variance
    if explained is None or not math.isfinite(explained):
        return {}
    spread = f"the returns' standard deviation being {update.return_std:.3g}"
    return {"": f"explained variance is {explained:.3g}, below 0, {spread}" if explained < 0 else None}


def _clipped_ratios(update: PPOUpdate) -> dict[str, str | None]:
    ratios = update.ratios
    if ratios is None:
        return {}
    high, low = ratios.fraction_clipped_high, ratios.fraction_clipped_low
    parts = f"{high:.0%} above the clip range, {low:.0%} below"
    return _above(CLIPPED, {"": high + low}, lambda _, clipped: f"{clipped:.0%} of the ratios are clipped ({parts})")


def _clipped_heads(update: PPOUpdate) -> dict[str, str | None]:
    rates = {} if update.ratios is None else update.ratios.per_head_clip_rates
    return _above(CLIPPED, rates, lambda head, rate: f"{rate:.0%} of the ratios of head {head!r} are clipped")


def _saturated(update: PPOUpdate) -> dict[str, str | None]:
    fraction = None if update.lstm is None else update.lstm.saturation_fraction
    return _above(SATURATED, {"": fraction}, lambda _, value: f"{value:.0%} of the LSTM's hidden state is above 0.9 in magnitude")


SYMPTOMS = (
    _Symptom("non_finite", _non_finite, "look for an overflow, a division by zero or a logarithm of zero", AT_ONCE, "error"),
    _Symptom("kl_divergence", _high_kl, "the learning rate is too high, or the passes too many", AT_ONCE),
    _Symptom("head_kl", _high_head_kl, "these heads change too much in one update", AT_ONCE),
    _Symptom("kl_vanishing", _vanishing_kl, "the learning rate is too low, the gradients vanish, or KL is measured too early"),
    _Symptom("explained_variance", _negative_variance, "the critic is worse than predicting the mean", needs_returns=True),
    _Symptom("ratio_clipping", _clipped_ratios, "much of the batch teaches nothing; lower the learning rate or the passes"),
    _Symptom("head_clipping", _clipped_heads, "these heads move faster than the clip range allows"),
    _Symptom("lstm_saturation", _saturated, "gradients through time may vanish"),
)
