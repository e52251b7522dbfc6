"""What an offline run needs to be sent from elsewhere: the bytes of its artifacts, in its own folder.

Offline, W&B keeps copies of an artifact's files in its data folder and notes where they are; in the run's own folder there
is none of them.
"""

from __future__ import annotations

import os
import shutil
import stat
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wandb

from karn_wandb.errors import KarnWarning
from karn_wandb.schema.artifacts import KEPT, kept_name

if TYPE_CHECKING:
    from wandb import Artifact
    from wandb import Run as WandbRun


class Luggage:
    """Keeps the bytes of every artifact an offline run logs in the run's folder; logged tables are artifacts, too.

    Args:
        run: The run; its `log_artifact` passes through here from now on.
    """

    def __init__(self, run: WandbRun) -> None:
        self._log_artifact = run.log_artifact
        self._folder = Path(run.dir).parent / KEPT
        setattr(run, "log_artifact", self._logged)  # noqa: B010 -- the one place that tables, the user's artifacts and ours pass
        if wandb.run is run:
            setattr(wandb, "log_artifact", self._logged)  # noqa: B010 -- W&B put the run's own method there

    def _logged(self, *arguments: Any, **keywords: Any) -> Artifact:
        artifact = self._log_artifact(*arguments, **keywords)
        try:
            for entry in artifact.manifest.entries.values():
                if entry.local_path and entry.digest:
                    keep(Path(entry.local_path), self._folder / kept_name(entry.digest))
        except OSError as error:
            text = f"artifact {artifact.name} is not kept in {self._folder} ({error}); W&B has it where it was logged only."
            warnings.warn(text, KarnWarning, stacklevel=2)
        return artifact


def keep(source: Path, target: Path) -> None:
    """Have a file in a second place: by a hard link where nobody can write to it, as to W&B's own copies, else by a copy.

    Raises:
        OSError: The disk refuses.
    """
    if target.exists():
        return
    target.parent.mkdir(exist_ok=True)
    if not source.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        with suppress(OSError):  # another file system, or one without links
            os.link(source, target)
            return
    new = target.with_name(f"{target.name}.new")
    shutil.copyfile(source, new)
    new.replace(target)
