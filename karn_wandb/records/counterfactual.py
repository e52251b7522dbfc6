"""Coalitions of slots: how they are evaluated, what came out, what it may be called."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Literal

from karn_wandb.errors import RecordError
from karn_wandb.records._kinds import Bounds, Count, Finite, Fraction, NonNegative, Percent
from karn_wandb.records._record import Record, record
from karn_wandb.records.bits import Bits

Strategy = Literal["auto", "full_factorial", "shapley", "ablation_only"]
Metric = Literal["accuracy", "loss"]
Coalition = tuple[bool, ...]
Estimator = Literal["auto", "permutation_antithetic", "leverage_regression"]
EvaluationMethod = Literal["per_example", "group_jackknife", "binomial_bound"]
Regime = Literal["synergy", "interference", "independence", "undecided"]
GroupSizes = tuple[Annotated[int, Bounds(1)], ...]


@record
class CounterfactualConfig(Record):
    """How coalitions are chosen (requirement, counterfactual capture).

    Attributes:
        strategy: What to evaluate; "auto" is exact whenever that is affordable.
        full_factorial_max_seeds: Slots up to which "auto" is always exact.
        shapley_samples: Permutations sampled, two an antithetic pair.
        force_full_factorial: Exact whatever the number of slots and the strategy.
        max_configurations: Cap on coalitions evaluated, None for none. Each is evaluated once, but for those that a value
            repeats to check itself, which count too: `ModelEvaluator` repeats one.
        timeout_seconds: Stop starting evaluations after this long, None for never.
        estimator: How sampled coalitions become Shapley values; "auto" takes what suits the budget.
        target_std: Stop sampling when the sampling error of every Shapley value is at most this, in the game's unit; None
            samples all that the budget allows.
        independence_margin: Two slots count as independent when their interaction is shown to be smaller than this, in
            the game's unit. None is half a point of accuracy; a loss has no usual scale, so without a margin of its own no
            two slots count as independent.
        keep_outcomes: Keep each coalition's outcomes by example or group in the matrix, from which every error bar can be
            computed again.
        decide_early: Evaluate on a part of the validation examples first, stratified by class, and go on only as long as the
            whole of them may still change which slots are claimed to help. For values that can be asked in part, as
            `ModelEvaluator`; not with `target_std`, which is another rule for when to stop.
    """

    strategy: Strategy = "auto"
    full_factorial_max_seeds: Count = 4
    shapley_samples: Annotated[int, Bounds(2)] = 20
    force_full_factorial: bool = False
    max_configurations: Annotated[int, Bounds(1)] | None = None
    timeout_seconds: NonNegative | None = None
    estimator: Estimator = "auto"
    target_std: NonNegative | None = None
    independence_margin: NonNegative | None = None
    keep_outcomes: bool = True
    decide_early: bool = False

    def _check(self) -> None:
        if not self.decide_early:
            return
        if self.target_std is not None:
            raise RecordError("decide_early and target_std are two rules for when to stop", do="Set one of them.")
        if self.strategy == "ablation_only" and not self.force_full_factorial:
            raise RecordError(
                "decide_early needs Shapley values to decide about", got='strategy="ablation_only"', do="Choose another strategy."
            )

    def effective_strategy(self, n_active_seeds: int) -> str:
        """The strategy that will be used for `n_active_seeds` slots.

        "auto" is exact when 2^n <= max(2^full_factorial_max_seeds, shapley_samples * (n - 1) + 2), the number of
        calls that many permutations would cost, and within max_configurations: what is known is never sampled. Of a value
        that repeats evaluations to check itself, those are taken off max_configurations first.
        """
        if self.force_full_factorial:
            return "full_factorial"
        if self.strategy != "auto":
            return self.strategy
        n, coalitions = n_active_seeds, 2**n_active_seeds
        affordable = n <= self.full_factorial_max_seeds or coalitions <= self.shapley_samples * (n - 1) + 2
        allowed = self.max_configurations is None or coalitions <= self.max_configurations
        return "full_factorial" if affordable and allowed else "shapley"


@record
class Evaluation(Record):
    """What a value function may return for one coalition.

    Attributes:
        loss: Mean validation loss, any float; None when not measured.
        accuracy: Validation accuracy, percent; None when not measured.
        correct: For each validation example, whether it was classified correctly, in the same order for all coalitions.
        per_class_accuracy: Accuracy by class, percent.
        group_losses: Mean loss of each group of examples, the same groups for all coalitions: the loader's batches, or the
            sequences of a language model.
        group_accuracies: The same for accuracy, percent.
        group_sizes: Examples (or tokens) in each group; None for groups of one size.
        n_examples: Independent validation examples that the accuracy is a share of; from `correct` where that is given.
        class_sizes: Examples of each class; without them no accuracy by class is known of several parts together.
    """

    loss: float | None = None
    accuracy: Percent | None = None
    correct: Bits | None = None
    per_class_accuracy: dict[int, Percent] | None = None
    group_losses: tuple[float, ...] | None = None
    group_accuracies: tuple[Percent, ...] | None = None
    group_sizes: GroupSizes | None = None
    n_examples: Annotated[int, Bounds(1)] | None = None
    class_sizes: dict[int, Annotated[int, Bounds(1)]] | None = None


@record
class CounterfactualResult(Record):
    """One evaluated coalition (requirement, counterfactual capture).

    Attributes:
        config: Which slots were on, in the order of the matrix's `slot_ids`.
        alpha_settings: Alpha used for each slot, 0 for those that were off.
        val_loss: Validation loss, any float; None when not measured.
        val_accuracy: Validation accuracy, percent; None when not measured.
        per_class_accuracy: Accuracy by class, percent (research mode).
        correct: For each validation example, whether it was classified correctly, the same examples for all coalitions.
        group_losses: Mean loss of each group of examples, the same groups for all coalitions; the matrix has their sizes.
        group_accuracies: The same for accuracy, percent.
    """

    config: tuple[bool, ...]
    alpha_settings: dict[str, Fraction] = field(default_factory=dict)
    val_loss: float | None = None
    val_accuracy: Percent | None = None
    per_class_accuracy: dict[int, Percent] | None = None
    correct: Bits | None = None
    group_losses: tuple[float, ...] | None = None
    group_accuracies: tuple[Percent, ...] | None = None


@record
class ShapleyEstimate(Record):
    """A slot's Shapley value with its uncertainty (review, P1-4).

    Attributes:
        mean: The estimate, in the game's unit (percentage points of accuracy, or loss).
        std: Standard error of the mean: sampling and evaluation noise together. None when neither is known,
            never 0 merely because nothing was sampled.
        n_samples: Permutations sampled; for an exact value or a regression the coalitions evaluated.
        algorithm: "exact", "permutation_antithetic" or "leverage_regression".
        ci_low: Lower end of the 95 % interval; None without a standard error.
        ci_high: Upper end of the 95 % interval; None without a standard error.
        exact: Whether every coalition was evaluated, so that there is no sampling error.
        sampling_std: The part of `std` that comes from sampling coalitions; 0 when exact.
        evaluation_std: The part that comes from the finite validation set; None when it was not measured.
        evaluation_method: How that part is known: "per_example" (each example's own Shapley values), "group_jackknife" (leaving
            out one batch or sequence at a time) or "binomial_bound" (only accuracies and their number of examples: an upper
            bound); None when it is not.
        degrees_of_freedom: Of Student's t behind the interval; None for the normal distribution, or without interval.
    """

    mean: Finite
    std: NonNegative | None
    n_samples: Count
    algorithm: str = "permutation_antithetic"
    ci_low: Finite | None = None
    ci_high: Finite | None = None
    exact: bool = False
    sampling_std: NonNegative | None = None
    evaluation_std: NonNegative | None = None
    evaluation_method: EvaluationMethod | None = None
    degrees_of_freedom: NonNegative | None = None

    def is_positive(self) -> bool:
        """Whether mean - 2*std > 0, the requirement's plain rule (review, P1-4); never without a standard error."""
        return self.std is not None and self.mean - 2 * self.std > 0


@record
class InteractionEstimate(Record):
    """The interaction of two slots with its uncertainty, seen from the corner that the matrix names.

    Attributes:
        effect: Positive where the two together do more than each by itself, in the game's unit.
        std: Its standard error, from the finite validation set; None when that was not measured.
        ci_low: Lower end of the 95 % interval; None without a standard error.
        ci_high: Upper end of the 95 % interval; None without a standard error.
        regime: "synergy" or "interference" when the 95 % interval lies above or below zero, "independence" when the 90 %
            interval lies inside the margin on both sides of zero (two one-sided tests at 5 %), else "undecided".
        evaluation_method: How the standard error is known, as in `ShapleyEstimate`.
    """

    effect: Finite
    std: NonNegative | None = None
    ci_low: Finite | None = None
    ci_high: Finite | None = None
    regime: Regime = "undecided"
    evaluation_method: EvaluationMethod | None = None


@record
class CounterfactualValidityNote(Record):
    """What a counterfactual matrix measures and what it does not (review, P0-3); goes with matrix, table and report.

    Attributes:
        measures: What it is.
        does_not_measure: What it is not.
        confounder: Why one is not the other.
        remedy: What would show the other.
    """

    measures: str = "Removal cost: how much worse the trained network is at this epoch when slots are switched off."
    does_not_measure: str = "Causal contribution: how much better it became because it was trained with them."
    confounder: str = "Host and other seed modules adapted while all slots were present."
    remedy: str = "Parallel control runs, trained from the start without the slot, show the causal contribution."

    def __str__(self) -> str:
        return f"Measured: {self.measures} Not measured: {self.does_not_measure} {self.confounder} {self.remedy}"


@record
class CounterfactualMatrix(Record):
    """The coalitions evaluated at an epoch and what follows from them (requirement, counterfactual capture).

    Attributes:
        epoch: Epoch of the evaluation.
        configs: The coalitions evaluated, each once.
        marginal_contributions: By slot; `marginal_basis` says which of the two kinds it is.
        interaction_effects: By pair of slots; `interaction_basis` names the corner it is seen from.
        shapley_values: By slot; None when too little was evaluated to say.
        slot_ids: The slots, in the order of each `config`.
        strategy: What was done: "full_factorial", "shapley" or "ablation_only".
        metric: The game: percent accuracy, or minus the loss. Positive always helps.
        marginal_basis: "factorial_main_effect" (mean with minus mean without the slot, over all coalitions) or
            "removal_cost" (all slots on minus all but this one).
        interaction_basis: "empty_corner" is v(ij) - v(i) - v(j) + v(); "full_corner" is v(N) - v(N-i) - v(N-j) + v(N-ij);
            "none" when neither was evaluated.
        complete: Whether everything the strategy asks for was evaluated.
        skipped: Coalitions it asks for that were not evaluated, and so are not filled in.
        stop_reason: Why it is not complete, "" when it is.
        n_examples: Validation examples behind each value; None when unknown.
        seconds: Time the evaluations took; None when not measured.
        validity: What this measures and what not.
        interactions: By pair of slots, the effect of `interaction_effects` with its uncertainty and regime.
        group_sizes: Examples (or tokens) in each group of the outcomes; None for groups of one size, or none.
        examples_available: Validation examples there were; more than `n_examples` when a part was enough. None when not asked.
        early_stop: Why it needed less than the budget allowed, "" when it needed all.
    """

    epoch: Count
    configs: tuple[CounterfactualResult, ...]
    marginal_contributions: dict[str, Finite] = field(default_factory=dict)
    interaction_effects: dict[tuple[str, ...], Finite] = field(default_factory=dict)
    shapley_values: dict[str, ShapleyEstimate] | None = None
    slot_ids: tuple[str, ...] = ()
    strategy: Literal["full_factorial", "shapley", "ablation_only"] = "full_factorial"
    metric: Metric = "accuracy"
    marginal_basis: Literal["factorial_main_effect", "removal_cost", "none"] = "none"
    interaction_basis: Literal["empty_corner", "full_corner", "none"] = "none"
    complete: bool = True
    skipped: tuple[Coalition, ...] = ()
    stop_reason: str = ""
    n_examples: Count | None = None
    seconds: NonNegative | None = None
    validity: CounterfactualValidityNote = field(default_factory=CounterfactualValidityNote)
    interactions: dict[tuple[str, ...], InteractionEstimate] = field(default_factory=dict)
    group_sizes: GroupSizes | None = None
    examples_available: Count | None = None
    early_stop: str = ""

    def _check(self) -> None:
        width = len(self.slot_ids) or len(self.configs[0].config if self.configs else ())
        for result in self.configs:
            if len(result.config) != width:
                raise RecordError(
                    f"every configuration of the matrix must have {width} slots", got=f"{len(result.config)} in {result.config}"
                )
        if len({result.config for result in self.configs}) != len(self.configs):
            raise RecordError("every configuration of the matrix must appear once", do="Evaluate each distinct coalition once.")
        if self.complete and self.skipped:
            raise RecordError("a matrix with skipped configurations is not complete", got=f"{len(self.skipped)} skipped")
        for name in ("correct", "group_losses", "group_accuracies"):
            lengths = sorted({len(found) for result in self.configs if (found := getattr(result, name)) is not None})
            if len(lengths) > 1:
                raise RecordError(
                    f"every configuration of the matrix must have as many {name}",
                    got=" and ".join(map(str, lengths)),
                    do="Evaluate the same examples in the same groups for all coalitions.",
                )

    def value(self, config: Coalition) -> float | None:
        """The game's value of a coalition: percent accuracy or minus the loss; None when it was not evaluated."""
        for result in self.configs:
            if result.config == tuple(config):
                if self.metric == "accuracy":
                    return result.val_accuracy
                return None if result.val_loss is None else -result.val_loss
        return None

    def removal_delta(self) -> float | None:
        """All slots on minus all off, now: the removal cost of everything, not the gain over a host-only run."""
        on = self.value((True,) * len(self.slot_ids))
        off = self.value((False,) * len(self.slot_ids))
        return None if on is None or off is None else on - off

    def pairs(self) -> dict[tuple[str, ...], InteractionEstimate]:
        """The interaction of each pair; without uncertainty, and so "undecided", where only the effect is known."""
        known = {pair: InteractionEstimate(effect) for pair, effect in self.interaction_effects.items()}
        return known | self.interactions

    def positive_claims(self) -> tuple[str, ...]:
        """Slots whose Shapley value `is_positive`: mean - 2*std > 0 (review, P1-4).

        A slot without a standard error is never claimed. Reports use `attribution.claims`, which corrects for
        the number of slots.
        """
        return tuple(slot for slot, found in (self.shapley_values or {}).items() if found.is_positive())
