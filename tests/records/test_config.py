"""The instrument's own settings: the contract's defaults, and what they may be."""

from __future__ import annotations

import pytest

from karn_wandb.errors import RecordError
from karn_wandb.records import CounterfactualConfig, DenseTraceTrigger, KarnConfig

# Defaults named in the contract, in the requirement (ring buffer of 10, modes) and in its third document (top-k of 3, off)
DEFAULTS = {
    "mode": "standard",
    "strict": False,
    "trigger": DenseTraceTrigger(),
    "counterfactual": CounterfactualConfig(),
    "max_dense_traces": 10,
    "escalation_epochs": 5,
    "seed_layer_summaries": False,
    "seed_layer_top_k": 3,
    "seed_health_compact": False,
}


def test_the_contracts_names_have_the_contracts_defaults():
    config = KarnConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert KarnConfig(**DEFAULTS) == config


@pytest.mark.parametrize("mode", ["standard", "research", "adaptive"])
def test_modes_are_those_of_the_requirement(mode):
    assert KarnConfig(mode=mode).mode == mode


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"mode": "fast"}, "KarnConfig.mode must be one of 'standard', 'research', 'adaptive'; got 'fast' (str)."),
        ({"seed_layer_top_k": 0}, "KarnConfig.seed_layer_top_k must be at least 1; got 0."),
        ({"escalation_epochs": 0}, "KarnConfig.escalation_epochs must be at least 1; got 0."),
        ({"counterfactual_every": 0}, "KarnConfig.counterfactual_every must be at least 1; got 0."),
        ({"max_dense_traces": -1}, "KarnConfig.max_dense_traces must be at least 0; got -1."),
        ({"finish_timeout": float("inf")}, "KarnConfig.finish_timeout must be at least 0; got inf."),
        ({"strict": "yes"}, "KarnConfig.strict must be True or False; got 'yes' (str)."),
        (
            {"trigger": {"gate_failure": True}},
            "KarnConfig.trigger must be a DenseTraceTrigger; got {'gate_failure': True} (dict).",
        ),
    ],
)
def test_bad_input_is_refused_in_words(bad, message):
    with pytest.raises(RecordError) as raised:
        KarnConfig(**bad)
    assert str(raised.value) == message
