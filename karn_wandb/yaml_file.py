"""YAML files that people write: read strictly, every mistake an error that names its line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from karn_wandb.errors import KarnError


@dataclass(frozen=True, slots=True)
class Field:
    """What a field must be.

    Attributes:
        expected: In words.
        holds: As a check of its value; None when whoever reads the file checks it, part by part.
        required: Whether it must be there.
        hint: What to do about a value that is something else.
    """

    expected: str
    holds: Callable[[Any], bool] | None
    required: bool = False
    hint: str = ""


def is_text(value: Any) -> bool:
    """Whether it is a text that says something."""
    return isinstance(value, str) and bool(value.strip())


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Whether it is a whole number above 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def one_of(*options: str) -> Field:
    """A field that has one of these values."""
    return Field(f"one of {', '.join(options)}", lambda value: value in options)


EXPONENT = "YAML reads 1e-3 as text: write 0.001 or 1.0e-3."
TEXT, NUMBER, COUNT = Field("text", is_text), Field("a number", is_number), Field("a whole number above 0", is_count)
BOOLEAN = Field("true or false", lambda value: isinstance(value, bool))


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file that is being read.

    Attributes:
        name: What errors call it, such as its path.
        kind: What it is, such as "claims file".
        purpose: What it must have, as a sentence: said of one that is empty.
        failure: What is raised.
    """

    name: str
    kind: str
    purpose: str
    failure: type[KarnError]

    def content(self) -> bytes:
        """The bytes of the file at the path that is its name.

        Raises:
            KarnError: It cannot be read; this and every other error is of the class `failure`.
        """
        try:
            return Path(self.name).read_bytes()
        except OSError as error:
            what = f"the {self.kind} {self.name!r} cannot be read"
            raise self.failure(what, got=error.strerror or str(error)) from error

    def error(self, where: yaml.Node | yaml.Mark | None, what: str, got: str = "", do: str = "") -> KarnError:
        """An error that names the line; None where all of the file is meant."""
        mark = where.start_mark if isinstance(where, yaml.Node) else where
        line = f", line {mark.line + 1}" if mark else ""
        return self.failure(f"{self.name}{line}: {what}", got=got, do=do)

    def root(self, content: bytes) -> yaml.Node:
        """What the bytes say, not yet made into values.

        Raises:
            KarnError: They are not YAML, or say nothing.
        """
        try:
            node = yaml.compose(content, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            raise self.error(mark, "this is not YAML", getattr(error, "problem", "") or str(error)) from error
        if node is None:
            raise self.error(None, f"the {self.kind} is empty", do=self.purpose)
        return node

    def value(self, node: yaml.Node) -> Any:
        """A node as plain Python values.

        Raises:
            KarnError: It has none, such as the 45th of a month.
        """
        with self._reading(node):
            return yaml.constructor.SafeConstructor().construct_document(node)

    def entries(self, node: yaml.Node, what: str, noun: str = "") -> Iterator[tuple[yaml.Node, str, yaml.Node]]:
        """The entries of a mapping, merged ones too: where the key stands, the key as it is written, and its value.

        Args:
            node: The mapping.
            what: What it is, in errors.
            noun: What its entries are, in errors, such as "the field ".

        Raises:
            KarnError: It is no mapping, has a key twice, or merges what is none.
        """
        if not isinstance(node, yaml.MappingNode):
            raise self.error(node, f"{what} must be a mapping", got=repr(self.value(node)))
        with self._reading(node):
            yaml.constructor.SafeConstructor().flatten_mapping(node)
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(key_node.value if isinstance(key_node, yaml.ScalarNode) else self.value(key_node))
            if key in seen:
                raise self.error(key_node, f"{what} has {noun}{key!r} twice")
            seen.add(key)
            yield key_node, key, value_node

    def fields(self, node: yaml.Node, known: Mapping[str, Field], what: str, noun: str = "") -> dict[str, yaml.Node]:
        """The fields of a mapping, all of them known, checked, and none lacking that is required.

        Args:
            node: The mapping.
            known: The fields it may have.
            what: What it is, in errors.
            noun: See `entries`.

        Raises:
            KarnError: Something is not as described.
        """
        found: dict[str, yaml.Node] = {}
        for key_node, key, value_node in self.entries(node, what, noun):
            if key not in known:
                raise self.unknown(key_node, key, known, what)
            self._check(value_node, key, known[key])
            found[key] = value_node
        for key, field in known.items():
            if field.required and key not in found:
                raise self.error(node, f"{what} lacks the field {key!r}", do=f"It must be {field.expected}.")
        return found

    def unknown(self, node: yaml.Node, key: str, known: Mapping[str, Field], what: str) -> KarnError:
        """What is said of a field that there is not."""
        near = difflib.get_close_matches(key, known, n=1)
        do = f"Did you mean {near[0]!r}?" if near else f"The fields are {', '.join(known)}."
        return self.error(node, f"{what} has an unknown field {key!r}", do=do)

    @contextmanager
    def _reading(self, node: yaml.Node) -> Iterator[None]:
        try:
            yield
        except (yaml.YAMLError, ValueError) as error:
            raise self.error(node, "this value cannot be read", getattr(error, "problem", "") or str(error)) from error

    def _check(self, node: yaml.Node, key: str, field: Field) -> None:
        if field.holds is None:
            return
        value = self.value(node)
        if not field.holds(value):
            do = field.hint or (EXPONENT if _is_exponent(value) else "")
            raise self.error(node, f"{key!r} must be {field.expected}", got=repr(value), do=do)


def _is_exponent(value: Any) -> bool:
    """Whether a text is a number to everyone but YAML 1.1."""
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
