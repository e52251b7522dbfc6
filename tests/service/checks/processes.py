"""Checks of how runs begin again and end: resumed, killed, offline and sent later, by several processes."""

from __future__ import annotations

import signal
from pathlib import Path

from .bench import Bench
from .check import check, eventually


@check("resume='must' goes on where the run was, with nothing lost and nothing twice")
def must(bench: Bench) -> None:
    run_id = bench.new_id("resumed")
    with bench.init(id=run_id, config={"lr": 1.0}) as run:
        run.log_epoch(epoch=1, val_loss=1.0)
    with bench.init(id=run_id, resume="must") as run:
        assert run.wandb.resumed
        run.log_epoch(epoch=2, val_loss=2.0)
    found = bench.read(run_id)
    rows = list(found.scan_history())
    assert [row["host/val_loss"] for row in rows if "host/val_loss" in row] == [1.0, 2.0]
    assert [row["_step"] for row in rows] == list(range(len(rows)))
    assert (found.state, found.config["lr"]) == ("finished", 1.0)


@check("resume='must' of a run that is not there is refused")
def must_missing(bench: Bench) -> None:
    from wandb.errors import UsageError

    try:
        bench.init(id=bench.new_id("nowhere"), resume="must")
    except UsageError:
        return
    raise AssertionError("it began")


@check("resume='allow' begins a run, and goes on with it")
def allow(bench: Bench) -> None:
    run_id = bench.new_id("allowed")
    for epoch in (1, 2):
        with bench.init(id=run_id, resume="allow") as run:
            assert run.wandb.resumed == (epoch == 2)
            run.log_epoch(epoch=epoch, val_loss=float(epoch))
    losses = [row["host/val_loss"] for row in bench.read(run_id).scan_history(keys=["epoch", "host/val_loss"])]
    assert losses == [1.0, 2.0]


# In each program the episode is given: one that is captured takes PyTorch, which takes a second or two.
TRAINER = """
import sys, time
import karn_wandb
from logged import CONTEXT
entity, project, run_id, epochs, wait = sys.argv[1:6]
run = karn_wandb.init(entity=entity, project=project, id=run_id, episode=CONTEXT)
for epoch in range(1, int(epochs) + 1):
    run.log_epoch(epoch=epoch, val_loss=1.0 / epoch)
print("logged", flush=True)
time.sleep(float(wait))
if len(sys.argv) > 6:
    raise RuntimeError(sys.argv[6])
run.finish()
"""


@check("a trainer killed with SIGKILL: what had been sent stays, and the run is not called finished")
def killed(bench: Bench) -> None:
    run_id, epochs = bench.new_id("killed"), 20
    trainer = bench.python(TRAINER, run_id, str(epochs), "600")
    assert trainer.stdout is not None
    with trainer.stdout:
        eventually(lambda: trainer.stdout.readline().strip() == "logged")
        eventually(lambda: len(list(bench.read(run_id).scan_history(keys=["host/val_loss"]))) == epochs)
        trainer.send_signal(signal.SIGKILL)
        trainer.wait()
    found = bench.read(run_id)
    assert found.state in {"running", "crashed"}
    assert [row["host/val_loss"] for row in found.scan_history(keys=["host/val_loss"])] == [1.0 / n for n in range(1, epochs + 1)]


@check("a trainer that ends without finish, by an exception")
def raises(bench: Bench) -> None:
    run_id = bench.new_id("raised")
    trainer = bench.python(TRAINER, run_id, "3", "0", "out of luck")
    output, _ = trainer.communicate(timeout=120)
    assert "out of luck" in output
    assert bench.read(run_id).state == "failed"
    assert len(list(bench.read(run_id).scan_history(keys=["host/val_loss"]))) == 3


@check("an offline run, sent later by `wandb sync`")
def sync(bench: Bench) -> None:
    with bench.init(id=bench.new_id("later"), mode="offline", tags=["offline"], config={"lr": 3.0}) as run:
        for epoch in range(1, 4):
            run.log_epoch(epoch=epoch, val_loss=float(epoch))
        folder = Path(run.wandb.dir).parent
    program = bench.command("sync", "--yes", str(folder), "--entity", bench.entity, "--project", bench.project)
    output, _ = program.communicate(timeout=120)
    assert program.returncode == 0, output
    found = bench.read(run.id)
    assert (found.state, found.config["lr"], found.tags) == ("finished", 3.0, ["offline"])
    assert [row["host/val_loss"] for row in found.scan_history(keys=["host/val_loss"])] == [1.0, 2.0, 3.0]
    assert "karn-records" in {artifact.type for artifact in found.logged_artifacts()}


WORKER = """
import sys
import wandb, karn_wandb
from logged import CONTEXT
entity, project, run_id, label = sys.argv[1:5]
settings = wandb.Settings(x_primary=label == "primary", x_label=label, x_update_finish_state=label == "primary")
with karn_wandb.init(entity=entity, project=project, id=run_id, mode="shared", settings=settings, episode=CONTEXT) as run:
    for step in range(5):
        run.wandb.log({f"{label}/value": step})
"""


@check("two processes that share a run, both at once")
def shared(bench: Bench) -> None:
    run_id = bench.new_id("shared")
    for worker in [bench.python(WORKER, run_id, label) for label in ("primary", "helper")]:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, output
    found = bench.read(run_id)
    for label in ("primary", "helper"):
        rows = list(found.scan_history(keys=[f"{label}/value"]))
        assert sorted(row[f"{label}/value"] for row in rows) == list(range(5)), label


RANKED = """
import sys
import karn_wandb
from logged import CONTEXT
entity, project, processes, name, rank = sys.argv[1:6]
karn = karn_wandb.KarnConfig(processes=processes, rank=int(rank), world_size=2)
common = {"id": name, "group": name} if processes == "shared" else {"group": name}
with karn_wandb.init(project, entity=entity, karn=karn, config={"lr": 0.5}, episode=CONTEXT, **common) as run:
    assert run.config["lr"] == 0.5
    for epoch in range(1, 4):
        run.log_epoch(val_loss=float(rank))
        run.wandb.log({f"rank{rank}/mine": epoch})
"""


def ranked(bench: Bench, processes: str, name: str) -> None:
    """Two ranks at once."""
    for worker in [bench.python(RANKED, processes, name, rank) for rank in ("0", "1")]:
        output, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, output


@check("two ranks that share a run: rank 0 logs records, config, summary, tables and artifacts, both what is the user's own")
def shared_by_ranks(bench: Bench) -> None:
    run_id = bench.new_id("ranks")
    ranked(bench, "shared", run_id)
    found = bench.read(run_id)
    assert [row["host/val_loss"] for row in found.scan_history(keys=["host/val_loss"])] == [0.0] * 3
    for rank in (0, 1):
        assert sorted(row[f"rank{rank}/mine"] for row in found.scan_history(keys=[f"rank{rank}/mine"])) == [1, 2, 3]
    assert (found.state, found.config["lr"], found.config["karn"]["rank"]) == ("finished", 0.5, 0)
    assert found.summary["outcome"]["final_loss"] == 0.0
    types = [artifact.type for artifact in found.logged_artifacts()]
    assert types.count("karn-records") == 1


@check("two ranks with a run each in one group")
def group_of_ranks(bench: Bench) -> None:
    group = bench.new_id("group")
    ranked(bench, "group", group)
    runs = {run.name: run for run in bench.api.runs(bench.path, filters={"group": group})}
    assert sorted(runs) == [f"{group}-rank0", f"{group}-rank1"]
    for rank, job_type in enumerate(("primary", "worker")):
        run = runs[f"{group}-rank{rank}"]
        assert (run.job_type, run.config["karn"]["rank"]) == (job_type, rank)
        assert [row["host/val_loss"] for row in run.scan_history(keys=["host/val_loss"])] == [float(rank)] * 3
