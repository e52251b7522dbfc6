"""The tensors of a PPO update -> its statistics: measured where the tensors are, brought to the host by one copy.

Nothing is read while measuring, so the device is waited for once an update. Means, variances and fractions are those of
the batch itself (population: divided by n, not n - 1). Half precision is computed in single; double stays double. NaN
and infinities are observations: a statistic of elements with NaN is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import reduce
from types import MappingProxyType
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from karn_wandb.errors import UsageError
from karn_wandb.records import AdvantageStats, LSTMHealth, PPOUpdate, RatioStats

T = TypeVar("T")
Scalar = float | Tensor
Heads = Tensor | Mapping[str, Tensor]
Measured = dict[str, Tensor]
Numbers = dict[str, float]

SATURATED = 0.9
"""|h| above it is saturated (requirement, LSTM diagnostics)."""

OUTLYING = 3.0
"""Standard deviations from the mean beyond which an advantage counts as clipped, when no threshold is given."""

_ONLY = ""  # the head, where heads have no names


def ppo_update(
    *,
    advantages: Tensor | None = None,
    returns: Tensor | None = None,
    values: Tensor | None = None,
    log_probs: Heads | None = None,
    old_log_probs: Heads | None = None,
    entropy: Scalar | Mapping[str, Scalar] | None = None,
    clip_eps: float = 0.2,
    advantage_clip: float | None = None,
    mask: Tensor | None = None,
    hidden: Tensor | None = None,
    cell: Tensor | None = None,
    policy_loss: Scalar | None = None,
    value_loss: Scalar | None = None,
    grad_norm: Scalar | None = None,
    learning_rate: Scalar | None = None,
    ppo_epochs: int | None = None,
) -> PPOUpdate:
    """Statistics of one PPO update; what is not given stays None.

    All tensors of steps have the same shape: (n,), or another such as (time, environments). With
    r = exp(log_probs - old_log_probs):

    - `kl_divergence` estimates KL(old || new) = E[log old - log new] from actions taken by the old policy, as the mean of
      (r - 1) - log r, nats. It is never negative, and unbiased where the new policy takes only actions that the old one
      may take (estimator k3 of J. Schulman, "Approximating KL Divergence", 2020).
    - `explained_variance` is 1 - Var(returns - values) / Var(returns): 1 for a perfect critic, 0 for the returns' mean,
      negative for worse. None when the returns do not vary. When they barely vary it is large and says little: read
      `return_std`, and `value_nrmse` = RMSE(values) / Std(returns), beside it.
    - `ratios` are of r, clipped beyond 1 - clip_eps and 1 + clip_eps whatever the sign of the advantage (J. Schulman and
      others, "Proximal Policy Optimization Algorithms", 2017).

    Args:
        advantages: Advantages as they enter the loss.
        returns: What the critic should have predicted.
        values: What it predicted, in the same units.
        log_probs: Log-probability of the action taken, under the new policy, nats; by head where there are several, whose
            sum is the joint one.
        old_log_probs: The same under the policy that took the action.
        entropy: Entropy of the action distribution, nats, step by step or its mean; by head where there are several,
            whose sum is the joint one (chain rule).
        clip_eps: Clip range of the ratio.
        advantage_clip: Clip threshold of |A|, in the advantages' units. None: 3 standard deviations from their mean,
            which is |A| > 3 once they are normalised.
        mask: Which steps count; the others are padding.
        hidden: h of the LSTM, any shape. Where its first dimensions are those of the mask, the mask holds for it too.
        cell: c of the LSTM, the same.
        policy_loss: Clipped surrogate loss.
        value_loss: Loss of the critic.
        grad_norm: L2 norm of the policy's gradients before clipping.
        learning_rate: Learning rate of the update.
        ppo_epochs: Passes over the batch.

    Returns:
        The record. Where no step counts, what is measured on steps is None.

    Raises:
        UsageError: Shapes or heads do not fit together, or one of a pair is missing.
    """
    new, old = _by_head(log_probs), _by_head(old_log_probs)
    entropies: dict[str, Scalar] = _by_head(entropy)
    stepwise = {head: value for head, value in entropies.items() if isinstance(value, Tensor) and value.dim()}
    single = {f"entropy/{head}": value for head, value in entropies.items() if head not in stepwise}
    losses = {"policy_loss": policy_loss, "value_loss": value_loss, "grad_norm": grad_norm, "learning_rate": learning_rate}
    single |= {name: value for name, value in losses.items() if value is not None}
    by_name = _named("log_probs", new) | _named("old_log_probs", old) | _named("entropy", stepwise)
    of_steps = {"advantages": advantages, "returns": returns, "values": values, "mask": mask, **by_name}
    _check_pair(log_probs=log_probs, old_log_probs=old_log_probs)
    _check_pair(hidden=hidden, cell=cell)
    _check_heads(new, old)
    _check_tensors({**of_steps, "hidden": hidden, "cell": cell})
    _check_shapes(of_steps)
    _check_single(single)

    device = _device([*of_steps.values(), hidden, cell, *single.values()])
    batch = _Batch(
        advantages=_plain(advantages, device),
        returns=_plain(returns, device),
        values=_plain(values, device),
        log_probs=_all_plain(new, device),
        old_log_probs=_all_plain(old, device),
        entropies=_all_plain(stepwise, device),
        hidden=_plain(hidden, device),
        cell=_plain(cell, device),
        mask=None if mask is None else mask.detach().to(device).bool(),
    )
    measured = _measure(batch, clip_eps, advantage_clip)
    measured["single"] = {n: value.detach().to(device).reshape(()) for n, value in single.items() if isinstance(value, Tensor)}
    numbers = _read(measured)
    numbers["single"] |= {n: float(value) for n, value in single.items() if not isinstance(value, Tensor)}
    return _record(numbers, len(entropies), ppo_epochs)


def advantage_stats(advantages: Tensor, *, clip: float | None = None, mask: Tensor | None = None) -> AdvantageStats | None:
    """Advantages of a batch, as `ppo_update` measures them with `advantage_clip=clip`; None where no step counts."""
    return ppo_update(advantages=advantages, advantage_clip=clip, mask=mask).advantages


def ratio_stats(
    log_probs: Heads, old_log_probs: Heads, *, clip_eps: float = 0.2, mask: Tensor | None = None
) -> RatioStats | None:
    """Probability ratios of a batch, as `ppo_update` measures them; None where no step counts."""
    return ppo_update(log_probs=log_probs, old_log_probs=old_log_probs, clip_eps=clip_eps, mask=mask).ratios


def explained_variance(values: Tensor, returns: Tensor, *, mask: Tensor | None = None) -> float | None:
    """Explained variance as `ppo_update` measures it; None where no step counts or the returns do not vary."""
    return ppo_update(values=values, returns=returns, mask=mask).explained_variance


def lstm_health(hidden: Tensor, cell: Tensor, *, mask: Tensor | None = None) -> LSTMHealth | None:
    """Hidden state of a recurrent policy, as `ppo_update` measures it; None where there is none."""
    return ppo_update(hidden=hidden, cell=cell, mask=mask).lstm


class _Batch(NamedTuple):
    """The tensors of an update: on one device, detached, at least in single precision; empty ones left out."""

    advantages: Tensor | None = None
    returns: Tensor | None = None
    values: Tensor | None = None
    log_probs: Mapping[str, Tensor] = MappingProxyType({})
    old_log_probs: Mapping[str, Tensor] = MappingProxyType({})
    entropies: Mapping[str, Tensor] = MappingProxyType({})
    hidden: Tensor | None = None
    cell: Tensor | None = None
    mask: Tensor | None = None


def _measure(batch: _Batch, clip_eps: float, advantage_clip: float | None) -> dict[str, Measured]:
    """Every statistic as a tensor of one number, in groups that are empty together; no value is read."""
    mask = batch.mask
    steps = {f"entropy/{head}": _mean(entropy, mask) for head, entropy in batch.entropies.items()}
    if batch.advantages is not None:
        steps |= _named("advantages", _of_advantages(batch.advantages, mask, advantage_clip))
    steps |= _of_critic(batch.returns, batch.values, mask)
    if batch.log_probs:
        steps |= _of_policy(batch.log_probs, batch.old_log_probs, mask, clip_eps)
    if mask is not None:
        steps["count"] = mask.sum()
    state = {} if batch.hidden is None or batch.cell is None else _of_lstm(batch.hidden, batch.cell, mask)
    return {"steps": steps, "lstm": state}


def _of_advantages(advantages: Tensor, mask: Tensor | None, clip: float | None) -> Measured:
    mean, std = _mean_and_std(advantages, mask)
    low, high = _range(advantages, mask)
    excess = (advantages - mean).abs() - OUTLYING * std if clip is None else advantages.abs() - clip
    return {"mean": mean, "std": std, "min": low, "max": high, "fraction_clipped": _fraction_positive(excess, mask)}


def _of_critic(returns: Tensor | None, values: Tensor | None, mask: Tensor | None) -> Measured:
    found: Measured = {}
    if values is not None:
        found["value_std"] = _mean_and_std(values, mask)[1]
    if returns is not None:
        found["return_std"] = _mean_and_std(returns, mask)[1]
    if returns is not None and values is not None:
        error = returns - values
        found["explained_variance"] = 1 - (_mean_and_std(error, mask)[1] / found["return_std"]) ** 2
        found["value_nrmse"] = _mean(error**2, mask).sqrt() / found["return_std"]
    return found


def _of_policy(new: Mapping[str, Tensor], old: Mapping[str, Tensor], mask: Tensor | None, clip_eps: float) -> Measured:
    log_ratios = {head: new[head] - old[head] for head in new}
    joint = torch.stack(list(log_ratios.values())).sum(dim=0)
    above, below = _beyond(joint, clip_eps)
    found = {
        "kl_divergence": _kl(joint, mask),
        "ratios/mean": _mean(joint.exp(), mask),
        "ratios/fraction_clipped_high": _fraction_positive(above, mask),
        "ratios/fraction_clipped_low": _fraction_positive(below, mask),
    }
    for head, log_ratio in log_ratios.items():
        if head != _ONLY:
            found[f"head_kl/{head}"] = _kl(log_ratio, mask)
            found[f"head_clip_rate/{head}"] = _fraction_positive(torch.maximum(*_beyond(log_ratio, clip_eps)), mask)
    return found


def _of_lstm(hidden: Tensor, cell: Tensor, mask: Tensor | None) -> Measured:
    found: Measured = {}
    for name, state in (("hidden", hidden), ("cell", cell)):
        found[f"{name}_mean"], found[f"{name}_std"] = _mean_and_std(state, _over_units(mask, state))
    valid = _over_units(mask, hidden)
    found["saturation_fraction"] = _fraction_positive(hidden.abs() - SATURATED, valid)
    if valid is not None:
        found["count"] = valid.sum()
    return found


def _kl(log_ratio: Tensor, mask: Tensor | None) -> Tensor:
    terms = log_ratio.expm1() - log_ratio
    return _mean(terms.clamp(min=0), mask)  # below 0 by rounding only


def _beyond(log_ratio: Tensor, clip_eps: float) -> tuple[Tensor, Tensor]:
    """How far ratios are above and below the clip range."""
    ratio = log_ratio.exp()
    return ratio - (1 + clip_eps), (1 - clip_eps) - ratio


def _over_units(mask: Tensor | None, state: Tensor) -> Tensor | None:
    """The mask of steps, for a state whose first dimensions are theirs."""
    if mask is None or state.shape[: mask.dim()] != mask.shape:
        return None
    return mask.reshape(mask.shape + (1,) * (state.dim() - mask.dim())).expand_as(state)


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    return values.mean() if mask is None else torch.where(mask, values, 0).sum() / mask.sum()


def _range(values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    if mask is None:
        return values.amin(), values.amax()
    return torch.where(mask, values, math.inf).amin(), torch.where(mask, values, -math.inf).amax()


def _mean_and_std(values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    low, high = _range(values, mask)
    constant = high - low == 0  # whose mean and std rounding must not blur
    mean = torch.where(constant, low, _mean(values, mask))
    return mean, _mean((values - mean) ** 2, mask).sqrt()


def _fraction_positive(values: Tensor, mask: Tensor | None) -> Tensor:
    """NaN when an element is: whether it is above 0 nobody knows."""
    return _mean(torch.where(values.isnan(), values, (values > 0).to(values.dtype)), mask)


def _read(measured: Mapping[str, Measured]) -> dict[str, Numbers]:
    """The numbers, by the one copy to the host; a group that counts no element is left empty."""
    tensors = [tensor for group in measured.values() for tensor in group.values()]
    values = iter(_stacked(tensors).tolist() if tensors else [])
    numbers = {name: dict(zip(group, values, strict=False)) for name, group in measured.items()}
    return {name: {} if group.pop("count", 1) == 0 else group for name, group in numbers.items()}


def _stacked(tensors: list[Tensor]) -> Tensor:
    precision = reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
    return torch.stack([t.to(precision) for t in tensors])


def _record(numbers: Mapping[str, Numbers], heads: int, ppo_epochs: int | None) -> PPOUpdate:
    steps, state, single = numbers["steps"], numbers["lstm"], numbers["single"]
    entropies = _under("entropy", single | steps)
    advantages, ratios = _under("advantages", steps), _under("ratios", steps)
    undefined = steps.get("return_std") == 0
    return PPOUpdate(
        policy_loss=single.get("policy_loss"),
        value_loss=single.get("value_loss"),
        entropy=sum(entropies.values()) if entropies and len(entropies) == heads else None,
        kl_divergence=steps.get("kl_divergence"),
        explained_variance=None if undefined else steps.get("explained_variance"),
        return_std=steps.get("return_std"),
        value_nrmse=None if undefined else steps.get("value_nrmse"),
        grad_norm=single.get("grad_norm"),
        learning_rate=single.get("learning_rate"),
        ppo_epochs=ppo_epochs,
        per_head_kl=_under("head_kl", steps),
        per_head_entropy={head: entropy for head, entropy in entropies.items() if head != _ONLY},
        advantages=AdvantageStats(**advantages) if advantages else None,
        ratios=RatioStats(**ratios, per_head_clip_rates=_under("head_clip_rate", steps)) if ratios else None,
        lstm=LSTMHealth(**state) if state else None,
        value_std=steps.get("value_std"),
    )


def _named(group: str, values: Mapping[str, T]) -> dict[str, T]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _under(group: str, numbers: Numbers) -> Numbers:
    """What `_named` gave the group's name."""
    prefix = f"{group}/"
    return {name.removeprefix(prefix): number for name, number in numbers.items() if name.startswith(prefix)}


def _by_head(values: T | Mapping[str, T] | None) -> dict[str, T]:
    if isinstance(values, Mapping):
        return dict(values)
    return {} if values is None else {_ONLY: values}


def _plain(values: Tensor | None, device: torch.device) -> Tensor | None:
    if values is None or not values.numel():
        return None
    return values.detach().to(device, torch.promote_types(values.dtype, torch.float32))


def _all_plain(values: Mapping[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    plain = {head: _plain(value, device) for head, value in values.items()}
    return {head: value for head, value in plain.items() if value is not None}


def _device(given: Iterable[object]) -> torch.device:
    """Where to compute: on an accelerator when something is there, so that nothing is waited for on the way."""
    devices = [value.device for value in given if isinstance(value, Tensor)]
    return next((device for device in devices if device.type != "cpu"), torch.device("cpu"))


def _check_pair(**pair: object) -> None:
    if sum(value is None for value in pair.values()) == 1:
        raise UsageError(f"{' and '.join(pair)} belong together", got="only one of them", do="Pass both or neither.")


def _check_heads(new: Mapping[str, Tensor], old: Mapping[str, Tensor]) -> None:
    if new.keys() != old.keys():
        got = " and ".join(str(sorted(heads) if _ONLY not in heads else "a tensor") for heads in (new, old))
        raise UsageError("log_probs and old_log_probs must have the same heads", got=got, do="Pass the same heads in both.")


def _check_tensors(given: Mapping[str, object]) -> None:
    for name, value in given.items():
        if value is not None and not isinstance(value, Tensor):
            raise UsageError(f"{_shown(name)} must be a tensor", got=f"a {type(value).__name__}", do="Use torch.as_tensor.")


def _check_shapes(given: Mapping[str, Tensor | None]) -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in given.items() if tensor is not None}
    if len(set(shapes.values())) > 1:
        got = ", ".join(f"{_shown(name)} {shape}" for name, shape in shapes.items())
        raise UsageError("tensors of steps must have the same shape", got=got, do="Squeeze or flatten: one element a step.")


def _check_single(given: Mapping[str, Scalar]) -> None:
    for name, value in given.items():
        if isinstance(value, Tensor) and value.numel() != 1:
            shape = tuple(value.shape)
            raise UsageError(f"{_shown(name)} must be one number", got=f"a tensor of shape {shape}", do="Take its mean.")


def _shown(name: str) -> str:
    return name.removesuffix(f"/{_ONLY}")
