"""YAML files are read strictly: what is one field, what is wrong with it, and on which line."""

from __future__ import annotations

import math

import pytest
import yaml

from karn_wandb.errors import SweepError
from karn_wandb.yaml_file import BOOLEAN, COUNT, NUMBER, Field, YamlFile, is_count, is_number, is_text, one_of

FILE = YamlFile("f.yaml", "recipe", "It must have a name.", SweepError)
KNOWN = {
    "name": Field("text", is_text, required=True),
    "rate": NUMBER,
    "count": COUNT,
    "fast": BOOLEAN,
    "kind": one_of("a", "b"),
    "hinted": Field("a number", is_number, hint="Such as 3."),
    "parts": Field("a list", None),
}


def fields(text):
    return FILE.fields(FILE.root(text.encode()), KNOWN, "the recipe")


def said(text):
    with pytest.raises(SweepError) as raised:
        fields(text)
    return str(raised.value)


@pytest.mark.parametrize(
    ("check", "holds", "fails"),
    [
        (is_text, ["x", " x "], ["", " ", 3, None]),
        (is_number, [0, -1, 2.5, 2**70], [True, math.nan, math.inf, "1", None]),
        (is_count, [1, 2**70], [0, -1, True, 1.0, "1", None]),
    ],
)
def test_what_is_a_text_a_number_and_a_count(check, holds, fails):
    assert [check(value) for value in (*holds, *fails)] == [True] * len(holds) + [False] * len(fails)


def test_fields_are_found_with_where_they_stand_and_read_as_yaml_reads_them():
    text = "name: x\nrate: 1.0e-3\nparts: [1, {a: 2}]\nfast: yes\n"
    found = fields(text)
    assert {key: FILE.value(node) for key, node in found.items()} == yaml.safe_load(text)
    assert [node.start_mark.line for node in found.values()] == [0, 1, 2, 3]


def test_merged_fields_are_fields():
    root = FILE.root(b"one: &one {name: x, rate: 1}\nother: {<<: *one, count: 2}\n")
    other = {key: value for _, key, value in FILE.entries(root, "it")}["other"]
    assert {key: FILE.value(node) for key, node in FILE.fields(other, KNOWN, "it").items()} == {
        "name": "x",
        "rate": 1,
        "count": 2,
    }


def test_what_has_no_check_is_left_to_the_reader():
    assert fields("name: x\nparts: 2024-13-45\n").keys() == {"name", "parts"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the recipe is empty. It must have a name."),
        ("a: [", "f.yaml, line 1: this is not YAML; got expected the node content, but found '<stream end>'."),
        ("- a", "f.yaml, line 1: the recipe must be a mapping; got ['a']."),
        ("rate: 1", "f.yaml, line 1: the recipe lacks the field 'name'. It must be text."),
        ("name: x\nrat: 1", "f.yaml, line 2: the recipe has an unknown field 'rat'. Did you mean 'rate'?"),
        ("yes: 1", "f.yaml, line 1: the recipe has an unknown field 'yes'. The fields are " + ", ".join(KNOWN) + "."),
        ("name: x\nname: y", "f.yaml, line 2: the recipe has 'name' twice."),
        ("name: 3", "f.yaml, line 1: 'name' must be text; got 3."),
        ("rate: 1e-3", "f.yaml, line 1: 'rate' must be a number; got '1e-3'. YAML reads 1e-3 as text: write 0.001 or 1.0e-3."),
        ("hinted: 1e-3", "f.yaml, line 1: 'hinted' must be a number; got '1e-3'. Such as 3."),
        ("kind: c", "f.yaml, line 1: 'kind' must be one of a, b; got 'c'."),
        ("rate: 2024-13-45", "f.yaml, line 1: this value cannot be read; got month must be in 1..12."),
        (
            "<<: 3",
            (
                "f.yaml, line 1: this value cannot be read; "
                "got expected a mapping or list of mappings for merging, but found scalar."
            ),
        ),
    ],
)
def test_every_mistake_is_named_with_its_line(text, message):
    assert said(text) == message


def test_an_entry_that_is_there_twice_is_called_what_it_is():
    node = FILE.root(b"a: 1\na: 2\n")
    with pytest.raises(SweepError, match=r"^f\.yaml, line 2: the recipe has the step 'a' twice\.$"):
        list(FILE.entries(node, "the recipe", "the step "))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "there.yaml").write_bytes(b"name: x")
    assert YamlFile(str(tmp_path / "there.yaml"), "recipe", "", SweepError).content() == b"name: x"
    with pytest.raises(SweepError, match=r"^the recipe '.*gone\.yaml' cannot be read; got No such file or directory\.$"):
        YamlFile(str(tmp_path / "gone.yaml"), "recipe", "", SweepError).content()
