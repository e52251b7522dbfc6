"""Sweep files: what W&B takes is taken, and every mistake is named with its line."""

from __future__ import annotations

import pytest
import yaml

from karn_wandb.errors import SweepError
from karn_wandb.sweeps.file import COMMAND, Hyperband, Metric, read_sweep

FULL = """
name: everything
description: as W&B documents it
program: train.py
project: growing
entity: team
method: bayes
metric: {name: host/val_accuracy, goal: maximize, target: 99.5}
run_cap: 30
early_terminate: {type: hyperband, min_iter: 3, eta: 2, strict: true}
command: ["${env}", "${interpreter}", "${program}", "${args}", 7]
parameters:
  lr: {distribution: log_uniform_values, min: 1.0e-5, max: 0.1}
  width: {min: 4, max: 16}
  dropout: {min: 0.0, max: 0.5}
  kind: {values: [norm, conv], probabilities: [0.25, 0.75]}
  epochs: {value: 30}
  optimizer:
    parameters:
      name: {values: [adam, sgd]}
      beta: {distribution: q_normal, mu: 0.9, sigma: 0.1, q: 0.05}
"""


def read(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return read_sweep(path)


def test_everything_that_is_supported_is_read(tmp_path):
    sweep = read(tmp_path, FULL)
    assert (sweep.name, sweep.project, sweep.entity, sweep.program) == ("everything", "growing", "team", "train.py")
    assert (sweep.method, sweep.run_cap) == ("bayes", 30)
    assert sweep.metric == Metric("host/val_accuracy", "maximize", 99.5)
    assert sweep.early_terminate == Hyperband(min_iter=3, eta=2, strict=True)
    assert sweep.command == ("${env}", "${interpreter}", "${program}", "${args}", "7")
    assert {p.name: p.distribution.name for p in sweep.parameters} == {
        "lr": "log_uniform_values",
        "width": "int_uniform",
        "dropout": "uniform",
        "kind": "categorical",
        "epochs": "constant",
        "optimizer.name": "categorical",
        "optimizer.beta": "q_normal",
    }
    assert next(p for p in sweep.parameters if p.name == "width").line == 14
    assert sweep.config == yaml.safe_load(FULL)


def test_the_default_command_is_that_of_wandb(tmp_path):
    from wandb.wandb_agent import Agent

    assert tuple(Agent.DEFAULT_SWEEP_COMMAND) == COMMAND
    assert read(tmp_path, "method: grid\nprogram: t.py\nparameters: {a: {value: 1}}\n").command == COMMAND


def test_the_hash_is_of_what_the_file_says_not_of_its_layout(tmp_path):
    one = read(tmp_path, "method: grid\nprogram: t.py\nparameters: {a: {value: 1}}\n").sha256
    same = read(tmp_path, "# a comment\nprogram: t.py\nmethod: grid\nparameters:\n  a:\n    value: 1\n").sha256
    other = read(tmp_path, "method: grid\nprogram: t.py\nparameters: {a: {value: 2}}\n").sha256
    assert one == same != other


def test_anchors_and_merged_mappings_are_yaml(tmp_path):
    text = "method: grid\nprogram: t.py\nparameters:\n  a: &a {values: [1, 2]}\n  b: *a\n  c: {<<: *a}\n"
    assert [p.distribution.values for p in read(tmp_path, text).parameters] == [(1, 2)] * 3


HEAD = "method: random\nprogram: t.py\n"
MISTAKES = {
    "": "{f}: the sweep file is empty. It must have a method and parameters.",
    "method: [": "{f}, line 1: this is not YAML; got expected the node content, but found '<stream end>'.",
    "- a": "{f}, line 1: the sweep must be a mapping; got ['a'].",
    "method: grid": "{f}, line 1: the sweep lacks the field 'parameters'. It must be parameters by name.",
    "method: grid\nparameters: {a: {value: 1}}": "{f}, line 1: the sweep lacks the field 'program'. Name the training script.",
    "metod: grid": "{f}, line 1: the sweep has an unknown field 'metod'. Did you mean 'method'?",
    "method: custom": "{f}, line 1: 'method' must be one of grid, random, bayes; got 'custom'.",
    HEAD + "job: x": "{f}, line 3: 'job' is W&B Launch's or of an own scheduler, which is not run here. Take it out.",
    HEAD + "method: grid": "{f}, line 3: the sweep has 'method' twice.",
    HEAD + "run_cap: 0": "{f}, line 3: 'run_cap' must be a whole number above 0; got 0.",
    HEAD + "parameters:\n  lr:\n    min: 1e-5\n    max: 0.1": (
        "{f}, line 5: 'min' must be a number; got '1e-5'. YAML reads 1e-3 as text: write 0.001 or 1.0e-3."
    ),
    HEAD + "parameters:\n  lr: {min: 1, max: 0.5}": (
        "{f}, line 4: the parameter 'lr' has one whole bound and one that is not. Write both as 1 or both as 1.0."
    ),
    HEAD + "parameters:\n  lr: {min: 2.0, max: 0.5}": "{f}, line 4: the parameter 'lr': min 2.0 is above max 0.5.",
    HEAD + "parameters:\n  lr: {mu: 2.0}": (
        "{f}, line 4: the parameter 'lr' says neither value, values nor min and max. Or name its distribution."
    ),
    HEAD + "parameters:\n  lr: {distribution: normal, min: 2.0}": (
        "{f}, line 4: the parameter 'lr': normal takes mu, sigma; got min."
    ),
    HEAD + "parameters:\n  lr: {distribution: log_uniform_values, min: 0, max: 1}": (
        "{f}, line 4: the parameter 'lr': log_uniform_values takes limits above 0, not 0."
    ),
    HEAD + "parameters:\n  a: {values: [1], probabilities: [0.5, 0.5]}": (
        "{f}, line 4: the parameter 'a': 1 values and 2 probabilities."
    ),
    HEAD + "parameters:\n  a: {value: 1, parameters: {b: {value: 1}}}": (
        "{f}, line 4: the parameter 'a' is nested and drawn at once; got value, parameters."
    ),
    HEAD + "parameters:\n  a.b: {value: 1}": (
        "{f}, line 4: the parameter 'a.b' has a dot in its name, which W&B's filters cannot find. "
        "Nest it: name: {{parameters: ...}}."
    ),
    "method: grid\nprogram: t.py\nparameters:\n  a: {min: 0.0, max: 1.0}": (
        "{f}, line 4: the parameter 'a': a grid cannot go through uniform. "
        "Give value or values, int_uniform or q_uniform; or method: random."
    ),
    "method: bayes\nprogram: t.py\nparameters: {a: {value: 1}}": (
        "{f}, line 1: 'method' needs a metric to judge runs by. Add metric: {{name: ..., goal: ...}}."
    ),
    HEAD + "early_terminate: {type: hyperband, min_iter: 3}\nparameters: {a: {value: 1}}": (
        "{f}, line 3: 'early_terminate' needs a metric to judge runs by. Add metric: {{name: ..., goal: ...}}."
    ),
    HEAD + "metric: {name: x}\nearly_terminate: {type: hyperband}\nparameters: {a: {value: 1}}": (
        "{f}, line 4: early_terminate takes either min_iter or max_iter; got neither."
    ),
    HEAD + "metric: {name: x}\nearly_terminate: {type: hyperband, max_iter: 9}\nparameters: {a: {value: 1}}": (
        "{f}, line 4: early_terminate with max_iter lacks the field 's'. It says how many brackets there are."
    ),
}


@pytest.mark.parametrize("text", MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_named_with_its_line_and_what_to_do(tmp_path, text):
    with pytest.raises(SweepError) as raised:
        read(tmp_path, text)
    assert str(raised.value) == MISTAKES[text].format(f=tmp_path / "s.yaml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SweepError, match=r"the sweep file '.*none\.yaml' cannot be read; got No such file or directory\."):
        read_sweep(tmp_path / "none.yaml")
