"""Draws docs/report/*.png, two reports in a browser at phone and desktop width, light and dark.

python -m docs.make_screenshots DEMO_RUNS [SWEEP_RUNS]

DEMO_RUNS is what `python -m examples.demo --out DEMO_RUNS` leaves; the sweep is made up unless its folder is given. Chromium, or
what the environment's CHROMIUM names, draws.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from docs.make_charts import learning, small
from karn_wandb import Experiment, build_report, load_experiment
from karn_wandb.records import FactoredAction
from tests.report_runs import Made, run

FOLDER = Path(__file__).parent / "report"
CLAIMS = Path(__file__).parent.parent / "examples" / "claims.yaml"
LARGEST = 300_000
"""Bytes a picture may take."""

Scheme = Literal["light", "dark"]
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True, slots=True)
class Screen:
    """What is looked at: its width and height in CSS pixels, how many real ones make one, and the section scrolled to."""

    name: str
    width: int
    height: int
    density: int
    section: str = ""


SCREENS = (Screen("phone", 390, 1500, 2), Screen("desktop", 1120, 1250, 1), Screen("figures", 1120, 1480, 1, "Comparison"))


def sweep() -> Experiment:
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


def decisions(rng: np.random.Generator) -> tuple[tuple[FactoredAction, FactoredAction | None], ...]:
    """Thirty decisions of a policy that mostly does what the heuristic would; how often is a matter of the run."""
    alike = rng.uniform(0.6, 0.9)
    actions = [FactoredAction("WAIT"), FactoredAction("GERMINATE", "early", "conv"), FactoredAction("FOSSILIZE", "early")]
    actions += [FactoredAction("GERMINATE", "late", "conv"), FactoredAction("PRUNE", "late")]
    chosen = rng.choice(5, size=(30, 2), p=(0.5, 0.15, 0.12, 0.13, 0.1))
    return tuple((actions[theirs if rng.random() < alike else ours], actions[theirs]) for ours, theirs in chosen)


def shot(page: Path, target: Path, screen: Screen, scheme: Scheme) -> None:
    """A screen of a report; in a frame, since Chromium lays no window out narrower than 500 pixels."""
    found = re.search(rf'id="(s\d+)">\n<h2>{screen.section}', page.read_text(encoding="utf-8"))
    address = page.resolve().as_uri() + (f"#{found[1]}" if screen.section and found else "")
    frame = f'style="width:{screen.width}px;height:{screen.height}px;border:0;display:block;color-scheme:{scheme}"'
    with TemporaryDirectory() as folder:
        outer, png = Path(folder) / "frame.html", Path(folder) / "shot.png"
        outer.write_text(f'<body style="margin:0"><iframe src="{address}" {frame}></iframe>', encoding="utf-8")
        size = f"--window-size={screen.width},{screen.height}"
        browse(outer, Path(folder), f"--screenshot={png}", size, f"--force-device-scale-factor={screen.density}")
        target.write_bytes(small(png.read_bytes()))


def browse(page: Path, profile: Path, *options: str) -> None:
    """Opens a page in a browser without a window."""
    browser = os.environ.get("CHROMIUM", "chromium")
    command = [browser, *_FLAGS, f"--user-data-dir={profile / 'profile'}", *options, page.resolve().as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 -- our own page, in the browser named


def pictures() -> Iterator[tuple[str, Screen, Scheme, Path]]:
    """Of each report, every screen in both colour schemes."""
    for name in ("demo", "sweep"):
        for screen in SCREENS:
            for scheme in ("light", "dark"):
                yield name, screen, scheme, FOLDER / f"{name}-{screen.name}-{scheme}.png"


def write_reports(folder: Path, demo: Path, swept: Path | None = None) -> None:
    """The two reports that are shown, as files."""
    made = {
        "demo": build_report(load_experiment(demo), CLAIMS, "Does growing beat the host alone?"),
        "sweep": build_report(load_experiment(swept) if swept else sweep(), title="Host alone, heuristic, policy"),
    }
    for name, report in made.items():
        (folder / f"{name}.html").write_text(report.to_html(), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """The command line."""
    if not 1 <= len(arguments) <= 2:
        sys.exit(__doc__)
    FOLDER.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder:
        write_reports(Path(folder), *map(Path, arguments))
        for name, screen, scheme, target in pictures():
            shot(Path(folder) / f"{name}.html", target, screen, scheme)
            if target.stat().st_size > LARGEST:
                sys.exit(f"{target.name} is larger than {LARGEST:,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
