"""W&B's public API, as much of it as reading runs back takes: asked again when it does not answer, with errors that teach."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from karn_wandb.errors import SourceError
from karn_wandb.schema import REST
from karn_wandb.schema.artifacts import RECORDS, artifact_name

T = TypeVar("T")
Waiting = Callable[[str], None]

PAGE = 500
"""Runs in one answer."""

TIMEOUT = 30
"""Seconds an answer may take. W&B's own process asks again meanwhile when it is told to come later, or nobody listens."""

PAUSES = (2.0, 10.0)
"""Seconds before we ask again ourselves."""

_STATUS = re.compile(r"\berror (\d{3})\b")
_NEVER_BETTER = range(400, 500)
_COME_LATER = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
ENDED = ("finished", "failed", "crashed", "killed")
"""States of runs that log no more."""


@dataclass(frozen=True, slots=True)
class RemoteRun:
    """What W&B says of a run where it lists it.

    Attributes:
        host: Where the service is.
        entity: Entity.
        project: Project.
        run_id: W&B's run id.
        name: Display name.
        group: Group, "" for none.
        job_type: Job type, "" for none.
        tags: Tags.
        config: Configuration, nested, without W&B's own.
        state: State in W&B's words: finished, failed, crashed, killed, running, pending, preempting, preempted.
        created_at: When it began, as W&B writes it.
        heartbeat_at: When it was heard of last, as W&B writes it.
        rows: History rows W&B has of it.
        events: How many of them end an event of ours; None when W&B does not count them.
        handle: W&B's own object of the run.
    """

    host: str
    entity: str
    project: str
    run_id: str
    name: str = ""
    group: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict, repr=False, hash=False)
    state: str = "finished"
    created_at: str = ""
    heartbeat_at: str = ""
    rows: int = 0
    events: int | None = None
    handle: Any = field(default=None, repr=False, compare=False)

    @property
    def started(self) -> datetime | None:
        """When it began."""
        if not self.created_at:
            return None
        said = datetime.fromisoformat(self.created_at)
        return said if said.tzinfo else said.replace(tzinfo=UTC)

    @property
    def ours(self) -> bool:
        """Whether this package logged it."""
        return bool(self.events) or "karn_schema" in self.config


class WandbService:
    """The service that `WANDB_BASE_URL` and the login name; asked for the first time when something is wanted of it.

    Args:
        waiting: Is told why we wait, each time we do.
        timeout: Seconds an answer may take.
        pauses: Seconds before each further try.
        base_url: Another service than the one that `WANDB_BASE_URL` names.
        api_key: Another key than that of the login.
    """

    def __init__(
        self,
        waiting: Waiting | None = None,
        timeout: int = TIMEOUT,
        pauses: tuple[float, ...] = PAUSES,
        base_url: str | None = None,
        api_key: str | None = None,
    ) -> None:
        self._overrides = {"base_url": base_url} if base_url else None
        self._api_key = api_key
        self._waiting = waiting or (lambda _: None)
        self._timeout = timeout
        self._pauses = pauses

    def runs(self, source: str, filters: Mapping[str, Any]) -> list[RemoteRun]:
        """The runs that "entity/project" or "entity/project/run_id" names, oldest first.

        Args:
            source: What the user named.
            filters: A filter in W&B's language; empty for all.

        Raises:
            SourceError: There is no such project or run, or W&B cannot be asked.
        """
        entity, project, *run_id = source.split("/")

        def listed() -> list[Any]:
            if run_id:
                return [self._api.run(source)]
            return list(
                self._api.runs(f"{entity}/{project}", filters=dict(filters), order="+created_at", per_page=PAGE, lazy=False)
            )

        return [self._described(run) for run in self._asked(source, listed)]

    def history(self, run: RemoteRun) -> list[dict[str, Any]]:
        """All history rows of a run, each with what was logged in it.

        Exported histories come as Parquet, in which every row has every column: missing is null there.
        """
        rows = self._asked(_path(run), lambda: list(run.handle.scan_history()))
        return [{key: value for key, value in row.items() if value is not None} for row in rows]

    def record_log(self, run: RemoteRun) -> bytes | None:
        """The bytes of the record log that a run left as an artifact; None when it left none."""
        name = f"{run.entity}/{run.project}/{artifact_name(RECORDS, run.run_id)}:latest"
        try:
            return self._asked(name, lambda: self._downloaded(name))
        except _MissingError:
            return None

    def _downloaded(self, name: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="karn-") as folder:
            self._api.artifact(name, type=RECORDS).download(folder, skip_cache=True)
            return next(iter(_files(Path(folder))), b"")

    @cached_property
    def _api(self) -> Any:
        import wandb  # noqa: PLC0415 -- takes seconds

        return wandb.Api(self._overrides, timeout=self._timeout, api_key=self._api_key)

    def _asked(self, what: str, ask: Callable[[], T]) -> T:
        """Ask, again when W&B was busy or away.

        Raises:
            SourceError: It has no such thing, refuses it, or does not answer.
        """
        import wandb  # noqa: PLC0415 -- takes seconds

        for pause in (*self._pauses, None):
            try:
                return ask()
            except (wandb.errors.Error, api_error(), ValueError, OSError) as error:
                failure = _failure(what, error)
                if pause is None or isinstance(failure, _MissingError | _RefusedError):
                    raise failure from error
                self._waiting(f"W&B did not answer ({_said(error)}); asked again in {pause:g} s")
                time.sleep(pause)
        raise AssertionError  # the last pause is None

    def _described(self, run: Any) -> RemoteRun:
        _tidy(Path(run.dir))
        keys = (run.history_keys or {}).get("keys") or {}
        counts = keys.get(REST, {}).get("typeCounts") if isinstance(keys, Mapping) else None
        return RemoteRun(
            host=str(self._api.settings["base_url"]),
            entity=run.entity,
            project=run.project,
            run_id=run.id,
            name=run.name or "",
            group=run.group or "",
            job_type=run.job_type or "",
            tags=tuple(run.tags or ()),
            config=dict(run.config),
            state=run.state,
            created_at=run.created_at or "",
            heartbeat_at=run.heartbeat_at or "",
            rows=run.history_line_count or 0,
            events=None if counts is None else sum(count["count"] for count in counts),
            handle=run,
        )


class _MissingError(SourceError):
    """W&B has no such thing."""


class _RefusedError(SourceError):
    """W&B refuses it; asking again is of no use."""


def api_error() -> type[Exception]:
    """What W&B's client raises where it does not say CommError; it has no public name."""
    try:
        from wandb.sdk.lib.service.service_connection import WandbApiFailedError  # noqa: PLC0415 -- takes seconds
    except ImportError:
        import wandb  # noqa: PLC0415

        return wandb.errors.CommError
    return WandbApiFailedError


def _failure(what: str, error: Exception) -> SourceError:
    """The error to raise of W&B's: missing, refused, or (to be asked again) not answered."""
    import wandb  # noqa: PLC0415 -- takes seconds

    here = f"{what!r} is no path here, and W&B"
    if isinstance(error, wandb.errors.UsageError):
        return _RefusedError(f"{here} cannot be asked: nobody is logged in", do="Run `wandb login`, or set WANDB_API_KEY.")
    if isinstance(error, wandb.errors.AuthenticationError):
        return _RefusedError(
            f"{here} cannot be asked", got=_said(error), do="Check WANDB_BASE_URL, WANDB_API_KEY and the network."
        )
    cause = getattr(error, "exc", None) or error
    told = _STATUS.search(str(cause))  # where a run's history is read, only the text has it
    status = getattr(getattr(cause, "response", None), "http_status", None) or (int(told[1]) if told else 0)
    if isinstance(cause, ValueError) or status == HTTPStatus.NOT_FOUND:
        return _MissingError(f"{here} has none of that name", got=_said(error), do="Check the name, and whose account it is.")
    if status in _NEVER_BETTER and status not in _COME_LATER:
        return _RefusedError(f"{here} refuses it", got=_said(error), do="Check that the account may read it.")
    return SourceError(
        f"{here} did not answer", got=_said(error), do="Check the network, or try later: runs that were read are kept."
    )


def _tidy(folder: Path) -> None:
    """Take away the empty folder that W&B's object of a run makes in WANDB_DIR.

    From there, "entity/project" would be that folder the next time.
    """
    with suppress(OSError):  # somebody's files are in it
        for made in (folder, *folder.parents[:2]):
            made.rmdir()


def _said(error: Exception) -> str:
    return " ".join(str(error).split())


def _path(run: RemoteRun) -> str:
    return f"{run.entity}/{run.project}/{run.run_id}"


def _files(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
