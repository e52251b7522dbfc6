"""Any valid record, event or sequence of events, for property-based tests.

One builder makes values of any annotation a record's field may have; rules that concern several fields of a record
are met by the few overrides below. Everything is kept small, and nasty where it may be: NaN and infinities where they
are observations, -0.0, subnormal floats, 64-bit integers, names that no key format likes.

    @given(records(EpochSnapshot))      any valid epoch snapshot
    @given(any_record())                any valid record of any class
    @given(events())                    one event, not stamped
    @given(event_sequences())           what a collector hands on: stamped, in order, several environments
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from karn_wandb.records import (
    LEGAL_TRANSITIONS,
    RECORD_OF,
    ActivationStatistics,
    BatchMetrics,
    Bits,
    CounterfactualConfig,
    CounterfactualMatrix,
    DenseTrace,
    EpochSnapshot,
    GateEvaluationTrace,
    GradientHistogram,
    HostSnapshot,
    KarnConfig,
    Record,
    SeedStage,
    StageTransition,
    TelemetryEvent,
    TelemetryEventType,
)
from karn_wandb.records._json import Json
from karn_wandb.records._kinds import Bounds
from karn_wandb.records._record import Payload
from karn_wandb.schema import clock_of

NASTY_NAMES = (
    "early",
    "",
    " ",
    "a/b",
    "a.b",
    "a__b",
    "_",
    "_x2d_",
    "_x",
    "conv-1",
    "two words",
    "\N{SEEDLING}",
    "\U0001f469\u200d\U0001f52c\u0000",
    "\"quoted\" and 'quoted'",
    "back\\slash\nnew line\ttab\r",
    "\u2028\ufeff\ufffd",
    "None",
    "nan",
    "$",
    "*",
    "<slot>",
    "step",
    "_step",
    "episode",
    "ü" * 40,
)
NASTY_FLOATS = (0.0, -0.0, 1.0, 0.1, 1e-320, 5e-324, -1e-320, 2.0**53, 2.0**63, 1e22, 1.7976931348623157e308, 1 / 3)
NON_FINITE = (math.nan, math.inf, -math.inf)
NASTY_INTS = (0, 1, -1, 2**31, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63))
FEW = 2

texts = st.sampled_from(NASTY_NAMES) | st.text(st.characters(codec="utf-8"), max_size=6)
NASTY_TIMES = (
    datetime(2025, 12, 14, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime.max.replace(tzinfo=timezone(timedelta(hours=14))),
    datetime(2025, 10, 26, 2, 30, 0, 1, tzinfo=timezone(timedelta(hours=-9, minutes=-30, seconds=7))),
)
times = st.sampled_from(NASTY_TIMES) | st.datetimes(timezones=st.timezones())
paths = texts.filter(lambda text: "\0" not in text).map(Path)


def numbers(bounds: Bounds | None = None) -> st.SearchStrategy[float]:
    """Floats: without bounds all of them, else those the bounds allow."""
    if bounds is None:
        return st.sampled_from(NASTY_FLOATS + NON_FINITE) | st.floats()
    nasty = [x for x in NASTY_FLOATS if bounds.allows(x)]
    return st.sampled_from(nasty or [bounds.low]) | st.floats(bounds.low, bounds.high, allow_nan=False, allow_infinity=False)


def integers(bounds: Bounds | None = None) -> st.SearchStrategy[int]:
    """Whole numbers of at most 64 bits that the bounds allow; small ones more often."""
    rule = bounds or Bounds()
    nasty = [n for n in NASTY_INTS if rule.allows(n)]
    low, high = (int(limit) if limit is not None else fallback for limit, fallback in ((rule.low, -50), (rule.high, 50)))
    return st.integers(low, max(low + FEW, high)) | st.sampled_from(nasty or [low])


jsons = st.recursive(
    st.none() | st.booleans() | integers() | numbers() | texts,
    lambda inner: st.lists(inner, max_size=FEW) | st.dictionaries(texts.filter(lambda key: key != "$"), inner, max_size=FEW),
    max_leaves=5,
)
mappings = st.dictionaries(texts.filter(lambda key: key != "$"), jsons, max_size=FEW)

_LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    str: texts,
    float: numbers(),
    int: integers(),
    datetime: times,
    Path: paths,
    Bits: st.lists(st.booleans(), max_size=20).map(Bits),
    Json: jsons,
    Payload: mappings,
}


def values(annotation: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 -- one line a kind of annotation
    """Values a record's field of that annotation may have, as the record keeps them."""
    if annotation in _LEAVES:
        return _LEAVES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return (integers if arguments[0] is int else numbers)(arguments[1])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        (inner,) = (a for a in arguments if a is not type(None))
        return st.none() | values(inner)
    if origin is tuple and arguments[1:] == (Ellipsis,):
        return st.lists(values(arguments[0]), max_size=FEW).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(*map(values, arguments), max_size=FEW)
    if issubclass(annotation, Enum):
        return st.sampled_from(annotation)
    return records(annotation)


Fields = dict[str, Any]


@cache
def records(cls: type[Record]) -> st.SearchStrategy[Any]:
    """Any valid record of a class: every field given, or only those that have no default."""
    if cls is TelemetryEvent:
        return events()
    hints = get_type_hints(cls, include_extras=True)
    strategies = {f.name: st.deferred(lambda hint=hints[f.name]: values(hint)) for f in fields(cls)}
    required = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    whole = st.fixed_dictionaries(strategies)
    bare = st.fixed_dictionaries({name: strategies[name] for name in required})
    return (whole | whole | bare).map(lambda drawn: cls(**_RULES.get(cls, dict)(drawn)))


def any_record() -> st.SearchStrategy[Record]:
    """Any valid record of any class, events included."""
    return st.sampled_from(sorted(Record.registry)).flatmap(lambda name: records(Record.registry[name]))


def _host(drawn: Fields) -> Fields:
    """Parameters add up."""
    host, seeds = drawn.get("host_params"), drawn.get("total_seed_params")
    if None in (host, seeds, drawn.get("total_params")):
        return drawn
    host, seeds = host % 2**62, seeds % 2**62
    return {**drawn, "host_params": host, "total_seed_params": seeds, "total_params": host + seeds}


def _epoch(drawn: Fields) -> Fields:
    """Host and epoch agree, slots are keyed by their names."""
    slots = {slot.slot_id: slot for slot in drawn.get("slots", {}).values()}
    return {**drawn, "host": replace(drawn["host"], epoch=drawn["epoch"]), "slots": slots}


def _karn(drawn: Fields) -> Fields:
    """A rank is below the number of processes, and both are known or none is."""
    rank, world_size = drawn.get("rank"), drawn.get("world_size")
    known = {} if None in (rank, world_size) else {"rank": rank % world_size, "world_size": world_size}
    return {**{name: value for name, value in drawn.items() if name not in ("rank", "world_size")}, **known}


def _gate(drawn: Fields) -> Fields:
    """A gate that is passed has no failed checks."""
    return {**drawn, "checks_failed": ()} if drawn["passed"] else drawn


_LEGAL_PAIRS = tuple((before, after) for before in SeedStage for after in sorted(LEGAL_TRANSITIONS[before]))


def _transition(drawn: Fields) -> Fields:
    """The change of stage is legal."""
    before, after = _LEGAL_PAIRS[(11 * drawn["from_stage"] + drawn["to_stage"]) % len(_LEGAL_PAIRS)]
    return {**drawn, "from_stage": before, "to_stage": after}


def _trace(drawn: Fields) -> Fields:
    """The window has a direction, edges are one more than bins."""
    first, last = sorted((drawn["window_start_epoch"], drawn["window_end_epoch"]))
    edges = {layer: tuple(map(float, range(len(bins) + 1))) for layer, bins in drawn.get("gradient_histograms", {}).items()}
    given = {"histogram_edges": edges} if drawn.get("histogram_edges") else {"histogram_edges": {}}
    return {**drawn, **given, "window_start_epoch": first, "window_end_epoch": last}


def _config(drawn: Fields) -> Fields:
    """There is one rule for when to stop, and something to decide about."""
    undecidable = drawn.get("target_std") is not None or drawn.get("strategy") == "ablation_only"
    return {**drawn, "decide_early": drawn.get("decide_early", False) and not undecidable}


def _matrix(drawn: Fields) -> Fields:
    """Slots are distinct, each distinct coalition appears once and is as wide as there are slots."""
    slots = tuple(dict.fromkeys(drawn.get("slot_ids", ())))
    width = len(slots) or FEW

    def fitted(config: tuple[bool, ...]) -> tuple[bool, ...]:
        return (config + (False,) * width)[:width]

    # What there is for several coalitions is of the same examples: here of no more than one coalition's.
    other = {"correct": None, "group_losses": None, "group_accuracies": None}
    whole = {fitted(result.config): replace(result, config=fitted(result.config)) for result in drawn["configs"]}
    configs = {config: result if place == 0 else replace(result, **other) for place, (config, result) in enumerate(whole.items())}
    skipped = tuple(dict.fromkeys(map(fitted, drawn.get("skipped", ()))))
    complete = drawn.get("complete", True) and not skipped
    return {**drawn, "slot_ids": slots, "configs": tuple(configs.values()), "skipped": skipped, "complete": complete}


def _activations(drawn: Fields) -> Fields:
    """A bit for each unit."""
    units = drawn["units"] % 20
    fired = drawn["fired"].encode().hex().ljust(6, "0")[: 2 * -(-units // 8)]
    return {**drawn, "units": units, "fired": fired}


def _histogram(drawn: Fields) -> Fields:
    """The buckets are those of finite magnitudes."""
    froms = {name: drawn[name] % 1000 for name in ("negative_from", "positive_from") if name in drawn}
    return {**drawn, **froms}


_RULES: dict[type[Record], Callable[[Fields], Fields]] = {
    HostSnapshot: _host,
    EpochSnapshot: _epoch,
    KarnConfig: _karn,
    GateEvaluationTrace: _gate,
    StageTransition: _transition,
    ActivationStatistics: _activations,
    DenseTrace: _trace,
    GradientHistogram: _histogram,
    CounterfactualConfig: _config,
    CounterfactualMatrix: _matrix,
}


_ENVELOPES = st.just({"timestamp": NASTY_TIMES[0]}) | st.fixed_dictionaries(
    {
        name: values(hint)
        for name, hint in get_type_hints(TelemetryEvent, include_extras=True).items()
        if name not in ("registry", "event_type", "data")
    }
)


@cache
def _event(event_type: TelemetryEventType) -> st.SearchStrategy[TelemetryEvent]:
    """An event of one type: with the record of that type if there is one, free-form data otherwise and at times."""
    expected = RECORD_OF.get(event_type)
    data = records(expected or BatchMetrics)
    data |= data | mappings
    return st.builds(lambda rest, data: TelemetryEvent(**rest, event_type=event_type, data=data), _ENVELOPES, data)


@cache
def events() -> st.SearchStrategy[TelemetryEvent]:
    """Any valid event, with a record of its kind or with free-form data."""
    return st.sampled_from(TelemetryEventType).flatmap(_event)


FAMILIES = (
    TelemetryEventType.BATCH_COMPLETED,
    TelemetryEventType.EPOCH_COMPLETED,
    TelemetryEventType.DECISION_MADE,
    TelemetryEventType.PPO_UPDATE_COMPLETED,
    TelemetryEventType.SEED_STAGE_CHANGED,
    TelemetryEventType.SEED_GATE_EVALUATED,
    TelemetryEventType.COUNTERFACTUAL_MATRIX_COMPUTED,
    TelemetryEventType.DENSE_TRACE_RECORDED,
    TelemetryEventType.PLATEAU_DETECTED,
    TelemetryEventType.GOVERNOR_ROLLBACK,
)
"""What an event sequence is made of; the last two expect no record of their own."""


@dataclass
class _Environment:
    """Where one environment of a sequence stands."""

    env_id: int
    scoped: bool
    episode_idx: int = 0
    epoch: int = 0
    before: int = 0
    stages: dict[str, SeedStage] = field(default_factory=dict)
    counts: dict[type, int] = field(default_factory=dict)

    def next_episode(self) -> None:
        self.before += self.epoch
        self.episode_idx, self.epoch, self.stages = self.episode_idx + 1, 0, {}

    def tick(self, data: object) -> int:
        """The clock's value for the data: counted, or the epoch, which goes on across episodes."""
        if clock_of(type(data)) == clock_of(EpochSnapshot):
            return self.before + self.epoch
        self.counts[type(data)] = self.counts.get(type(data), -1) + 1
        return self.counts[type(data)]


@st.composite
def event_sequences(draw: st.DrawFn, min_size: int = 0, max_size: int = 12) -> tuple[TelemetryEvent, ...]:
    """Events of several environments and episodes, interleaved, as a collector hands them on (and would take them).

    `sequence` counts from 0. In each environment and clock, ticks never go down, across episodes too; epochs go up in
    each episode; stages change legally. An event of free-form data may be without a tick.
    """
    env_ids = draw(st.lists(integers(Bounds(0)), min_size=1, max_size=FEW, unique=True))
    environments = [_Environment(env_id, draw(st.booleans())) for env_id in env_ids]
    slots = draw(st.lists(texts, min_size=1, max_size=FEW, unique=True))
    sequence = []
    for position in range(draw(st.integers(min_size, max_size))):
        environment = draw(st.sampled_from(environments))
        if draw(st.sampled_from((False, False, False, True))):
            environment.next_episode()
        event = draw(st.sampled_from(FAMILIES).flatmap(_event))
        data = _continued(event.data, environment, draw(st.sampled_from(slots)))
        without_tick = not isinstance(data, Record) and draw(st.booleans())
        sequence.append(
            replace(
                event,
                data=data,
                sequence=position,
                env_id=environment.env_id,
                episode_idx=environment.episode_idx,
                scoped=environment.scoped,
                tick=None if without_tick else environment.tick(data),
            )
        )
    return tuple(sequence)


def _continued(data: Any, environment: _Environment, slot_id: str) -> Any:
    """The data as it can come next in an environment."""
    match data:
        case EpochSnapshot():
            environment.epoch += 1
            return replace(data, epoch=environment.epoch, host=replace(data.host, epoch=environment.epoch))
        case StageTransition():
            before = environment.stages.get(slot_id, SeedStage.DORMANT)
            if before is SeedStage.FOSSILIZED:  # final: another slot's turn
                return _continued(data, environment, f"{slot_id}+")
            following = sorted(LEGAL_TRANSITIONS[before])
            after = following[data.to_stage % len(following)]
            environment.stages[slot_id] = after
            return replace(data, slot_id=slot_id, from_stage=before, to_stage=after, epoch=environment.epoch)
        case GateEvaluationTrace() | CounterfactualMatrix():
            return replace(data, epoch=environment.epoch)
        case DenseTrace():
            return replace(data, window_start_epoch=0, window_end_epoch=environment.epoch)
        case _:
            return data
