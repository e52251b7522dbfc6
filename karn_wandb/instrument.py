"""What an episode measures on the attached model by itself: its state, gradients, layers, coalitions of its slots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from torch import Tensor, nn

from karn_wandb.attribution import CounterfactualEngine, ModelEvaluator
from karn_wandb.capture.activations import ActivationProbe
from karn_wandb.capture.gradients import GradientLayout, GradientNorms, LayerNorms
from karn_wandb.capture.histograms import GradientHistograms
from karn_wandb.capture.isolation import IsolationProbe
from karn_wandb.capture.layers import SeedLayerMeans, compact
from karn_wandb.capture.model import AttachedModel, SlotLike, slot_width, stage_of
from karn_wandb.records import (
    OCCUPIED,
    CounterfactualMatrix,
    EpisodeContext,
    KarnConfig,
    LayerStatistics,
    SeedLayerNorm,
    SeedLayerNorms,
    SlotSnapshot,
)

ACTIVATIONS_EVERY = 4
"""Of every so many batches of a dense window activations are looked at in one, beginning with the first. They are a sample
of the examples anyway, and seven kernels a layer in each batch would be half of what research mode costs."""


WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


class Measured(NamedTuple):
    """What one batch left behind, still on the device."""

    gradients: GradientNorms | None
    leakage: Tensor | None


class Instrument:
    """Measures one model.

    Args:
        config: Settings of the instrument.
        model: The network, or what `torch.compile` or data parallelism made of it.
        slots: Its slots; found by structure when None.
        val_loader: Batches on which coalitions are evaluated; None evaluates none.
    """

    def __init__(
        self, config: KarnConfig, model: nn.Module, slots: Mapping[str, SlotLike] | None = None, val_loader: Any = None
    ) -> None:
        model = unwrapped(model)
        self._config = config
        self._attached = AttachedModel(model, slots)
        self._loader = val_loader
        self._layout = GradientLayout.of(model, self._attached.slots)
        self._isolation = IsolationProbe(self._attached.slots, model)
        self._isolation.install()
        self._histograms = GradientHistograms()
        self._activations: ActivationProbe | None = None
        self._seed_layers = SeedLayerMeans() if config.seed_layer_summaries and not config.seed_health_compact else None
        self._dense_batches = 0
        self._observed: Mapping[str, nn.Module | None] = {}

    @property
    def slot_ids(self) -> tuple[str, ...]:
        """Slots of the model."""
        return tuple(self._attached.slots)

    @property
    def dense(self) -> bool:
        """Whether histograms and activations of the coming batches are captured."""
        return self._activations is not None

    @dense.setter
    def dense(self, wanted: bool) -> None:
        if wanted == self.dense:
            return
        if self._activations is not None:
            self._activations.remove()
        self._histograms, self._activations = GradientHistograms(), None  # the next window is not to hold what this one left
        if wanted:
            self._activations = ActivationProbe(self._attached.model)
            self._watch_activations(self._activations)

    def measure(self) -> Measured:
        """Measure the batch that was just trained on; reads no value from the device."""
        if not self._layout.fits(self._attached.slots):
            self._lay_out()
        gradients = self._layout.measure()
        if self._activations is not None:
            self._activations.active = self._dense_batches % ACTIVATIONS_EVERY == 0  # in the pass that comes next
            self._dense_batches += 1
            if gradients is not None:
                self._histograms.add(self._layout.gradients())
        return Measured(gradients, self._isolation.measure())

    def _lay_out(self) -> None:
        self._layout = GradientLayout.of(self._attached.model, self._attached.slots)
        if self._activations is not None:
            self._watch_activations(self._activations)

    def _watch_activations(self, probe: ActivationProbe) -> None:
        probe.install()
        probe.active = True
        self._dense_batches = 0

    def complete_layers(self, layers: tuple[LayerStatistics, ...], norms: Iterable[LayerNorms]) -> tuple[LayerStatistics, ...]:
        """The statistics of some batches, with the histograms and activations that were captured meanwhile."""
        if self._seed_layers is not None:
            for stretch in norms:
                self._forget_replaced(self._seed_layers, stretch.layout.seeds)
                for batch in stretch.by_seed_layer():
                    self._seed_layers.observe(batch)
        if not layers or self._activations is None:
            return layers
        *earlier, newest = layers
        return *earlier, replace(newest, histograms=self._histograms.take(), activations=self._activations.take())

    def seed_layers(self, epoch: int) -> tuple[SeedLayerNorm | SeedLayerNorms, ...]:
        """The top layers of each seed module over the epoch; none when that is switched off."""
        if self._seed_layers is None:
            return ()
        self._forget_replaced(self._seed_layers, {slot_id: slot.seed for slot_id, slot in self._attached.slots.items()})
        found = self._seed_layers.summaries(epoch, self._attached.slots, self._config.seed_layer_top_k)
        together = compact(found) if self._config.seed_layer_compact_events else None
        return found if together is None else (together,)

    def _forget_replaced(self, means: SeedLayerMeans, seeds: Mapping[str, nn.Module | None]) -> None:
        """Forget the layers of seed modules that others came after; when they are observed, their batches are long past."""
        for slot_id, seed in seeds.items():
            if seed is not self._observed.get(slot_id):
                means.forget(slot_id)
        self._observed = seeds

    def begin_epoch(self) -> None:
        """Look at the model anew: what was frozen, thawed or replaced since is seen from now on."""
        self._lay_out()
        self._isolation.refresh()

    def parameter_counts(self) -> dict[str, int]:
        """Fields of a `HostSnapshot`."""
        return self._attached.parameter_counts()

    def slot_snapshots(self) -> dict[str, SlotSnapshot]:
        """State of each slot."""
        return self._attached.slot_snapshots()

    def evaluate(self, epoch: int, *, per_class: bool = False) -> CounterfactualMatrix | None:
        """The coalitions of the occupied slots, when there is a loader and it is the epoch for it."""
        if self._loader is None or epoch % self._config.counterfactual_every:
            return None
        slots = {name: slot for name, slot in self._attached.slots.items() if stage_of(slot) in OCCUPIED}
        if not slots:
            return None
        evaluator = ModelEvaluator(self._attached.model, self._loader, slots=slots, per_class=per_class)
        engine = CounterfactualEngine(self._config.counterfactual, seed=epoch)
        return engine.evaluate(slot_ids=tuple(slots), value=evaluator, epoch=epoch, alphas=evaluator.alphas)

    def complete(self, context: EpisodeContext) -> EpisodeContext:
        """The context with what the model says, where it says nothing yet."""
        return replace(
            context,
            host_params=context.host_params or self._attached.parameter_counts()["host_params"],
            host_architecture=context.host_architecture or type(self._attached.model).__name__,
            slot_config=context.slot_config or {name: slot_width(slot) for name, slot in self._attached.slots.items()},
        )

    def remove(self) -> None:
        """Take all hooks off the model."""
        self.dense = False
        self._isolation.remove()


def unwrapped(model: nn.Module) -> nn.Module:
    """The network itself, without what `torch.compile` and data parallelism put around it."""
    while True:
        inner = model.module if isinstance(model, WRAPPERS) else getattr(model, "_orig_mod", None)
        if inner is None:
            return model
        model = inner
