"""Which charts an entity has in W&B as presets: noted on this machine by who registers them, for the runs that log here.

W&B's client can make a preset, but not say which there are. So it is written down, by service and entity, and a run that ends,
offline too, knows without asking.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote

import platformdirs

FOLDER_VARIABLE = "KARN_WANDB_DATA_DIR"


def default_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Where it is noted: `KARN_WANDB_DATA_DIR`, else the platform's folder for data."""
    return Path(environment.get(FOLDER_VARIABLE) or platformdirs.user_data_path("karn-wandb")) / "presets"


def note(service: str, entity: str, names: Iterable[str], folder: Path) -> None:
    """Note that an entity has these presets, and those noted before.

    Args:
        service: Address of the W&B service.
        entity: The entity.
        names: The presets' names.
        folder: Where to note it; made when it is not there.

    Raises:
        OSError: The disk refuses.
    """
    path = _path(service, entity, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(json.dumps(sorted({*names, *noted(service, entity, folder)}), indent=1) + "\n", encoding="utf-8")
    new.replace(path)


def noted(service: str, entity: str, folder: Path) -> frozenset[str]:
    """Names of the presets an entity was noted to have; none when the note cannot be read."""
    try:
        found = json.loads(_path(service, entity, folder).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return frozenset()
    return frozenset(name for name in found if isinstance(name, str)) if isinstance(found, list) else frozenset()


def _path(service: str, entity: str, folder: Path) -> Path:
    return folder / quote(service.rstrip("/"), safe="") / f"{quote(entity, safe='')}.json"
