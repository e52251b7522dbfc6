"""Tier 1, once per run or episode: what is needed to say what ran, to run it again, and to compare it."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Literal

from karn_wandb.records._json import Json
from karn_wandb.records._kinds import Count, Finite, NonNegative, Percent
from karn_wandb.records._record import Record, record

RetentionPolicy = Literal["keep_all", "keep_last", "delete_after_run"]


@record
class EpisodeContext(Record):
    """Everything needed to reproduce an episode (requirement, tier 1).

    Attributes:
        episode_id: Unique name of the episode, a UUID unless given.
        timestamp: When training started, with time zone.
        git_commit: Full hash of the code's commit; "-dirty" behind it when the work tree had changes; "" outside git.
        base_seed: Master random seed, from which the others follow.
        torch_seed: Seed of PyTorch's default generator.
        numpy_seed: Seed of NumPy's generator.
        host_architecture: Name of the host, such as "cnn_3block" or "gpt_6layer".
        host_params: Parameters of the host before any seed module.
        slot_config: Width (channels or features) of each slot, such as {"early": 64}.
        max_epochs: Epochs planned.
        task_type: "classification" or "lm", or the user's own word.
        hyperparameters: Learning rate, batch size and the like, as JSON values.
        python_version: Version of Python, "" when not captured.
        library_versions: Versions of the libraries that numbers depend on, such as {"torch": "2.13.0"}.
        data_hash: SHA-256 of the training data, "" when not captured.
        deterministic: Whether deterministic algorithms were enforced; None when not captured.
    """

    episode_id: str
    timestamp: datetime
    git_commit: str
    base_seed: int
    torch_seed: int
    numpy_seed: int
    host_architecture: str
    host_params: Count
    slot_config: dict[str, Count]
    max_epochs: Count
    task_type: str
    hyperparameters: dict[str, Json]
    python_version: str = ""
    library_versions: dict[str, str] = field(default_factory=dict)
    data_hash: str = ""
    deterministic: bool | None = None


@record
class HostBaseline(Record):
    """The host alone: before any germination, and trained to the end without seed modules (requirement, tier 1).

    The final values are the counterfactual "what if no seeds ever?"; they come from a paired host-only run and
    are None until one is known.

    Attributes:
        initial_loss: Validation loss at epoch 0, any float.
        initial_accuracy: Validation accuracy at epoch 0, percent.
        initial_checkpoint: Path of the saved initial state (review, P2-10: a path, not bytes).
        final_host_only_loss: Validation loss of the host-only run at its last epoch, any float.
        final_host_only_accuracy: Validation accuracy of the host-only run at its last epoch, percent.
        host_only_trajectory: Validation accuracy of the host-only run by epoch, percent.
        checkpoint_retention_policy: What becomes of checkpoints when the run ends (review, P2-10).
        source_run_id: The paired host-only run, "" when the values were given by hand.
        host_params: Parameters of the host-only model, None when unknown.
        host_only_sizes: Final validation accuracy, percent, of host-only models of several sizes, by their parameters.
    """

    initial_loss: float
    initial_accuracy: Percent | None = None
    initial_checkpoint: Path | None = None
    final_host_only_loss: float | None = None
    final_host_only_accuracy: Percent | None = None
    host_only_trajectory: dict[int, Percent] = field(default_factory=dict)
    checkpoint_retention_policy: RetentionPolicy = "keep_last"
    source_run_id: str = ""
    host_params: Count | None = None
    host_only_sizes: dict[int, Percent] = field(default_factory=dict)


@record
class RunInfo(Record):
    """The first record of every run: what it is called and how it was configured.

    Attributes:
        run_id: W&B's run id, unique in its project.
        project: W&B project, "" when none was named.
        name: Display name, "" when none was given.
        group: W&B group, "" when none was given.
        job_type: W&B job type, "" when none was given.
        tags: W&B tags.
        config: The run's configuration as read back after init, so that a sweep's values are in it.
        karn_version: Version of this package.
        wandb_version: Version of the wandb SDK, "" when it did not run.
        claims: Text of the claims file it was started with, "" without one.
    """

    run_id: str
    project: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Json] = field(default_factory=dict)
    karn_version: str = ""
    wandb_version: str = ""
    claims: str = ""


@record
class EpisodeOutcome(Record):
    """How an episode ended; the fields of the original project's EPISODE_OUTCOME that we can measure.

    Attributes:
        epochs: Epochs completed.
        final_accuracy: Validation accuracy at the last epoch, percent; None when none was logged.
        final_loss: Validation loss at the last epoch, any float; None when none was logged.
        best_accuracy: Highest validation accuracy of any epoch, percent. Selected on the validation set, so biased upward.
        total_params: Parameters at the last epoch.
        param_ratio: Total over host parameters at the last epoch, at least 0.
        accuracy_delta: Final accuracy minus that of the paired host-only run, percentage points; None without one.
        fossilized: Seed modules fossilized.
        pruned: Seed modules pruned.
        germinated: Seed modules germinated.
        reward_total: Sum of the decisions' rewards; None without decisions.
        state: "finished", or "failed" when the training raised.
        reason: Why it failed, "" otherwise.
        dropped_records: Records that could not be kept, at least 0.
    """

    epochs: Count
    final_accuracy: Percent | None = None
    final_loss: float | None = None
    best_accuracy: Percent | None = None
    total_params: Count | None = None
    param_ratio: NonNegative | None = None
    accuracy_delta: Finite | None = None
    fossilized: Count = 0
    pruned: Count = 0
    germinated: Count = 0
    reward_total: float | None = None
    state: Literal["finished", "failed"] = "finished"
    reason: str = ""
    dropped_records: Count = 0
