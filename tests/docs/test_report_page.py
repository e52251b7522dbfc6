"""docs/report.md walks through the report in its order, and its screenshots are of the sizes they were drawn in."""

from __future__ import annotations

import re

import pytest
from report_runs import experiment, of_sizes, pairs

from docs.make_screenshots import FOLDER, LARGEST, SCREENS, pictures, sweep
from karn_wandb.experiment.report import build_report

PAGE = FOLDER.parent / "report.md"
SIZES = {1_000: (50.0, 51.0), 3_000: (55.0, 56.0), 10_000: (60.0, 61.0), 30_000: (64.0, 63.5)}
"""Of the host alone, as many as a scaling curve needs."""


def headings(text):
    return re.findall(r"^##+ (.+)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("runs", [sweep(), experiment(of_sizes(SIZES, (65.0, 66.0))), experiment(pairs((61.0,), (60.0,)))])
def test_every_section_of_a_report_is_explained_in_its_order(runs):
    explained = headings(PAGE.read_text())
    found = [heading.partition(":")[0] for heading in headings(build_report(runs).to_markdown())]
    last = ["Methods", "References", "Versions and input"]
    walked = [heading for heading in found if heading not in last]
    assert [heading for heading in explained if heading in walked] == list(dict.fromkeys(walked))
    assert found[-1] == "Versions and input"


def test_every_picture_is_there_small_enough_and_on_the_page():
    widths = {screen.name: screen.width * screen.density for screen in SCREENS}
    heights = {screen.name: screen.height * screen.density for screen in SCREENS}
    shown = re.findall(r"\]\(report/([^)]+)\)", PAGE.read_text())
    assert sorted(shown) == sorted(target.name for *_, target in pictures()) == sorted(p.name for p in FOLDER.iterdir())
    for _, screen, _, target in pictures():
        png = target.read_bytes()
        assert len(png) <= LARGEST
        size = int.from_bytes(png[16:20]), int.from_bytes(png[20:24])  # of a PNG's first chunk (ISO/IEC 15948, 11.2.2)
        assert size == (widths[screen.name], heights[screen.name])
