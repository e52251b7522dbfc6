"""What `init` says of a run: which values win, what a config may be, and what is refused in words."""

from __future__ import annotations

import gc
import sys
from argparse import Namespace
from collections import OrderedDict
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pytest
import torch
import wandb

from karn_wandb._version import __version__
from karn_wandb.capture import capture_episode
from karn_wandb.errors import ClaimsError, RecordError, UsageError
from karn_wandb.provenance import as_mapping, context_of, info_of, text_of

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")


CLAIMS = "# before the runs\r\nclaims: [{name: a, treatment: {arm: x}, control: {arm: y}}]\r\n"


@pytest.fixture
def path(tmp_path):
    """A file for W&B to read, which leaves it open."""
    yield tmp_path / "config.yaml"
    gc.collect()


class TestContext:
    def test_what_is_given_is_taken(self):
        episode = capture_episode(base_seed=3, hyperparameters={"lr": 0.1})
        assert context_of(episode, {}, {}) == episode

    def test_values_that_w_and_b_holds_win(self):
        """A sweep may set parts of the episode, and hyperparameters by their own names."""
        episode = capture_episode(base_seed=3, max_epochs=5, hyperparameters={"lr": 0.1, "opt": {"name": "sgd", "wd": 0.0}})
        final = {"episode": {"max_epochs": 9, "hyperparameters": {"opt": {"wd": 0.5}}}}
        context = context_of(episode, final, {"lr": 0.2, "base_seed": 4, "other": 1})
        assert (context.base_seed, context.max_epochs) == (4, 9)
        assert context.hyperparameters == {"lr": 0.2, "opt": {"name": "sgd", "wd": 0.5}}
        assert (context.episode_id, context.timestamp) == (episode.episode_id, episode.timestamp)

    def test_a_value_that_cannot_be_is_refused(self):
        with pytest.raises(RecordError, match=r"EpisodeContext\.base_seed must be a whole number; got 'x'"):
            context_of(capture_episode(), {"episode": {"base_seed": "x"}}, {})

    @pytest.mark.parametrize(
        ("config", "seed"),
        [
            ({"base_seed": 4, "seed": 5}, 4),
            ({"seed": 5}, 5),
            ({"seed": np.int64(6)}, 6),
            ({"base_seed": 0}, 0),
            ({}, None),
            ({"seed": "7"}, None),
            ({"seed": True}, None),
            ({"seed": 7.5}, None),
        ],
        ids=str,
    )
    def test_without_one_it_is_captured_with_the_config_s_seed_or_torch_s(self, config, seed):
        config = {"lr": 0.1} | config
        context = context_of(None, {}, config)
        assert context.base_seed == (torch.initial_seed() if seed is None else seed)
        assert context.hyperparameters == config


def test_info_says_what_the_run_is_called_and_how_it_was_configured(tmp_path):
    run = wandb.init(
        mode="disabled", project="p", name="n", group="g", job_type="j", tags=["a", "b"], dir=tmp_path, reinit="create_new"
    )
    info = info_of(run, {"lr": 0.1}, CLAIMS)
    run.finish()
    assert (info.run_id, info.claims) == (run.id, CLAIMS)
    assert (info.karn_version, info.wandb_version, info.config) == (__version__, wandb.__version__, {"lr": 0.1})


@dataclass
class Optimizer:
    name: str = "sgd"


@dataclass(slots=True)
class Settings:
    lr: float = 0.1
    optimizer: Optimizer = field(default_factory=Optimizer)


class TestConfig:
    @pytest.mark.parametrize(
        ("given", "mapping"),
        [
            (None, {}),
            ({"lr": 0.1}, {"lr": 0.1}),
            (MappingProxyType(OrderedDict(lr=0.1)), {"lr": 0.1}),
            (Namespace(lr=0.1, name="x"), {"lr": 0.1, "name": "x"}),
            (Settings(), {"lr": 0.1, "optimizer": {"name": "sgd"}}),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_is_a_mapping_whatever_it_was(self, given, mapping):
        found = as_mapping(given)
        assert type(found) is dict
        assert found == mapping

    def test_is_a_copy(self):
        given, namespace = {"lr": 0.1}, Namespace(lr=0.1)
        as_mapping(given)["lr"] = as_mapping(namespace)["lr"] = 0.5
        assert (given, namespace.lr) == ({"lr": 0.1}, 0.1)

    @pytest.mark.parametrize("kind", [str, lambda path: path], ids=["text", "path"])
    def test_may_be_a_file_as_w_and_b_writes_them(self, path, kind):
        path.write_text("wandb_version: 1\n\nlr:\n  desc: null\n  value: 0.1\n")
        assert as_mapping(kind(path)) == {"lr": 0.1}

    @pytest.mark.parametrize("content", [None, "lr: 0.1\n", "lr: {desc: 1}\n", "- 1\n", "a: [1\n", "wandb_version: 2\n"])
    def test_a_file_that_is_missing_or_of_another_form_is_refused(self, path, content):
        if content is not None:
            path.write_text(content)
        with pytest.raises(UsageError) as caught:
            as_mapping(path)
        assert str(caught.value).startswith("config cannot be read; got ")
        assert str(caught.value).endswith("Pass a mapping, a dataclass, a namespace, or W&B's YAML file.")

    @pytest.mark.parametrize("given", [5, [("lr", 0.1)], ("lr",)], ids=repr)
    def test_what_is_none_of_these_is_refused(self, given):
        with pytest.raises(UsageError, match="config cannot be read"):
            as_mapping(given)


class TestClaims:
    def test_are_kept_as_their_file_s_text(self, tmp_path):
        path = tmp_path / "claims.yaml"
        path.write_bytes(CLAIMS.encode())
        assert text_of(path) == text_of(str(path)) == CLAIMS
        assert text_of(None) == ""

    @pytest.mark.parametrize("name", ["missing.yaml", "."])
    def test_that_cannot_be_read_are_an_error(self, tmp_path, name):
        with pytest.raises(ClaimsError, match=r"the claims file '.*' cannot be read; got "):
            text_of(tmp_path / name)

    def test_that_are_wrong_are_an_error_with_the_line(self, tmp_path):
        path = tmp_path / "claims.yaml"
        path.write_text("family: demo\nclaim: []\n")
        with pytest.raises(ClaimsError) as caught:
            text_of(path)
        assert str(caught.value) == f"{path}, line 2: the file has an unknown field 'claim'. Did you mean 'claims'?"


def test_without_w_and_b_s_own_reader_namespaces_are_read_and_files_are_not(monkeypatch):
    """It is private to W&B, and may be gone in a version to come."""
    monkeypatch.setitem(sys.modules, "wandb.sdk.wandb_helper", None)
    assert as_mapping(Namespace(lr=0.1)) == {"lr": 0.1}
    with pytest.raises(UsageError) as caught:
        as_mapping("config.yaml")
    assert str(caught.value) == "config cannot be read with this version of wandb. Pass a mapping or a dataclass."
