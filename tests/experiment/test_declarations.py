"""What runs were started with is held against the claims of today: declared before, changed, in part, or not shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_runs import Made, experiment, pairs

from karn_wandb.experiment.claims import parse_claims
from karn_wandb.experiment.declarations import FieldChange, carried_files, declaration, differences

TEXT = """\
family: demo
planned_runs: 3
claims:
  - name: a
    treatment: {controller: heuristic, lr: 0.1}
    control: {controller: none}
    margin: 1.0
    test: non_inferiority
  - name: b
    treatment: {controller: heuristic}
    control: {controller: none}
    pair_by: null
"""
WHO = "controller = heuristic"
ARMS = """\
claims:
  - {name: a, treatment: {controller: heuristic}, control: {controller: none}, margin: 1.0}
"""


def claims(text):
    return parse_claims(text.encode(), "claims.yaml")


def declared(*texts, now=ARMS, extra=()):
    """What six runs show that were started with these texts, in turn."""
    runs = enumerate(pairs((1.0, 2.0, 3.0), (0.5, 1.0, 2.0)))
    made = [replace(run, claims=texts[place % len(texts)], began=place) for place, run in runs]
    return declaration(experiment([*made, *extra]).episodes, claims(now))


def test_runs_that_all_carry_the_file_show_that_it_was_declared_before():
    found = declared(ARMS)
    assert (found.standing, found.runs, found.carried, found.without, found.earlier) == ("before", 6, 6, (), ())
    assert found.first == "2026-01-02 00:00"


def test_runs_in_no_arm_have_no_say():
    assert declared(ARMS, extra=[Made("other", "policy", 9)]).standing == "before"


def test_runs_without_the_file_are_named():
    found = declared(ARMS, "", "")
    assert (found.standing, found.carried) == ("in part", 2)
    assert found.without == ("grown-1", "grown-2", "host-0", "host-2")


def test_when_no_run_carries_it_nothing_is_shown():
    found = declared("")
    assert (found.standing, found.carried, found.first, len(found.without)) == ("not shown", 0, "", 6)


def test_a_file_that_was_changed_is_told_field_by_field():
    found = declared(ARMS.replace("1.0", "0.5"))
    assert (found.standing, found.carried) == ("changed", 0)
    (file,) = found.earlier
    assert (file.runs, file.first, file.readable) == (6, "2026-01-02 00:00", True)
    assert file.changes == (FieldChange("a", "margin", "0.5", "1.0"),)
    assert found.changes_of("a") == file.changes
    assert found.changes_of("b") == ()


def test_a_file_that_differs_in_comments_alone_declares_the_same():
    found = declared("# first\n" + ARMS)
    assert found.standing == "before"
    assert found.earlier[0].changes == (FieldChange("", "text", "", ""),)


def test_several_files_are_told_apart():
    found = declared(ARMS, ARMS.replace("1.0", "0.5"), ARMS.replace("1.0", "0.7"))
    assert (found.standing, found.carried) == ("changed", 2)
    assert sorted(file.changes[0].was for file in found.earlier) == ["0.5", "0.7"]


@pytest.mark.parametrize("config", [{"karn_claims": {"sha256": "ab" * 32}}, {"karn_claims": {"text": "claims: ["}}])
def test_a_file_that_cannot_be_compared_counts_as_changed(config):
    made = [replace(run, config=config) for run in pairs((1.0, 2.0), (0.0, 1.0))]
    found = declaration(experiment(made).episodes, claims(ARMS))
    assert found.standing == "changed"
    assert (found.earlier[0].readable, found.earlier[0].changes) == (False, ())


def test_a_file_that_a_process_brought_when_it_resumed_a_run_was_not_declared_before_it():
    """The frame of episodes has what the first process said; see there."""
    assert carried_files(experiment([Made("a"), Made("b", claims=ARMS)]).episodes) == {claims(ARMS).sha256: 1}


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("family: demo", "family: other", FieldChange("", "family", "demo", "other")),
        ("planned_runs: 3", "planned_runs: 5", FieldChange("", "planned_runs", "3", "5")),
        ("planned_runs: 3", "planned_runs: null", FieldChange("", "planned_runs", "3", "null")),
        ("family: demo", "correction: bh\nfamily: demo", FieldChange("", "correction", "holm", "bh")),
        ("margin: 1.0", "margin: 2.5", FieldChange("a", "margin", "1.0", "2.5")),
        (
            "lr: 0.1",
            "lr: 0.2",
            FieldChange("a", "treatment", f"{WHO}, lr = 0.1", f"{WHO}, lr = 0.2"),
        ),
        ("pair_by: null", "pair_by: base_seed", FieldChange("b", "pair_by", "null", "base_seed")),
        ("pair_by: null", "pair_by: null\n    higher_is_better: false", FieldChange("b", "higher_is_better", "true", "false")),
        ("pair_by: null", "pair_by: null\n    unfinished: worst", FieldChange("b", "unfinished", "left_out", "worst")),
        ("name: b", "name: c", FieldChange("c", "name", "b", "c")),
    ],
)
def test_every_field_that_was_changed_is_told(old, new, change):
    assert old in TEXT
    assert differences(claims(TEXT), claims(TEXT.replace(old, new))) == (change,)


def test_claims_that_came_and_went_are_told():
    one = claims(TEXT[: TEXT.index("  - name: b")])
    assert differences(one, claims(TEXT)) == (FieldChange("b", "claim", "", "declared"),)
    assert differences(claims(TEXT), one) == (FieldChange("b", "claim", "declared", ""),)


def test_the_order_of_claims_and_fields_declares_nothing():
    reordered = """\
planned_runs: 3
family: demo
claims:
  - {pair_by: null, control: {controller: none}, treatment: {controller: heuristic}, name: b}
  - {test: non_inferiority, margin: 1.0, name: a, control: {controller: none}, treatment: {controller: heuristic, lr: 0.1}}
"""
    assert differences(claims(TEXT), claims(reordered)) == ()
