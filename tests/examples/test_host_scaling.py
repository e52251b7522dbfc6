"""Hosts of several sizes: real offline runs, through to the report."""

from __future__ import annotations

import pytest

import karn_wandb
from examples.data import photo_patches
from examples.host import ConvHost
from examples.train import Recipe, parsed, train
from karn_wandb.experiment import scaling_curve

WIDTHS = (4, 8, 12, 16)
CLASSES = 10


@pytest.fixture(scope="module")
def runs(offline_folder, tmp_path_factory):
    """Each width once alone, and one grown; two epochs on 130 patches."""
    data = photo_patches(training=130, steering=50, validation=50)
    assert len(data.classes) == CLASSES
    folder = tmp_path_factory.mktemp("scaling")
    for width in WIDTHS:
        train(1, "none", out=folder, recipe=Recipe(epochs=2, width=width), data=data)
    train(1, "heuristic", out=folder, recipe=Recipe(epochs=2), data=data)
    return karn_wandb.load_experiment(folder)


@pytest.mark.slow
@pytest.mark.offline
@pytest.mark.parametrize("cost", ["total_params", "wall_clock_s"])
def test_the_hosts_sizes_and_times_make_a_curve(runs, cost):
    """Of one run a size: no interval, and said to have none. What it says of so little training does not matter."""
    found = scaling_curve(runs, cost=cost)
    assert found.fit.sizes == found.fit.runs == 4
    assert found.fit.draws == 0
    assert found.excluded == ()
    assert [target.name for target in found.targets] == ["heuristic"]


@pytest.mark.slow
@pytest.mark.offline
def test_a_size_is_the_hosts_parameters(runs):
    sizes = [run.cost for run in scaling_curve(runs).hosts]
    assert sizes == [sum(p.numel() for p in ConvHost(width, CLASSES).host_parameters()) for width in WIDTHS]


@pytest.mark.slow
@pytest.mark.offline
def test_the_report_shows_it(runs):
    markdown = karn_wandb.build_report(runs).to_markdown()
    assert "## Scaling: what the host alone would need" in markdown
    assert "no interval with fewer than 3 runs" in markdown.lower()


def test_the_width_is_an_option():
    assert parsed(["--width", "16"]).width == 16
    assert parsed([]).width == 8


@pytest.mark.parametrize(("width", "said"), [("6", "6 is no positive multiple of 4"), ("wide", "invalid _width value: 'wide'")])
def test_a_width_that_cannot_be_is_wrong_usage(width, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(["--width", width])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
