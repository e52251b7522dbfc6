"""Deciding on a part of the examples claims what all of them would, over random games with known effects."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.early_decisions import COLUMNS, SETTINGS, main, naive_claims, null_claims, play
from karn_wandb.attribution import work

BY_NAME = {setting.name: setting for setting in SETTINGS}
LARGE, CLEAR = BY_NAME["2 large, 1 very harmful"], BY_NAME["2 clear, 1 harmful"]
OPEN, NULL = BY_NAME["clear, small, null"], BY_NAME["3 null"]


def changed(setting, games, seed=0):
    found = [play(setting, number, seed) for number in range(games)]
    return sum(game.changed(by_holm=by_holm) for game in found for by_holm in (False, True))


@pytest.mark.parametrize(("setting", "share"), [(LARGE, 0.3), (CLEAR, 0.6)], ids=lambda given: getattr(given, "name", ""))
def test_clear_effects_are_decided_early_and_as_all_examples_decide(setting, share):
    found = [play(setting, number) for number in range(40)]
    assert np.mean([bool(game.early.early_stop) for game in found]) > 0.9
    assert np.mean([game.share for game in found]) < share
    assert sum(game.changed(by_holm=by_holm) for game in found for by_holm in (False, True)) == 0


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_claims_are_those_of_all_examples(setting):
    assert changed(setting, games=20 if len(setting.effects) < 8 else 4, seed=1) == 0


def test_what_stays_open_takes_all_examples():
    found = [play(OPEN, number) for number in range(20)]
    assert np.mean([game.share for game in found]) > 0.6
    assert {game.early.examples_available for game in found} == {OPEN.size}


def test_stopping_at_two_standard_errors_claims_a_null_slot_too_often_and_deciding_early_does_not():
    """Nominally 2.3 %; of 300 games a standard error is 0.9 percent, of 1,000 it is 0.5."""
    assert naive_claims(games=300) > 0.04
    assert null_claims(games=1000) <= 0.035


def test_a_rule_that_stops_at_two_standard_errors_changes_claims(monkeypatch):
    """These games would show it, were the rule such."""

    def exceeds(estimates, *_):
        return all(abs(found.mean) > 2 * found.std for found in estimates.values())

    monkeypatch.setattr(work, "all_decided", exceeds)
    assert changed(BY_NAME["clear, 2 small"], games=60) > 0


@pytest.mark.slow
def test_a_null_slot_is_claimed_in_at_most_3_percent():
    assert null_claims(games=4000) <= 0.03


@pytest.mark.slow
@pytest.mark.parametrize("setting", [CLEAR, OPEN, NULL], ids=lambda setting: setting.name)
def test_at_most_one_claim_in_a_thousand_is_another(setting):
    games = 1500
    assert changed(setting, games) <= 2 * games * len(setting.effects) / 1000


def test_the_program_prints_a_row_for_each_setting(capsys):
    main(["--games", "2"])
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in BY_NAME)
    assert printed.startswith(f"| {COLUMNS[0]} |")
    assert printed.splitlines()[-1].startswith("| stops at two standard errors |")
