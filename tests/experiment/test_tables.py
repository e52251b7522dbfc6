"""Logged tables: all their rows, from the artifact's bytes while they are there, else from the run's folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from karn_wandb.errors import SourceError
from karn_wandb.experiment.tables import Table, artifact_bytes, logged_table, read_table
from karn_wandb.experiment.wandb_file import ArtifactEntry, WandbFile, read_wandb_file

LOGGED = 12_000
KEY = "tables/t"


@pytest.fixture(scope="module")
def logged(plain_run):
    """The run and the row that logged its table."""
    file = read_wandb_file(plain_run)
    (row,) = (row for row in file.rows if f"{KEY}.path" in row)
    return file, row


def moved(file: WandbFile) -> WandbFile:
    """The run as on another machine: the artifact's bytes are not there."""
    artifacts = tuple(
        replace(artifact, entries=tuple(replace(entry, local_path=f"{entry.local_path}-gone") for entry in artifact.entries))
        for artifact in file.artifacts
    )
    return replace(file, artifacts=artifacts)


@pytest.mark.offline
def test_a_logged_table_has_all_rows(logged):
    table = logged_table(*logged, KEY)
    assert table == Table(("a", "b"), tuple((i, f"row {i}") for i in range(LOGGED)))


@pytest.mark.offline
def test_without_the_artifact_the_runs_own_copy_serves_and_says_how_many_rows_it_lacks(logged):
    """That copy is cut after 10,000 rows."""
    file, row = logged
    table = logged_table(moved(file), row, KEY)
    assert len(table.data) == 10_000
    assert table.missing_rows == LOGGED - 10_000


@pytest.mark.offline
def test_changed_artifact_bytes_are_not_used(logged, tmp_path):
    file, _ = logged
    entry = file.artifacts[-1].entries[0]
    assert artifact_bytes(entry) == b"hello"
    changed = tmp_path / "changed"
    changed.write_bytes(b"other")
    assert artifact_bytes(replace(entry, local_path=str(changed))) is None


@pytest.mark.parametrize("name", ["../secret.json", "{folder}/secret.json", ""])
def test_a_name_from_a_row_never_leads_out_of_the_runs_folder(tmp_path, name):
    (tmp_path / "files").mkdir()
    (tmp_path / "secret.json").write_text('{"columns": [], "data": []}')
    row = {f"{KEY}._type": "table-file", f"{KEY}.path": name.format(folder=tmp_path)}
    with pytest.raises(SourceError) as raised:
        logged_table(WandbFile(tmp_path / "run-r.wandb", "r"), row, KEY)
    assert str(raised.value) == (
        "the file of table 'tables/t' of run r is gone. Read it where it was logged, or move its folder with all that is in it."
    )


def test_a_row_without_that_table_is_a_clear_error():
    with pytest.raises(SourceError) as raised:
        logged_table(WandbFile(Path("run-r.wandb"), "r"), {"other": 1}, "tables/t")
    assert str(raised.value) == "the row has no table 'tables/t'; got run r. Name a key that a table was logged under."


def test_a_table_reads_from_its_file_and_from_its_bytes(tmp_path):
    path = tmp_path / "t.table.json"
    path.write_text(json.dumps({"columns": ["a", 1], "data": [[1, None], ["x", [2]]], "ncols": 2}))
    expected = Table(("a", "1"), ((1, None), ("x", [2])))
    assert read_table(path) == read_table(path.read_bytes()) == expected


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"{", "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"[]", "TypeError: list indices must be integers or slices, not str"),
        (b'{"columns": []}', "KeyError: 'data'"),
    ],
)
def test_what_is_no_table_is_a_clear_error(content, got):
    with pytest.raises(SourceError) as raised:
        read_table(content)
    assert str(raised.value) == f"this is no W&B table; got {got}. It must be JSON."


def test_a_table_file_that_is_gone_is_a_clear_error(tmp_path):
    with pytest.raises(SourceError) as raised:
        read_table(tmp_path / "t.json")
    assert str(raised.value) == f"the table {str(tmp_path / 't.json')!r} cannot be read; got No such file or directory."


def test_a_reference_has_no_bytes_here():
    assert artifact_bytes(ArtifactEntry("a", local_path="", digest="x")) is None
