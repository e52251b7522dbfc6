"""Draws docs/report/*.png, two reports in a browser at phone and desktop width, light and dark.

python -m docs.make_screenshots DEMO_RUNS SWEEP_RUNS

DEMO_RUNS is what `python -m examples.demo --out DEMO_RUNS` leaves, SWEEP_RUNS the folder `runs` of a local sweep of
sweeps/policy_vs_heuristic.yaml. Chromium, or what the environment's CHROMIUM names, draws.
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

from docs.make_charts import small
from karn_wandb import build_report, load_experiment

FOLDER = Path(__file__).parent / "report"
REPOSITORY = Path(__file__).parent.parent
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


def write_reports(folder: Path, demo: Path, swept: Path) -> None:
    """The two reports that are shown, as files."""
    made = {
        "demo": (demo, "examples/claims.yaml", "Does growing beat the host alone?"),
        "sweep": (swept, "sweeps/policy_vs_heuristic.claims.yaml", "Policy against heuristic"),
    }
    for name, (runs, claims, title) in made.items():
        report = build_report(load_experiment(runs), REPOSITORY / claims, title)
        (folder / f"{name}.html").write_text(report.to_html(), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """The command line."""
    if len(arguments) != 2:
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
