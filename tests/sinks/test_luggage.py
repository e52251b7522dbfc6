"""A file that is kept in a second place stays what it was."""

from __future__ import annotations

import pytest

from karn_wandb.sinks.luggage import keep

pytestmark = pytest.mark.offline  # the module loads wandb


def test_what_nobody_can_write_to_is_linked(tmp_path):
    source, target = tmp_path / "staged", tmp_path / "artifacts" / "kept"
    source.write_bytes(b"bytes")
    source.chmod(0o400)
    keep(source, target)
    assert target.samefile(source)


def test_what_may_change_is_copied(tmp_path):
    source, target = tmp_path / "model.pt", tmp_path / "artifacts" / "kept"
    source.write_bytes(b"as logged")
    keep(source, target)
    source.write_bytes(b"changed")
    assert target.read_bytes() == b"as logged"


def test_what_is_kept_already_is_left_alone(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    target.write_bytes(b"old")
    keep(source, target)
    assert target.read_bytes() == b"old"
