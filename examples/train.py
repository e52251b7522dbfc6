"""Train one host, with the heuristic growing it or alone, and log everything.

    python -m examples.train --seed 0 --controller heuristic --out runs
    python -m examples.train --seed 0 --controller none --out runs        the host alone: same start, same batches
    python -m examples.train --seed 0 --disabled-slot early --out runs    a control run: nothing germinates in that slot
    python -m examples.train --seed 0 --controller none --width 16 --out runs    a larger host, for the scaling curve
    python -m examples.train --task text --seed 0 --out runs              a language model instead of an image classifier

With the same random seed all arms see the same initial weights and the same batches in the same order, and a seed module
of a slot starts with the same weights. So the host alone is the same run until the first seed module is blended in, and
a control run until the disabled slot's first gate; that is what makes them pairs.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import karn_wandb
from examples import data as images
from examples import digits, text
from examples.dataset import Dataset, Part
from examples.gates import Reading
from examples.heuristic import Heuristic, Step
from examples.host import Host
from examples.slots import SeedSlot
from examples.tasks import TASKS, Recipe
from karn_wandb import CounterfactualEngine, ModelEvaluator, SeedStage
from karn_wandb.episode import EpisodeLog

DATA: Mapping[str, Callable[[Path | None], Dataset]] = MappingProxyType(
    {"images": images.load, "text": lambda _: text.help_topics(), "digits": lambda _: digits.digits()}
)
"""What each task is learned from; images may come from a folder."""

Controller = Literal["heuristic", "none"]
Disabled = Literal["none", "early", "mid", "late"]
Mode = Literal["online", "offline"]


def train(
    seed: int,
    controller: Controller,
    *,
    out: Path,
    recipe: Recipe,
    data: Dataset,
    disabled_slot: Disabled = "none",
    baseline: Path | None = None,
    claims: str | Path | None = None,
    mode: Mode = "offline",
    on_epoch: Callable[[int, str], None] = lambda epoch, metric: None,  # noqa: ARG005 -- names for the reader
) -> karn_wandb.records.EpisodeOutcome:
    """Train one host from start to end, with nothing ever germinating in the disabled slot; gives how it ended."""
    torch.manual_seed(seed)
    torch.use_deterministic_algorithms(mode=True)
    task = data.task
    model = task.host(recipe, len(data.classes))
    open_slots = [slot for slot in model.slots() if slot.slot_id != disabled_slot]
    heuristic = Heuristic(open_slots, seed, recipe.last_germination, task) if controller == "heuristic" else None
    hyperparameters = {**asdict(recipe), "disabled_slot": disabled_slot}
    told = {"controller": controller, "base_seed": seed, "task": task.name, "dataset": data.name}
    episode = karn_wandb.capture_episode(
        model,
        base_seed=seed,
        task_type=task.kind,
        max_epochs=recipe.epochs,
        host_architecture=task.architecture,
        hyperparameters=hyperparameters,
        data_hash=data.sha256(),
    )
    with karn_wandb.init(
        task.project,
        episode=episode,
        config={**told, **data.references, **hyperparameters},
        baseline=baseline,
        claims=claims,
        name=f"{controller}-{seed}" if disabled_slot == "none" else f"{controller}-without-{disabled_slot}-{seed}",
        group="demo",
        mode=mode,
        dir=str(out),
    ) as run:
        run.attach(model)
        run.wandb.define_metric(f"{task.name}/*", step_metric="epoch")
        loss, accuracy = evaluate(model, data.validation)
        if baseline is None:
            run.log_baseline(initial_loss=loss, initial_accuracy=accuracy)
        optimizers = Optimizers(model, recipe, data.steps(recipe.batch_size))
        order = torch.Generator().manual_seed(seed)
        for epoch in range(1, recipe.epochs + 1):
            for slot in model.slots():
                slot.begin_epoch()
            for inputs, targets in data.epoch(recipe.batch_size, order):
                log_batch(run, optimizers.step(inputs, targets))
            if due(model, epoch, recipe):
                run.log_counterfactual(matrix(model, data, epoch))
            loss, accuracy = evaluate(model, data.validation)
            run.log_epoch(val_loss=loss, val_accuracy=accuracy)
            log_references(run, data, epoch, loss, accuracy)
            if heuristic is not None:
                grow(run, model, heuristic, data, epoch)
            on_epoch(epoch, task.metric.text(loss, accuracy))
    return run.finish()


class Batch(NamedTuple):
    """What one batch gave: its loss, the fraction that was correct, and gradient norms before clipping, seed modules' by slot."""

    loss: Tensor
    correct: Tensor
    host_grad_norm: Tensor
    seed_grad_norms: dict[str, Tensor]


class Optimizers:
    """One AdamW for the host and one for each seed module, under one learning-rate schedule."""

    def __init__(self, model: Host, recipe: Recipe, steps: int) -> None:
        self.model, self.recipe = model, recipe
        self.warmup, self.total = steps * recipe.warmup_epochs, steps * recipe.epochs
        self.done = 0
        self.host = self._adam(list(model.host_parameters()))
        self.seeds: dict[str | None, torch.optim.Optimizer] = {}

    def _adam(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)

    def _of_seeds(self) -> dict[str, torch.optim.Optimizer]:
        """By slot; a seed module that has only just germinated gets no gradient yet."""
        learning = [slot for slot in self.model.slots() if slot.seed is not None and slot.stage is not SeedStage.GERMINATED]
        self.seeds = {slot.seed_id: self.seeds.get(slot.seed_id) or self._adam(list(slot.parameters())) for slot in learning}
        return {slot.slot_id: self.seeds[slot.seed_id] for slot in learning}

    def step(self, inputs: Tensor, targets: Tensor) -> Batch:
        """Learn from one batch."""
        logits = self.model(inputs)
        loss = self._loss(logits, targets)
        self.model.zero_grad()
        loss.backward()
        self._isolated_gradients(inputs, targets)
        seed_grad_norms = {slot_id: self._advance(optimizer) for slot_id, optimizer in self._of_seeds().items()}
        host_grad_norm = self._advance(self.host)
        self.done += 1
        return Batch(loss, (logits.argmax(-1) == targets).float().mean(), host_grad_norm, seed_grad_norms)

    def _advance(self, optimizer: torch.optim.Optimizer) -> Tensor:
        """Clip the gradients and take a step; gives their norm before clipping."""
        group = optimizer.param_groups[0]
        group["lr"] = self.recipe.lr * self.schedule()
        norm = nn.utils.clip_grad_norm_(group["params"], self.recipe.max_grad_norm)
        optimizer.step()
        return norm

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(logits.flatten(0, -2), targets.flatten(), label_smoothing=self.recipe.label_smoothing)

    def _isolated_gradients(self, inputs: Tensor, targets: Tensor) -> None:
        """Gradients of seed modules in TRAINING: of the loss with them switched on, for their own parameters alone."""
        for slot in self.model.slots():
            if slot.stage is SeedStage.TRAINING and slot.seed is not None:
                parameters = list(slot.seed.parameters())
                with slot.force_alpha(1.0):
                    loss = self._loss(self.model(inputs), targets)
                for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                    parameter.grad = gradient

    def schedule(self) -> float:
        """Fraction of the learning rate: linear warm-up, then half a cosine down to zero."""
        return min(1.0, (self.done + 1) / self.warmup) * 0.5 * (1 + math.cos(math.pi * self.done / self.total))


@torch.no_grad()
def evaluate(model: nn.Module, part: Part, batch_size: int = 500) -> tuple[float, float]:
    """Mean loss in nats, and accuracy in percent; of sequences over all their places."""
    model.eval()
    loss = correct = 0.0
    for inputs, targets in part.batches(batch_size):
        logits = model(inputs)
        loss += cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="sum").item()
        correct += (logits.argmax(-1) == targets).sum().item()
    model.train()
    return loss / part.targets.numel(), 100 * correct / part.targets.numel()


def due(model: Host, epoch: int, recipe: Recipe) -> bool:
    """Whether the coalitions are evaluated after this epoch: there is something to switch off, and it is time.

    After the last epoch they are evaluated in every run that has grown, even if all was pruned: removing nothing costs 0.
    """
    if epoch == recipe.epochs:
        return any(slot.germinations for slot in model.slots())
    return epoch % recipe.matrix_every == 0 and any(slot.seed is not None for slot in model.slots())


def matrix(model: Host, data: Dataset, epoch: int) -> karn_wandb.CounterfactualMatrix:
    """All coalitions of the three slots on the validation part."""
    value = ModelEvaluator(model, data.validation.batches(500))
    return CounterfactualEngine().evaluate(value.slot_ids, value, epoch, metric=data.task.game)


def log_batch(episode: EpisodeLog, batch: Batch) -> None:
    """What one batch gave, in the package's units."""
    episode.log_batch(
        loss=batch.loss,
        accuracy=100 * batch.correct,
        host_grad_norm=batch.host_grad_norm,
        seed_grad_norms=batch.seed_grad_norms,
    )


def log_references(run: karn_wandb.Run, data: Dataset, epoch: int, loss: float, accuracy: float) -> None:
    """The task's own metric beside the values to compare it with, if there are any: a user's own rows beside ours."""
    if data.references:
        metric = data.task.metric
        values = {metric.name: metric.of(loss, accuracy), **data.references}
        run.wandb.log({"epoch": epoch, **{f"{data.task.name}/{name}": value for name, value in values.items()}})


def grow(run: karn_wandb.Run, model: Host, heuristic: Heuristic, data: Dataset, epoch: int) -> None:
    """Measure the slots, let the heuristic act, and log what it did and why."""
    score = data.task.metric.score(*evaluate(model, data.steering))
    growing = [slot for slot in model.slots() if slot.seed is not None and slot.stage is not SeedStage.FOSSILIZED]
    readings = {slot.slot_id: read(model, slot, heuristic, data, score) for slot in growing}
    observation = [score, *(r.removal_cost for r in readings.values())]
    for step in heuristic.steps(epoch, score, readings):
        log_step(run, step, observation)


def read(model: Host, slot: SeedSlot, heuristic: Heuristic, data: Dataset, score: float) -> Reading:
    """What the gates of a slot ask for; evaluated anew only where it can differ from the score as it is."""
    without = full = score
    if slot.alpha > 0:
        with slot.force_alpha(0.0):
            without = data.task.metric.score(*evaluate(model, data.steering))
    if slot.stage is SeedStage.TRAINING:
        with slot.force_alpha(1.0):
            full = data.task.metric.score(*evaluate(model, data.steering))
    grads = [p.grad.norm() for p in slot.seed.parameters() if p.grad is not None] if slot.seed else []
    return Reading(
        score=score,
        score_without=without,
        score_full=full,
        score_before=heuristic.score_before(slot.slot_id),
        gradient_norm=float(torch.stack(grads).norm()) if grads else 0.0,
        held=heuristic.held(slot.slot_id, score - without),
    )


def log_step(run: karn_wandb.Run, step: Step, observation: list[float]) -> None:
    """The gate, the change of stage, and the decision with its explanation."""
    if step.gate is not None:
        run.log_gate(step.gate)
    if step.slot.stage is not step.from_stage:
        run.log_stage(
            step.slot.slot_id,
            step.from_stage,
            step.slot.stage,
            seed_id=step.slot.seed_id,
            blueprint_id=step.slot.blueprint_id,
            alpha=step.slot.alpha,
            initiator="heuristic",
            reason=step.reason,
        )
    run.log_decision(observation_vector=observation, action=step.action, explanation=step.reason)


def default_mode() -> Mode:
    """Offline unless one of W&B's agents started this process, whose sweep waits for the run; WANDB_MODE may say otherwise."""
    said = os.environ.get("WANDB_MODE") or ("online" if "WANDB_SWEEP_ID" in os.environ else "offline")
    return "online" if said == "online" else "offline"


def parser() -> argparse.ArgumentParser:
    """The options; those of several words may be spelled as W&B's agent does, which names them as the config does."""
    made = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--task", choices=TASKS, default="images", help="what is learned")
    made.add_argument("--seed", type=int, default=0, help="master random seed")
    made.add_argument("--controller", choices=get_args(Controller), default="heuristic", help="who grows the host")
    made.add_argument(
        *("--disabled-slot", "--disabled_slot"),
        choices=get_args(Disabled),
        default="none",
        help="slot in which nothing ever germinates: a control run for its causal contribution",
    )
    made.add_argument("--width", type=_width, help="width of the host, a multiple of 4: channels of its first block, or features")
    made.add_argument("--out", type=Path, default=Path("runs"), help="folder for the offline run")
    made.add_argument("--epochs", type=int, help="epochs to train; the task's own number unless given")
    made.add_argument("--data-root", type=Path, help="folder with CIFAR-10; photo patches without it")
    made.add_argument("--mode", choices=get_args(Mode), default=default_mode(), help="where W&B logs; an agent's runs are online")
    made.add_argument("--baseline", type=Path, help="folder with the paired host-only run")
    made.add_argument("--claims", help="file of the hypotheses that the runs are made for, kept in the run")
    return made


def _width(text: str) -> int:
    width = int(text)
    if width < 4 or width % 4:
        raise argparse.ArgumentTypeError(f"{width} is no positive multiple of 4")
    return width


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options given; the process's own by default."""
    made = parser()
    options = made.parse_args(arguments)
    if options.controller == "none" and options.disabled_slot != "none":
        made.error("--disabled-slot needs a controller: in the host alone nothing germinates in any slot")
    if options.task != "images" and options.data_root is not None:
        made.error("--data-root is for images: text and digits are installed already")
    recipe = TASKS[options.task].recipe
    options.width = recipe.width if options.width is None else options.width
    options.epochs = recipe.epochs if options.epochs is None else options.epochs
    return options


def main() -> None:
    """The command line."""
    options = parsed()
    data = DATA[options.task](options.data_root)
    recipe = replace(data.task.recipe, epochs=options.epochs, width=options.width)
    options.out.mkdir(parents=True, exist_ok=True)
    train(
        options.seed,
        options.controller,
        out=options.out,
        recipe=recipe,
        data=data,
        disabled_slot=options.disabled_slot,
        baseline=options.baseline,
        claims=options.claims,
        mode=options.mode,
        on_epoch=lambda epoch, metric: print(f"epoch {epoch} of {recipe.epochs}: {metric}", flush=True),
    )


if __name__ == "__main__":
    main()
