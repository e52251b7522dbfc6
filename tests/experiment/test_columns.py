"""Columns: a frame made of tables is the one that all their rows would make."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from karn_wandb.experiment.columns import FLAG, NUMBER, TEXT, WHOLE, frame_of, frame_of_tables, table_of

FIXED = {"run": TEXT, "n": WHOLE, "x": NUMBER, "flag": FLAG}
VALUES = {
    "run": st.text(max_size=3),
    "n": st.integers(0, 2**64 - 1),
    "x": st.floats(),
    "flag": st.booleans(),
    "free.text": st.text(max_size=3),
    "free.whole": st.integers(0, 5),
    "free.large": st.integers(2**63, 2**64 - 1),
    "free.number": st.floats(),
    "free.flag": st.booleans(),
}
OPTIONAL = {name: st.none() | value for name, value in VALUES.items() if name != "run"}
ROWS = st.lists(st.fixed_dictionaries({"run": VALUES["run"]}, optional=OPTIONAL), max_size=5)


@given(st.lists(ROWS, max_size=4))
def test_tables_make_the_frame_that_their_rows_make(parts):
    found = frame_of_tables([table_of(rows) for rows in parts], FIXED)
    expected = frame_of([row for rows in parts for row in rows], FIXED)
    pd.testing.assert_frame_equal(found, expected)


def test_numbers_that_are_whole_in_one_table_only_are_numbers():
    tables = [table_of([{"x": 1}]), table_of([{"x": 1.5}, {"x": None}])]
    pd.testing.assert_frame_equal(frame_of_tables(tables, {}), frame_of([{"x": 1}, {"x": 1.5}, {"x": None}], {}))


@pytest.mark.parametrize("values", [[1, "a"], [[1]], [1, True]])
def test_a_column_of_values_that_it_cannot_hold_as_they_are_is_refused(values):
    with pytest.raises(TypeError, match="a column cannot hold"):
        table_of([{"x": value} for value in values])
