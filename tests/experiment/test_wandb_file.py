"""W&B's run file: what wandb wrote is what is read, whatever happened to the file's end or middle."""

from __future__ import annotations

import json
import math
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_files import MAGIC, exit_record, history_record, run_file, run_record, spans

from karn_wandb.errors import SourceError
from karn_wandb.experiment.wandb_file import MetricDefinition, WandbFile, read_wandb_file


@pytest.fixture(scope="module")
def inspected(plain_run):
    """The records of the run as W&B's own inspector, bundled since 0.31, prints them."""
    import wandb
    from wandb.util import get_core_path

    if tuple(map(int, wandb.__version__.split(".")[:2])) < (0, 31):
        pytest.skip("wandb leet inspect came with 0.31")
    options = ["leet", "inspect", "--no-observability", "--json", "--run-file", plain_run, plain_run.parent]
    done = subprocess.run([get_core_path(), *options], capture_output=True, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_type(inspected, kind):
    return [record[kind] for record in inspected if record["type"] == kind]


def spelled(value):
    """A value as the inspector spells it: what JSON cannot say as text."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    return value


@pytest.mark.offline
def test_rows_are_those_of_wandbs_own_inspector(plain_run, inspected):
    rows = [{key: spelled(value) for key, value in row.items()} for row in read_wandb_file(plain_run).rows]
    assert rows == [record["item"] for record in of_type(inspected, "history")]


@pytest.mark.offline
def test_config_is_that_of_wandbs_own_inspector(plain_run, inspected):
    expected = of_type(inspected, "run")[0]["config"]["update"]
    for record in of_type(inspected, "config"):
        expected |= record["update"]
    del expected["_wandb"]
    assert read_wandb_file(plain_run).config == expected


@pytest.mark.offline
def test_summary_is_that_of_wandbs_own_inspector(plain_run, inspected):
    expected = {}
    for record in of_type(inspected, "summary"):
        expected |= record["update"]
    file = read_wandb_file(plain_run)
    assert {key: spelled(value) for key, value in file.summary.items()} == {
        key: value for key, value in expected.items() if not key.startswith("_wandb")
    }


@pytest.mark.offline
def test_artifacts_are_those_of_wandbs_own_inspector(plain_run, inspected):
    expected = [
        (
            a["name"],
            a["type"],
            a["client_id"],
            [(e["path"], e["local_path"], e["digest"], int(e["size"])) for e in a["manifest"]["contents"]],
        )
        for a in of_type(inspected, "artifact")
    ]
    assert expected == [
        (a.name, a.type, a.client_id, [(e.path, e.local_path, e.digest, e.size) for e in a.entries])
        for a in read_wandb_file(plain_run).artifacts
    ]


@pytest.mark.offline
def test_the_run_says_what_it_was_given(plain_run):
    file = read_wandb_file(plain_run)
    assert file.run_id == plain_run.stem.removeprefix("run-")
    assert (file.project, file.display_name, file.group, file.job_type) == ("plain", "a name", "a group", "train")
    assert sorted(file.tags) == ["a", "b"]
    assert datetime.now(UTC) - file.started < timedelta(hours=1)
    assert file.config == {
        "lr": 0.1,
        "optimizer": {"name": "adam"},
        "dotted.key": 1,
        "nothing": None,
        "late": {"x": 1},
    }
    assert file.metrics == {"host/*": MetricDefinition("host/*", "epoch"), "epoch": MetricDefinition("epoch", hidden=True)}
    assert file.exit_code == 0
    assert file.damage == ()
    assert file.artifacts[-1].metadata == {"k": 1}


@pytest.mark.offline
def test_values_come_back_as_they_were_logged(plain_run):
    row = read_wandb_file(plain_run).rows[2]
    assert {key: value for key, value in row.items() if not key.startswith("_") and key != "bad.nan"} == {
        "epoch": 2,
        "host/train_loss": 0.5,
        "bad.inf": math.inf,
        "bad.minus": -math.inf,
        "deep.a.b": 2,
        "dotted.name": 2,
        "none": None,
        "text": 'höst "1"\n\u2028\U0001f469\u200d\U0001f52c',
        "large": 2**62,
        "tiny": 5e-324,
        "flag": True,
        "list": [1, None, "x", {"y": 2}],
    }
    assert math.isnan(row["bad.nan"])


@pytest.mark.offline
def test_without_rows_all_else_is_the_same(plain_run):
    whole, quick = read_wandb_file(plain_run), read_wandb_file(plain_run, rows=False)
    assert (quick.rows, quick.summary) == ([], {})
    for name in ("run_id", "config", "metrics", "artifacts", "exit_code", "started", "tags"):
        assert getattr(quick, name) == getattr(whole, name)


@pytest.mark.offline
def test_a_real_file_cut_anywhere_reads_a_prefix(plain_run, tmp_path):
    """At a regular grid of offsets, and at each of the first two thousand bytes' tenth."""
    content, rows = plain_run.read_bytes(), read_wandb_file(plain_run).rows
    for length in (*range(len(MAGIC), 2000, 10), *range(2000, len(content), len(content) // 100)):
        file = reading(tmp_path, content[:length])
        assert [repr(row) for row in file.rows] == [repr(row) for row in rows[: len(file.rows)]]
        assert file.exit_code is None


def reading(folder: Path, content: bytes, **options) -> WandbFile:
    path = folder / "run-cut.wandb"
    path.write_bytes(content)
    return read_wandb_file(path, **options)


ROWS = st.lists(
    st.dictionaries(
        st.text(max_size=5).map(lambda text: (text,)),
        st.none()
        | st.booleans()
        | st.floats()
        | st.integers(-(2**63), 2**64)
        | st.text(max_size=20)
        | st.lists(st.integers(), max_size=3),
        max_size=4,
    ),
    min_size=1,
    max_size=20,
)


@given(ROWS)
def test_any_row_reads_back(tmp_path_factory, rows):
    file = reading(tmp_path_factory.mktemp("rows"), run_file([run_record("r"), *map(history_record, rows)]))
    assert [repr(row) for row in file.rows] == [repr({key: value for (key,), value in row.items()}) for row in rows]
    assert file.damage == ()


@settings(max_examples=50)
@given(ROWS, st.integers(0, 2**32), st.integers(1, 255))
def test_a_flipped_byte_never_gives_a_row_that_was_not_logged(tmp_path_factory, rows, anywhere, mask):
    records = [run_record("r"), *map(history_record, rows), exit_record()]
    content = bytearray(run_file(records))
    content[len(MAGIC) + anywhere % (len(content) - len(MAGIC))] ^= mask
    file = reading(tmp_path_factory.mktemp("flipped"), bytes(content))
    written = [repr({key: value for (key,), value in row.items()}) for row in rows]
    assert [repr(row) for row in file.rows] == written[: len(file.rows)]
    assert file.damage


def test_the_last_value_of_a_key_wins_and_a_removed_one_is_gone(tmp_path):
    from wandb.proto.wandb_internal_pb2 import Record

    change = Record(num=2)
    change.config.update.add(nested_key=["optimizer", "lr"], value_json="0.2")
    change.config.update.add(nested_key=["new", "branch"], value_json="[1]")
    change.config.update.add(key="_wandb.visualize.x", value_json="{}")
    change.config.remove.add(key="gone")
    change.config.remove.add(nested_key=["optimizer", "beta"])
    first = run_record("r", config={"optimizer": {"lr": 0.1, "beta": 0.9}, "gone": 1, "new": 3, "_wandb": {"t": 1}})
    file = reading(tmp_path, run_file([first, change.SerializeToString()]))
    assert file.config == {"optimizer": {"lr": 0.2}, "new": {"branch": [1]}}


def test_a_removed_summary_value_is_gone(tmp_path):
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record(num=2)
    record.summary.update.add(key="a", value_json="1")
    record.summary.update.add(nested_key=["b", "c"], value_json="2")
    later = Record(num=3)
    later.summary.remove.add(key="a")
    file = reading(tmp_path, run_file([run_record("r"), record.SerializeToString(), later.SerializeToString()]))
    assert file.summary == {"b.c": 2}


def summary_record(update, remove=()):
    from wandb.proto.wandb_internal_pb2 import Record

    record = Record(num=1)
    for name, value in update.items():
        record.summary.update.add(nested_key=[name], value_json=json.dumps(value))
    for name in remove:
        record.summary.remove.add(nested_key=[name])
    return record.SerializeToString()


NAMES = st.sampled_from(["a", "b", "c"])
CHANGES = st.tuples(st.dictionaries(NAMES, st.integers(0, 300) | st.text(max_size=3)), st.sets(NAMES, max_size=1))


@given(st.lists(CHANGES, max_size=12))
def test_a_summary_is_what_its_records_say_one_after_the_other(tmp_path_factory, changes):
    expected = {}
    for update, removed in changes:
        expected |= update
        expected = {name: value for name, value in expected.items() if name not in removed}
    content = run_file([run_record("r"), *(summary_record(*change) for change in changes)])
    file = reading(tmp_path_factory.mktemp("summary"), content)
    assert (file.summary, file.damage) == (expected, ())


@pytest.mark.parametrize("text", ["x", "y" * 200, "z" * 20_000])
def test_a_summary_of_very_many_records_has_the_last_values(tmp_path, text):
    records = [summary_record({"epoch": epoch, f"of {epoch % 7}": text}) for epoch in range(600)]
    file = reading(tmp_path, run_file([run_record("r"), *records]))
    assert file.summary == {"epoch": 599} | {f"of {place}": text for place in range(7)}


@pytest.mark.parametrize("wrong", [b"\x1a\x07\n\x05\n\x01a\x82\x01", b"\x1a\x09\n\x07\n\x01a\x82\x01\x091", b"\x1a\x03\n\x09a"])
def test_a_summary_record_that_is_none_costs_itself_and_is_said(tmp_path, wrong):
    """A length that is missing, or that reaches into the record behind."""
    content, where = spans([run_record("r"), summary_record({"a": 1}), wrong, summary_record({"b": 2})])
    file = reading(tmp_path, content)
    assert file.summary == {"a": 1, "b": 2}
    assert [line.split(" is not")[0] for line in file.damage] == [f"the record at byte {where[2][0]}"]


@pytest.mark.offline
def test_the_summary_is_left_out_where_it_is_not_wanted(plain_run):
    assert (read_wandb_file(plain_run, summary=False).rows != [], read_wandb_file(plain_run, summary=False).summary) == (True, {})


def test_typed_values_are_read_where_wandb_writes_them(tmp_path):
    """The form that wandb 0.31 has beside JSON, and does not write yet."""
    from wandb.proto.wandb_internal_pb2 import HistoryItem, Record

    if "value" not in HistoryItem.DESCRIPTOR.oneofs_by_name:
        pytest.skip("this wandb has no typed values")
    record = Record(num=1)
    for name, value in {"boolean": True, "integer": -3, "number": math.inf, "text": "x", "json": '{"a": [1]}'}.items():
        setattr(record.history.item.add(nested_key=[name]), name, value)
    record.history.item.add(nested_key=["none"]).none = 0
    record.history.item.add(nested_key=["unset"])
    record.history.item.add(nested_key=["plain"], value_json="1.5")
    file = reading(tmp_path, run_file([run_record("r"), record.SerializeToString()]))
    assert file.rows == [
        {
            "boolean": True,
            "integer": -3,
            "number": math.inf,
            "text": "x",
            "json": {"a": [1]},
            "none": None,
            "unset": None,
            "plain": 1.5,
        }
    ]


def test_without_an_exit_record_there_is_no_exit_code(tmp_path):
    assert reading(tmp_path, run_file([run_record("r")])).exit_code is None
    assert reading(tmp_path, run_file([run_record("r"), exit_record(3)])).exit_code == 3


def test_a_run_whose_first_block_is_lost_is_named_after_its_file(tmp_path):
    """The rows of later blocks are there, and the loss is said."""
    big = history_record({("x",): "y" * 40_000})
    content = bytearray(run_file([run_record("r"), big, history_record({("z",): 1})]))
    content[20] ^= 1
    file = reading(tmp_path, bytes(content))
    assert (file.run_id, file.project) == ("cut", "")
    assert file.rows == [{"z": 1}]
    assert file.damage == ("bytes 7 to 32767 are damaged and left out",)


def test_a_file_with_nothing_but_its_header_says_so(tmp_path):
    """What SIGKILL leaves of a short run: wandb-core had written nothing else."""
    file = reading(tmp_path, MAGIC)
    assert file.run_id == "cut"
    assert file.damage == ("the file has no run record: the process was killed before W&B wrote one",)


def test_a_record_that_is_no_protocol_buffer_is_left_out_and_said(tmp_path):
    """Its checksum is right, so it is not the disk's fault."""
    content, where = spans([run_record("r"), b"\x12\xff\xff\xff\xff", b"\x0b", history_record({("a",): 1})])
    file = reading(tmp_path, content)
    assert file.rows == [{"a": 1}]
    assert [line.split(" is not")[0] for line in file.damage] == [f"the record at byte {first}" for first, _ in where[1:3]]


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "an empty file"),
        (b":W&B", "b':W&B' at its beginning"),
        (b":W&B\xe1\xbf\x00 and more", "b':W&B\\xe1\\xbf\\x00' at its beginning"),
        (b'{"karn_records":1}\n', "b'{\"karn_' at its beginning"),
    ],
)
def test_a_bad_header_is_a_clear_error(tmp_path, content, got):
    path = tmp_path / "run-x.wandb"
    path.write_bytes(content)
    with pytest.raises(SourceError) as raised:
        read_wandb_file(path)
    assert str(raised.value) == (
        f"{str(path)!r} is no W&B run file; got {got}. "
        "A run-ID.wandb file written by wandb begins with b':W&B'; this one is damaged or of another kind."
    )


@pytest.mark.parametrize(
    ("make", "got"), [(Path.mkdir, "Is a directory"), (lambda path: path.symlink_to("gone"), "No such file or directory")]
)
def test_a_run_file_that_cannot_be_opened_is_a_clear_error(tmp_path, make, got):
    path = tmp_path / "run-x.wandb"
    make(path)
    with pytest.raises(SourceError) as raised:
        read_wandb_file(path)
    assert (
        str(raised.value)
        == f"the W&B run file {str(path)!r} cannot be read; got {got}. Check that it is a file, there and readable."
    )
