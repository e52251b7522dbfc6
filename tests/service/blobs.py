"""Bytes that were uploaded, and the addresses they are put to and fetched from."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote, unquote

STORAGE = "/storage/"
"""Where addresses of uploads and downloads begin; clients only ever use addresses they were given."""


class Blobs:
    """Bytes by name. The names say whose they are: `runs/ENTITY/PROJECT/ID/...` or `md5/HEX`.

    Args:
        url: Where the service is.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._content: dict[str, bytes] = {}
        self._put_at: dict[str, str] = {}

    def address(self, name: str) -> str:
        """Where bytes of this name are put to and fetched from."""
        return f"{self._url}{STORAGE}{quote(name)}"

    def name(self, path: str) -> str:
        """The name behind a request's path."""
        return unquote(path.removeprefix(STORAGE))

    def put(self, name: str, content: bytes) -> None:
        """Keep bytes, in the place of earlier ones."""
        self._content[name] = content
        self._put_at[name] = now()

    def get(self, name: str) -> bytes | None:
        """The bytes; None when nothing was put there."""
        return self._content.get(name)

    def put_at(self, name: str) -> str:
        """When the bytes were put there."""
        return self._put_at[name]

    def names(self, beginning: str) -> list[str]:
        """The names that begin so, in order."""
        return sorted(name for name in self._content if name.startswith(beginning))

    def remove(self, names: Iterable[str]) -> None:
        """Forget bytes."""
        for name in names:
            self._content.pop(name, None)


def now() -> str:
    """The time, as the service writes it, to the microsecond so that it orders runs made in one second."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def md5(content: bytes) -> str:
    """The digest W&B uses for files."""
    return base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()


def hexadecimal(digest: str) -> str:
    """A digest the way names and addresses have it."""
    return base64.b64decode(digest).hex()
