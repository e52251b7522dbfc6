"""Which of several processes this is, and what of W&B it is given."""

from __future__ import annotations

import pytest
import wandb

from karn_wandb import KarnConfig
from karn_wandb.errors import KarnWarning, RecordError, UsageError
from karn_wandb.processes import is_primary, located, options_of

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "8"}
SLURM = {"SLURM_PROCID": "2", "SLURM_NTASKS": "4"}


def place(config: KarnConfig) -> tuple[int | None, int | None]:
    return config.rank, config.world_size


class TestRank:
    """Of the configuration, of torch.distributed, of the launcher: in this order."""

    @pytest.mark.parametrize(
        ("environ", "found"),
        [
            ({}, (None, None)),
            (TORCHRUN, (3, 8)),
            (TORCHRUN | SLURM, (3, 8)),
            ({"RANK": "0", "WORLD_SIZE": "1"}, (None, None)),
            ({"RANK": "0", "WORLD_SIZE": "2"}, (0, 2)),
            ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, (0, 4)),
            ({"RANK": "3"}, (None, None)),
            ({"RANK": "", "WORLD_SIZE": ""}, (None, None)),
        ],
    )
    def test_is_the_launcher_s(self, environ, found):
        assert place(located(KarnConfig(), environ)) == found

    def test_of_the_configuration_wins(self):
        assert place(located(KarnConfig(rank=1, world_size=2), TORCHRUN)) == (1, 2)

    def test_a_task_of_slurm_that_writes_nothing_says_so(self):
        with pytest.warns(KarnWarning, match=r"^this is task 2 of 4 by SLURM_PROCID, so it writes nothing: task 0 does\. "):
            assert place(located(KarnConfig(), SLURM)) == (2, 4)
        assert place(located(KarnConfig(processes="group"), SLURM)) == (2, 4)

    def test_that_is_no_number_is_refused_by_name(self):
        with pytest.raises(UsageError) as raised:
            located(KarnConfig(), {"RANK": "first", "WORLD_SIZE": "8"})
        assert str(raised.value) == (
            "RANK must be a whole number; got 'first'. It is the launcher's: unset it where there is none."
        )

    @pytest.mark.parametrize(("rank", "world_size"), [(8, 8), (0, None), (None, 2)])
    def test_that_cannot_be_is_refused(self, rank, world_size):
        with pytest.raises(RecordError) as raised:
            KarnConfig(rank=rank, world_size=world_size)
        assert str(raised.value) == (
            "KarnConfig.rank and world_size go together, the rank below the number of processes; "
            f"got rank {rank} of {world_size}. Pass both, or neither and let them be found out."
        )


def given(processes: str, rank: int, options: dict | None = None, environ: dict | None = None) -> dict:
    return options_of(KarnConfig(processes=processes, rank=rank, world_size=4), options or {}, environ or {})


class TestOptions:
    def test_rank_0_has_what_the_user_gave_and_others_a_disabled_run(self):
        options = {"mode": "online", "dir": "here", "tags": ["a"]}
        assert given("rank0", 0, options) == options
        assert given("rank0", 1, options) == {"mode": "disabled", "dir": None, "tags": ["a"]}

    @pytest.mark.parametrize("processes", ["rank0", "group", "shared"])
    def test_one_process_has_what_the_user_gave(self, processes):
        assert options_of(KarnConfig(processes=processes), {"mode": "offline"}, TORCHRUN) == {"mode": "offline"}
        one = KarnConfig(processes=processes, rank=0, world_size=1)
        assert options_of(one, {"mode": "offline"}, TORCHRUN) == {"mode": "offline"}

    def test_a_group_has_a_run_for_each_rank(self):
        assert given("group", 0, {"group": "g", "id": "i"}) == {
            "group": "g",
            "name": "g-rank0",
            "job_type": "primary",
            "id": "i",
        }
        assert given("group", 3, {"group": "g", "id": "i", "name": "n", "job_type": "train"}) == {
            "group": "g",
            "name": "n-rank3",
            "job_type": "train",
            "id": "i-rank3",
        }
        environ = {"WANDB_RUN_GROUP": "g", "WANDB_RUN_ID": "i", "WANDB_NAME": "n"}
        assert given("group", 1, {}, environ) == {"group": "g", "name": "n-rank1", "job_type": "worker", "id": "i-rank1"}

    def test_a_group_without_a_name_is_refused(self):
        with pytest.raises(UsageError) as raised:
            given("group", 0)
        assert str(raised.value) == (
            'processes="group" needs the name of the group. Pass the same group= in every process, or set WANDB_RUN_GROUP.'
        )

    @pytest.mark.parametrize("settings", [None, {"silent": True}, wandb.Settings(silent=True)])
    def test_a_shared_run_is_w_and_b_s_shared_mode(self, settings):
        for rank in (0, 2):
            options = given("shared", rank, {"id": "i", "settings": settings})
            assert (options["mode"], options["id"]) == ("shared", "i")
            made = wandb.Settings(**options["settings"]) if isinstance(options["settings"], dict) else options["settings"]
            assert (made.x_primary, made.x_update_finish_state, made.x_label) == (rank == 0, rank == 0, f"rank{rank}")
            assert made.silent or not settings
            assert is_primary(options["settings"]) == (rank == 0)

    def test_what_the_user_set_himself_of_it_stays(self):
        options = given("shared", 1, {"id": "i", "settings": {"x_label": "mine"}})
        assert options["settings"] == {"x_label": "mine", "x_primary": False, "x_update_finish_state": False}

    def test_a_shared_run_without_an_id_is_refused(self):
        with pytest.raises(UsageError) as raised:
            given("shared", 0)
        assert str(raised.value) == (
            'processes="shared" needs the id of the run. Pass the same id= in every process, or set WANDB_RUN_ID.'
        )

    @pytest.mark.parametrize(
        ("options", "environ"),
        [({"mode": "offline"}, {}), ({}, {"WANDB_MODE": "offline"}), ({"settings": wandb.Settings(mode="offline")}, {})],
    )
    def test_offline_there_is_no_shared_run_so_rank_0_writes(self, options, environ):
        assert given("shared", 0, options, environ) == options
        assert given("shared", 1, options, environ)["mode"] == "disabled"
