"""The journal: what it says survives, and a torn or foreign one is not taken for whole."""

from __future__ import annotations

import pytest

from karn_wandb.errors import SweepError
from karn_wandb.sweeps.journal import JOURNAL, Journal, SweepRun, locked

WHAT = {"sha256": "abc", "seed": 0}


@pytest.fixture
def written(tmp_path):
    journal = Journal(tmp_path, WHAT)
    for index in range(3):
        journal.proposed(SweepRun(index, {"lr": 10.0**-index}, {"lr": 0.5}))
    journal.started(journal.runs[0], "t-0000")
    journal.ended(journal.runs[0], "finished", 0, 1.5, "")
    journal.started(journal.runs[1], "t-0001")
    journal.close()
    return journal


def test_what_was_written_is_read_back(tmp_path, written):
    again = Journal(tmp_path, WHAT)
    assert again.runs == written.runs
    assert again.token == written.token
    assert [run.state for run in again.runs] == ["finished", "running", "waiting"]
    again.close()


@pytest.mark.parametrize("cut", [1, 7, 30])
def test_a_torn_last_line_counts_as_not_written(tmp_path, written, cut):
    path = tmp_path / JOURNAL
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(tmp_path, WHAT)
    assert [run.state for run in again.runs] == ["finished", "waiting", "waiting"]
    again.started(again.runs[1], "t-0001")
    again.close()
    once_more = Journal(tmp_path, WHAT)
    assert once_more.runs == written.runs
    once_more.close()


def test_a_folder_of_another_sweep_is_refused(tmp_path, written):
    with pytest.raises(SweepError) as raised:
        Journal(tmp_path, {**WHAT, "seed": 1})
    assert str(raised.value) == (
        f"the folder {str(tmp_path)!r} holds another sweep: its seed differs; got 0 there, 1 now. Give another folder with --out."
    )


def test_a_damaged_line_is_named(tmp_path, written):
    path = tmp_path / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"nonsense\n", *lines[1:]]))
    with pytest.raises(SweepError, match=r"journal\.jsonl, line 2: the journal is damaged; got b'nonsense'\."):
        Journal(tmp_path, WHAT)


def test_two_processes_do_not_run_one_sweep(tmp_path):
    with (
        locked(tmp_path, 0.0),
        pytest.raises(SweepError, match=r"is run by another process\. Wait until"),
        locked(tmp_path, 0.0),
    ):
        pass
    with locked(tmp_path, 0.0):
        pass
