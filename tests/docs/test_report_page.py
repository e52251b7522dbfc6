"""docs/report.md walks through the report in its order, and its screenshots are of the sizes they were drawn in."""

from __future__ import annotations

import re

import numpy as np
import pytest
from report_runs import Made, experiment, of_sizes, pairs, run

from docs.make_charts import learning
from docs.make_screenshots import FOLDER, LARGEST, SCREENS, pictures
from karn_wandb import Experiment
from karn_wandb.experiment.report import build_report
from karn_wandb.records import FactoredAction

PAGE = FOLDER.parent / "report.md"
SIZES = {1_000: (50.0, 51.0), 3_000: (55.0, 56.0), 10_000: (60.0, 61.0), 30_000: (64.0, 63.5)}
"""Of the host alone, as many as a scaling curve needs."""


def headings(text):
    return re.findall(r"^##+ (.+)$", text, flags=re.MULTILINE)


def three_arms():
    """Three arms of six random seeds, one run of which crashed; what grows does so by a heuristic or by a policy."""
    rng = np.random.default_rng(12)
    host = 61 + rng.normal(scale=1.1, size=6)
    arms = {
        "none": host,
        "heuristic": host + 1.9 + rng.normal(scale=0.9, size=6),
        "policy": host + 3.1 + rng.normal(scale=0.9, size=6),
    }
    slots = {"heuristic": {"early": 1.6, "late": 0.4}, "policy": {"early": 2.2, "late": 1.1}, "none": {}}
    made = []
    for arm, finals in arms.items():
        for seed, final in enumerate(finals):
            values = {slot: round(mean + rng.normal(scale=0.5), 2) for slot, mean in slots[arm].items()}
            decided = decisions(rng) if arm == "policy" else ()
            made.append(Made(f"{arm}-{seed}", arm, seed, (round(float(final), 2),), epochs=30, shapley=values, decisions=decided))
    made.append(Made("policy-6", "policy", 6, (44.1,), state="crashed", reason="killed", epochs=11))
    return Experiment(tuple(learning(run(each), rng) for each in made))


def decisions(rng):
    """Thirty decisions of a policy that mostly does what the heuristic would; how often is a matter of the run."""
    alike = rng.uniform(0.6, 0.9)
    actions = [FactoredAction("WAIT"), FactoredAction("GERMINATE", "early", "conv"), FactoredAction("FOSSILIZE", "early")]
    actions += [FactoredAction("GERMINATE", "late", "conv"), FactoredAction("PRUNE", "late")]
    chosen = rng.choice(5, size=(30, 2), p=(0.5, 0.15, 0.12, 0.13, 0.1))
    return tuple((actions[theirs if rng.random() < alike else ours], actions[theirs]) for ours, theirs in chosen)


@pytest.mark.parametrize("runs", [three_arms(), experiment(of_sizes(SIZES, (65.0, 66.0))), experiment(pairs((61.0,), (60.0,)))])
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
