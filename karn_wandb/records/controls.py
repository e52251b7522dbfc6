"""What training with each slot brought, from runs trained without it, beside what removing it costs."""

from __future__ import annotations

from karn_wandb.records._kinds import Count, Fraction
from karn_wandb.records._record import Record, record
from karn_wandb.records.comparison import Comparison, Confidence, ExcludedRun, ExperimentAggregation


@record
class RemovalCost(Record):
    """A slot's removal cost in a full run, at its last evaluated epoch.

    Attributes:
        key: Value of the pairing column, as text.
        run: The run; several of one key are averaged, and joined with " + ".
        epoch: The epoch.
        value_with: The network as it was then.
        value_without: The same with the slot switched off.
    """

    key: str
    run: str
    epoch: Count
    value_with: float
    value_without: float

    @property
    def cost(self) -> float:
        """With minus without."""
        return self.value_with - self.value_without


@record
class SlotContribution(Record):
    """A slot's causal contribution, its removal cost, and how far they are apart. They answer different questions.

    Each comparison is of one value per random seed. Its corrected p is by Holm over the slots, those that could not be
    tested counting as p = 1; None without inference.

    Attributes:
        slot: The slot.
        causal: Full runs against runs trained without the slot from the start: its causal contribution.
        removal: Full runs' final networks with the slot against the same without it: its removal cost. None when no full run
            was evaluated.
        difference: Removal cost against causal contribution of the same random seeds; None when no seed has both.
        p_causal: Two-sided p of the causal contribution, corrected.
        p_removal: The same of the removal cost.
        p_difference: The same of their difference.
        removals: The removal costs.
        not_evaluated: Full runs that were analysed but have no removal cost, and why.
        grown: Full runs of the pairs in which the slot ever held a seed module.
        warnings: What a careful reader must know beside the warnings of the comparisons.
    """

    slot: str
    causal: ExperimentAggregation
    removal: Comparison | None = None
    difference: Comparison | None = None
    p_causal: Fraction | None = None
    p_removal: Fraction | None = None
    p_difference: Fraction | None = None
    removals: tuple[RemovalCost, ...] = ()
    not_evaluated: tuple[ExcludedRun, ...] = ()
    grown: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@record
class CausalContributions(Record):
    """What parallel control runs show of each slot.

    Attributes:
        metric: Column of the episodes that was compared.
        control_key: Name of the config entry that says which slot was disabled.
        pair_by: Column the runs were matched by.
        confidence: Confidence of every interval.
        where: What all runs have in common, in words; "" when they were not chosen.
        slots: The slots that have control runs, from input to output where the runs say their order.
        input_hash: SHA-256 of the analysed values and options.
    """

    metric: str
    control_key: str
    pair_by: str
    confidence: Confidence
    where: str
    slots: tuple[SlotContribution, ...]
    input_hash: str = ""
