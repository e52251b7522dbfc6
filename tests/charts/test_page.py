"""A chart as a page: self-contained, without script, for light and dark, whatever names it holds."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from attribution_example import matrix

from karn_wandb import charts

NASTY = '</p><script>alert(1)</script>"\u202e\0'


class Page(HTMLParser):
    """Tags and ids of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("href", "src", "xlink:href")]


@pytest.mark.parametrize("chart_of", [charts.slot_values, charts.coalitions, charts.interactions, charts.waterfall])
def test_a_page_has_one_picture_no_script_unique_ids_and_fetches_nothing(chart_of):
    text = charts.to_page(chart_of(matrix()))
    page = Page(text)
    assert page.tags.count("svg") == 1
    assert "script" not in page.tags
    assert len(set(page.ids)) == len(page.ids)
    assert page.links == []
    assert not re.search(r"@import|url\((?!#)", text)


def test_a_page_is_for_light_and_dark():
    text = charts.to_page(charts.waterfall(matrix()))
    assert "prefers-color-scheme: dark" in text
    assert "currentColor" in text


def test_names_are_text_and_nothing_else():
    page = charts.to_page(charts.slot_values(matrix((NASTY, "b"))))
    assert "script" not in Page(page).tags
    assert "\u202e" not in page
    assert "\0" not in page


def test_the_caption_is_read_out_and_shown():
    chart = charts.waterfall(matrix())
    assert charts.to_page(chart).count("not a host-only run") == 2
