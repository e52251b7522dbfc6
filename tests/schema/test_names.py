"""Names in keys: any text becomes one segment, and comes back."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import NASTY_NAMES

from karn_wandb.schema.names import escape, join, split, unescape

tricky = st.text("_xab0g-/\N{SEEDLING}", max_size=12)  # what escapes are made of, so that names look like them
names = st.sampled_from(NASTY_NAMES) | tricky | st.text(max_size=8)


@given(names)
def test_a_name_comes_back_from_its_segment(name):
    assert unescape(escape(name)) == name


@given(names)
def test_a_segment_holds_letters_digits_and_underscores_only(name):
    assert re.fullmatch(r"[A-Za-z0-9_]+", escape(name))


@given(st.lists(names, max_size=4).map(tuple))
def test_several_names_come_back_from_one_segment(several):
    segment = join(several)
    assert split(segment) == several
    assert re.fullmatch(r"[A-Za-z0-9_]*", segment)


@given(st.text("_x0af", max_size=12))
def test_any_segment_of_allowed_characters_can_be_read(segment):
    """Keys of other people look like ours sometimes; reading them must not fail."""
    assert isinstance(unescape(segment), str)


@pytest.mark.parametrize("code", ["110000", "d" * 40])
def test_a_code_beyond_unicode_is_no_escape_and_stays_as_it_is(code):
    assert unescape(f"a_x{code}_b") == f"a_x{code}_b"


@pytest.mark.parametrize(
    ("name", "segment"),
    [
        ("early", "early"),
        ("slot_1", "slot_1"),
        ("conv-1/a", "conv_x2d_1_x2f_a"),
        ("", "_x_"),
        ("a__b", "a_x5f__x5f_b"),
        ("a_x", "a_x5f_x"),
        ("_", "_x5f_"),
        ("\N{SEEDLING}", "_x1f331_"),
    ],
)
def test_keys_read_well_and_stay_as_they_are_from_version_to_version(name, segment):
    assert escape(name) == segment


def test_a_pair_is_joined_by_two_underscores():
    assert join(("early", "late")) == "early__late"
    assert join(("a_", "_b")) == "a_x5f____x5f_b"
