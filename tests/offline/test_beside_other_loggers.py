"""Other rows in the same W&B run, through the run or the global one, the user's and other loggers'; read back from the file."""

from __future__ import annotations

import threading

import pytest
import wandb
from finished import read_finished

import karn_wandb
from karn_wandb.errors import UsageError

pytestmark = pytest.mark.offline


def rows_of(run):
    return read_finished(run.records_path.parent / f"run-{run.id}.wandb").rows


def mine(run):
    """The user's rows as they were logged, without what W&B adds."""
    rows = [row for row in rows_of(run) if any(key.startswith("mine/") for key in row)]
    return [{key: value for key, value in row.items() if not key.startswith("_")} for row in rows]


def ours(run, key="host/val_accuracy"):
    return [(row["epoch"], row[key]) for row in rows_of(run) if key in row]


class TestRunWandbLog:
    def test_whole_rows_and_ours_alternate(self, start):
        with start() as run:
            for epoch in range(1, 6):
                run.wandb.log({"mine/a": epoch, "epoch": -epoch})
                run.log_epoch(val_accuracy=10.0 * epoch)
        assert mine(run) == [{"mine/a": epoch, "epoch": -epoch} for epoch in range(1, 6)]
        assert ours(run) == [(epoch, 10.0 * epoch) for epoch in range(1, 6)]

    def test_a_half_row_is_committed_by_the_user_alone(self, start):
        with start() as run:
            run.wandb.log({"mine/a": 1}, commit=False)
            run.log_epoch(val_accuracy=50.0)
            run.wandb.log({"mine/b": 2})
        assert mine(run) == [{"mine/a": 1, "mine/b": 2}]
        assert ours(run) == [(1, 50.0)]

    def test_a_half_row_left_open_does_not_hold_up_the_end_and_is_a_row_of_its_own(self, start):
        with start() as run:
            run.wandb.log({"mine/a": 1, "epoch": -1}, commit=False)
            run.log_epoch(val_accuracy=50.0)
        assert mine(run) == [{"mine/a": 1, "epoch": -1}]
        assert ours(run) == [(1, 50.0)]

    def test_from_several_threads(self, start):
        def log(name):
            for i in range(50):
                run.wandb.log({f"mine/{name}": i})

        with start() as run:
            threads = [threading.Thread(target=log, args=(name,)) for name in "ab"]
            for thread in threads:
                thread.start()
            for epoch in range(1, 51):
                run.log_epoch(val_accuracy=float(epoch))
            for thread in threads:
                thread.join()
        assert [row["mine/a"] for row in mine(run) if "mine/a" in row] == list(range(50))
        assert [row["mine/b"] for row in mine(run) if "mine/b" in row] == list(range(50))
        assert ours(run) == [(epoch, float(epoch)) for epoch in range(1, 51)]

    def test_a_row_that_w_and_b_refuses_closes_and_opens_nothing(self, start):
        with start() as run:
            run.wandb.log({"mine/a": 1}, commit=False)
            with pytest.raises(TypeError, match="must be passed a dictionary"):
                run.wandb.log(3)
            with pytest.raises(TypeError):
                run.wandb.log(3, step=7)
            run.log_epoch(val_accuracy=50.0)
            run.wandb.log({"mine/b": 2})
        assert mine(run) == [{"mine/a": 1, "mine/b": 2}]

    def test_the_end_is_reached_when_the_user_has_finished_the_w_and_b_run(self, start):
        run = start()
        run.log_epoch(val_accuracy=50.0)
        run.collector.followers[0].drain(10)
        run.wandb.log({"mine/a": 1}, commit=False)
        run.wandb.finish()
        with pytest.warns(karn_wandb.errors.KarnWarning):
            run.finish()
        assert ours(run) == [(1, 50.0)]


class TestSteps:
    """W&B alone would drop every row whose `step=` lies behind the rows of ours."""

    def test_no_row_is_dropped_and_the_step_is_a_column(self, start):
        with start() as run:
            for step in range(20):
                run.wandb.log({"mine/a": step}, step=step)
                run.log_epoch(val_accuracy=float(step))
        assert mine(run) == [{"mine/a": step, "user_step": step} for step in range(20)]
        assert ours(run) == [(epoch, epoch - 1.0) for epoch in range(1, 21)]

    def test_steps_that_go_down_are_kept_too(self, start):
        with start() as run:
            for step in (5, 3, 3, 0):
                run.wandb.log({"mine/a": step}, step=step)
        assert [row["user_step"] for row in mine(run)] == [5, 3, 3, 0]

    def test_ours_do_not_wait_for_the_user_s_next_step(self, start):
        with start() as run:
            run.wandb.log({"mine/a": 1}, step=1)
            run.log_epoch(val_accuracy=50.0)
            assert run.collector.followers[0].drain(10)

    def test_half_rows_of_one_step_are_one_row_and_another_step_begins_another(self, start):
        with start() as run:
            run.wandb.log({"mine/a": 1}, step=1, commit=False)
            run.wandb.log({"mine/b": 2}, step=1)
            run.wandb.log({"mine/a": 3}, step=2, commit=False)
            run.wandb.log({"mine/b": 4}, step=3, commit=False)
            run.wandb.log({"mine/c": 5})
        assert mine(run) == [
            {"mine/a": 1, "mine/b": 2, "user_step": 1},
            {"mine/a": 3, "user_step": 2},
            {"mine/b": 4, "mine/c": 5, "user_step": 3},
        ]

    def test_a_user_s_own_column_of_that_name_wins(self, start):
        with start() as run:
            run.wandb.log({"mine/a": 1, "user_step": 70}, step=7)
        assert mine(run) == [{"mine/a": 1, "user_step": 70}]


class TestTheGlobalRun:
    def test_is_left_alone_by_default(self, start):
        with start():
            assert wandb.run is None
            with pytest.raises(wandb.Error, match=r"You must call wandb.init\(\) before wandb.log\(\)"):
                wandb.log({"mine/a": 1})

    def test_is_ours_when_asked_for_and_its_log_keeps_rows_apart(self, start):
        with start(reinit="finish_previous") as run:
            assert wandb.run is run.wandb
            wandb.log({"mine/a": 1}, commit=False)
            run.log_epoch(val_accuracy=50.0)
            wandb.log({"mine/b": 2}, step=3)
            wandb.run.log({"mine/c": 3})
        assert mine(run) == [{"mine/a": 1, "mine/b": 2, "user_step": 3}, {"mine/c": 3}]
        assert ours(run) == [(1, 50.0)]
        assert wandb.run is None

    def test_that_another_library_started_is_taken_over(self, start, tmp_path):
        """As after Lightning's or transformers' own logger."""
        theirs = wandb.init(project="tests", dir=tmp_path, config={"lr": 0.1, "mine": 1})
        theirs.log({"mine/a": 1}, step=4)
        with start(reinit="return_previous", config={"lr": 0.2, "batch": 8}) as run:
            assert run.wandb is theirs
            theirs.log({"mine/b": 2}, step=5)
            run.log_epoch(val_accuracy=50.0)
        assert (run.config["lr"], run.config["mine"], run.config["batch"], run.config["karn_schema"]) == (0.1, 1, 8, 1)
        assert [row.get("mine/a", row.get("mine/b")) for row in mine(run)] == [1, 2]
        assert ours(run) == [(1, 50.0)]
        assert karn_wandb.load_experiment(tmp_path).records(run.id, via="wandb")

    def test_has_one_instrument_at_a_time(self, start):
        first = start(reinit="finish_previous")
        with pytest.raises(UsageError) as caught:
            start(reinit="return_previous")
        assert str(caught.value) == (
            f"this W&B run has the instrument around it already; got reinit gave back {first.id}. "
            'Use the Run of the first init, or pass reinit="create_new".'
        )
        first.log_epoch(val_accuracy=50.0)
        first.finish()
        assert ours(first) == [(1, 50.0)]


class TestNotebooks:
    """A cell that starts a run is run again."""

    def test_the_run_before_is_finished_with_all_it_has(self, start):
        first = start(reinit="finish_previous")
        first.log_epoch(val_accuracy=50.0)
        second = start(reinit="finish_previous")
        assert first.finish().final_accuracy == 50.0
        assert wandb.run is second.wandb
        second.log_epoch(val_accuracy=60.0)
        second.finish()
        assert (ours(first), ours(second)) == ([(1, 50.0)], [(1, 60.0)])
        assert any("tables/episodes._type" in key or key.startswith("tables/episodes") for row in rows_of(first) for key in row)

    def test_by_default_both_go_on_and_are_kept_apart(self, start):
        first, second = start(), start()
        first.log_epoch(val_accuracy=50.0)
        second.log_epoch(val_accuracy=60.0)
        first.finish()
        second.finish()
        assert (ours(first), ours(second)) == ([(1, 50.0)], [(1, 60.0)])
