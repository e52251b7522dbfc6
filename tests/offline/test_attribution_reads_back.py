"""Matrices with every example's outcome, 50 epochs of them, read back equal by three ways, each without the others."""

from __future__ import annotations

import json

import pytest
import torch
from attribution_example import NAMES, matrix
from blending import BlendingSlot
from finished import read_finished
from torch import nn

import karn_wandb
from karn_wandb import CounterfactualConfig, KarnConfig, SeedStage
from karn_wandb.attribution import shapley_estimates
from karn_wandb.experiment.tables import artifact_bytes
from karn_wandb.pipeline import parse_log
from karn_wandb.records import CounterfactualMatrix
from karn_wandb.schema import PART, PARTS, REST

pytestmark = pytest.mark.offline

EPOCHS, COALITIONS, EXAMPLES = 50, 16, 2000
MOST_BYTES_OF_AN_EPOCH = 16_000


@pytest.fixture(scope="module")
def logged(offline_folder, tmp_path_factory):
    """Fifty matrices, their run's folder, and its id."""
    matrices = [matrix(NAMES[:4], epoch, strength=epoch / EPOCHS) for epoch in range(1, EPOCHS + 1)]
    with karn_wandb.init("attribution", dir=tmp_path_factory.mktemp("attribution")) as run:
        for each in matrices:
            run.log_counterfactual(each)
    return matrices, run.records_path.parent, run.id


def read(folder, run_id):
    return read_finished(folder / f"run-{run_id}.wandb")


def test_the_example_is_of_the_size_it_claims(logged):
    assert {len(each.configs) for each in logged[0]} == {COALITIONS}
    assert {len(result.correct) for each in logged[0] for result in each.configs} == {EXAMPLES}


@pytest.mark.parametrize("via", ["log", "wandb"])
def test_log_and_rows_give_every_matrix_back(logged, via):
    matrices, folder, run_id = logged
    records = karn_wandb.load_experiment(folder).records(run_id, via=via)
    assert [record for record in records if isinstance(record, CounterfactualMatrix)] == matrices


def test_the_artifact_gives_every_matrix_back(logged, tmp_path):
    """Its bytes directly, and as the file that somebody has downloaded."""
    matrices, folder, run_id = logged
    (entry,) = (e for a in read(folder, run_id).artifacts if a.type == "karn-counterfactual" for e in a.entries)
    content = artifact_bytes(entry)
    assert [event.data for event in parse_log(content).events] == matrices
    downloaded = tmp_path / entry.path
    downloaded.write_bytes(content)
    (run,) = karn_wandb.load_experiment(downloaded).runs
    assert [event.data for event in run.telemetry] == matrices


def test_an_epoch_stays_small(logged):
    """What docs/operations.md says, with room: one row a matrix, far from W&B's limits."""
    _, folder, run_id = logged
    rows = [row for row in read(folder, run_id).rows if '"CounterfactualMatrix"' in str(row.get(REST))]
    assert len(rows) == EPOCHS
    assert max(len(json.dumps(row)) for row in rows) < MOST_BYTES_OF_AN_EPOCH
    assert not any(PARTS in row for row in rows)


def test_a_matrix_too_large_for_one_row_reads_back_from_several(offline_folder, tmp_path):
    """Outcomes of 50,000 examples for 128 coalitions: more than W&B advises for a value."""
    found = matrix(tuple("abcdefg"), force_full_factorial=True, examples=50_000)
    with karn_wandb.init("large", dir=tmp_path) as run:
        run.log_counterfactual(found)
    folder = run.records_path.parent
    rows = read(folder, run.id).rows
    assert sum(PART in row for row in rows) == 1
    assert all(len(value) < 1_000_000 for row in rows for value in row.values() if isinstance(value, str))
    records = karn_wandb.load_experiment(folder).records(run.id, via="wandb")
    assert [record for record in records if isinstance(record, CounterfactualMatrix)] == [found]


class Slot(BlendingSlot):
    """Its seed module adds one input to a logit."""

    def __init__(self, slot_id, source):
        super().__init__()
        self.slot_id, self.stage, self.alpha, self.seed = slot_id, SeedStage.BLENDING, 0.5, nn.Linear(4, 4, bias=False)
        with torch.no_grad():
            self.seed.weight.zero_()[3, source] = 1.0

    def forward(self, x):
        return x + self.alpha * self.seed(x)


class Host(nn.Module):
    """Says whether the sum of two inputs is positive, as far as its slots tell it."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2, bias=False)
        self.seed_slots = nn.ModuleDict({"one": Slot("one", 0), "other": Slot("other", 1)})
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(4)[2:])

    def forward(self, x):
        return self.head(self.seed_slots["other"](self.seed_slots["one"](x)))


@pytest.mark.parametrize("mode", ["standard", "research"])
def test_a_live_matrix_decided_on_a_part_of_the_examples_reads_back_and_gives_its_values_again(offline_folder, tmp_path, mode):
    inputs = torch.zeros(800, 4)
    inputs[:, :2] = torch.randn(800, 2, generator=torch.Generator().manual_seed(1))
    loader = list(zip(inputs.split(100), (inputs[:, :2].sum(1) > 0).long().split(100), strict=True))
    karn = KarnConfig(mode=mode, counterfactual=CounterfactualConfig(decide_early=True))
    with karn_wandb.init("early", dir=tmp_path, karn=karn) as run:
        run.attach(Host(), val_loader=loader)
        for _ in range(2):
            run.log_epoch(val_accuracy=100.0)
    folder = run.records_path.parent
    assert read(folder, run.id).exit_code == 0  # it is whole
    experiment = karn_wandb.load_experiment(folder)
    by_log, by_rows = (
        [record for record in experiment.records(run.id, via=via) if isinstance(record, CounterfactualMatrix)]
        for via in ("log", "wandb")
    )
    assert by_log == by_rows
    assert [each.early_stop for each in by_rows] == ["every slot's claim was decided on 100 of 800 examples"] * 2
    for each in by_rows:
        assert (each.complete, each.n_examples, each.examples_available) == (True, 100, 800)
        assert shapley_estimates(each) == each.shapley_values
        assert each.positive_claims() == ("one", "other")
        assert bool(each.configs[-1].per_class_accuracy) == (mode == "research")
    assert experiment.counterfactuals["examples_available"].tolist() == [800] * 8
    assert experiment.counterfactuals["early_stop"].str.startswith("every slot's claim was decided").all()
