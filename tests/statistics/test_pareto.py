"""The Pareto front, against its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.errors import StatisticsError
from karn_wandb.statistics.pareto import pareto_front

points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12)


@given(points)
def test_on_the_front_is_what_nothing_beats_in_one_and_equals_in_the_other(found):
    def beaten(one):
        return any(cost <= one[0] and value >= one[1] and (cost, value) != one for cost, value in found)

    front = pareto_front([cost for cost, _ in found], [value for _, value in found])
    assert front == tuple(not beaten(one) for one in found)


def test_the_order_of_the_points_does_not_matter():
    costs, values = np.array([1, 2, 3, 2]), np.array([5, 4, 9, 8])
    assert pareto_front(costs, values) == (True, False, True, True)
    assert pareto_front(costs[::-1], values[::-1]) == (True, True, False, True)


@pytest.mark.parametrize(
    ("costs", "values", "message"),
    [
        ([1.0], [1.0, 2.0], "a front needs a cost and a value for each point; got shapes (1,) and (2,)."),
        ([1.0], [np.nan], "costs and values of a front must be numbers; got NaN. Leave out what was not measured."),
    ],
)
def test_what_is_no_point_is_refused(costs, values, message):
    with pytest.raises(StatisticsError) as error:
        pareto_front(costs, values)
    assert str(error.value) == message
