"""A sweep on this machine, without a server: one process and one offline folder a run, and a journal to go on from."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from karn_wandb.errors import SweepError
from karn_wandb.sweeps.attempt import Attempt, Place, begin, ending, last_lines
from karn_wandb.sweeps.command import command_line
from karn_wandb.sweeps.file import SweepFile
from karn_wandb.sweeps.guard import STOP
from karn_wandb.sweeps.hyperband import to_stop
from karn_wandb.sweeps.journal import ENDED, Journal, State, SweepRun, locked
from karn_wandb.sweeps.metrics import MetricFollower
from karn_wandb.sweeps.search import Tried, propose, size
from karn_wandb.sweeps.takes import reports_in, untaken

POLL = 0.05
JUDGE_EVERY = 0.5
"""Seconds between two looks at the metric of runs that may be stopped early."""
WAITING = "waiting for what an earlier call has left to end"
GRACE = 30.0
"""Seconds a run has to end cleanly when it is asked to, as W&B's agent gives it."""

Told = Callable[["LocalSweep", str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a sweep.

    Attributes:
        runs: Its runs, in their order.
        problems: What is wrong with it as a whole, each a sentence or two.
    """

    runs: tuple[SweepRun, ...]
    problems: tuple[str, ...]

    @property
    def worked(self) -> bool:
        """Whether no run failed and nothing is wrong."""
        return not self.problems and not any(run.state == "failed" for run in self.runs)


class LocalSweep:
    """A sweep in a folder; made anew with the same folder it goes on where it was interrupted.

    Args:
        file: The sweep.
        folder: Where everything of it goes.
        jobs: Runs at a time.
        seed: Random seed of the search.
        environ: The environment that runs inherit.
        told: Called after every change, with a line on it, "" when there is nothing to say.
        grace: Seconds between SIGTERM and SIGKILL for a run that is to end.

    Raises:
        SweepError: The sweep has no end, or its command cannot be made.
    """

    def __init__(
        self,
        file: SweepFile,
        folder: Path,
        *,
        jobs: int,
        seed: int = 0,
        environ: Mapping[str, str],
        told: Told = lambda sweep, line: None,  # noqa: ARG005 -- names for the reader
        grace: float = GRACE,
    ) -> None:
        if os.name != "posix":
            raise SweepError("a local sweep needs process groups, which this system lacks", do="Leave --local out.")
        command_line(file.command, {}, program="", interpreter="", json_file=folder, environ=environ)
        self.file = file
        self.size = size(file)
        self.runs: list[SweepRun] = []
        self._folder = folder.resolve()
        self._jobs = jobs
        self._seed = seed
        self._environ = environ
        self._told = told
        self._grace = grace
        self._followers: dict[str, MetricFollower] = {}
        self._running: list[Attempt] = []
        self._judged_at = 0.0
        self._problems: list[str] = []

    def count(self, state: State) -> int:
        """How many runs are in a state."""
        return sum(run.state == state for run in self.runs)

    def run(self, *, retry_failed: bool = False) -> Result:
        """Run what is not done; returns when all of it is.

        An exception, such as KeyboardInterrupt, ends the runs that are going; the next call begins them again.

        Args:
            retry_failed: Whether runs that failed in earlier calls are begun again, too.

        Raises:
            SweepError: The folder holds another sweep, or another process runs it.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with locked(self._folder, self._grace + 20, lambda: self._told(self, WAITING)) as lock:
            journal = Journal(self._folder, {"sha256": self.file.sha256, "seed": self._seed})
            try:
                self.runs = journal.runs
                cores = os.cpu_count() or 1
                place = Place(self._folder, self._environ, self._grace, max(cores // self._jobs, 1), lock)
                self._settle(journal, place)
                if retry_failed:
                    self._set_failed_aside(journal, place)
                self._work(journal, place)
            finally:
                self._interrupt(journal, place)
                journal.close()
            finished = [run.run_id for run in self.runs if run.state == "finished"]
            names = [parameter.path[0] for parameter in self.file.parameters]
            self._problems += untaken(names, reports_in(place.reads, finished))
        return Result(tuple(self.runs), tuple(self._problems))

    def _settle(self, journal: Journal, place: Place) -> None:
        """Bring the journal up to what runs of an earlier call did after it was killed."""
        for run in self.runs:
            if run.state == "running":
                self._conclude(journal, place, run, "")

    def _set_failed_aside(self, journal: Journal, place: Place) -> None:
        for run in self.runs:
            if run.state == "failed":
                place.set_aside(run.run_id)
                journal.ended(run, "waiting", run.exit_code, None, "failed, and is tried again")

    def _work(self, journal: Journal, place: Place) -> None:
        self._told(self, "")
        while True:
            while len(self._running) < self._jobs and (run := self._next(journal)) is not None:
                again = f"-{run.attempts + 1}" if run.attempts else ""
                journal.started(run, f"{journal.token}-{run.index:04}{again}")
                self._running.append(begin(self.file, run, place))
                self._told(self, "")
            if not self._running:
                return
            for attempt in [each for each in self._running if each.process.poll() is not None]:
                self._running.remove(attempt)
                attempt.close()
                if ending(attempt.folder) is None:  # begun again it might end so again, for ever
                    why = f"its guard ended\n{last_lines(attempt.folder)}"
                    self._fail(journal, attempt.run, attempt.process.returncode, why)
                else:
                    self._conclude(journal, place, attempt.run, attempt.stopping)
            self._judge()
            time.sleep(POLL)

    def _next(self, journal: Journal) -> SweepRun | None:
        """The run to begin next: one that was interrupted, else a new one; None when there is none."""
        metric = self.file.metric
        if metric and any(metric.reached(run.value) for run in self.runs if run.state == "finished"):
            return None
        waiting = next((run for run in self.runs if run.state == "waiting"), None)
        if waiting is not None or len(self.runs) >= self.size:
            return waiting
        tried = [Tried(run.point, run.state in ENDED, run.value) for run in self.runs]
        proposal = propose(self.file, self._seed, len(self.runs), tried)
        return journal.proposed(SweepRun(len(self.runs), proposal.parameters, proposal.point))

    def _conclude(self, journal: Journal, place: Place, run: SweepRun, why: str) -> None:
        """Note how an attempt ended; one that was interrupted is set aside, and its run waits."""
        folder = place.of(run.run_id)
        code, asked = ending(folder) or (None, "killed")
        if code is None or asked not in ("", STOP):
            place.set_aside(run.run_id)
            journal.ended(run, "waiting", code, None, "interrupted")
            self._told(self, f"run {run.index + 1} was interrupted; it is begun again")
            return
        value = self._follower(run, folder).conclude() if self.file.metric else None
        if asked == STOP:
            journal.ended(run, "stopped", code, value, why or "stopped early")
            self._told(self, f"run {run.index + 1} {run.why}")
        elif code == 0:
            journal.ended(run, "finished", code, value, "")
            self._told(self, "")
            self._look_for_metric(run)
        else:
            self._fail(journal, run, code, last_lines(folder), value)

    def _fail(self, journal: Journal, run: SweepRun, code: int, why: str, value: float | None = None) -> None:
        journal.ended(run, "failed", code, value, why)
        self._told(self, f"run {run.index + 1} failed with exit code {code} ({run.run_id}):\n{run.why}")

    def _look_for_metric(self, run: SweepRun) -> None:
        metric = self.file.metric
        if metric is not None and run.value is None and not self._problems and self.file.method == "bayes":
            self._problems.append(
                f"run {run.run_id} finished and logged no {metric.name!r}, which the search needs. "
                "Name a key that every run logs under metric."
            )

    def _follower(self, run: SweepRun, folder: Path) -> MetricFollower:
        name = self.file.metric.name if self.file.metric else ""
        return self._followers.setdefault(run.run_id, MetricFollower(folder, name))

    def _judge(self) -> None:
        """Stop runs early, as the file says."""
        rule, metric = self.file.early_terminate, self.file.metric
        if rule is None or metric is None or time.monotonic() < self._judged_at + JUDGE_EVERY:
            return
        self._judged_at = time.monotonic()
        known = [run for run in self.runs if run.run_id and run.state != "waiting"]
        histories = {run.run_id: self._history(run) for run in known}
        going = {attempt.run.run_id: attempt for attempt in self._running if not attempt.stopping}
        for run_id, (at, value, threshold) in to_stop(rule, metric.goal, histories, list(going)).items():
            going[run_id].stop(
                f"was stopped early: {metric.name} {value:.6g} after {at} values, where the best 1/{rule.eta:g} of the runs "
                f"had {threshold:.6g} or better"
            )

    def _history(self, run: SweepRun) -> list[float]:
        follower = self._follower(run, self._folder / "runs" / run.run_id)
        return follower.values if run.state in ENDED and follower.values else follower.advance()

    def _interrupt(self, journal: Journal, place: Place) -> None:
        """End what is still going, and wait until it has ended."""
        for attempt in self._running:
            attempt.let_go()
        for attempt in self._running:
            attempt.process.wait()
            attempt.close()
            self._conclude(journal, place, attempt.run, "")
        self._running.clear()
