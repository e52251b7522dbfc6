"""Charts: one file each, filled with rows, drawn the same way every time."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.resources import files
from xml.etree import ElementTree as ET

import pytest

from karn_wandb import charts
from karn_wandb.errors import KarnError, UsageError

ROWS = {
    "arms": [
        {"arm": "none", "pair": "0", "run": "a", "value": 61.0, "offset": 0, "mean": 61.0},
        {"arm": "heuristic", "pair": "0", "run": "b", "value": 64.0, "offset": 0, "mean": 64.0},
    ],
    "coalition_strip": [{"slots_on": 0, "value": 50.0}, {"slots_on": 1, "value": 52.0}],
    "coalitions": [
        {"down": "○", "across": "○", "value": 50.0, "shade": 0.0, "label": "50.0"},
        {"down": "○", "across": "●", "value": None, "shade": None, "label": "–"},
    ],
    "difference": [
        {"kind": "margin", "low": -1.0, "high": 1.0},
        {"kind": "pair", "label": "each pair", "pair": "0", "value": 3.0, "offset": 0},
        {"kind": "interval", "label": "mean", "value": 3.0, "low": 1.0, "high": 5.0},
    ],
    "difference_curve": [
        {"epoch": 0, "value": 0.0, "low": 0.0, "high": 0.0},
        {"epoch": 1, "value": 2.0, "low": -1.0, "high": 5.0},
    ],
    "flow": [
        {"arm": "none", "lane": 0, "kind": "box", "label": "3 started", "lost": 0, "last": False},
        {"arm": "none", "lane": 1, "kind": "exit", "label": "1 crashed", "lost": 1, "last": True},
        {"arm": "none", "lane": 2, "kind": "box", "label": "2 analysed", "lost": 0, "last": False},
    ],
    "interactions": [
        {
            "first": "a",
            "second": "b",
            "effect": -1.0,
            "sign": "negative",
            "strength": 1.0,
            "decided": True,
            "label": "−1",
            "mark": "▼",
        }
    ],
    "learning_curves": [
        {"kind": "alone", "run": "a", "arm": "none", "epoch": 0, "value": 10.0, "end": False},
        {"kind": "alone", "run": "a", "arm": "none", "epoch": 1, "value": 40.0, "end": True},
        {"kind": "mean", "run": "", "arm": "heuristic", "epoch": 0, "value": 10.0, "low": 9.0, "high": 11.0, "end": False},
        {"kind": "mean", "run": "", "arm": "heuristic", "epoch": 1, "value": 45.0, "low": 40.0, "high": 50.0, "end": False},
    ],
    "onset": [
        {"slot": "a", "place": 0, "kind": "value", "epoch": 1, "alone": False, "dot": True, "mean": 1.0, "low": 0.5, "high": 1.5},
        {"slot": "a", "place": 0, "kind": "value", "epoch": 2, "alone": False, "dot": True, "mean": 2.0, "low": 1.5, "high": 2.5},
        {"slot": "a", "place": 0, "kind": "onset", "epoch": 1, "label": "onset 1"},
        {"slot": "a", "place": 0, "kind": "stage", "epoch": 0.5, "until": 2.5, "stage": "training"},
    ],
    "parameters": [
        {"kind": "run", "run": "a", "arm": "none", "params": 100_000, "value": 61.0},
        {"kind": "mean", "params": 100_000, "value": 61.0},
        {"kind": "front", "params": 100_000, "value": 61.0},
        {"kind": "front", "params": 130_000, "value": 64.0},
    ],
    "removal_vs_causal": [
        {
            "slot": "early",
            "measure": "removal cost",
            "lane": "a",
            "kind": "mean",
            "run": "mean",
            "value": 1.0,
            "low": 0.5,
            "high": 1.5,
        },
        {"slot": "early", "measure": "causal contribution", "lane": "b", "kind": "run", "run": "0", "value": -0.5},
    ],
    "slot_values": [{"slot": "a", "mean": -1.0, "low": -2.0, "high": 0.5, "sign": "negative", "sure": False, "label": "−1.00"}],
    "waterfall": [
        {"kind": "total", "step": "all off", "next": "a", "from": 50.0, "to": 50.0, "label": "50.0"},
        {
            "kind": "step",
            "step": "a",
            "next": None,
            "from": 50.0,
            "to": 52.0,
            "low": 51.0,
            "high": 53.0,
            "sign": "positive",
            "sure": True,
            "label": "+2.00",
        },
    ],
    "scaling": [
        {"kind": "curve", "part": "measured", "cost": 1_000, "value": 50.0, "low": 49.0, "high": 51.0},
        {"kind": "curve", "part": "measured", "cost": 10_000, "value": 60.0, "low": 59.0, "high": 61.0},
        {"kind": "curve", "part": "above", "cost": 10_000, "value": 60.0, "low": 59.0, "high": 61.0},
        {"kind": "curve", "part": "above", "cost": 30_000, "value": 64.0, "low": 60.0, "high": 68.0},
        {"kind": "run", "arm": "the host alone", "run": "a", "cost": 1_000, "value": 50.5},
        {"kind": "run", "arm": "heuristic", "run": "b", "cost": 5_000, "value": 61.0},
        {"kind": "mean", "arm": "heuristic", "cost": 5_000, "value": 61.0},
        {"kind": "interval", "arm": "heuristic", "cost": 8_000, "until": 30_000, "value": 61.0, "open": True},
        {"kind": "arrow", "arm": "heuristic", "cost": 5_000, "until": 12_000, "value": 61.0, "side": "right", "label": "2.4 ×"},
    ],
    "shapley": [
        {"slot": "early", "run": "a", "arm": "none", "kind": "run", "mean": 2.0, "low": 1.0, "high": 3.0},
        {"slot": "early", "run": "mean over runs", "arm": "none", "kind": "mean", "mean": 2.0, "low": 2.0, "high": 2.0},
    ],
}
SVG = "{http://www.w3.org/2000/svg}"


def source(name: str) -> dict[str, object]:
    return json.loads(files(charts).joinpath(f"{name}.vl.json").read_text(encoding="utf-8"))


def walk(node):
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


def marks(svg: str) -> int:
    """Marks of data: paths and lines inside the groups that hold marks, not axes or legends."""
    root = ET.fromstring(svg)  # noqa: S314 -- drawn a line above
    groups = [g for g in root.iter(f"{SVG}g") if "role-mark" in g.get("class", "").split()]
    return sum(child.tag in (f"{SVG}path", f"{SVG}line") for g in groups for child in g)


def test_every_chart_file_is_sampled_here():
    assert charts.names() == sorted(ROWS)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_chart_file_suits_a_wandb_custom_chart(name):
    """W&B fills the data set called wandb, and crashes on inline values (wandb #6766); field names have no dots."""
    spec = source(name)
    assert spec["data"] == {"name": "wandb"}
    assert spec["$schema"].endswith("/v5.json")
    for node in walk(spec):
        if isinstance(node, dict):
            assert "values" not in node
            assert node.get("mark") != "errorband"
            if isinstance(node.get("field"), str):
                assert re.fullmatch(r"\$\{field:[a-z_]+\}", node["field"])


@pytest.mark.parametrize("name", sorted(ROWS))
@pytest.mark.parametrize("theme", ["inline", "light", "dark"])
def test_every_chart_draws_its_rows(name, theme):
    full = charts.to_svg(charts.fill(name, ROWS[name]), theme=theme)
    empty = charts.to_svg(charts.fill(name, []), theme=theme)
    assert marks(full) > marks(empty)


def test_a_png_can_be_drawn():
    assert charts.to_png(charts.fill("parameters", ROWS["parameters"]), theme="dark").startswith(b"\x89PNG")


def test_the_same_chart_gives_the_same_bytes():
    spec = charts.fill("difference", ROWS["difference"], x="difference")
    assert charts.to_svg(spec) == charts.to_svg(spec)


def test_ids_carry_the_prefix_so_that_pictures_of_one_page_do_not_meet():
    spec = charts.fill("arms", ROWS["arms"])
    spec["layer"][0]["mark"]["clip"] = True  # something that needs an id
    one, two = (re.findall(r'id="([^"]+)"', charts.to_svg(spec, prefix=prefix)) for prefix in ("one", "two"))
    assert one
    assert all(name.startswith("one-") for name in one)
    assert not set(one) & set(two)
    used = re.findall(r"url\(#([^)]+)\)", charts.to_svg(spec, prefix="one"))
    assert set(used) <= set(one)


def test_inline_charts_take_the_colour_of_the_text_around_them():
    svg = charts.to_svg(charts.fill("arms", ROWS["arms"], y="accuracy"))
    assert "currentColor" in svg
    assert "#ffffff" not in svg
    assert "#1b1f24" not in svg


def test_an_arm_keeps_its_colour_when_others_are_missing():
    arms = {"arm": ["none", "heuristic", "policy"]}
    row = {"kind": "run", "run": "a", "arm": "policy", "params": 100_000, "value": 61.0}
    alone = charts.to_svg(charts.fill("parameters", [row], domains=arms))
    among = charts.to_svg(charts.fill("parameters", [{**row, "arm": arm} for arm in arms["arm"]], domains=arms))
    assert "#009E73" in alone  # third of the palette, as its place in the domain is the third
    assert "#009E73" in among
    assert "#0072B2" not in alone


def test_more_arms_than_colours_begin_again():
    arms = [f"arm {i}" for i in range(9)]
    spec = charts.fill("parameters", [{"arm": arms[7]}], domains={"arm": arms})
    assert spec["encoding"]["color"]["scale"] == {"domain": ["arm 7"], "range": ["#0072B2"]}


def test_titles_and_names_are_text_whatever_they_hold():
    """Placeholders are replaced in the parsed file, once, so a title cannot end its string or name a field."""
    nasty = 'x", "mark": "bar ${field:value} </text><script>'
    spec = charts.fill("parameters", [{"arm": nasty, "params": 1, "value": 2.0}], domains={"arm": [nasty]}, title=nasty)
    assert spec["title"] == nasty
    svg = charts.to_svg(spec)
    assert "<script" not in svg
    assert nasty in "".join(ET.fromstring(svg).itertext())  # noqa: S314 -- drawn a line above


def test_a_title_that_is_not_given_is_not_shown():
    assert charts.fill("arms", [])["title"] is None


def test_unknown_charts_and_titles_are_errors():
    with pytest.raises(UsageError) as unknown:
        charts.fill("pie", [])
    assert str(unknown.value) == (
        "there is no chart 'pie'. The charts are arms, coalition_strip, coalitions, difference, difference_curve, flow, "
        "interactions, learning_curves, onset, parameters, removal_vs_causal, scaling, shapley, slot_values, waterfall."
    )
    with pytest.raises(UsageError) as title:
        charts.fill("arms", [], z="depth")
    assert str(title.value) == "the chart 'arms' has no title 'z'."


def test_names_cannot_reorder_a_picture_nor_break_it():
    """U+202E turns the text behind it around; U+0000 may stand in no XML."""
    svg = charts.to_svg(
        charts.fill("parameters", [{"kind": "run", "arm": "a\u202e\0", "params": 1, "value": 2.0}], title="t\u202e\0")
    )
    said = "".join(ET.fromstring(svg).itertext())  # noqa: S314 -- drawn a line above
    assert "t\\u202e\\x00" in said
    assert "a\\u202e\\x00" in said


def test_a_legend_whose_looks_the_file_gives_shows_those_that_are_there():
    channel = charts.fill("onset", ROWS["onset"])["spec"]["layer"][3]["encoding"]["color"]
    assert channel["scale"] == {"domain": ["training"], "range": ["#E69F00"]}
    assert charts.fill("onset", ROWS["onset"][:2])["spec"]["layer"][3]["encoding"]["color"]["legend"] is None


def test_whether_charts_can_be_drawn_is_known_without_drawing(monkeypatch):
    assert charts.can_draw()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert not charts.can_draw()


def test_without_vl_convert_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(KarnError) as error:
        charts.to_svg(charts.fill("arms", []))
    assert str(error.value) == 'charts cannot be drawn without vl-convert. Run: pip install "karn-wandb[report]"'


def test_importing_charts_does_not_load_the_renderer():
    code = "import sys, karn_wandb.charts; sys.exit('vl_convert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
