"""Each kind of field: what the constructor takes and keeps, what it refuses and in which words, how it is stored."""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum, StrEnum
from fractions import Fraction as Rational
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import numbers, times, values

from karn_wandb.errors import RecordError
from karn_wandb.records import SeedStage, SlotSnapshot, TelemetryEventType
from karn_wandb.records._kinds import Bounds, Count, Finite, Percent, kind_of, straight


class Word(str, Enum):  # noqa: UP042 -- its str() is "Word.GO", which must not be what is kept
    GO = "go"


class Modern(StrEnum):
    GO = "go"


class Nowhere(tzinfo):
    """A time zone that does not know its offset."""

    def utcoffset(self, when: datetime | None) -> timedelta | None:
        return None


def check(annotation: Any, value: Any) -> Any:
    return kind_of(annotation).check(value, "R.f")


def refusal(annotation: Any, value: Any) -> str:
    with pytest.raises(RecordError) as raised:
        check(annotation, value)
    return str(raised.value)


KEPT = [
    (float, 3, 3.0),
    (float, np.float32(0.5), 0.5),
    (float, np.int64(3), 3.0),
    (float, Rational(1, 4), 0.25),
    (float, -0.0, -0.0),
    (float, math.inf, math.inf),
    (int, np.int32(7), 7),
    (int, np.uint64(2**64 - 1), 2**64 - 1),
    (int, -(2**63), -(2**63)),
    (int, SeedStage.HOLDING, 6),
    (bool, np.True_, True),
    (bool, np.bool_(0), False),
    (str, np.str_("a"), "a"),
    (str, Word.GO, "go"),
    (str, Modern.GO, "go"),
    (Path, "a/b.pt", Path("a/b.pt")),
    (Path, Word.GO, Path("go")),
    (Literal["go", "stop"], Word.GO, "go"),
    (Literal["go", "stop"], np.str_("stop"), "stop"),
    (SeedStage, "TRAINING", SeedStage.TRAINING),
    (TelemetryEventType, "EPOCH_COMPLETED", TelemetryEventType.EPOCH_COMPLETED),
    (int | None, None, None),
    (tuple[float, ...], [1, np.float64(2)], (1.0, 2.0)),
    (tuple[float, ...], np.array([1, 2]), (1.0, 2.0)),
    (tuple[float, float], (x for x in (1, 2)), (1.0, 2.0)),
    (tuple[str, ...], {"b": 1, "a": 2}.keys(), ("b", "a")),
    (tuple[tuple[bool, ...], ...], [[True], []], ((True,), ())),
    (dict[str, float], OrderedDict(b=1, a=2), {"b": 1.0, "a": 2.0}),
    (dict[int, float], {np.int64(2): 1, 1: 2}, {1: 2.0, 2: 1.0}),
    (dict[tuple[str, ...], float], {("b", "a"): 1, ("a",): 2}, {("a",): 2.0, ("b", "a"): 1.0}),
]


@pytest.mark.parametrize(("annotation", "given_value", "kept"), KEPT, ids=lambda v: repr(v)[:40])
def test_a_value_is_kept_as_a_plain_python_value(annotation, given_value, kept):
    """NumPy scalars, text enums, sequences and mappings of any class: the type is exact, and so is the order of keys."""
    result = check(annotation, given_value)
    assert repr(result) == repr(kept)
    assert type(result) is type(kept)


STAGES = "The members are DORMANT, GERMINATED, TRAINING, BLENDING, HOLDING, FOSSILIZED, PRUNED, EMBARGOED, RESETTING."

REFUSED = [
    (float, "1", "R.f must be a number; got '1' (str)."),
    (float, True, "R.f must be a number; got True (bool)."),
    (float, None, "R.f must be a number; got None (NoneType)."),
    (float, 1j, "R.f must be a number; got 1j (complex)."),
    (float, 10**309, f"R.f must be a number that a float can hold; got 1{'0' * 76}... (int)."),
    (int, 3.0, "R.f must be a whole number; got 3.0 (float)."),
    (int, False, "R.f must be a whole number; got False (bool)."),
    (int, 2**64, "R.f must be a whole number of at most 64 bits; got 18446744073709551616 (int)."),
    (int, -(2**63) - 1, "R.f must be a whole number of at most 64 bits; got -9223372036854775809 (int)."),
    (bool, 1, "R.f must be True or False; got 1 (int)."),
    (bool, "yes", "R.f must be True or False; got 'yes' (str)."),
    (str, 3, "R.f must be text; got 3 (int)."),
    (str, b"a", "R.f must be text; got b'a' (bytes)."),
    (str, "a\ud800", "R.f must be text that UTF-8 can carry; got 'a\\ud800' (str). Remove lone surrogates."),
    (Path, 3, "R.f must be a path; got 3 (int)."),
    (Path, b"PK", "R.f must be a path; got b'PK' (bytes). Pass the path of a saved file, not its bytes."),
    (Path, Path("\udc80"), "R.f must be text that UTF-8 can carry; got '\\udc80' (str). Remove lone surrogates."),
    (datetime, "now", "R.f must be a datetime with a time zone; got 'now' (str). Use datetime.now(UTC)."),
    (
        datetime,
        datetime(2025, 1, 1),  # noqa: DTZ001 -- the naive datetime is the bad input
        "R.f must be a datetime with a time zone; got datetime.datetime(2025, 1, 1, 0, 0) (datetime). Use datetime.now(UTC).",
    ),
    (datetime, pd.NaT, "R.f must be a datetime with a time zone; got NaT (NaTType). Use datetime.now(UTC)."),
    (Literal["go", "stop"], "wait", "R.f must be one of 'go', 'stop'; got 'wait' (str)."),
    (Literal["go", "stop"], 1, "R.f must be one of 'go', 'stop'; got 1 (int)."),
    (
        SeedStage,
        "SLEEPING",
        f"R.f must be a SeedStage; got 'SLEEPING' (str). {STAGES}",
    ),
    (
        SeedStage,
        3,
        f"R.f must be a SeedStage; got 3 (int). {STAGES}",
    ),
    (Percent, math.nan, "R.f must be between 0 and 100; got nan. Accuracies are percentages, 0 to 100."),
    (Percent, 100.5, "R.f must be between 0 and 100; got 100.5. Accuracies are percentages, 0 to 100."),
    (Finite, math.inf, "R.f must be a finite number; got inf."),
    (Count, -1, "R.f must be at least 0; got -1."),
    (Annotated[float, Bounds(None, 2)], 3, "R.f must be at most 2; got 3.0."),
    (int | None, "x", "R.f must be a whole number; got 'x' (str)."),
    (tuple[str, ...], "early", "R.f must be a sequence of text; got 'early' (str)."),
    (tuple[str, ...], {"a"}, "R.f must be a sequence of text; got {'a'} (set)."),
    (tuple[str, ...], {"a": 1}, "R.f must be a sequence of text; got {'a': 1} (dict)."),
    (tuple[float, ...], b"ab", "R.f must be a sequence of a number; got b'ab' (bytes)."),
    (tuple[float, ...], 3, "R.f must be a sequence of a number; got 3 (int)."),
    (tuple[float, ...], np.array(3.0), "R.f must be a sequence of a number; got array(3.) (ndarray)."),
    (tuple[float, ...], [1, "x"], "R.f[1] must be a number; got 'x' (str)."),
    (tuple[float, float], [1], "R.f must be 2 values, each a number; got [1] (list)."),
    (dict[str, float], [("a", 1)], "R.f must be a mapping from text to a number; got [('a', 1)] (list)."),
    (dict[str, float], {1: 1}, "a key of R.f must be text; got 1 (int)."),
    (dict[str, float], {"a": "x"}, "R.f['a'] must be a number; got 'x' (str)."),
    (dict[int, float], {"1": 1.0}, "a key of R.f must be a whole number; got '1' (str)."),
    (
        dict[str, float],
        {"\ud800": 1.0},
        "a key of R.f must be text that UTF-8 can carry; got '\\ud800' (str). Remove lone surrogates.",
    ),
]


@pytest.mark.parametrize(("annotation", "value", "message"), REFUSED, ids=lambda v: repr(v)[:40])
def test_what_is_refused_and_in_which_words(annotation, value, message):
    assert refusal(annotation, value) == message


def test_an_error_shows_only_the_beginning_of_what_was_handed_in():
    """The requirement once stored checkpoints as bytes, 50 to 200 MB of them: an error must not repeat them."""
    message = refusal(Path, b"x" * 10**7)
    assert message == f"R.f must be a path; got b'{'x' * 75}... (bytes). Pass the path of a saved file, not its bytes."


@pytest.mark.parametrize(
    ("aware", "kept"),
    [
        (
            datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
            datetime(2025, 10, 26, 2, 30, tzinfo=timezone(timedelta(hours=1))),
        ),
        (datetime(2025, 1, 1, tzinfo=ZoneInfo("UTC")), datetime(2025, 1, 1, tzinfo=UTC)),
        (datetime(2025, 1, 1, tzinfo=timezone(timedelta(0), "GMT")), datetime(2025, 1, 1, tzinfo=UTC)),
        (pd.Timestamp("2025-01-01T00:00:00.000001", tz="UTC"), datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_keeps_its_offset_and_nothing_that_is_not_stored(aware, kept):
    """The names of zones, folds and classes are not stored, so they are not kept: what is read back has the same repr."""
    result = check(datetime, aware)
    assert repr(result) == repr(kept)
    assert result.utcoffset() == aware.utcoffset()


def test_a_time_zone_without_an_offset_is_no_time_zone():
    assert refusal(datetime, datetime(2025, 1, 1, tzinfo=Nowhere())).startswith("R.f must be a datetime with a time zone; got ")


def test_nan_is_a_number_and_none_is_not():
    assert math.isnan(check(float | None, math.nan))
    assert check(float | None, None) is None
    assert kind_of(float | None).encode(math.nan) == "nan"
    assert kind_of(float | None).encode(None) is None


@pytest.mark.parametrize("limits", [Bounds(), Bounds(0), Bounds(None, 0), Bounds(-1, 1)])
@given(value=numbers())
def test_bounds_allow_exactly_the_finite_numbers_inside(limits, value):
    inside = (
        math.isfinite(value) and (limits.low is None or limits.low <= value) and (limits.high is None or value <= limits.high)
    )
    assert limits.allows(value) is inside


ANNOTATIONS = (
    float,
    int,
    bool,
    str,
    Path,
    datetime,
    SeedStage,
    TelemetryEventType,
    Percent,
    Literal["go", "stop"],
    float | None,
    tuple[float, ...],
    tuple[float, float],
    tuple[tuple[bool, ...], ...],
    dict[str, float],
    dict[int, float],
    dict[tuple[str, ...], tuple[float, ...] | None],
)


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_check_decode_and_encode_agree(annotation):
    """A kept value is kept again unchanged, and what is decoded from its plain form is the same value."""
    kind = kind_of(annotation)

    @settings(max_examples=50)
    @given(values(annotation))
    def agree(value):
        kept = kind.check(value, "R.f")
        assert repr(kind.check(kept, "R.f")) == repr(kept)
        assert repr(kind.check(kind.decode(kind.encode(kept)), "R.f")) == repr(kept)

    agree()


def expressions(annotation):
    """The two expressions of a kind, as functions."""
    kind = kind_of(annotation)
    sure = f"return {kind.sure.format(v='v', of='of')}"
    plain = f"return {kind.plain.format(v='v', encode='encode')}"
    return straight("sure(v)", [sure], of=kind.of), straight("plain(v)", [plain], encode=kind.encode)


@pytest.mark.parametrize("annotation", [*ANNOTATIONS, Count, Finite, Percent | None, SlotSnapshot], ids=str)
def test_the_expressions_stand_for_the_functions(annotation):
    """What is sure the check would have given back, whatever else it may be; the plain form is the one that is encoded."""
    kind, (sure, plain) = kind_of(annotation), expressions(annotation)
    anything = st.sampled_from(ANNOTATIONS).flatmap(values) | numbers() | st.integers() | st.text(st.characters(), max_size=3)

    @settings(max_examples=100)
    @given(anything, values(annotation))
    def right(value, allowed):
        if sure(value):
            assert kind.check(value, "R.f") is value
        kept = kind.check(allowed, "R.f")
        assert repr(plain(kept)) == repr(kind.encode(kept))

    right()


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, math.nan),
        (int, 2**64 - 1),
        (int, -(2**63)),
        (bool, True),
        (str, "conv_light"),
        (SeedStage, SeedStage.BLENDING),
        (Percent, 100.0),
        (Finite, -1e308),
        (Count, 0),
        (Literal["go", "stop"], "stop"),
        (float | None, None),
        (Count | None, 3),
    ],
    ids=repr,
)
def test_what_is_usual_is_sure(annotation, value):
    assert expressions(annotation)[0](value)


@given(times)
def test_every_moment_with_an_offset_survives(moment):
    """Compared by parts: Python calls two moments unequal when a clock change makes one of them ambiguous (PEP 495)."""
    kept = check(datetime, moment)
    assert kept.replace(tzinfo=None, fold=0) == moment.replace(tzinfo=None, fold=0)
    assert kept.utcoffset() == moment.utcoffset()


DAMAGED = [
    (int, 3.7),
    (int, True),
    (int, "3"),
    (int, math.inf),
    (float, True),
    (float, "12"),
    (float, "NaN"),
    (bool, "false"),
    (bool, 0),
    (str, 3),
    (SeedStage, True),
    (SeedStage, "TRAINING"),
    (SeedStage, 5),
    (tuple[str, ...], "abc"),
    (tuple[str, ...], {"a": 1}),
    (dict[str, float], [["a", 1.0]]),
    (dict[int, float], {"12": 1.0}),
    (dict[int, float], ["12"]),
    (dict[int, float], [[1, 2.0, 3]]),
    (datetime, "2025-01-01T00:00:00"),
    (datetime, 3),
    (Path, 3),
]


@pytest.mark.parametrize(("annotation", "plain"), DAMAGED, ids=lambda v: repr(v)[:40])
def test_what_was_never_stored_is_not_guessed_at(annotation, plain):
    """Damage is an error: a stored "false" does not become True, nor 3.7 become 3."""
    kind = kind_of(annotation)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        kind.check(kind.decode(plain), "R.f")


def test_a_whole_number_may_come_back_as_a_float():
    """W&B's server and Parquet do that; it is the same number."""
    assert kind_of(int).check(kind_of(int).decode(3.0), "R.f") == 3
    assert kind_of(SeedStage).decode(3.0) is SeedStage.TRAINING


@pytest.mark.parametrize("annotation", [complex, int | str, int | str | None, list[int], object], ids=str)
def test_a_field_of_an_unknown_kind_is_a_programming_error(annotation):
    with pytest.raises(TypeError, match="record field"):
        kind_of(annotation)
