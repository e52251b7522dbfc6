"""A run of a sweep: what the sweep sets in it, where it goes, and whether the program takes what is set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import yaml

from karn_wandb.records import EpisodeContext
from karn_wandb.schema.config import OWN_KEYS

if TYPE_CHECKING:
    import wandb

FOLDER = "KARN_SWEEP_DIR"
"""Variable with the folder that a run of a local sweep goes to, whatever the program says."""
READS = "KARN_SWEEP_READS"
"""Variable with the folder where each run says which of the sweep's parameters its program takes."""
READ, GIVEN, OTHER, UNREAD = "read", "given", "other", "unread"
"""The program read it from the config; gave the same value itself; gave another one itself; did neither."""


def placed(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    """The options of `wandb.init`; in a local sweep the run is offline and in the sweep's folder.

    Args:
        options: What the user gave `wandb.init`.
        environ: The process's environment.
    """
    folder = environ.get(FOLDER)
    return {**options, **({"mode": "offline", "dir": folder} if folder else {})}


def sweep_values(settings: Any) -> dict[str, Any]:
    """What a sweep sets in this run, by name; empty outside of sweeps.

    Args:
        settings: W&B's; the file they name was written by W&B's agent or by a local sweep, and W&B has read it already.
    """
    path = getattr(settings, "sweep_param_path", None)
    if not path or not Path(path).is_file():
        return {}
    content = yaml.safe_load(Path(path).read_bytes()) or {}
    return {name: each["value"] for name, each in content.items() if isinstance(each, dict) and "value" in each}


def with_sweep(context: EpisodeContext, values: Mapping[str, Any]) -> EpisodeContext:
    """The context with what the sweep sets and the program did not name: replaying needs all of it."""
    added = {k: v for k, v in values.items() if k not in context.hyperparameters and k not in (*OWN_KEYS, "base_seed")}
    return replace(context, hyperparameters={**context.hyperparameters, **added}) if added else context


def watch(
    wandb_run: wandb.Run, values: Mapping[str, Any], given: Mapping[str, Any], episode: EpisodeContext | None, folder: str | None
) -> None:
    """Note, in a file of the folder, which of the sweep's values the program takes.

    Args:
        wandb_run: The run; what is read from its config counts, whatever name it is reached by.
        values: What the sweep sets.
        given: What the program gave `init`: its keywords, and its config.
        episode: What it gave as episode.
        folder: Of `READS`; None when nobody asks.
    """
    if folder is None or not values:
        return
    given = dict(given)
    if episode is not None:
        given = {"base_seed": episode.base_seed, **episode.hyperparameters, **given}
    given.setdefault("seed", given.get("base_seed"))
    takes = _Takes(values, Path(folder) / f"{wandb_run.id}.json")
    takes.given(given)
    config_of_run = wandb_run.config
    object.__setattr__(config_of_run, "__class__", _watched(type(config_of_run), takes))


class _Takes:
    """How the program came by each parameter, kept on the disk as it becomes known."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        self.quiet = False
        self.names = tuple(values)
        self._values = values
        self._path = path
        self._how = {name: READ if name in OWN_KEYS else UNREAD for name in values}  # this package takes its own
        self._write()

    def given(self, config: Mapping[str, Any]) -> None:
        """The program gave W&B a config of its own."""
        for name in self._values.keys() & config.keys():
            if self._how[name] != READ and config[name] is not None:
                self._how[name] = GIVEN if _plain(config[name]) == self._values[name] else OTHER
        self._write()

    def read(self, names: Iterable[Any]) -> None:
        """The program read values from the config."""
        new = [] if self.quiet else [name for name in names if self._how.get(name, READ) != READ]
        if new:
            self._how.update(dict.fromkeys(new, READ))
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(self._how), encoding="utf-8")
        new.replace(self._path)


def _plain(value: Any) -> Any:
    """A value as a sweep file can have it: tuples and arrays are lists, paths are text; None for what it cannot have."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    return value if isinstance(value, bool | int | float | str) else None


def _watched(kind: type[Any], takes: _Takes) -> type[Any]:
    """W&B's class of configs, noting what is read; everything else is as it was."""

    def noting(name: str, note: Callable[..., None]) -> Callable[..., Any]:
        original = getattr(kind, name)

        def method(self: Any, *arguments: Any, **keywords: Any) -> Any:
            note(*arguments, **keywords)
            return original(self, *arguments, **keywords)

        return method

    shown: Callable[[Any], str] = getattr(kind, "__repr__")  # noqa: B009 -- as a function, not a method

    def without_noting(self: Any) -> str:
        takes.quiet = True  # showing a config is no reading of it
        try:
            return shown(self)
        finally:
            takes.quiet = False

    def one(name: Any, *_: Any) -> None:
        takes.read((name,))

    def every() -> None:
        takes.read(takes.names)

    def updated(d: Any, *_: Any, **__: Any) -> None:
        takes.given(d if isinstance(d, Mapping) else getattr(d, "__dict__", {}))

    methods: dict[str, Callable[..., None]] = {
        **dict.fromkeys(("__getitem__", "get"), one),
        **dict.fromkeys(("__iter__", "keys", "items"), every),
        "update": updated,
    }
    noted = {name: noting(name, note) for name, note in methods.items()}
    return type(kind.__name__, (kind,), {**noted, "__repr__": without_noting})
