"""The table of keys: complete, without contradictions, and what DESIGN 3.3 promises."""

import re
from dataclasses import fields, is_dataclass
from fnmatch import fnmatchcase
from types import UnionType
from typing import Annotated, Union, get_args, get_origin, get_type_hints

import pytest

from karn_wandb.records import BatchMetrics, EpochSnapshot, PolicySnapshot, PPOUpdate
from karn_wandb.schema import CLOCK_OF, CLOCKS, EPISODE, FAMILIES, KEYS, REST, clock_of, scope

FIXED = {
    "epoch": [
        "host/train_loss", "host/train_accuracy", "host/val_loss", "host/val_accuracy", "params/host", "params/seed",
        "params/total", "params/fossilized", "params/ratio", "grad/host_norm", "grad/isolation_leakage",
        "slot/<slot>/stage", "slot/<slot>/alpha", "slot/<slot>/seed_params", "slot/<slot>/removal_cost",
        "slot/<slot>/total_improvement", "shapley/<slot>/mean", "shapley/<slot>/std", "claim/accuracy_delta",
        "claim/param_efficiency", "health/dropped_records",
    ],
    "decision": ["policy/value", "policy/entropy"],
    "ppo_update": ["ppo/kl_divergence", "ppo/explained_variance"],
}  # fmt: skip
"""The fixed keys of the contract by their clock."""

by_pattern = pytest.mark.parametrize("key", KEYS, ids=lambda key: key.pattern)


def test_every_pattern_appears_once_for_each_record():
    patterns = [(key.pattern, key.record) for key in KEYS]
    assert len(set(patterns)) == len(patterns)


def test_records_that_share_a_pattern_mean_the_same_by_it():
    """A seed module's layer is a point of the same curve, whether it came in an event of its own or in a compact one."""
    units = {}
    for key in KEYS:
        units.setdefault(key.pattern, []).append((key.unit, key.clock))
    shared = {pattern: same for pattern, same in units.items() if len(same) > 1}
    assert set(shared) == {"layer/<slot>/<layer>/grad_norm"}
    assert all(len(set(same)) == 1 for same in shared.values())


def test_every_path_of_a_record_has_one_key():
    paths = [(key.record, key.path) for key in KEYS if key.path is not None]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(("clock", "pattern"), [(clock, pattern) for clock, group in FIXED.items() for pattern in group])
def test_the_contract_s_fixed_keys_are_there_with_their_clock(clock, pattern):
    (key,) = [key for key in KEYS if key.pattern == pattern]
    assert key.clock == clock


@by_pattern
def test_a_path_leads_through_fields_of_the_record_to_a_number(key):
    if key.path is None:
        return
    reached = [key.record]
    for part in key.path:
        reached = [deeper for here in reached for deeper in _step(here, part)]
    assert reached, f"{key.path} leads nowhere in {key.record.__name__}"
    assert any(issubclass(_bare(leaf), (int, float)) for leaf in reached)


@by_pattern
def test_a_pattern_and_its_path_have_the_same_wildcards(key):
    if key.path is not None:
        assert key.pattern.count("<") == key.path.count("*")


@by_pattern
def test_define_metric_reaches_a_key_through_its_family_by_a_suffix_wildcard(key):
    """W&B's globs match suffixes only, so the first segment must be fixed, and `family/*` is all there is to say."""
    assert re.fullmatch(r"[a-z]+", key.family)
    assert [f for f in FAMILIES if fnmatchcase(key.pattern, f"{f}/*")] == [key.family]


@by_pattern
def test_each_family_has_one_clock(key):
    assert FAMILIES[key.family] == key.clock


@by_pattern
def test_every_key_says_its_unit_and_its_meaning(key):
    assert key.unit
    assert key.meaning


def test_every_clock_is_used_and_named_apart_from_the_families():
    assert set(FAMILIES.values()) == set(CLOCKS) == {"epoch", "batch_step", "decision", "ppo_update"}
    assert not set(FAMILIES) & {*CLOCKS, EPISODE, "env", REST.split("/")[0]}


def test_each_record_has_the_clock_of_the_contract():
    assert dict(CLOCK_OF) == {BatchMetrics: "batch_step", PolicySnapshot: "decision", PPOUpdate: "ppo_update"}
    assert clock_of(EpochSnapshot) == clock_of(dict) == "epoch"


def test_an_environment_s_keys_start_with_its_number():
    assert scope(7) == "env/7/"


def _step(annotation, part):
    """What a field, or the values of a mapping ("*" also stands for any field of a record), are annotated as."""
    annotation = _bare(annotation)
    if is_dataclass(annotation):
        hints = get_type_hints(annotation, include_extras=True)
        return [hints[f.name] for f in fields(annotation) if part in ("*", f.name)]
    if get_origin(annotation) is dict and part == "*":
        return [get_args(annotation)[1]]
    return []


def _bare(annotation):
    """An annotation without `Annotated` and without None."""
    while get_origin(annotation) in (Annotated, Union, UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    return annotation
