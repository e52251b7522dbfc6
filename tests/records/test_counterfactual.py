"""Coalitions: how they are chosen, what came out, what may be claimed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.errors import RecordError
from karn_wandb.records import (
    CounterfactualConfig,
    CounterfactualMatrix,
    CounterfactualResult,
    CounterfactualValidityNote,
    Evaluation,
    InteractionEstimate,
    ShapleyEstimate,
)

# Fields and defaults as in the requirement, counterfactual capture, and its review, P1-4
CONFIG = {
    "strategy": "auto",
    "full_factorial_max_seeds": 4,
    "shapley_samples": 20,
    "force_full_factorial": False,
    "max_configurations": None,
    "timeout_seconds": None,
}
RESULT = {
    "config": (True, False, True),
    "alpha_settings": {"early": 1.0, "mid": 0.0, "late": 1.0},
    "val_loss": 1.1,
    "val_accuracy": 65.8,
    "per_class_accuracy": None,
}
ESTIMATE = {"mean": 1.2, "std": 0.3, "n_samples": 20, "algorithm": "permutation_antithetic"}
SLOTS = ("early", "mid", "late")


def table(**accuracies: float) -> tuple[CounterfactualResult, ...]:
    """Results from a table such as c000=62.3, as the requirement prints it: early, mid, late."""
    return tuple(
        CounterfactualResult(config=tuple(bit == "1" for bit in name[1:]), val_accuracy=value)
        for name, value in accuracies.items()
    )


# The requirement's own example
EXAMPLE = table(c000=62.3, c001=64.1, c010=63.8, c011=65.2, c100=63.5, c101=65.8, c110=64.9, c111=66.4)


@pytest.mark.parametrize(
    ("cls", "given_fields"), [(CounterfactualConfig, CONFIG), (CounterfactualResult, RESULT), (ShapleyEstimate, ESTIMATE)]
)
def test_the_requirements_fields_alone_make_the_record(cls, given_fields):
    record = cls(**given_fields)
    assert {name: getattr(record, name) for name in given_fields} == given_fields


def test_the_configuration_has_the_requirements_defaults():
    config = CounterfactualConfig()
    assert {name: getattr(config, name) for name in CONFIG} == CONFIG
    assert ShapleyEstimate(mean=0.0, std=None, n_samples=0).algorithm == "permutation_antithetic"


def test_the_requirements_fields_alone_make_a_matrix():
    given_fields = {
        "epoch": 7,
        "configs": EXAMPLE,
        "marginal_contributions": {"early": 1.3},
        "interaction_effects": {("early", "mid"): -0.1},
        "shapley_values": {"early": ShapleyEstimate(**ESTIMATE)},
    }
    matrix = CounterfactualMatrix(**given_fields)
    assert {name: getattr(matrix, name) for name in given_fields} == given_fields


# The contract's rule: exact when 2^n <= max(2^full_factorial_max_seeds, shapley_samples*(n-1) + 2), within max_configurations
STRATEGIES = [
    ({}, 0, "full_factorial"),
    ({}, 1, "full_factorial"),
    ({}, 4, "full_factorial"),
    ({}, 5, "full_factorial"),  # 32 <= 20*4 + 2 = 82: sampling would cost more than knowing
    ({}, 6, "full_factorial"),  # 64 <= 102
    ({}, 7, "shapley"),  # 128 > 122
    ({}, 100, "shapley"),
    ({"shapley_samples": 2}, 4, "full_factorial"),
    ({"shapley_samples": 2}, 5, "shapley"),  # 32 > max(16, 10)
    ({"shapley_samples": 40}, 7, "full_factorial"),  # 128 <= 242
    ({"full_factorial_max_seeds": 0, "shapley_samples": 2}, 1, "full_factorial"),  # 2 <= max(1, 2)
    ({"full_factorial_max_seeds": 0, "shapley_samples": 2}, 2, "full_factorial"),  # 4 <= max(1, 4)
    ({"full_factorial_max_seeds": 0, "shapley_samples": 2}, 3, "shapley"),  # 8 > max(1, 6)
    ({"full_factorial_max_seeds": 10}, 10, "full_factorial"),
    ({"full_factorial_max_seeds": 10}, 11, "shapley"),
    ({"max_configurations": 16}, 4, "full_factorial"),
    ({"max_configurations": 15}, 4, "shapley"),
    ({"max_configurations": 1}, 0, "full_factorial"),
    ({"full_factorial_max_seeds": 2**64 - 1}, 100, "full_factorial"),
    ({"force_full_factorial": True}, 100, "full_factorial"),
    ({"force_full_factorial": True, "strategy": "shapley"}, 3, "full_factorial"),
    ({"force_full_factorial": True, "max_configurations": 2}, 5, "full_factorial"),
    ({"strategy": "full_factorial"}, 30, "full_factorial"),
    ({"strategy": "shapley"}, 2, "shapley"),
    ({"strategy": "ablation_only"}, 2, "ablation_only"),
]


@pytest.mark.parametrize(("given_fields", "n", "strategy"), STRATEGIES)
def test_the_strategy_follows_the_contracts_rule(given_fields, n, strategy):
    assert CounterfactualConfig(**given_fields).effective_strategy(n) == strategy


@given(
    n=st.integers(0, 12),
    threshold=st.integers(0, 12),
    samples=st.integers(2, 200),
    cap=st.none() | st.integers(1, 5000),
)
def test_auto_is_exact_exactly_when_that_is_affordable(n, threshold, samples, cap):
    config = CounterfactualConfig(full_factorial_max_seeds=threshold, shapley_samples=samples, max_configurations=cap)
    affordable = max(2**threshold, samples * (n - 1) + 2)
    exact = 2**n <= (affordable if cap is None else min(affordable, cap))
    assert config.effective_strategy(n) == ("full_factorial" if exact else "shapley")


@pytest.mark.parametrize(
    ("cls", "given_fields", "bad", "message"),
    [
        (
            CounterfactualConfig,
            CONFIG,
            {"strategy": "guess"},
            (
                "CounterfactualConfig.strategy must be one of 'auto', 'full_factorial', 'shapley', 'ablation_only'; "
                "got 'guess' (str)."
            ),
        ),
        (CounterfactualConfig, CONFIG, {"shapley_samples": 1}, "CounterfactualConfig.shapley_samples must be at least 2; got 1."),
        (
            CounterfactualConfig,
            CONFIG,
            {"max_configurations": 0},
            "CounterfactualConfig.max_configurations must be at least 1; got 0.",
        ),
        (
            CounterfactualConfig,
            CONFIG,
            {"timeout_seconds": -1},
            "CounterfactualConfig.timeout_seconds must be at least 0; got -1.0.",
        ),
        (
            CounterfactualConfig,
            CONFIG,
            {"decide_early": True, "target_std": 0.1},
            "decide_early and target_std are two rules for when to stop. Set one of them.",
        ),
        (
            CounterfactualConfig,
            CONFIG,
            {"decide_early": True, "strategy": "ablation_only"},
            ('decide_early needs Shapley values to decide about; got strategy="ablation_only". Choose another strategy.'),
        ),
        (
            CounterfactualResult,
            RESULT,
            {"alpha_settings": {"early": 1.2}},
            "CounterfactualResult.alpha_settings['early'] must be between 0 and 1; got 1.2.",
        ),
        (
            CounterfactualResult,
            RESULT,
            {"val_accuracy": math.nan},
            "CounterfactualResult.val_accuracy must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100.",
        ),
        (CounterfactualResult, RESULT, {"config": (1, 0)}, "CounterfactualResult.config[0] must be True or False; got 1 (int)."),
        (
            CounterfactualResult,
            RESULT,
            {"per_class_accuracy": {"cat": 50.0}},
            "a key of CounterfactualResult.per_class_accuracy must be a whole number; got 'cat' (str).",
        ),
        (
            Evaluation,
            {},
            {"accuracy": 101},
            "Evaluation.accuracy must be between 0 and 100; got 101.0. Accuracies are percentages, 0 to 100.",
        ),
        (ShapleyEstimate, ESTIMATE, {"std": -0.1}, "ShapleyEstimate.std must be at least 0; got -0.1."),
        (ShapleyEstimate, ESTIMATE, {"mean": math.nan}, "ShapleyEstimate.mean must be a finite number; got nan."),
        (
            CounterfactualMatrix,
            {"epoch": 7, "configs": EXAMPLE},
            {"slot_ids": ("early", "mid")},
            "every configuration of the matrix must have 2 slots; got 3 in (False, False, False).",
        ),
        (
            CounterfactualMatrix,
            {"epoch": 7},
            {"configs": EXAMPLE + table(c111=66.4)},
            "every configuration of the matrix must appear once. Evaluate each distinct coalition once.",
        ),
        (
            CounterfactualMatrix,
            {"epoch": 7, "configs": EXAMPLE[:-1]},
            {"skipped": ((True, True, True),)},
            "a matrix with skipped configurations is not complete; got 1 skipped.",
        ),
        (
            CounterfactualMatrix,
            {"epoch": 7, "configs": ()},
            {"interaction_effects": {"early": 1.0}},
            "a key of CounterfactualMatrix.interaction_effects must be a sequence of text; got 'early' (str).",
        ),
    ],
)
def test_bad_input_is_refused_in_words(cls, given_fields, bad, message):
    with pytest.raises(RecordError) as raised:
        cls(**{**given_fields, **bad})
    assert str(raised.value) == message


def test_the_value_of_a_coalition_is_its_accuracy_or_minus_its_loss():
    """Positive always helps; what was not evaluated is None."""
    by_accuracy = CounterfactualMatrix(epoch=7, configs=EXAMPLE, slot_ids=SLOTS)
    loss = (CounterfactualResult(config=(True,), val_loss=1.5), CounterfactualResult(config=(False,)))
    by_loss = CounterfactualMatrix(epoch=7, configs=loss, metric="loss")
    assert by_accuracy.value((True, False, True)) == 65.8
    assert by_accuracy.value([True, True, True]) == 66.4
    assert CounterfactualMatrix(epoch=7, configs=EXAMPLE[:3]).value((True, True, True)) is None
    assert by_loss.value((True,)) == -1.5
    assert by_loss.value((False,)) is None


def test_the_removal_delta_is_all_on_minus_all_off():
    assert CounterfactualMatrix(epoch=7, configs=EXAMPLE, slot_ids=SLOTS).removal_delta() == pytest.approx(4.1)
    assert CounterfactualMatrix(epoch=7, configs=EXAMPLE[:-1], slot_ids=SLOTS).removal_delta() is None


def test_a_pair_of_which_only_the_effect_is_known_is_undecided():
    known = InteractionEstimate(2.0, 0.5, 1.0, 3.0, "synergy")
    effects = {("a", "b"): 2.0, ("a", "c"): 1.0}
    matrix = CounterfactualMatrix(epoch=1, configs=(), interaction_effects=effects, interactions={("a", "b"): known})
    assert matrix.pairs() == {("a", "b"): known, ("a", "c"): InteractionEstimate(1.0)}
    assert matrix.pairs()["a", "c"].regime == "undecided"


def test_a_slot_is_claimed_only_when_its_value_exceeds_two_standard_errors():
    """The review's rule, mean - 2*std > 0: at zero exactly, and without a standard error, nothing is claimed."""
    values = {
        "clear": ShapleyEstimate(mean=1.2, std=0.5, n_samples=20),
        "border": ShapleyEstimate(mean=1.0, std=0.5, n_samples=20),
        "noisy": ShapleyEstimate(mean=1.2, std=0.7, n_samples=20),
        "negative": ShapleyEstimate(mean=-3.0, std=0.1, n_samples=20),
        "unknown": ShapleyEstimate(mean=9.0, std=None, n_samples=8, exact=True),
    }
    assert CounterfactualMatrix(epoch=7, configs=(), shapley_values=values).positive_claims() == ("clear",)
    assert CounterfactualMatrix(epoch=7, configs=()).positive_claims() == ()


def test_the_validity_note_says_what_is_measured_and_what_is_not():
    """The review's P0-3, word for word where it matters: removal cost, not causal contribution."""
    note = str(CounterfactualValidityNote())
    assert note == (
        "Measured: Removal cost: how much worse the trained network is at this epoch when slots are switched off. "
        "Not measured: Causal contribution: how much better it became because it was trained with them. "
        "Host and other seed modules adapted while all slots were present. "
        "Parallel control runs, trained from the start without the slot, show the causal contribution."
    )
    assert CounterfactualMatrix(epoch=7, configs=()).validity == CounterfactualValidityNote()


def test_losses_may_be_anything_and_what_was_not_measured_is_none():
    assert math.isnan(CounterfactualResult(config=(), val_loss=math.nan).val_loss)
    assert Evaluation().accuracy is None
