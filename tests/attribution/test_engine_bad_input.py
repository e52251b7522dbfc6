"""Bad input: each a clear error, word for word."""

from dataclasses import replace

import pytest

from karn_wandb.attribution import CounterfactualEngine
from karn_wandb.errors import AttributionError, RecordError
from karn_wandb.records import CounterfactualConfig, CounterfactualResult, Evaluation

SAMPLED = pytest.mark.parametrize(
    "config",
    [CounterfactualConfig(strategy="shapley", estimator=name) for name in ("permutation_antithetic", "leverage_regression")],
    ids=lambda config: config.estimator,
)
EIGHT = tuple("abcdefgh")


def message(slot_ids=("early", "mid"), value=lambda _: 50.0, epoch=1, config=None, **options):
    with pytest.raises(AttributionError) as caught:
        CounterfactualEngine(config or CounterfactualConfig()).evaluate(slot_ids, value, epoch, **options)
    return str(caught.value)


def test_no_slots():
    assert message(()) == "a coalition game needs at least one slot; got none. Attribute once a slot is there."


def test_slots_named_twice():
    assert message(("early", "mid", "early")) == "every slot may be named once; got 'early' twice."


@pytest.mark.parametrize("slot_ids", ["early", (1, 2)])
def test_slots_that_are_no_names(slot_ids):
    assert message(slot_ids) == f"slot_ids must be a sequence of names; got {slot_ids!r}."


def test_a_full_factorial_of_too_many_slots():
    config = CounterfactualConfig(force_full_factorial=True)
    assert message(tuple("abcdefghijklmnopq"), config=config) == (
        'a full factorial may have at most 16 slots; got 17 slots, 131072 coalitions. Sample them with strategy="shapley".'
    )


def test_a_value_function_that_raises_in_the_middle_is_named_with_its_coalition_and_its_error():
    def value(config):
        return 50.0 if all(config) else 1 / 0

    with pytest.raises(AttributionError) as caught:
        CounterfactualEngine().evaluate(("early", "mid"), value, 1)
    assert str(caught.value) == (
        "the value function failed for coalition 00 of (early, mid); got ZeroDivisionError: division by zero. "
        "What it raised is the cause of this error."
    )
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_an_accuracy_that_no_evaluation_can_hold_is_named_with_its_coalition():
    assert message(("early",), lambda _: Evaluation(accuracy=120.0)) == (
        "the value function failed for coalition 1 of (early); got RecordError: Evaluation.accuracy must be between 0 and 100; "
        "got 120.0. Accuracies are percentages, 0 to 100. What it raised is the cause of this error."
    )


class FailsLater:
    """Fine for the first thirty coalitions."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def __call__(self, config):
        self.asked.append(config)
        return 50.0 + len(self.asked) % 7 if len(self.asked) <= 30 else self.answer()

    @property
    def last(self):
        return "".join(str(int(on)) for on in self.asked[-1])


@SAMPLED
@pytest.mark.parametrize("target_std", [None, 1e-9])
def test_sampling_whose_value_function_raises_in_the_middle_returns_nothing(config, target_std):
    value = FailsLater(lambda: 1 / 0)
    assert message(EIGHT, value, config=replace(config, target_std=target_std)) == (
        f"the value function failed for coalition {value.last} of (a, b, c, d, e, f, g, h); "
        "got ZeroDivisionError: division by zero. What it raised is the cause of this error."
    )
    assert len(value.asked) == 31


@SAMPLED
def test_sampling_whose_value_becomes_nan_in_the_middle_returns_nothing(config):
    value = FailsLater(lambda: float("nan"))
    assert message(EIGHT, value, config=config) == (
        f"the value of coalition {value.last} of (a, b, c, d, e, f, g, h) must be an accuracy in percent, 0 to 100; got nan. "
        'For a loss pass metric="loss".'
    )


@SAMPLED
def test_correct_bits_whose_length_changes_after_a_look_at_the_errors(config):
    asked = []

    def value(coalition):
        asked.append(coalition)
        return Evaluation(correct=(True, all(coalition)) * (1 + (len(asked) > 100)))

    assert message(EIGHT, value, config=replace(config, target_std=0.0)).startswith(
        "every coalition must have its `correct` bits for the same validation examples; got 2, and 4 for coalition"
    )


@SAMPLED
def test_no_slots_to_sample(config):
    assert message((), config=config).startswith("a coalition game needs at least one slot; got none.")


@SAMPLED
def test_twenty_slots_that_must_be_exact(config):
    forced = replace(config, force_full_factorial=True)
    assert message(tuple("abcdefghijklmnopqrst"), config=forced) == (
        'a full factorial may have at most 16 slots; got 20 slots, 1048576 coalitions. Sample them with strategy="shapley".'
    )


def test_an_interrupt_goes_through():
    def value(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CounterfactualEngine().evaluate(("early",), value, 1)


@pytest.mark.parametrize("number", [-0.1, 100.5, float("nan"), float("inf")])
def test_a_number_that_is_no_accuracy(number):
    assert message(("early",), lambda _: number) == (
        f"the value of coalition 1 of (early) must be an accuracy in percent, 0 to 100; got {number}. "
        'For a loss pass metric="loss".'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_loss_that_is_not_finite(number):
    for value in (lambda _: number, lambda _: Evaluation(loss=number, accuracy=50.0)):
        assert message(("early",), value, metric="loss") == (
            f"the value of coalition 1 of (early) must be a finite loss; got {number}."
        )


@pytest.mark.parametrize(("answer", "shown"), [(None, "None (NoneType)"), ("66.4", "'66.4' (str)"), (True, "True (bool)")])
def test_what_is_no_value(answer, shown):
    assert message(("early", "mid"), lambda config: 50.0 if all(config) else answer) == (
        f"the value of coalition 00 of (early, mid) must be a number, an Evaluation or a CounterfactualResult; got {shown}."
    )


def test_an_evaluation_without_the_metric():
    assert message(("early",), lambda _: Evaluation(loss=0.5)) == (
        "the value of coalition 1 of (early) has no accuracy. Return the accuracy, or evaluate another metric."
    )
    assert message(("early",), lambda _: Evaluation(accuracy=50.0, correct=()), metric="loss") == (
        "the value of coalition 1 of (early) has no loss. Return the loss, or evaluate another metric."
    )


def test_a_result_of_another_coalition():
    result = CounterfactualResult(config=(False,), val_accuracy=50.0)
    assert message(("early",), lambda _: result) == (
        "the value of coalition 1 of (early) must be a result of that coalition; got one of (False,)."
    )


def test_correct_bits_of_varying_length():
    assert message(("early",), lambda on: Evaluation(correct=(True,) * (100 - on[0]))) == (
        "every coalition must have its `correct` bits for the same validation examples; "
        "got 99, and 100 for coalition 0 of (early). Evaluate the same batches in the same order for all coalitions."
    )


def test_correct_bits_that_contradict_the_accuracy():
    assert message(("early",), lambda _: Evaluation(accuracy=60.0, correct=(True, False))) == (
        "the accuracy of coalition 1 of (early) must be the share of its `correct` examples; "
        "got accuracy 60.0 and 50.0 % correct. Return the bits the accuracy was counted from, or no bits."
    )


@pytest.mark.parametrize(
    ("answer", "name", "got"),
    [
        (lambda on: Evaluation(accuracy=50.0, group_accuracies=(50.0,) * (4 - on[0])), "`group_accuracies`", "3, and 4"),
        (lambda on: Evaluation(accuracy=50.0, group_losses=(1.0,) * (4 - on[0])), "`group_losses`", "3, and 4"),
        (
            lambda on: Evaluation(accuracy=50.0, group_losses=(1.0, 1.0), group_sizes=(4, 4 - on[0])),
            "`group_sizes`",
            "(4, 3), and (4, 4)",
        ),
        (lambda on: Evaluation(accuracy=50.0, n_examples=100 + on[0]), "`n_examples`", "101, and 100"),
    ],
)
def test_coalitions_evaluated_on_other_examples(answer, name, got):
    assert message(("early",), answer) == (
        f"every coalition must have its {name} for the same validation examples; "
        f"got {got} for coalition 0 of (early). Evaluate the same batches in the same order for all coalitions."
    )


def test_groups_without_their_sizes():
    assert message(("early",), lambda _: Evaluation(group_accuracies=(50.0, 60.0), group_sizes=(1, 2, 3))) == (
        "every group of coalition 1 of (early) must have a size; got 2 groups and 3 group_sizes."
    )


def test_a_mean_outside_of_its_groups():
    assert message(("early",), lambda _: Evaluation(accuracy=0.55, group_accuracies=(50.0, 60.0))) == (
        "the accuracy of coalition 1 of (early) must lie between those of its groups; got 0.55, groups from 50.0 to 60.0. "
        "Give the mean over all examples, and each group's own mean in the same unit."
    )


def test_groups_of_infinite_loss():
    assert message(("early",), lambda _: Evaluation(loss=1.0, group_losses=(1.0, float("inf"))), metric="loss") == (
        "the loss of every group of coalition 1 of (early) must be finite; got (1.0, inf)."
    )


def test_a_number_of_examples_that_is_not_that_of_the_bits():
    assert message(("early",), lambda _: Evaluation(correct=(True, False), n_examples=3)) == (
        "n_examples of coalition 1 of (early) must be the number of its `correct` bits; got 3 and 2."
    )


@pytest.mark.parametrize("alphas", [{"early": 1.0}, {"early": 1.0, "mid": 1.0, "late": 1.0}, {}])
def test_alphas_of_other_slots(alphas):
    assert message(alphas=alphas) == (
        f"alphas must name every slot and no other; got {sorted(alphas)} for the slots ['early', 'mid']."
    )


def test_an_alpha_out_of_range_is_found_before_anything_is_evaluated():
    asked = []
    with pytest.raises(RecordError) as caught:
        CounterfactualEngine().evaluate(("early",), asked.append, 1, alphas={"early": 1.2})
    assert str(caught.value) == "CounterfactualResult.alpha_settings['early'] must be between 0 and 1; got 1.2."
    assert asked == []


def test_an_unknown_metric():
    assert message(metric="f1") == 'metric must be "accuracy" or "loss"; got \'f1\'.'


@pytest.mark.parametrize("epoch", [-1, 1.5, True, None])
def test_an_epoch_that_is_none(epoch):
    assert message(epoch=epoch) == f"epoch must be a whole number of at least 0; got {epoch!r}."


def test_a_seed_that_is_none():
    with pytest.raises(AttributionError) as caught:
        CounterfactualEngine(seed=-1)
    assert str(caught.value) == "seed must be a whole number of at least 0; got -1."


class TooFew:
    def evaluate_all(self, configs):
        return [Evaluation(accuracy=50.0)] * (len(configs) - 1)


def test_a_value_that_loses_coalitions():
    assert message(value=TooFew()) == "evaluate_all must return an evaluation for each of 4 coalitions of (early, mid); got 3."


class ChecksItself:
    repeats = 1

    def evaluate_all(self, configs):
        return [Evaluation(accuracy=50.0)] * len(configs)


def test_a_budget_that_the_repetition_uses_up():
    assert message(value=ChecksItself(), config=CounterfactualConfig(max_configurations=1)) == (
        "max_configurations must be more than the 1 that the value evaluates a second time to check itself; got 1."
    )


def test_a_value_that_cannot_be_asked_in_part_to_be_decided_early():
    assert message(value=TooFew(), config=CounterfactualConfig(decide_early=True)) == (
        "decide_early needs a value that can be asked about a part of the validation examples; got TooFew. "
        "Pass a ModelEvaluator or another PartialValue, or set decide_early=False."
    )


class OtherSlots:
    slot_ids = ("mid", "early")
    alphas = {"mid": 1.0, "early": 1.0}  # noqa: RUF012 -- never changed

    def __call__(self, config):
        return 50.0


def test_slots_in_another_order_than_the_value_functions():
    assert message(value=OtherSlots()) == (
        "slot_ids must be those of the value function, in its order; got ('early', 'mid') and ('mid', 'early'). "
        "Pass value.slot_ids."
    )
