"""Panels are of keys, tables and charts that there are."""

from __future__ import annotations

import re

import pytest
from logged import MATRIX, epoch, event

from karn_wandb.analysis.attribution_charts import AttributionCharts
from karn_wandb.records import SeedStage, SlotSnapshot
from karn_wandb.schema.keys import KEYS
from karn_wandb.schema.tables import TABLES
from karn_wandb.workspace.layout import SECTIONS, Lines, all_lines, lines_for

CLOCKS = {key.pattern: key.clock for key in KEYS}


def test_the_sections_are_the_five_questions():
    assert [section.name for section in SECTIONS] == ["Winning?", "Why?", "What failed?", "Policy", "Reproduce"]


@pytest.mark.parametrize("lines", [*all_lines()], ids=lambda lines: lines.title)
def test_a_panel_shows_keys_of_the_table_that_go_by_one_clock(lines):
    assert {CLOCKS[pattern] for pattern in lines.patterns} == {lines.clock}


def test_tables_are_those_that_are_logged():
    assert {table for section in SECTIONS for table in section.tables} <= {table.name for table in TABLES}


def test_charts_are_those_that_are_logged():
    slots = [SlotSnapshot(name, SeedStage.TRAINING) for name in MATRIX.slot_ids]
    drawn = AttributionCharts([epoch(4, slots=slots), event("COUNTERFACTUAL_MATRIX_COMPUTED", MATRIX)]).charts()
    known = {"slot_values", "waterfall", "coalitions", "interactions", "onset"}
    assert {chart.name for chart in drawn} <= known
    assert {chart for section in SECTIONS for chart in section.charts} == known


def test_keys_with_names_in_them_are_found_by_what_they_look_like():
    lines = Lines("", ("grad/host_norm", "grad/seed_norm/<slot>"))
    found = re.compile(lines.regex)
    assert lines.keys == []
    wanted = ["grad/host_norm", "grad/seed_norm/early"]
    assert [key for key in (*wanted, "grad/seed_norm/early/x", "grad/isolation") if found.search(key)] == wanted


def test_curves_of_environments_are_found_below_each_and_go_by_what_all_rows_have():
    lines = Lines("Loss", ("host/train_loss", "slot/<slot>/alpha")).of_environments()
    found = re.compile(lines.regex)
    wanted = ["env/0/host/train_loss", "env/12/slot/early/alpha"]
    assert [
        key for key in (*wanted, "host/train_loss", "env/0/1/host/train_loss", "xenv/0/host/train_loss") if found.search(key)
    ] == wanted
    assert (lines.title, lines.clock, lines.keys) == ("Loss, each environment", "Step", [])


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.name)
def test_a_section_has_the_same_panels_for_environments_beside_the_runs_own_where_it_logs_them(section):
    assert tuple(lines_for(section, (), environments=False)) == section.lines
    assert [lines.patterns for lines in lines_for(section, (), environments=True)] == [lines.patterns for lines in section.lines]
    assert all(lines.scoped for lines in lines_for(section, (), environments=True))
    own = [
        lines for lines in lines_for(section, ("host/val_accuracy", "slot/early/alpha"), environments=True) if not lines.scoped
    ]
    assert [lines.title for lines in own] == {"Winning?": ["Validation accuracy (%)"], "What failed?": ["Alpha by slot"]}.get(
        section.name, []
    )
