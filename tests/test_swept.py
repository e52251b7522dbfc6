"""A run of a sweep: where it goes, what the sweep sets, and which of it the program takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import wandb
import yaml

import karn_wandb
from karn_wandb.sweeps.takes import untaken
from karn_wandb.swept import placed, sweep_values, watch, with_sweep

VALUES = {"lr": 0.5, "width": 8, "seed": 3, "optimizer": {"beta": 0.9}, "karn": {"mode": "research"}}


def context(**hyperparameters):
    return karn_wandb.capture_episode(base_seed=3, hyperparameters=hyperparameters)


class TestPlace:
    def test_outside_of_a_local_sweep_nothing_changes(self):
        assert placed({"mode": "online", "dir": "runs"}, {}) == {"mode": "online", "dir": "runs"}

    def test_in_one_the_run_is_offline_in_the_sweeps_folder_whatever_the_program_says(self):
        options = placed({"mode": "online", "dir": "runs", "name": "n"}, {"KARN_SWEEP_DIR": "/s"})
        assert options == {"mode": "offline", "dir": "/s", "name": "n"}


class TestValues:
    def test_are_those_of_the_file_wandb_names(self, tmp_path):
        path = tmp_path / "p.yaml"
        path.write_text(yaml.safe_dump({"wandb_version": 1, **{name: {"value": value} for name, value in VALUES.items()}}))
        assert sweep_values(wandb.Settings(sweep_param_path=str(path))) == VALUES

    def test_are_none_outside_of_sweeps(self, tmp_path):
        assert sweep_values(wandb.Settings()) == {}
        assert sweep_values(wandb.Settings(sweep_param_path=str(tmp_path / "gone.yaml"))) == {}

    def test_complete_the_hyperparameters_and_leave_what_is_there(self):
        completed = with_sweep(context(lr=0.1), VALUES)
        assert completed.hyperparameters == {"lr": 0.1, "width": 8, "seed": 3, "optimizer": {"beta": 0.9}}
        assert with_sweep(context(lr=0.1), {}).hyperparameters == {"lr": 0.1}


class TestWhatIsTaken:
    @pytest.fixture
    def watched(self, offline_folder, tmp_path):
        """A real run's config, and what is known of it."""

        def start(config=None, episode=None):
            run = wandb.init(mode="disabled", config={**(config or {}), **VALUES})
            watch(run, VALUES, config or {}, episode, str(tmp_path))
            runs.append(run)
            return run.config, lambda: json.loads((tmp_path / f"{run.id}.json").read_text())

        runs = []
        yield start
        for run in runs:
            run.finish()

    def test_nothing_is_read_before_it_is(self, watched):
        _, known = watched()
        assert known() == {"lr": "unread", "width": "unread", "seed": "unread", "optimizer": "unread", "karn": "read"}

    @pytest.mark.parametrize(
        "read",
        [
            lambda config: config["lr"],
            lambda config: config.lr,
            lambda config: config.get("lr"),
            lambda config: config.get("lr", 1),
        ],
    )
    def test_a_value_that_is_read_in_any_way_is_noted_alone(self, watched, read):
        config, known = watched()
        assert read(config) == 0.5
        assert {name for name, how in known().items() if how == "read"} == {"lr", "karn"}

    @pytest.mark.parametrize("through", [dict, list, lambda config: dict(**config), lambda config: config.as_dict()])
    def test_going_through_the_config_reads_all_of_it(self, watched, through):
        config, known = watched()
        through(config)
        assert set(known().values()) == {"read"}

    def test_showing_it_or_asking_whether_a_name_is_there_reads_nothing(self, watched):
        config, known = watched()
        assert "width" in repr(config)
        assert "lr" in config
        assert set(known().values()) == {"unread", "read"}
        assert known()["lr"] == "unread"

    def test_what_the_program_gives_itself_counts_when_it_is_the_same(self, watched):
        _, known = watched({"lr": 0.5, "width": 16})
        assert (known()["lr"], known()["width"]) == ("given", "other")

    def test_what_the_program_gives_is_compared_as_a_sweep_file_can_have_it(self, watched):
        _, known = watched({"lr": np.float64(0.5), "width": np.arange(3), "optimizer": {"beta": torch.tensor(0.5)}})
        assert (known()["lr"], known()["width"], known()["optimizer"]) == ("given", "other", "other")
        _, known = watched({"optimizer": {"beta": np.float64(0.9)}, "width": Path("8"), "lr": pd.DataFrame({"a": [1]})})
        assert (known()["lr"], known()["width"], known()["optimizer"]) == ("other", "other", "given")

    def test_an_update_of_the_config_is_given_too(self, watched):
        config, known = watched()
        config.update({"lr": 0.5, "width": 9}, allow_val_change=True)
        assert (known()["lr"], known()["width"]) == ("given", "other")

    def test_the_episode_counts_and_base_seed_is_the_seed(self, watched):
        _, known = watched(episode=context(width=8))
        assert (known()["width"], known()["seed"], known()["lr"]) == ("given", "given", "unread")

    def test_the_config_is_still_w_and_bs_own(self, watched):
        config, _ = watched()
        assert isinstance(config, wandb.Config)
        config["mine"] = 1
        assert config["mine"] == 1
        with pytest.raises(AttributeError):
            _ = config.nowhere


class TestUntaken:
    NAMES = ("lr", "width")

    def test_nothing_is_known_of_programs_without_this_package(self):
        assert untaken(self.NAMES, []) == []

    def test_one_run_that_reads_it_is_enough(self):
        assert untaken(self.NAMES, [{"lr": "unread", "width": "given"}, {"lr": "read", "width": "unread"}]) == []

    def test_what_no_run_took_is_an_error(self):
        (said,) = untaken(self.NAMES, [{"lr": "unread", "width": "read"}] * 2)
        assert said == (
            "nothing reads the parameter 'lr'. Read it from run.config, or give it to karn_wandb.init in config or in the "
            "episode, under the sweep's name."
        )

    def test_what_a_run_has_otherwise_is_an_error_though_another_agrees_by_chance(self):
        (said,) = untaken(self.NAMES, [{"lr": "given", "width": "read"}, {"lr": "other", "width": "read"}])
        assert said.startswith("the program gave W&B another 'lr' than the sweep's and never read the sweep's: ")
