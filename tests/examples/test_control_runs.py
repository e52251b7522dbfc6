"""Control runs: nothing ever germinates in the disabled slot, and until its first gate the run is its full run, bit by bit."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

import karn_wandb
from examples.data import photo_patches
from examples.train import Recipe, parsed, train
from karn_wandb import BatchMetrics, CounterfactualMatrix, EpochSnapshot, GateEvaluationTrace, PolicySnapshot, SeedStage
from karn_wandb.cli import main
from karn_wandb.records import StageTransition

pytestmark = pytest.mark.offline

SLOTS = ("late", "mid", "early")
"""In the order in which the heuristic fills them."""

COMPARED = (EpochSnapshot, BatchMetrics, GateEvaluationTrace, StageTransition, PolicySnapshot)


@pytest.fixture(scope="module")
def runs(offline_folder, tmp_path_factory):
    """Records of the full run and of each control run, by disabled slot; nearly nothing is learned, so all slots are tried."""
    data = photo_patches(training=130, steering=50, validation=50)
    recipe = Recipe(epochs=20, width=4, lr=1e-6, blend_epochs=1, matrix_every=20)
    found = {}
    for disabled in ("none", *SLOTS):
        folder = tmp_path_factory.mktemp(disabled)
        train(3, "heuristic", out=folder, recipe=recipe, data=data, disabled_slot=disabled)
        experiment = karn_wandb.load_experiment(folder)
        found[disabled] = experiment, experiment.records(experiment.episodes["run_id"].item())
    return found


def first_gate(records, slot):
    """The epoch after which the slot's first gate was checked."""
    epoch = 0
    for record in records:
        if isinstance(record, EpochSnapshot):
            epoch = record.epoch
        if isinstance(record, GateEvaluationTrace) and record.slot_id == slot:
            return epoch
    raise AssertionError(f"no gate of {slot}")


def before(records, until):
    """What was logged until the snapshot of an epoch, that one included."""
    kept = []
    for record in records:
        if isinstance(record, COMPARED):
            kept.append(record)
        if isinstance(record, EpochSnapshot) and record.epoch == until:
            return kept
    raise AssertionError(f"no epoch {until}")


@pytest.mark.parametrize("slot", SLOTS)
def test_the_two_runs_are_equal_until_the_slots_first_gate(runs, slot):
    """Skipping a slot draws no random number that the full run does not: weights, batches, orientations and gates agree."""
    full, control = runs["none"][1], runs[slot][1]
    gate = first_gate(full, slot)
    assert before(full, gate) == before(control, gate)
    assert len(before(full, gate)) >= 3 * gate  # two batches and a snapshot an epoch


@pytest.mark.parametrize("slot", SLOTS)
def test_they_differ_once_something_is_blended_in_there(runs, slot):
    full, control = ([r for r in runs[d][1] if isinstance(r, EpochSnapshot)] for d in ("none", slot))
    blended = next(s.epoch for s in full if s.slots and s.slots[slot].alpha > 0)
    assert [s.host.val_loss for s in full[blended:]] != [s.host.val_loss for s in control[blended:]]


@pytest.mark.parametrize("slot", SLOTS)
def test_nothing_ever_germinates_in_the_disabled_slot_and_the_others_go_on(runs, slot):
    snapshots = [r for r in runs[slot][1] if isinstance(r, EpochSnapshot)]
    assert {s.slots[slot].stage for s in snapshots if s.slots} == {SeedStage.DORMANT}
    gated = {r.slot_id for r in runs[slot][1] if isinstance(r, GateEvaluationTrace)}
    assert gated == set(SLOTS) - {slot}


@pytest.mark.parametrize("disabled", ["none", *SLOTS])
def test_which_slot_was_disabled_is_in_config_and_context(runs, disabled):
    episode = runs[disabled][0].episodes.iloc[0]
    assert episode["config.disabled_slot"] == episode["episode.hyperparameters.disabled_slot"] == disabled
    assert ("without" in episode["name"]) == (disabled != "none")


def test_the_coalitions_are_evaluated_after_the_last_epoch_of_every_run_that_grew(runs):
    for _, records in runs.values():
        assert max(r.epoch for r in records if isinstance(r, CounterfactualMatrix)) == 20


@pytest.mark.parametrize("spelling", ["--disabled-slot=mid", "--disabled_slot=mid"])
def test_the_option_may_be_spelled_as_wandb_does(spelling):
    assert parsed([spelling]).disabled_slot == "mid"


def test_no_slot_is_disabled_by_default():
    assert parsed([]).disabled_slot == "none"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--disabled-slot", "erly"], "invalid choice: 'erly' (choose from 'none', 'early', 'mid', 'late')"),
        (
            ["--controller", "none", "--disabled-slot", "mid"],
            "--disabled-slot needs a controller: in the host alone nothing germinates in any slot",
        ),
    ],
)
def test_a_slot_that_cannot_be_disabled_is_wrong_usage(arguments, said, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_report_command_shows_what_they_say(runs, tmp_path):
    """Real folders of real runs, one of each: a single pair says nothing, and the report says so."""
    folders = [run.source for experiment, _ in runs.values() for run in experiment.runs]
    target = tmp_path / "report.md"
    done = CliRunner().invoke(main, ["report", *folders, "--md", str(target)])
    assert done.exit_code == 0, done.output
    assert "training with early (Exploratory: inconclusive). Causal contribution to final_accuracy: " in done.stdout
    assert "1 pair: nothing is inferred from fewer than 3; 6 pairs are needed" in done.stdout
    assert "## Removal cost against causal contribution" in target.read_text()
    found = karn_wandb.causal_contributions(karn_wandb.load_experiment(*folders))
    assert [slot.slot for slot in found.slots] == ["early", "mid", "late"]
    for slot in found.slots:
        assert len(slot.grown) == slot.removal.n_treatment == slot.difference.n_treatment == 1
        assert slot.warnings == slot.not_evaluated == ()
