"""Interaction indices: against shapiq, against their definitions, and on games whose answer is known."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.attribution import CounterfactualEngine, interaction_estimates, interaction_index
from karn_wandb.attribution.games import coalition_sizes, moebius_transform
from karn_wandb.attribution.interactions import regime
from karn_wandb.attribution.uncertainty import Estimate, interval
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualConfig, CounterfactualMatrix, CounterfactualResult, Evaluation

INDICES = ("SII", "k-SII", "STII", "FSII", "BII")


def names(n):
    return tuple(f"slot{i}" for i in range(n))


def matrix_of(table, metric="accuracy"):
    n = len(table).bit_length() - 1
    field = "val_accuracy" if metric == "accuracy" else "val_loss"
    results = [CounterfactualResult(config=c, **{field: v}) for c, v in zip(product((False, True), repeat=n), table, strict=True)]
    return CounterfactualMatrix(epoch=1, configs=tuple(results), slot_ids=names(n), metric=metric)


@pytest.mark.parametrize("n", range(1, 11))
@pytest.mark.parametrize("index", ["SII", "k-SII", "STII", "BII"])
def test_indices_are_those_of_shapiq(n, index):
    """Reference: shapiq 1.4.1, ExactComputer. Of 9 and 10 slots up to order 4: above, its k-SII is only right to 1e-9.

    The test of k-SII of all orders below holds ours to its definition there.
    """
    exact, table = shapiq_of(n)
    matrix = matrix_of(table)
    for order in range(1, (n if n < 9 else 4) + 1):
        ours = interaction_index(matrix, index, order)
        theirs = exact(index, order)
        sets = [members for members in theirs.interaction_lookup if members]
        assert set(ours) == {tuple(names(n)[i] for i in members) for members in sets}
        for members in sets:
            assert ours[tuple(names(n)[i] for i in members)] == pytest.approx(theirs[members], abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10])
def test_fsii_is_that_of_shapiq_as_far_as_shapiq_goes(n):
    """Reference: shapiq 1.4.1, least squares with large weights for its constraints, right to about 1e-9 of the values.

    The next test holds ours to 1e-10 against the definition.
    """
    exact, table = shapiq_of(n)
    for order in range(1, min(n, 3) + 1):
        ours, theirs = interaction_index(matrix_of(table), "FSII", order), exact("FSII", order)
        for members, value in ours.items():
            assert value == pytest.approx(theirs[tuple(names(n).index(m) for m in members)], abs=1e-6)


def shapiq_of(n):
    shapiq = pytest.importorskip("shapiq")
    table = np.random.default_rng(n).uniform(0, 100, 2**n)
    bits = 1 << np.arange(n - 1, -1, -1)
    return shapiq.ExactComputer(lambda coalitions: table[np.asarray(coalitions).astype(int) @ bits], n), table


@pytest.mark.parametrize(("n", "order"), [(n, order) for n in (2, 3, 5, 7, 10) for order in (1, 2, 3) if order < n])
def test_fsii_is_the_best_fit_of_its_definition(n, order):
    """Reference: Tsai, Yeh and Ravikumar (2023): Shapley-kernel least squares, exact at both corners."""
    table = np.random.default_rng(n).uniform(0, 100, 2**n)
    coalitions = list(product((0, 1), repeat=n))
    sets = [members for size in range(order + 1) for members in combinations(range(n), size)]
    design = np.array([[float(all(c[i] for i in members)) for members in sets] for c in coalitions])
    sizes = np.array([sum(c) for c in coalitions])
    inner = (sizes > 0) & (sizes < n)
    weights = np.array([1 / (comb(n, s) * s * (n - s)) if 0 < s < n else 0.0 for s in sizes])
    corners = design[~inner]
    system = np.block([[design.T @ (weights[:, None] * design), corners.T], [corners, np.zeros((2, 2))]])
    best = np.linalg.solve(system, np.concatenate([design.T @ (weights * table), table[~inner]]))
    ours = interaction_index(matrix_of(table), "FSII", order)
    for members, expected in zip(sets, best, strict=False):
        if members:
            assert ours[tuple(names(n)[i] for i in members)] == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("index", ["k-SII", "STII", "FSII"])
@pytest.mark.parametrize("order", [1, 2, 4])
def test_efficient_indices_add_up_to_the_gain_of_all_slots(index, order):
    table = np.random.default_rng(0).uniform(0, 100, 2**4)
    assert sum(interaction_index(matrix_of(table), index, order).values()) == pytest.approx(table[-1] - table[0], abs=1e-10)


@pytest.mark.parametrize("index", INDICES)
def test_two_slots_that_work_only_together_interact_fully(index):
    """Worth 10 when both are on: whichever way it is counted, the pair is worth 10 and a third slot nothing."""
    table = np.array([0.0, 0, 0, 0, 0, 0, 10, 10])
    found = interaction_index(matrix_of(table), index, 2)
    assert found["slot0", "slot1"] == pytest.approx(10)
    assert found["slot0", "slot2"] == pytest.approx(0)
    assert found["slot1", "slot2"] == pytest.approx(0)


def test_sixteen_slots_have_every_order_up_to_all_of_them():
    """Reference: a pair of dividend 2 and a triple of dividend 6, whose indices follow by inspection."""
    on = (np.arange(2**16)[:, None] >> np.arange(15, -1, -1)) & 1
    matrix = matrix_of(10 + 2.0 * on[:, 0] * on[:, 1] + 6.0 * on[:, 1] * on[:, 2] * on[:, 15])
    pair, triple = ("slot0", "slot1"), ("slot1", "slot2", "slot15")
    for index, order, expected in (
        ("SII", 16, {pair: 2, triple: 6, triple[:2]: 3, ("slot15",): 2, ("slot1",): 3}),
        ("k-SII", 16, {pair: 2, triple: 6, triple[:2]: 0, ("slot15",): 0}),
        ("k-SII", 2, {pair: 2, triple[:2]: 3, ("slot15",): -1}),
        ("STII", 3, {pair: 2, triple: 6, triple[:2]: 0}),
        ("STII", 2, {pair: 2, triple[:2]: 2}),
        ("FSII", 16, {pair: 2, triple: 6}),
        ("FSII", 2, {pair: 2, triple[:2]: 3, ("slot15",): -1}),
        ("BII", 3, {pair: 2, triple: 6, triple[:2]: 3, ("slot15",): 1.5}),
    ):
        found = interaction_index(matrix, index, order)
        assert len(found) == sum(comb(16, size) for size in range(1, order + 1))
        for members, value in expected.items():
            assert found[members] == pytest.approx(value, abs=1e-10), (index, order, members)


@pytest.mark.parametrize("n", [3, 6, 10])
def test_k_sii_stii_and_fsii_of_all_orders_are_the_dividends(n):
    table = np.random.default_rng(n).uniform(0, 100, 2**n)
    dividends = moebius_transform(table)
    for index in ("k-SII", "STII", "FSII"):
        for members, value in interaction_index(matrix_of(table), index, n).items():
            place = sum(1 << (n - 1 - names(n).index(member)) for member in members)
            assert value == pytest.approx(dividends[place], abs=1e-9)


def test_a_loss_counts_negatively():
    losses = np.array([2.0, 1.5, 1.5, 0.5])
    assert interaction_index(matrix_of(losses, "loss"), "SII", 2)["slot0", "slot1"] == pytest.approx(0.5)


def test_twelve_slots_are_within_rounding_of_a_known_game():
    """Reference: dividends of 1 for each pair make every pair's SII 1 and every slot's k-SII 0."""
    sizes = np.array([c.bit_count() for c in range(2**12)])
    found = interaction_index(matrix_of(sizes * (sizes - 1) / 2 * 0.5), "k-SII", 2)
    assert len(found) == 12 + 66
    assert all(value == pytest.approx(0.5 if len(members) == 2 else 0, abs=1e-10) for members, value in found.items())


def test_a_matrix_that_is_not_complete_is_refused():
    matrix = matrix_of(np.arange(8.0))
    cut = CounterfactualMatrix(epoch=1, configs=matrix.configs[:5], slot_ids=matrix.slot_ids)
    with pytest.raises(AttributionError) as caught:
        interaction_index(cut)
    assert str(caught.value) == (
        "interaction_index needs the value of all 8 coalitions of 3 slots; got 5. "
        "Evaluate with CounterfactualConfig(force_full_factorial=True)."
    )


def test_a_coalition_without_the_games_value_is_missing():
    configs = tuple(CounterfactualResult(config=(on,), val_loss=1.0) for on in (False, True))
    with pytest.raises(AttributionError, match=r"all 2 coalitions of 1 slots; got 0\."):
        interaction_index(CounterfactualMatrix(epoch=1, configs=configs, slot_ids=("early",)), order=1)


def test_a_matrix_without_names_is_refused():
    with pytest.raises(AttributionError) as caught:
        interaction_index(CounterfactualMatrix(epoch=1, configs=matrix_of(np.arange(4.0)).configs))
    assert str(caught.value) == "interaction_index needs a matrix of 1 to 16 named slots; got 0 slot_ids."


def test_an_unknown_index_and_an_order_of_no_slots_are_refused():
    matrix = matrix_of(np.arange(8.0))
    with pytest.raises(AttributionError) as caught:
        interaction_index(matrix, "SHAP")
    assert str(caught.value) == "index must be one of SII, k-SII, STII, FSII, BII; got 'SHAP'."
    with pytest.raises(AttributionError) as caught:
        interaction_index(matrix, order=0)
    assert str(caught.value) == "order must be at least 1; got 0."


@pytest.mark.parametrize("index", INDICES)
def test_an_order_above_the_number_of_slots_asks_for_all_sets(index):
    assert interaction_index(matrix_of(np.array([60.0, 62])), index) == {("slot0",): 2.0}
    table = np.random.default_rng(0).uniform(0, 100, 2**3)
    assert interaction_index(matrix_of(table), index, 9) == interaction_index(matrix_of(table), index, 3)


# Pairs with their uncertainty

EXAMPLE = np.array([62.3, 64.1, 63.8, 65.2, 63.5, 65.8, 64.9, 66.4])
"""The requirement's: accuracy by coalition of slot0 (early), slot1 (mid), slot2 (late)."""
PAIRS = [("slot0", "slot1"), ("slot0", "slot2"), ("slot1", "slot2")]


def test_pairs_of_the_example_by_hand_at_both_corners():
    empty = [64.9 - 63.5 - 63.8 + 62.3, 65.8 - 63.5 - 64.1 + 62.3, 65.2 - 63.8 - 64.1 + 62.3]
    full = [66.4 - 65.2 - 65.8 + 64.1, 66.4 - 65.2 - 64.9 + 63.8, 66.4 - 65.8 - 64.9 + 63.5]
    assert empty == pytest.approx([-0.1, 0.5, -0.4])
    assert full == pytest.approx([-0.5, 0.1, -0.8])
    for basis, expected in (("empty_corner", empty), ("full_corner", full)):
        found = interaction_estimates(matrix_of(EXAMPLE), basis)
        assert list(found) == PAIRS
        assert [pair.effect for pair in found.values()] == pytest.approx(expected, abs=1e-12)
        assert {(pair.std, pair.regime, pair.evaluation_method) for pair in found.values()} == {(None, "undecided", None)}


def test_the_engine_says_what_is_seen_from_the_empty_corner():
    matrix = CounterfactualEngine().evaluate(names(3), lambda c: float(EXAMPLE[int("".join(map(str, map(int, c))), 2)]), 1)
    assert matrix.interaction_basis == "empty_corner"
    assert matrix.interactions == interaction_estimates(matrix)
    assert matrix.interaction_effects == {pair: found.effect for pair, found in matrix.interactions.items()}


@given(st.integers(2, 6), st.integers(0, 1000))
def test_both_corners_agree_on_a_game_of_single_slots_and_pairs(n, seed):
    rng = np.random.default_rng(seed)
    dividends = np.where(coalition_sizes(n) <= 2, rng.uniform(-2, 2, 2**n), 0)
    coalitions = np.arange(2**n)
    table = 50 + np.array([dividends[(coalitions & whole) == coalitions].sum() for whole in coalitions])
    empty, full = (interaction_estimates(matrix_of(table), basis) for basis in ("empty_corner", "full_corner"))
    assert [pair.effect for pair in empty.values()] == pytest.approx([pair.effect for pair in full.values()], abs=1e-9)


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_an_averaged_interaction_is_the_index_of_order_two(index, n):
    matrix = matrix_of(np.random.default_rng(n).uniform(0, 100, 2**n))
    values = interaction_index(matrix, index, 2)
    for pair, found in interaction_estimates(matrix, index).items():
        assert found.effect == pytest.approx(values[pair], abs=1e-10)


@pytest.mark.parametrize("basis", ["empty_corner", "full_corner", *INDICES])
def test_an_interactions_error_is_that_of_each_examples_own_interaction(basis):
    correct = np.random.default_rng(0).uniform(size=(8, 40)) < 0.6
    outcomes = dict(zip(product((False, True), repeat=3), correct, strict=True))
    matrix = CounterfactualEngine().evaluate(names(3), lambda c: Evaluation(correct=outcomes[c].tolist()), 1)
    own = [[pair.effect for pair in interaction_estimates(matrix_of(100.0 * correct[:, x]), basis).values()] for x in range(40)]
    found = interaction_estimates(matrix, basis)
    expected = np.std(own, axis=0, ddof=1) / np.sqrt(40)
    assert [pair.std for pair in found.values()] == pytest.approx(expected.tolist(), rel=1e-9)
    assert {pair.evaluation_method for pair in found.values()} == {"per_example"}


def test_a_pair_is_known_when_its_four_coalitions_are():
    matrix = CounterfactualEngine(CounterfactualConfig(strategy="full_factorial", max_configurations=6))
    cut = matrix.evaluate(names(3), lambda c: 50.0 + sum(c), 1)
    known = {result.config for result in cut.configs}
    full = {
        pair
        for (i, j), pair in zip(combinations(range(3), 2), PAIRS, strict=True)
        if all(tuple(on if k in (i, j) else True for k, on in enumerate(c)) in known for c in flips(i, j))
    }
    assert set(interaction_estimates(cut, "full_corner")) == full
    assert cut.interactions == {}


def flips(i, j):
    return [tuple({i: a, j: b}.get(k, True) for k in range(3)) for a in (False, True) for b in (False, True)]


def estimated(mean, std, df=float("inf")):
    return Estimate(mean, std, *interval(mean, std, df), degrees_of_freedom=df)


@pytest.mark.parametrize(
    ("mean", "std", "margin", "expected"),
    [
        (1.0, 0.5, 0.5, "synergy"),  # 1 - 1.96 * 0.5 > 0
        (-1.0, 0.5, 0.5, "interference"),
        (0.97, 0.5, 0.5, "undecided"),
        (0.0, 0.3, 0.5, "independence"),  # 1.645 * 0.3 < 0.5 < 1.96 * 0.3: the 90 % interval decides
        (0.0, 0.31, 0.5, "undecided"),
        (0.02, 0.3, 0.5, "undecided"),
        (0.1, 0.01, 0.5, "synergy"),  # small, and shown not to be none
        (0.0, 0.0, 0.0, "independence"),
        (0.0, 0.1, 0.0, "undecided"),
    ],
)
def test_regimes(mean, std, margin, expected):
    assert regime(estimated(mean, std), margin) == expected


def test_few_groups_decide_less():
    assert regime(estimated(1.0, 0.5, df=3), 0.5) == "undecided"
    assert regime(estimated(0.0, 0.3, df=3), 0.5) == "undecided"
    assert regime(Estimate(1.0), 0.5) == "undecided"


def drawn_pair(rng, interaction, examples=2000):
    """Two slots worth 3 points each and `interaction` together, on examples of which the slots flip others both ways."""
    difficulty, flips = rng.uniform(size=examples), rng.uniform(-0.05, 0.05, size=(2, examples))
    skill = {(a, b): 0.5 + 0.03 * (a + b) + interaction / 100 * (a and b) for a, b in product((False, True), repeat=2)}
    return {(a, b): (difficulty + a * flips[0] + b * flips[1] < s).tolist() for (a, b), s in skill.items()}


@pytest.mark.parametrize(("interaction", "wrong"), [(0.0, {"synergy", "interference"}), (1.0, {"independence", "interference"})])
def test_regimes_are_seldom_wrong(interaction, wrong):
    """Nominal 5 %: no interaction called one; and one of exactly the margin called none."""
    rng = np.random.default_rng(0)
    called = []
    for _ in range(400):
        correct = drawn_pair(rng, interaction)
        engine = CounterfactualEngine(CounterfactualConfig(independence_margin=1.0))
        (found,) = engine.evaluate(("a", "b"), lambda c, of=correct: Evaluation(correct=of[c]), 1).interactions.values()
        called.append(found.regime)
    assert np.mean([each in wrong for each in called]) < 0.08
    assert set(called) - wrong - {"undecided"}


def test_a_loss_needs_a_margin_of_its_own():
    losses = {
        on: tuple((1.0 + 0.1 * on[0] + 0.1 * on[1] + 1e-3 * np.arange(9) * (on == (1, 1))).tolist())
        for on in product((0, 1), repeat=2)
    }
    matrix = CounterfactualEngine().evaluate(("a", "b"), lambda c: Evaluation(group_losses=losses[c]), 1, metric="loss")
    ((pair, found),) = matrix.interactions.items()
    assert found.regime == "interference"
    shifted = {on: tuple(np.subtract(of, 0.004 * (on == (1, 1))).tolist()) for on, of in losses.items()}
    matrix = CounterfactualEngine().evaluate(("a", "b"), lambda c: Evaluation(group_losses=shifted[c]), 1, metric="loss")
    assert matrix.interactions[pair].regime == "undecided"
    assert interaction_estimates(matrix, margin=0.05)[pair].regime == "independence"


def test_an_unknown_basis_and_a_margin_below_zero_are_refused():
    with pytest.raises(AttributionError) as caught:
        interaction_estimates(matrix_of(EXAMPLE), "corner")
    assert str(caught.value) == ("basis must be one of empty_corner, full_corner, SII, k-SII, STII, FSII, BII; got 'corner'.")
    for margin in (-1.0, float("nan")):
        with pytest.raises(AttributionError, match="margin must be at least 0"):
            interaction_estimates(matrix_of(EXAMPLE), margin=margin)


def test_an_index_needs_every_coalition():
    matrix = matrix_of(EXAMPLE)
    cut = CounterfactualMatrix(epoch=1, configs=matrix.configs[:5], slot_ids=matrix.slot_ids)
    with pytest.raises(AttributionError, match="interaction_estimates needs the value of all 8 coalitions of 3 slots; got 5"):
        interaction_estimates(cut, "SII")
