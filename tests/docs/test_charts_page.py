"""docs/charts.md shows every chart file, light and dark, and its pictures can be made again."""

from __future__ import annotations

import re

import pytest

from docs.make_charts import FOLDER, LARGEST, THEMES, picture, samples
from karn_wandb import charts

PAGE = FOLDER.parent / "charts.md"


def test_every_chart_file_has_its_entry_and_both_pictures():
    entries = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    shown = {entry.partition("`: ")[0].strip("`"): entry for entry in entries}
    assert sorted(shown) == charts.names()
    for name, entry in shown.items():
        assert re.findall(r"\]\(charts/([a-z_]+-[a-z]+\.png)\)", entry) == [f"{name}-{theme}.png" for theme in THEMES]


def test_every_chart_file_is_drawn_from_records_for_the_page():
    assert sorted(samples()) == charts.names()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", charts.names())
def test_every_chart_file_renders_to_the_size_its_picture_has(name, theme):
    drawn, kept = charts.to_png(samples()[name].spec(), theme=theme, scale=1.0), picture(name, theme).read_bytes()
    assert len(kept) <= LARGEST
    assert size(kept) == pytest.approx([2 * pixels for pixels in size(drawn)], rel=0.1)  # fonts differ between machines


def test_there_is_no_picture_of_a_chart_that_is_gone():
    assert sorted(FOLDER.glob("*.png")) == sorted(picture(name, theme) for name in charts.names() for theme in THEMES)


def size(png: bytes) -> tuple[int, int]:
    """Width and height, which begin a PNG's first chunk (ISO/IEC 15948, 11.2.2)."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])
