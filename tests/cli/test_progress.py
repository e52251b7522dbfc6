"""Progress of reading: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from karn_wandb.cli.progress import shown_progress


def test_where_stderr_is_no_terminal_nothing_is_shown(capsys):
    with shown_progress() as progress:
        assert progress is None
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_it_says_how_far_it_is_and_why_it_waits(capsys, monkeypatch):
    """Text from the service is text, never markup or control characters."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with shown_progress() as progress:
        progress(0, 0, "listing team/project")
        progress(3, 8, "W&B did not answer ([red]busy\x1b[2J); asked again in 2 s")
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/8" in err
    assert "W&B did not answer ([red]busy" in err
    assert "\x1b[2J" not in err


def test_nothing_is_shown_while_nothing_is_read_from_the_service(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown_progress():
        pass
    assert capsys.readouterr().err.replace("\x1b[?25l", "").replace("\x1b[?25h", "").strip("\r\n\x1b[1A2K") == ""
