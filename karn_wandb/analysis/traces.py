"""Dense traces: what happened batch by batch around each firing of a trigger, and all the time in research mode."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from karn_wandb.analysis.buckets import drawn, merge
from karn_wandb.analysis.triggers import Firing
from karn_wandb.records import ActivationStatistics, BatchMetrics, DenseTrace, EpochSnapshot, KarnConfig, LayerStatistics, Record

LONGEST = 256
MOST_MESSAGES = 10

T = TypeVar("T")


class DenseTraces:
    """The traces of one episode: a new episode needs new ones.

    A firing opens a window. It holds the last `trace_batches` batches, the firing's own among them, and takes the
    `trace_batches` that follow; it ends with them, or with the first epoch snapshot of a later epoch than the
    firing's. A firing for the same reason meanwhile joins it: its message is added. Statistics of layers belong to
    every window that has one of their batches, so they may tell of batches just outside it. They come after their
    batches: when layers are reported at all, a full window waits for those of its last batch, at most until the epoch
    ends or `LONGEST` = 256 batches.

    While `always` is set there is also one trace an epoch, reason "force_dense", with all of its batches; a long
    epoch is split into traces of `LONGEST` batches. These have every batch once, and every layer statistics once: in
    the trace that has its first batch.

    Attributes:
        always: Whether everything is traced: research mode. The caller may set it at any time.

    Args:
        config: Settings of the instrument: `trace_batches`, `histogram_bins`, and whether it begins in research mode.
    """

    def __init__(self, config: KarnConfig) -> None:
        self.always = config.mode == "research" or config.trigger.force_dense
        self._size, self._bins = config.trace_batches, config.histogram_bins
        self._batches: deque[BatchMetrics] = deque(maxlen=self._size)
        self._layers: deque[LayerStatistics] = deque(maxlen=2 * self._size)
        self._layers_reported = False
        self._windows: list[_Window] = []

    @property
    def wanted(self) -> bool:
        """Whether histograms and activations of the coming batches are wanted."""
        return self.always or any(window.room and not window.research for window in self._windows)

    def observe(self, record: Record, firings: tuple[Firing, ...] = ()) -> tuple[DenseTrace, ...]:
        """Take a record into account, and what fired with it; the traces that are complete now."""
        done: tuple[DenseTrace, ...] = ()
        match record:
            case BatchMetrics():
                self._observe_batch(record)
                done = self._end(self._complete)
            case LayerStatistics():
                self._observe_layers(record)
                done = self._end(self._complete)
            case EpochSnapshot():
                done = self._end(lambda window: window.research or not window.room or window.firing.epoch < record.epoch)
        for firing in firings:
            self._take(firing)
        return done

    def close(self) -> tuple[DenseTrace, ...]:
        """The episode ends: the traces of all windows, as far as they have come."""
        return self._end(lambda _: True)

    def _take(self, firing: Firing) -> None:
        for window in self._windows:
            if window.room and window.firing.reason == firing.reason:
                window.join(firing.message)
                return
        self._windows.append(_Window(firing, self._size, self._batches, self._layers))

    def _observe_batch(self, batch: BatchMetrics) -> None:
        self._batches.append(batch)
        while self._layers and _last(self._layers[0]) < _place(self._batches[0]):
            self._layers.popleft()
        taking = [window for window in self._windows if window.research and window.room]
        for window in taking:
            if not self.always or window.firing.epoch != batch.epoch:
                window.room = 0
        if self.always and not any(window.room for window in taking):
            self._windows.append(
                _Window(Firing("force_dense", batch.epoch, "research mode: every batch"), LONGEST, research=True)
            )
        for window in self._windows:
            window.add(batch)

    def _observe_layers(self, layers: LayerStatistics) -> None:
        self._layers_reported = True
        self._layers.append(layers)
        for window in self._windows:
            window.add_layers(layers)

    def _complete(self, window: _Window) -> bool:
        return not window.room and not (self._layers_reported and window.waits)

    def _end(self, over: Callable[[_Window], bool]) -> tuple[DenseTrace, ...]:
        done = [window for window in self._windows if over(window)]
        if done:
            self._windows = [window for window in self._windows if window not in done]
        return tuple(window.trace(self._bins) for window in done)


class _Window:
    """Batches and layers around a firing, and how many more it takes."""

    def __init__(
        self,
        firing: Firing,
        room: int,
        batches: Iterable[BatchMetrics] = (),
        layers: Iterable[LayerStatistics] = (),
        *,
        research: bool = False,
    ) -> None:
        self.firing, self.room, self.research = firing, room, research
        self._batches, self._layers = list(batches), list(layers)
        self._reached = max(map(_last, self._layers), default=(0, 0))
        self._patience = LONGEST
        self._messages, self._unsaid = [firing.message], 0

    @property
    def waits(self) -> bool:
        """Whether the layers of its last batch may still come."""
        return self._patience > 0 and self._reached < _place(self._batches[-1])

    def join(self, message: str) -> None:
        if message in self._messages:
            return
        if len(self._messages) < MOST_MESSAGES:
            self._messages.append(message)
        else:
            self._unsaid += 1

    def add(self, batch: BatchMetrics) -> None:
        if self.room:
            self._batches.append(batch)
            self.room -= 1
        else:
            self._patience -= 1

    def add_layers(self, layers: LayerStatistics) -> None:
        self._reached = max(self._reached, _last(layers))
        if self._has(layers):
            self._layers.append(layers)

    def _has(self, layers: LayerStatistics) -> bool:
        if not self._batches:
            return True
        first = layers.epoch, layers.first_batch
        decisive = first if self.research else _last(layers)
        return _place(self._batches[0]) <= decisive and first <= _place(self._batches[-1])

    def trace(self, bins: int) -> DenseTrace:
        epochs = [batch.epoch for batch in self._batches] or [self.firing.epoch]
        unsaid = (f"and {self._unsaid} more",) if self._unsaid else ()
        histograms = {layer: merge(found) for layer, found in _by_layer(x.histograms for x in self._layers).items()}
        pictures = {layer: drawn(histogram, bins) for layer, histogram in histograms.items()}
        activations = {layer: merge_activations(found) for layer, found in _by_layer(x.activations for x in self._layers).items()}
        return DenseTrace(
            trigger_reason=self.firing.reason,
            window_start_epoch=min(epochs),
            window_end_epoch=max(epochs),
            batch_metrics=tuple(self._batches),
            gradient_histograms={layer: counts for layer, (counts, _) in pictures.items()},
            gradient_flow=gradient_flow(self._layers),
            activation_means={layer: seen.mean for layer, seen in activations.items()},
            activation_stds={layer: seen.std for layer, seen in activations.items()},
            dead_neuron_counts={layer: seen.dead for layer, seen in activations.items()},
            gate_evaluation_details=self.firing.gate,
            histogram_edges={layer: edges for layer, (_, edges) in pictures.items()},
            gradient_zeros={layer: histogram.zeros for layer, histogram in histograms.items()},
            gradient_non_finite={layer: histogram.non_finite for layer, histogram in histograms.items()},
            cause=self.firing.cause,
            message="; ".join((*self._messages, *unsaid)),
        )


def gradient_flow(stretches: Iterable[LayerStatistics]) -> dict[str, float]:
    """Root mean square of each layer's gradient over several stretches, each weighted by its batches."""
    found = _by_layer({layer: (rms, s.batches) for layer, rms in s.gradient_rms.items()} for s in stretches if s.batches)
    return {
        layer: math.hypot(*(math.sqrt(n) * rms for rms, n in parts)) / math.sqrt(sum(n for _, n in parts))
        for layer, parts in found.items()
    }


def merge_activations(parts: Sequence[ActivationStatistics]) -> ActivationStatistics:
    """Activations of one layer over several stretches, as if they were one.

    Means and standard deviations are pooled: the variance of a union is the mean of the variances plus the variance of
    the means, weighted by counts (Chan, Golub and LeVeque, 1983). A layer whose number of units changed became another:
    only what has the newest number is merged.

    Args:
        parts: The stretches, in order, at least one.
    """
    same = [part for part in parts if part.units == parts[-1].units and part.count]
    count = sum(part.count for part in same)
    if not count:
        return parts[-1]
    mean = sum(part.mean * (part.count / count) for part in same)
    deviations = (math.sqrt(part.count / count) * deviation for part in same for deviation in (part.std, part.mean - mean))
    fired = 0
    for part in same:
        fired |= int(part.fired or "0", 16)
    digits = max(len(part.fired) for part in same)
    return ActivationStatistics(count, mean, math.hypot(*deviations), same[-1].units, f"{fired:0{digits}x}")


def _by_layer(parts: Iterable[Mapping[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for part in parts:
        for layer, value in part.items():
            found.setdefault(layer, []).append(value)
    return found


def _place(batch: BatchMetrics) -> tuple[int, int]:
    return batch.epoch, batch.batch_idx


def _last(layers: LayerStatistics) -> tuple[int, int]:
    return layers.epoch, layers.last_batch
