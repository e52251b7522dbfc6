"""Tests of a training loop: what it logs, recorded in memory, without W&B's files or network.

pytest examples/03_test_your_training.py
"""

import torch

import karn_wandb
from karn_wandb.records import StageTransition
from karn_wandb.testing import recorded, recorded_inits


def train(run: karn_wandb.Run, epochs: int) -> None:
    """A loop as yours may be; a seed module germinates after the first epoch."""
    model = torch.nn.Linear(4, 2)
    run.attach(model)
    for epoch in range(epochs):
        loss = model(torch.ones(8, 4)).square().mean()
        model.zero_grad()
        loss.backward()
        run.log_batch(loss=loss)
        run.log_epoch(val_accuracy=50.0 + epoch)
        if epoch == 0:
            run.log_stage("early", "DORMANT", "GERMINATED", blueprint_id="norm")


def main() -> None:
    """A program that starts its run itself."""
    with karn_wandb.init(project="mine", config={"lr": 0.1}) as run:
        train(run, epochs=2)


def test_every_epoch_is_logged_with_its_accuracy() -> None:
    """The values that W&B would have got under a key, each with its epoch."""
    with recorded() as run:
        train(run, epochs=3)
    assert run.metrics("host/val_accuracy") == ((1, 50.0), (2, 51.0), (3, 52.0))
    assert run.metrics("claim/accuracy_delta") == ()  # nothing is claimed without a host-only run


def test_a_seed_module_germinates_after_the_first_epoch() -> None:
    """The records themselves."""
    with recorded() as run:
        train(run, epochs=3)
    (change,) = run.records(StageTransition)
    assert (change.slot_id, change.to_stage.name, change.epoch) == ("early", "GERMINATED", 1)


def test_the_program_finishes_its_run() -> None:
    """Code that calls `karn_wandb.init` itself."""
    with recorded_inits() as runs:
        main()
    (run,) = runs
    assert run.finished
    assert run.config["lr"] == 0.1
    assert run.outcome is not None
    assert run.outcome.final_accuracy == 51.0
