"""JSON schemas as OpenAPI documents hold them: what goes in, and where the scores of an answer are."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from probe.discovery.base import is_name, quoted

#: what a schema stands for, as an input; ``many``: a list of these
What: TypeAlias = Literal["text", "row", "record", "picture", "base64"]

_DEEPEST: Final = 12  #: references and alternatives followed for one schema
_DEEPEST_SCORES: Final = 4  #: objects inside of objects in which scores are looked for
_MOST_SCHEMAS: Final = 5000  #: looked at for one operation; a document may hold itself in many ways
_MOST_PROPERTIES: Final = 500
_NUMBERS = {"number", "integer"}
_SCALARS = {"number", "integer", "string", "boolean"}
_TEXT_NAMES = re.compile(
    r"texts?|inputs?|sentences?|prompts?|quer(y|ies)|contents?|documents?|messages?|reviews?|passages?", re.IGNORECASE
)
_SCORE_NAMES = re.compile(r"prob|score|predict|label|class|result|output|data", re.IGNORECASE)
_BASE64 = re.compile(r"base64|b64", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An input: of ``what``, or a list of them if ``many``; ``columns``: of a record, with their schemas."""

    what: What
    many: bool = False
    columns: tuple[tuple[str, Mapping[str, Any]], ...] = ()


class Schemas:
    """The schemas of one document, for one operation. References lead nowhere outside of it."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._left = _MOST_SCHEMAS

    def plain(self, schema: Any, depth: int = 0) -> Mapping[str, Any]:
        """``schema`` with its reference followed and the first alternative taken that is not null."""
        self._left -= 1
        if not isinstance(schema, Mapping) or depth > _DEEPEST or self._left < 0:
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self.plain(self._follow(reference), depth + 1)
        for key in ("anyOf", "oneOf", "allOf"):
            choices = schema.get(key)
            if isinstance(choices, list) and "type" not in schema:
                taken = [
                    each for each in choices[:20] if not (isinstance(each, Mapping) and each.get("type") == "null")
                ]
                beside = {name: schema[name] for name in ("default", "example", "examples") if name in schema}
                return {**self.plain(taken[0] if taken else None, depth + 1), **beside}
        return schema

    def _follow(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            return None
        found: Any = self._document
        for part in reference[2:].split("/")[:_DEEPEST]:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        return found

    def properties(self, schema: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
        """Of an object: its properties by name; none if they are too many to be meant."""
        found = schema.get("properties")
        if not isinstance(found, Mapping) or len(found) > _MOST_PROPERTIES:
            return {}
        return {name: self.plain(each) for name, each in found.items() if is_name(name)}

    def items(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of a list: what it holds."""
        return self.plain(schema.get("items"))

    # -- inputs ---------------------------------------------------------------------------------------------------------

    def wanted(self, schema: Any, *, name: str = "", many: bool = False) -> Wanted | None:
        """What kind of input ``schema`` (of a property ``name``) takes; ``None`` if of none."""
        schema = self.plain(schema)
        match schema.get("type"):
            case "string" | "file":
                return _of_string(schema, name, many=many)
            case "array" if not many:
                inside = self.items(schema)
                if inside.get("type") in _NUMBERS:
                    return Wanted("row")
                return self.wanted(inside, name=name, many=True)
            case "array":
                return Wanted("row", many=True) if self.items(schema).get("type") in _SCALARS else None
            case "object":
                columns = self.properties(schema)
                scalars = bool(columns) and all(each.get("type") in _SCALARS for each in columns.values())
                return Wanted("record", many, tuple(columns.items())) if scalars else None
            case _:
                return None

    def of_body(self, schema: Any) -> tuple[str, Wanted, Mapping[str, Any]] | str:
        """Which property of a request's body is the input: its name (empty: the body itself), what it takes, and what the
        other properties are filled with. A text says why there is none."""
        schema = self.plain(schema)
        properties = self.properties(schema)
        if not properties:
            whole = self.wanted(schema)
            return (
                ("", whole, {}) if whole is not None else "its body is not typed, so nothing says where an input goes"
            )
        required = _names(schema.get("required"))
        candidates = {name: self.wanted(each, name=name) for name, each in properties.items()}
        inputs = {name: each for name, each in candidates.items() if each is not None}
        named = [name for name in inputs if _TEXT_NAMES.fullmatch(name)] or [
            name for name, each in inputs.items() if each.what != "text" or each.many
        ]
        columns = self.wanted(schema)
        if columns is not None and len(properties) > 1 and not named:
            return "", columns, {}
        chosen = _one(named, required) or _one(list(inputs), required)
        if chosen is None:
            if columns is not None and len(properties) == 1:
                return "", columns, {}
            return f"no single property of its body is the input ({_some(properties)})"
        others = {}
        for name in required:
            if name != chosen and name in properties:
                value = filling(properties[name])
                if value is None:
                    return f"its body also needs {name!r}, and nothing says what to put there"
                others[name] = value
        return chosen, inputs[chosen], others

    # -- answers --------------------------------------------------------------------------------------------------------

    def reading(self, schema: Any, *, many: bool) -> dict[str, Any] | None:
        """``items``, ``scores`` and what belongs to them for an answer of ``schema`` to one input, or to ``many``;
        ``None`` if it is not typed so that scores could be found in it."""
        schema = self.plain(schema)
        if not many:
            return self._scores(schema, "@")
        path, rows = self._list(schema, "@")
        if path is None:
            return None
        row = self._scores(self.items(rows), "@")
        return None if row is None else {"items": path, **row}

    def _list(self, schema: Mapping[str, Any], path: str, depth: int = 0) -> tuple[str | None, Mapping[str, Any]]:
        """The list of rows in an answer to many inputs."""
        if schema.get("type") == "array":
            return path, schema
        if depth < _DEEPEST_SCORES and self._left > 0:
            for name, each in self._likely(schema):
                found = self._list(each, _join(path, name), depth + 1)
                if found[0] is not None:
                    return found
        return None, {}

    def _scores(self, schema: Mapping[str, Any], path: str, depth: int = 0) -> dict[str, Any] | None:
        """How to read the scores of one input out of ``schema``, which is at ``path``."""
        kind = schema.get("type")
        if kind in _NUMBERS:
            return {"scores": {"value": path}}
        if kind == "array":
            inside = self.items(schema)
            if inside.get("type") in _NUMBERS:
                return {"scores": {"vector": path}}
            if inside.get("type") == "array":  # one input, answered as a list of one
                return self._pairs(self.items(inside), f"{path}[0]" if path != "@" else "[0]")
            return self._pairs(inside, path)
        if kind != "object" or depth > _DEEPEST_SCORES or self._left < 0:
            return None
        if self.plain(schema.get("additionalProperties")).get("type") in _NUMBERS:
            return {"scores": {"map": path}}
        properties = self.properties(schema)
        if len(properties) > 1 and all(each.get("type") in _NUMBERS for each in properties.values()):
            return {"scores": {"map": path}}
        single = self._pairs(schema, "[@]" if path == "@" else f"[{path}]")
        if single is not None:
            return {**single, "missing": "censored"}
        for name, each in self._likely(schema):
            found = self._scores(each, _join(path, name), depth + 1)
            if found is not None:
                return found
        return None

    def _likely(self, schema: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
        """The properties of an answer in which scores are looked for, the likeliest first."""
        properties = list(self.properties(schema).items())
        return sorted(properties, key=lambda pair: not _SCORE_NAMES.search(pair[0]))

    def _pairs(self, schema: Mapping[str, Any], path: str) -> dict[str, Any] | None:
        """A label beside its score."""
        properties = self.properties(schema)
        labels = [name for name, each in properties.items() if each.get("type") == "string"]
        scores = [name for name, each in properties.items() if each.get("type") in _NUMBERS]
        if schema.get("type") != "object" or not labels or not scores:
            return None
        label, score = (min(names, key=lambda name: not _SCORE_NAMES.search(name)) for names in (labels, scores))
        return {"scores": {"pairs": {"at": path, "label": quoted(label), "score": quoted(score)}}}


def filling(schema: Mapping[str, Any]) -> Any:
    """What a document itself puts in for a property: its default, constant, example or first choice; else ``None``."""
    for key in ("default", "const", "example"):
        if _is_plain(schema.get(key)):
            return schema[key]
    for key in ("examples", "enum"):
        values = schema.get(key)
        if isinstance(values, list) and values and _is_plain(values[0]):
            return values[0]
    return None


def example_of(schema: Mapping[str, Any]) -> str | int | float | bool:
    """A value for a column: the document's own, else one of its type."""
    value = filling(schema)
    if isinstance(value, str | int | float):
        return value
    by_type: dict[str, str | int | float | bool] = {"string": "a", "boolean": False, "integer": 1}
    return by_type.get(str(schema.get("type")), 1.0)


def _of_string(schema: Mapping[str, Any], name: str, *, many: bool) -> Wanted | None:
    form, encoding = str(schema.get("format", "")), str(schema.get("contentEncoding", ""))
    if form in {"byte", "base64", "base64url"} or _BASE64.search(encoding) or _BASE64.search(name):
        return Wanted("base64", many)
    if form == "binary" or "contentMediaType" in schema or schema.get("type") == "file":
        return Wanted("picture", many)
    if form or "enum" in schema or "const" in schema or re.search(r"url|uri|path", name, re.IGNORECASE):
        return None
    return Wanted("text", many)


def _one(names: Sequence[str], required: Sequence[str]) -> str | None:
    """The one of ``names`` that can only be meant: alone, or alone among the required ones."""
    needed = [name for name in names if name in required]
    if len(needed) == 1:
        return needed[0]
    return names[0] if len(names) == 1 and not needed else None


def _names(value: Any) -> list[str]:
    return [name for name in value[:_MOST_PROPERTIES] if is_name(name)] if isinstance(value, list) else []


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool) and len(str(value)) <= 1000


def _join(path: str, name: str) -> str:
    return quoted(name) if path == "@" else f"{path}.{quoted(name)}"


def _some(names: Mapping[str, Any]) -> str:
    shown = ", ".join(repr(name[:40]) for name in list(names)[:6])
    return shown + (", …" if len(names) > 6 else "")
