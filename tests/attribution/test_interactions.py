"""Interaction indices: against shapiq, against their definitions, and on games whose answer is known."""

from itertools import combinations, product
from math import comb

import numpy as np
import pytest

from karn_wandb.attribution import interaction_index
from karn_wandb.errors import AttributionError
from karn_wandb.records import CounterfactualMatrix, CounterfactualResult

INDICES = ("SII", "k-SII", "STII", "FSII", "BII")


def names(n):
    return tuple(f"slot{i}" for i in range(n))


def matrix_of(table, metric="accuracy"):
    n = len(table).bit_length() - 1
    field = "val_accuracy" if metric == "accuracy" else "val_loss"
    results = [CounterfactualResult(config=c, **{field: v}) for c, v in zip(product((False, True), repeat=n), table, strict=True)]
    return CounterfactualMatrix(epoch=1, configs=tuple(results), slot_ids=names(n), metric=metric)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("index", ["SII", "k-SII", "STII", "BII"])
def test_indices_of_every_order_are_those_of_shapiq(n, index):
    """Reference: shapiq 1.4.1, ExactComputer."""
    exact, table = shapiq_of(n)
    matrix = matrix_of(table)
    for order in range(1, min(n, 4) + 1):
        ours = interaction_index(matrix, index, order)
        theirs = exact(index, order)
        sets = [members for members in theirs.interaction_lookup if members]
        assert set(ours) == {tuple(names(n)[i] for i in members) for members in sets}
        for members in sets:
            assert ours[tuple(names(n)[i] for i in members)] == pytest.approx(theirs[members], abs=1e-10)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
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


@pytest.mark.parametrize(("n", "order"), [(n, order) for n in (2, 3, 5, 7) for order in (1, 2, 3) if order < n])
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
