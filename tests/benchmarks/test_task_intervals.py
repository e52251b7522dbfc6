"""Intervals over tasks are timed, with rliable where it is installed and without where not."""

from __future__ import annotations

from benchmarks.task_intervals import main, scores, span


def test_the_program_prints_a_row_for_each_statistic(capsys):
    main(["--resamples", "200", "--rounds", "1"])
    printed = capsys.readouterr().out
    for name in ("iqm", "median", "probability of improvement", "profile, 101 thresholds"):
        assert f"| {name} |" in printed
    assert "200 resamples of 10 x 26, 1 rounds." in printed


def test_the_arms_are_26_tasks_of_ten_runs():
    assert [arm.shape for arm in scores()] == [(26, 10), (26, 10)]


def test_ratios_are_shown_by_their_middle_and_range():
    assert span([30.0, 10.0, 1_234.0]) == "30 (10 to 1,234)"
