"""The demo, logged online and read back over the public API: the same report as from the folders of its runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

import karn_wandb
from examples.data import photo_patches
from examples.train import Recipe, train

pytestmark = pytest.mark.online

PROJECT = "standin/growing-cnn"
CLAIMS = Path(karn_wandb.__file__).parent.parent / "examples" / "claims.yaml"
RECIPE = Recipe(epochs=3, blend_epochs=1, matrix_every=2)


def reports(source: str | Path, folder: Path, **options: object) -> dict[str, str]:
    """The report in its three forms, with one name in place of the source's."""
    report = karn_wandb.build_report(karn_wandb.load_experiment(source, **options), CLAIMS)
    folder.mkdir()
    saved = [report.save(folder / f"report.{form}") for form in ("html", "md", "json")]
    named = source if isinstance(source, str) else source.name
    return {path.suffix: path.read_text(encoding="utf-8").replace(named, "SOURCE") for path in saved}


@pytest.fixture
def demo(wandb_service, tmp_path, monkeypatch):
    """Three pairs of the demo's runs, on 128 patches and for few epochs, online; gives the folder they were logged in."""
    monkeypatch.setattr(
        karn_wandb, "init", lambda *args, init=karn_wandb.init, **options: init(*args, **options | {"mode": "online"})
    )
    folder = tmp_path / "demo-runs"
    run = partial(train, out=folder, recipe=RECIPE, data=photo_patches(training=128, steering=64, validation=64))
    for seed in range(3):
        run(seed, "none")
        run(seed, "heuristic", baseline=folder)
    return folder


def test_the_report_is_the_same_from_the_service_as_from_the_folders(demo, wandb_service, tmp_path):
    here = reports(demo, tmp_path / "here")
    there = reports(PROJECT, tmp_path / "there", cache=tmp_path / "kept")
    again = reports(PROJECT, tmp_path / "again", cache=tmp_path / "kept")
    assert here[".md"].count("heuristic") > 3
    assert here[".md"].count("SOURCE") == 1
    assert there == here
    assert again == here
    wandb_service.artifacts.all.clear()
    assert reports(PROJECT, tmp_path / "rows", cache=False) == here, "from the rows alone"
