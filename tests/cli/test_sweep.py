"""`karn-wandb sweep --local`: what it shows, says comes next, and returns."""

from __future__ import annotations

from click.testing import CliRunner
from sweep_files import plain_sweep, sweep_file

from karn_wandb.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["sweep", *map(str, arguments)])


def test_it_says_what_became_of_the_runs_and_what_comes_next(tmp_path):
    out = tmp_path / "out"
    done = run(plain_sweep(tmp_path, 2).path, "--local", "--out", out)
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"2 runs in {out}: 2 finished.\n\nNext:\n  karn-wandb report {out}/runs --claims CLAIMS.yaml\n"
        f"  karn-wandb show {out}/runs\n  wandb sync {out}/runs/*/wandb/offline-*\n"
    )
    assert done.stderr == ""


def test_claims_beside_the_file_are_offered(tmp_path):
    claims = tmp_path / "sweep.claims.yaml"
    claims.touch()
    done = run(plain_sweep(tmp_path, 1).path, "--local", "--out", tmp_path / "out")
    assert f"report {tmp_path / 'out'}/runs --claims {claims}\n" in done.stdout


def test_a_failed_run_is_told_at_once_and_is_exit_code_1(tmp_path):
    done = run(plain_sweep(tmp_path, 1, code=5).path, "--local", "--out", tmp_path / "out")
    assert done.exit_code == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("run 1 failed with exit code 5 (")
    assert second == "the value was 0"
    assert f"1 runs in {tmp_path / 'out'}: 1 failed.\n" in done.stdout


def test_on_a_terminal_a_bar_shows_how_far_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    done = run(plain_sweep(tmp_path, 2).path, "--local", "--jobs", 2, "--out", tmp_path / "out")
    assert "2/2" in done.stderr


def test_the_folder_has_the_files_name_unless_it_is_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(plain_sweep(tmp_path, 1).path, "--local").stdout.startswith("1 runs in sweep-sweep: 1 finished.\n")


def test_a_mistake_in_the_file_is_a_message_and_code_1(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text("method: grit\n")
    done = run(path, "--local")
    assert (done.exit_code, done.stderr) == (
        1,
        f"Error: {path}, line 1: 'method' must be one of grid, random, bayes; got 'grit'.\n",
    )


def test_a_disk_that_refuses_is_a_message(tmp_path):
    (tmp_path / "file").touch()
    done = run(sweep_file(tmp_path, parameters={"a": {"value": 1}}).path, "--local", "--out", tmp_path / "file" / "out")
    assert (done.exit_code, done.stderr.startswith("Error: the disk refused: ")) == (1, True)
