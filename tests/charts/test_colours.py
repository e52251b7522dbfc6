"""Colours are told apart by people with any form of colour blindness, and seen on light and dark.

Colour blindness is simulated as Machado, Oliveira and Fernandes (2009) do, at full severity (their tables 1 to 3, on linear RGB);
differences are CIEDE2000 (CIE 142; Sharma, Wu and Dalal 2005).
"""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest

from karn_wandb import charts
from karn_wandb.charts.render import OKABE_ITO, look, source

SEEN = {
    "all cones": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
APART = 10.0
"""CIEDE2000 between any two colours of one chart: 1 is just noticed side by side, a legend is read from further apart."""

VISIBLE = 2.9
"""Contrast of a mark on its background; WCAG 2.1, 1.4.11, asks for 3 where there is no label."""


def linear(colour: str) -> np.ndarray:
    """Linear RGB of #rrggbb (IEC 61966-2-1)."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB of linear RGB, white D65."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    x, y, z = (np.cbrt(t) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29 for t in xyz / [0.95047, 1.0, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def ciede2000(one: np.ndarray, two: np.ndarray) -> float:
    chroma = (np.hypot(*one[1:]) + np.hypot(*two[1:])) / 2
    grow = 1.5 - 0.5 * np.sqrt(chroma**7 / (chroma**7 + 25**7))
    (l1, a1, b1), (l2, a2, b2) = (colour * [1, grow, 1] for colour in (one, two))
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    hue = h1 + h2 if c1 * c2 == 0 else (h1 + turn / 2) % 360
    t = 1 - 0.17 * cos(hue - 30) + 0.24 * cos(2 * hue) + 0.32 * cos(3 * hue + 6) - 0.2 * cos(4 * hue - 63)
    dl = (l2 - l1) / (1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2))
    dc = (c2 - c1) / (1 + 0.045 * c)
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * c * t)
    rotation = -2 * np.sqrt(c**7 / (c**7 + 25**7)) * np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
    return float(np.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh))


def cos(degrees: float) -> float:
    return float(np.cos(np.radians(degrees)))


def seen(colour: str, by: str) -> np.ndarray:
    return lab(np.clip(SEEN[by] @ linear(colour), 0, 1))


def closest(colours, by: str) -> float:
    return min(ciede2000(seen(one, by), seen(two, by)) for one, two in itertools.combinations(colours, 2))


def colours_of(name: str) -> set[str]:
    """The colours a chart file names itself."""
    return set(re.findall(r"#[0-9a-fA-F]{6}", source(name)))


@pytest.mark.parametrize(
    ("one", "two", "difference"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0), 27.1492),
        ((50.0, -0.001, 2.49), (50.0, 0.0009, -2.49), 4.8045),
        ((22.7233, 20.0904, -46.694), (23.0331, 14.973, -42.5619), 2.0373),
        ((90.8027, -2.0831, 1.441), (91.1528, -1.6435, 0.0447), 1.4441),
    ],
)
def test_differences_are_those_that_sharma_wu_and_dalal_print(one, two, difference):
    assert ciede2000(np.array(one), np.array(two)) == pytest.approx(difference, abs=1e-4)


def test_what_is_confused_is_found():
    """A red and a green of the same lightness, which people without the second cone see as one colour."""
    assert closest(("#a04000", "#507000"), "deuteranopia") < APART < closest(("#a04000", "#507000"), "all cones")


@pytest.mark.parametrize("by", SEEN)
def test_the_colours_of_arms_are_told_apart(by):
    assert closest(OKABE_ITO, by) > APART


@pytest.mark.parametrize("by", SEEN)
@pytest.mark.parametrize("name", [name for name in charts.names() if len(colours_of(name)) > 1])
def test_the_colours_that_a_chart_file_names_are_told_apart(name, by):
    assert closest(sorted(colours_of(name)), by) > APART


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_the_first_colours_of_arms_stand_out_from_the_background(theme):
    background = look(theme)["background"]
    assert contrast(look(theme)["title"]["color"], background) > 12
    assert min(contrast(colour, background) for colour in OKABE_ITO[:4]) >= VISIBLE


@pytest.mark.parametrize("name", charts.names())
def test_a_chart_file_draws_in_colours_of_the_palette_only(name):
    assert colours_of(name) <= {*OKABE_ITO}
    assert "scheme" not in json.dumps(source(name))


def contrast(one: str, two: str) -> float:
    """WCAG 2.1's ratio of relative luminances."""
    dark, bright = sorted(float(np.dot([0.2126, 0.7152, 0.0722], linear(colour))) for colour in (one, two))
    return (bright + 0.05) / (dark + 0.05)
