"""The types of the client's answers, from the OpenAPI document: what the API says it answers is what the client says."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_HEAD = '''"""Made by `make made` from the API's OpenAPI document: what comes back, field by field. Not to be changed by hand.

Times are ISO 8601 in UTC, sizes bytes, ids the text of UUIDs. A newer API may answer more fields than are named here.
"""

from __future__ import annotations

from typing import Any, Generic, Literal, TypedDict, TypeVar

Item = TypeVar("Item")


class Page(TypedDict, Generic[Item]):
    """A part of a list. `next_cursor` is null on the last page; `total` is there if `count` was asked for."""

    items: list[Item]
    next_cursor: str | None
    total: Total | None
'''


def answers(document: Json) -> str:
    """The module."""
    schemas = document["components"]["schemas"]
    wanted = sorted(_reached(document))
    words = [_choice(name, schemas[name]) for name in wanted if "enum" in schemas[name]]
    shapes = [_shape(name, schemas[name]) for name in wanted if "properties" in schemas[name]]
    return "\n".join([_HEAD, *words, "", *shapes])


def _reached(document: Json) -> set[str]:
    """The schemas that answers are made of, but for problems and pages."""
    found: set[str] = set()
    waiting = [
        name
        for operations in document["paths"].values()
        for operation in operations.values()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for name in _named(answer)
    ]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_named(document["components"]["schemas"][name]))
    return {name for name in found if not name.startswith("Page_")}


def _named(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"].rsplit("/", 1)[1]  # "Why-Output" too: what comes, of a shape that is also sent
        for value in part.values():
            yield from _named(value)
    elif isinstance(part, list):
        for value in part:
            yield from _named(value)


def _choice(name: str, schema: Json) -> str:
    return f"{name} = Literal[{', '.join(repr(word) for word in schema['enum'])}]"


def _shape(name: str, schema: Json) -> str:
    fields = [f"    {field}: {_type(of)}" for field, of in schema["properties"].items()]
    said = schema.get("description", f"A part of an answer: {name}.").strip()
    if "\n" in said:
        said = said.replace("\n", "\n    ").replace("\n    \n", "\n\n") + "\n    "
    return "\n".join([f"\nclass {_plain(name)}(TypedDict):", f'    """{said}"""\n', *fields, ""])


def _plain(name: str) -> str:
    return name.removesuffix("-Output")


def _type(schema: Json) -> str:
    if "$ref" in schema:
        return _plain(schema["$ref"].rsplit("/", 1)[1])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(one) for one in schema["anyOf"]))
    if "enum" in schema:
        return f"Literal[{', '.join(repr(word) for word in schema['enum'])}]"
    match schema.get("type"):
        case "array":
            return f"list[{_type(schema.get('items') or (schema.get('prefixItems') or [{}])[0])}]"
        case "object":
            of = schema.get("additionalProperties")
            return f"dict[str, {_type(of)}]" if isinstance(of, dict) else "dict[str, Any]"
        case kind:
            return {
                "integer": "int",
                "number": "float",
                "string": "str",
                "boolean": "bool",
                "null": "None",
            }.get(str(kind), "Any")
