"""Answers GraphQL documents by walking their selections over plain data; there is no schema.

A node is a mapping from the fields' names to values, other nodes, lists of them, or functions. A function is a field
with arguments: it is called with those the document gives, their names in Python's spelling (`perPage` is `per_page`),
those of an `input` object too. What a node does not have is null and is noted, so that a new field of a newer client
breaks nothing and is seen all the same. A root field that is not there is an error, as with the real service.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    OperationDefinitionNode,
    SelectionSetNode,
    parse,
)
from graphql.pyutils import Undefined
from graphql.utilities import value_from_ast_untyped

Node = Mapping[str, Any]
Note = Callable[[str], None]


class RefusedError(Exception):
    """The service cannot do what a document asks for; the text is the GraphQL error's message."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed document with one operation."""

    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]

    @property
    def name(self) -> str:
        """Name of the operation."""
        return self.operation.name.value if self.operation.name else "anonymous"

    @property
    def kind(self) -> str:
        """Whether it is a query or a mutation."""
        return self.operation.operation.value


@lru_cache(maxsize=1000)
def read(text: str) -> Document:
    """Parse a document.

    Raises:
        RefusedError: It is no GraphQL.
    """
    try:
        definitions = parse(text, no_location=True).definitions
    except GraphQLError as error:
        raise RefusedError(error.message) from None
    operation = next(each for each in definitions if isinstance(each, OperationDefinitionNode))
    return Document(operation, {each.name.value: each for each in definitions if isinstance(each, FragmentDefinitionNode)})


def answer(document: Document, variables: Mapping[str, Any], root: Node, note: Note) -> dict[str, Any]:
    """What the document asks for, from the root node of its kind.

    Raises:
        RefusedError: There is no such root field, or a function raised it.
    """
    given = {
        each.variable.name.value: value_from_ast_untyped(each.default_value)
        for each in document.operation.variable_definitions or ()
        if each.default_value is not None
    }
    walk = _Walk(document, {**given, **variables}, note)
    for field in walk.fields(document.operation.selection_set):
        if field.name.value not in root:
            note(f"{document.kind} {document.name}: {field.name.value}")
            raise RefusedError(f'Cannot query field "{field.name.value}" on type "{document.kind.title()}".')
    return walk.select(root, document.operation.selection_set)


@dataclass(frozen=True, slots=True)
class _Walk:
    document: Document
    variables: Mapping[str, Any]
    note: Note

    def select(self, node: Any, selections: SelectionSetNode | None) -> Any:
        if node is None or selections is None:
            return node
        if isinstance(node, list):
            return [self.select(each, selections) for each in node]
        found: dict[str, Any] = {}
        for field in self.fields(selections):
            key = (field.alias or field.name).value
            value = self.select(self._value(node, field), field.selection_set)
            found[key] = _merged(found[key], value) if key in found else value
        return found

    def fields(self, selections: SelectionSetNode) -> Iterator[FieldNode]:
        """The fields, those of fragments too, on whatever type these are."""
        for each in selections.selections:
            if not self._included(each):
                continue
            if isinstance(each, FieldNode):
                yield each
            elif isinstance(each, FragmentSpreadNode):
                yield from self.fields(self.document.fragments[each.name.value].selection_set)
            else:
                yield from self.fields(each.selection_set)

    def _included(self, selection: Any) -> bool:
        given = {each.name.value: self._arguments(each)["if"] for each in selection.directives or ()}
        return bool(given.get("include", True)) and not given.get("skip", False)

    def _value(self, node: Node, field: FieldNode) -> Any:
        name = field.name.value
        if name not in node:
            if name != "__typename":
                self.note(f"{self.document.name}: no field {name}")
            return None
        value = node[name]
        return self._call(value, name, self._arguments(field)) if callable(value) else value

    def _call(self, function: Callable[..., Any], field: str, arguments: dict[str, Any]) -> Any:
        if set(arguments) == {"input"}:
            arguments = arguments["input"]
        known = inspect.signature(function).parameters
        if not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            for name in sorted(arguments.keys() - known.keys()):
                self.note(f"{self.document.name}: no argument {name} of {field}")
                del arguments[name]
        return function(**arguments)

    def _arguments(self, node: Any) -> dict[str, Any]:
        values = {each.name.value: value_from_ast_untyped(each.value, self.variables) for each in node.arguments or ()}
        return _spelled(values)


def _spelled(value: Any) -> Any:
    """A value with its keys in Python's spelling, without what was left out."""
    if isinstance(value, Mapping):
        return {snake(key): _spelled(each) for key, each in value.items() if each is not Undefined}
    if isinstance(value, list):
        return [_spelled(each) for each in value]
    return value


def snake(name: str) -> str:
    """A GraphQL name in Python's spelling."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _merged(first: Any, second: Any) -> Any:
    """Two answers to the same field, asked for in two places."""
    if isinstance(first, dict) and isinstance(second, dict):
        return {**first, **{key: _merged(first[key], value) if key in first else value for key, value in second.items()}}
    if isinstance(first, list) and isinstance(second, list):
        return [_merged(*pair) for pair in zip(first, second, strict=True)]
    return second


def connection(items: list[Any], node: Callable[[Any], Node], first: int | None = None, after: str | None = None) -> Node:
    """A page of items, the way GraphQL lists have it; a cursor is the number of items up to it."""
    start = int(after or 0)
    stop = len(items) if first is None else min(start + first, len(items))
    edges = [{"node": node(item), "cursor": str(number)} for number, item in enumerate(items[start:stop], start + 1)]
    page = {"endCursor": str(stop), "hasNextPage": stop < len(items), "__typename": "PageInfo"}
    return {"edges": edges, "pageInfo": page, "totalCount": len(items)}
