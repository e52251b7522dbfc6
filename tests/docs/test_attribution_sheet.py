"""The picture in docs/attribution.md can be made again, and shows every chart the page explains."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from docs.make_attribution import COLUMNS, PAGE, sheet


def test_the_sheet_shows_the_charts_the_page_explains():
    svg = ET.fromstring(sheet())  # noqa: S314 -- drawn a line above
    names = [name for column in COLUMNS for name in column]
    assert len(svg.findall("{http://www.w3.org/2000/svg}svg")) == len(names)
    explained = re.findall(r"^## .*\(`charts/([a-z_]+)`\)$", PAGE.with_suffix(".md").read_text(), re.MULTILINE)
    assert sorted(explained) == sorted(names)


def test_the_picture_is_there():
    assert PAGE.read_bytes().startswith(b"\x89PNG")
