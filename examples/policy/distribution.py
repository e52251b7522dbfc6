"""The distribution over factored actions: what it draws, how likely a choice is, and how undecided it is, head by head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from examples.policy.actions import HEADS, OPS, Legal, used

NEVER = -1e9
"""Logit of what is not legal: its probability is 0 exactly, and its gradient too."""


@dataclass(frozen=True, slots=True)
class Factored:
    """P(op) P(slot | op) P(blueprint | slot) P(blend | slot), where an op takes those heads; all with decisions in front.

    Attributes:
        op: Logits (..., ops).
        slot: Logits (..., ops, slots).
        blueprint: Logits (..., slots, blueprints).
        blend: Logits (..., slots, blends).
        legal: The masks.
    """

    op: Tensor
    slot: Tensor
    blueprint: Tensor
    blend: Tensor
    legal: Legal

    def draw(self, uniforms: Tensor) -> Tensor:
        """Indices (..., heads) by inverse transform of uniform numbers (..., heads).

        The same numbers draw the same choice from the same distribution, and a similar one from a similar one: common random
        numbers.
        """
        op = _inverse(self._log_op(), uniforms[..., 0])
        slot = _inverse(_row(self._log_slot(), op), uniforms[..., 1])
        blueprint = _inverse(_row(self._log_blueprint(), slot), uniforms[..., 2])
        blend = _inverse(_row(self._log_blend(), slot), uniforms[..., 3])
        return torch.stack((op, slot, blueprint, blend), dim=-1)

    def log_probs(self, chosen: Tensor) -> dict[str, Tensor]:
        """Log-probability by head (...), nats; 0 where the op does not take the head. Their sum is the joint one."""
        op, slot, blueprint, blend = chosen.unbind(dim=-1)
        by_head = {
            "op": _picked(self._log_op(), op),
            "slot": _picked(_row(self._log_slot(), op), slot),
            "blueprint": _picked(_row(self._log_blueprint(), slot), blueprint),
            "blend": _picked(_row(self._log_blend(), slot), blend),
        }
        taken = used(op)
        return {head: torch.where(taken[head], by_head[head], 0.0) for head in HEADS}

    def entropies(self) -> dict[str, Tensor]:
        """Entropy by head (...), nats, each weighted with the probability that it is used: their sum is the joint one."""
        log_op, log_slot = self._log_op(), self._log_slot()
        concerns_slot = self.legal.slot.any(dim=-1)
        joint = (log_op.exp() * concerns_slot).unsqueeze(-1) * log_slot.exp()  # (..., ops, slots)
        germinates, advances = (joint[..., OPS.index(op), :] for op in ("GERMINATE", "ADVANCE"))
        return {
            "op": _entropy(log_op),
            "slot": (log_op.exp() * concerns_slot * _entropy(log_slot)).sum(dim=-1),
            "blueprint": (germinates * _entropy(self._log_blueprint())).sum(dim=-1),
            "blend": (advances * _entropy(self._log_blend())).sum(dim=-1),
        }

    def _log_op(self) -> Tensor:
        return _log_softmax(self.op, self.legal.op)

    def _log_slot(self) -> Tensor:
        return _log_softmax(self.slot, self.legal.slot)

    def _log_blueprint(self) -> Tensor:
        return _log_softmax(self.blueprint, self.legal.blueprint)

    def _log_blend(self) -> Tensor:
        return self.blend.log_softmax(dim=-1)


def _log_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    """Of the legal choices; uniform where none is, which no decision gets to."""
    return logits.masked_fill(~mask, NEVER).log_softmax(dim=-1)


def _row(log_probs: Tensor, index: Tensor) -> Tensor:
    """Of each decision the distribution (..., choices) after the head before it chose that index."""
    return log_probs.gather(-2, index[..., None, None].expand(*index.shape, 1, log_probs.shape[-1])).squeeze(-2)


def _picked(log_probs: Tensor, index: Tensor) -> Tensor:
    return log_probs.gather(-1, index.unsqueeze(-1)).squeeze(-1)


def _inverse(log_probs: Tensor, uniform: Tensor) -> Tensor:
    """The first choice whose cumulated probability is above the uniform number."""
    probabilities = log_probs.exp()
    below = (probabilities.cumsum(dim=-1) <= uniform.unsqueeze(-1)).sum(dim=-1)
    last = (probabilities > 0).int().cumsum(dim=-1).argmax(dim=-1)  # rounding may leave the sum below 1
    return torch.minimum(below, last)


def _entropy(log_probs: Tensor) -> Tensor:
    return -(log_probs.exp() * log_probs).sum(dim=-1)
