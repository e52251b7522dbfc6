"""Notes of presets: kept by service and entity, added to, and none where they cannot be read."""

from __future__ import annotations

import pytest

from karn_wandb.sinks.presets import default_folder, note, noted

SERVICE = "https://wandb.example"


def test_what_is_noted_is_found_by_service_and_entity(tmp_path):
    note(SERVICE, "team", ["a", "b"], tmp_path / "new")
    assert noted(f"{SERVICE}/", "team", tmp_path / "new") == {"a", "b"}
    assert noted(SERVICE, "another", tmp_path / "new") == frozenset()
    assert noted("https://other.example", "team", tmp_path / "new") == frozenset()


def test_a_note_adds_to_what_was_noted(tmp_path):
    note(SERVICE, "team", ["a"], tmp_path)
    note(SERVICE, "team", ["b"], tmp_path)
    assert noted(SERVICE, "team", tmp_path) == {"a", "b"}
    assert len([*tmp_path.rglob("*.json*")]) == 1


@pytest.mark.parametrize("content", [b"", b"{", b'"a"', b"{}", b"null", b"\xff"])
def test_a_damaged_note_says_nothing(tmp_path, content):
    note(SERVICE, "team", ["a"], tmp_path)
    (path,) = tmp_path.rglob("*.json")
    path.write_bytes(content)
    assert noted(SERVICE, "team", tmp_path) == frozenset()


def test_names_do_not_become_paths(tmp_path):
    note(f"{SERVICE}/../..", "../../team", ["a"], tmp_path / "notes")
    assert [path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*.json")] == ["notes"]
    assert noted(f"{SERVICE}/../..", "../../team", tmp_path / "notes") == {"a"}


def test_an_operator_says_where_it_is_noted(tmp_path):
    assert default_folder({"KARN_WANDB_DATA_DIR": str(tmp_path)}) == tmp_path / "presets"
    assert default_folder({}).name == "presets"
