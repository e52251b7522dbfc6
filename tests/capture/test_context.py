"""The episode context captured from the process: git, seeds, versions, and what the model says."""

import platform
import subprocess
from importlib.metadata import version

import numpy as np
import pytest
import torch
from torch import nn

from karn_wandb.capture import capture_episode
from karn_wandb.capture.context import git_commit, numpy_seed
from karn_wandb.records import EpisodeContext, SeedStage


def git(folder, *arguments):
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """A repository with one commit."""
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("lr = 1\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


class TestGit:
    def test_a_clean_tree_is_its_commit(self, repository):
        assert git_commit(repository) == git(repository, "rev-parse", "HEAD")
        assert len(git_commit(repository)) == 40

    def test_untracked_files_are_no_change(self, repository):
        (repository / "notes.txt").write_text("x")
        assert git_commit(repository) == git(repository, "rev-parse", "HEAD")

    @pytest.mark.parametrize("staged", [False, True])
    def test_changed_files_are_said(self, repository, staged):
        (repository / "train.py").write_text("lr = 2\n")
        if staged:
            git(repository, "add", "train.py")
        assert git_commit(repository) == git(repository, "rev-parse", "HEAD") + "-dirty"

    def test_a_folder_inside_is_of_the_same_repository(self, repository):
        inside = repository / "deep" / "down"
        inside.mkdir(parents=True)
        assert git_commit(inside) == git(repository, "rev-parse", "HEAD")

    def test_outside_git_without_a_commit_or_without_git_there_is_none(self, tmp_path, monkeypatch):
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
        assert git_commit(tmp_path) == ""
        assert git_commit(tmp_path / "missing") == ""
        git(tmp_path, "init", "-q")
        assert git_commit(tmp_path) == ""
        monkeypatch.setenv("PATH", "")
        assert git_commit(tmp_path) == ""

    def test_a_git_that_hangs_is_given_up(self, repository, monkeypatch, tmp_path_factory):
        slow = tmp_path_factory.mktemp("bin") / "git"
        slow.write_text("#!/bin/sh\nexec /bin/sleep 30\n")
        slow.chmod(0o755)
        monkeypatch.setenv("PATH", str(slow.parent))
        monkeypatch.setattr("karn_wandb.capture.context.GIT_SECONDS", 0.1)
        assert git_commit(repository) == ""

    def test_the_context_names_the_commit_of_the_folder_it_is_given(self, repository):
        assert capture_episode(repository=repository).git_commit == git(repository, "rev-parse", "HEAD")


class TestSeeds:
    def test_are_those_the_generators_were_seeded_with(self):
        torch.manual_seed(11)
        np.random.seed(12)  # noqa: NPY002 -- what is captured is the legacy generator
        context = capture_episode()
        assert (context.base_seed, context.torch_seed, context.numpy_seed) == (11, 11, 12)
        assert capture_episode(base_seed=3).base_seed == 3
        assert capture_episode(base_seed=0).base_seed == 0

    def test_capturing_changes_no_generator(self):
        model = nn.Linear(2, 2)
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 -- as above
        expected = torch.rand(1).item(), np.random.rand()  # noqa: NPY002 -- as above
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002 -- as above
        capture_episode(model)
        assert (torch.rand(1).item(), np.random.rand()) == expected  # noqa: NPY002 -- as above

    @pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
    def test_numpy_s_seed_is_the_first_word_of_its_state(self, seed):
        np.random.seed(seed)  # noqa: NPY002 -- as above
        assert numpy_seed() == seed

    def test_the_largest_seed_of_pytorch_can_be_kept(self):
        torch.manual_seed(2**63 - 1)
        assert capture_episode().torch_seed == 2**63 - 1
        torch.manual_seed(-1)
        assert capture_episode().torch_seed == 2**64 - 1


def test_versions_are_those_that_are_installed():
    context = capture_episode()
    assert context.python_version == platform.python_version()
    assert context.library_versions == {name: version(name) for name in ("karn-wandb", "torch", "numpy", "wandb")}


def test_a_library_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr("karn_wandb.capture.context.LIBRARIES", ("torch", "no-such-library"))
    assert set(capture_episode().library_versions) == {"torch"}


def test_determinism_is_captured():
    assert capture_episode().deterministic is False
    torch._C._set_deterministic_algorithms(True)  # noqa: FBT003 -- what use_deterministic_algorithms calls after slow imports
    try:
        assert capture_episode().deterministic is True
    finally:
        torch._C._set_deterministic_algorithms(False)  # noqa: FBT003 -- as above


class Slot(nn.Module):
    def __init__(self, slot_id, channels=None):
        super().__init__()
        self.slot_id, self.alpha, self.stage, self.seed = slot_id, 0.0, SeedStage.TRAINING, nn.Linear(1, 1)
        if channels is not None:
            self.channels = channels

    def force_alpha(self, alpha):
        raise AssertionError("capturing switches nothing off")


class GrowingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(2, 2)
        self.seed_slots = nn.ModuleDict({"early": Slot("early", 64), "late": Slot("late")})


def test_the_model_says_what_is_not_given():
    context = capture_episode(GrowingNet())
    assert context.host_architecture == "GrowingNet"
    assert context.host_params == 6
    assert context.slot_config == {"early": 64, "late": 0}


def test_what_is_given_wins():
    given = {
        "base_seed": 5,
        "task_type": "lm",
        "max_epochs": 50,
        "host_architecture": "cnn_3block",
        "slot_config": {"early": 8},
        "hyperparameters": {"lr": 0.1},
        "data_hash": "ab",
        "episode_id": "mine",
    }
    context = capture_episode(GrowingNet(), **given)
    assert {name: getattr(context, name) for name in given} == given
    assert capture_episode(GrowingNet(), slot_config={}).slot_config == {}


def test_without_anything_given_the_context_is_whole_and_its_own():
    first, second = capture_episode(), capture_episode()
    assert first.episode_id != second.episode_id
    assert (first.host_params, first.slot_config, first.host_architecture, first.task_type) == (0, {}, "", "")
    assert first.timestamp.tzinfo is not None
    assert EpisodeContext.from_plain(first.to_plain()) == first
