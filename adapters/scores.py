"""From the bytes of an answer to one result per input. Pure; whatever the bytes are, only typed errors leave this module.

What concerns one row (a refused input, a score that is not a number) is that item's :class:`ItemError`. What no row fits
is the whole answer's :class:`ResponseError`: then the description is wrong, not the input.
"""

from __future__ import annotations

import json
import math
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import jmespath
from jmespath.exceptions import JMESPathError

from adapters.base import ItemError, Prediction
from adapters.errors import NotJson, ResponseError
from adapters.show import excerpt, printable, shown
from adapters.spec import Items, Scores

#: raise the count when the same rules read the same bytes differently
VERSION = 1

Result: TypeAlias = Prediction | ItemError

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_PAGE = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|\?xml|[A-Za-z!?])", re.IGNORECASE)
_QUERY_FAULTS = (
    JMESPathError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)


class Query:
    """A compiled JMESPath whose faults come out as :class:`ResponseError`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._search: Callable[[Any], Any]
        if path == "@":
            self._search = _itself
        elif _NAME.fullmatch(path):  # the common case, and ten times as fast
            self._search = lambda value: value.get(path) if isinstance(value, dict) else None
        else:
            self._search = jmespath.compile(path).search

    def __call__(self, value: Any) -> Any:
        try:
            return self._search(value)
        except _QUERY_FAULTS as error:
            raise ResponseError(f"the expression {self.path!r} fails on {shown(value)}: {printable(error)}") from None


def truthy(value: Any) -> bool:
    """JMESPath's notion: everything but null, false and what is empty. 0 is true."""
    return not (value is None or value is False or value in ("", [], {}))


def parse_json(body: bytes, endpoint: str) -> Any:
    """``body`` as strict JSON; objects with a repeated key come as ``OrderedDict``. Raises :class:`NotJson`."""
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_object)
    except _Constant as error:
        raise NotJson(
            f"endpoint {endpoint!r}: the answer holds {error}, which is not a number in JSON: {excerpt(body)}",
            kind="number",
        ) from None
    except RecursionError:
        raise NotJson(
            f"endpoint {endpoint!r}: the answer is nested too deeply: {excerpt(body, 80)}", kind="page"
        ) from None
    except ValueError as error:
        raise _not_json(body, endpoint, error) from None


class _Constant(Exception):
    pass


def _no_constant(name: str) -> Any:
    raise _Constant(name)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else OrderedDict(pairs)  # marks the repeated key, see _labelled


def _not_json(body: bytes, endpoint: str, error: ValueError) -> NotJson:
    start = f"endpoint {endpoint!r}: "
    page = _PAGE.match(body)
    if not body.strip():
        return NotJson(f"{start}the answer is empty", kind="cut")
    if page:
        what = "an XML document" if page[1].lower() == b"?xml" else "an HTML or XML page"
        return NotJson(f"{start}{what} instead of JSON: {excerpt(body)}; is the url right?", kind="page")
    if isinstance(error, json.JSONDecodeError):
        cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        if cut and body.lstrip()[:1] in (b"{", b"[", b'"'):
            return NotJson(f"{start}the answer is cut off after {len(body)} bytes: …{excerpt(body[-80:])}", kind="cut")
        where = f"{error.msg} at line {error.lineno} column {error.colno}"
        return NotJson(f"{start}the answer is not JSON ({where}): {excerpt(body)}", kind="page")
    return NotJson(f"{start}the answer is not JSON ({printable(error, 80)}): {excerpt(body)}", kind="page")


@dataclass(frozen=True, slots=True)
class LabelSpace:
    """Which labels may and must be there.

    ``labels`` with ``missing`` None: exactly these. ``missing`` 0: the API omits zeros. ``missing`` ``"censored"``: it cuts
    off, so a missing label scored at most the lowest returned score, or ``below`` if the cut-off is known.
    """

    labels: tuple[str, ...] | None = None
    missing: Literal["censored", 0] | None = None
    below: float | None = None

    def prediction(self, scores: Mapping[str, float]) -> Prediction:
        """``scores`` with what they say about labels that are not in them. Raises :class:`_Misfit`."""
        if self.labels is not None:
            unknown = [label for label in scores if label not in self.labels]
            if unknown:
                raise _Misfit(f"label {shown(unknown[0])} is not among the declared labels")
            absent = [label for label in self.labels if label not in scores]
            if absent and self.missing is None:
                hint = "; write missing: 0 or missing: censored if the API leaves labels out"
                raise _Misfit(f"label {shown(absent[0])} is missing, got {shown(list(scores))}{hint}")
        if self.missing is None:
            if not scores:
                raise _Misfit("no label at all; write missing: 0 or missing: censored if the API leaves labels out")
            return Prediction(scores)
        if self.missing == 0:
            return Prediction(scores, floor=0.0)
        known = [*scores.values(), *(() if self.below is None else (self.below,))]
        if not known:
            raise _Misfit("no label at all, and the provider's cut-off is not known; write it as below: NUMBER")
        return Prediction(scores, floor=min(known), censored=True)


class _Misfit(Exception):
    """One row is not as described; ``lasting`` if another input would fare the same."""

    def __init__(self, message: str, *, lasting: bool = True) -> None:
        super().__init__(message)
        self.lasting = lasting


class ScoreReader:
    """Reads the answers of one endpoint by its ``items`` and ``scores`` rules."""

    def __init__(self, endpoint: str, *, scores: Scores, items: Items | None, space: LabelSpace) -> None:
        self._endpoint = endpoint
        self._space = space
        self._rows = _RowFinder(endpoint, items) if items else None
        self._scores = _score_reader(scores, space)

    def read(self, body: bytes, n: int) -> list[Result]:
        """``n`` results, in the order of the inputs. Raises :class:`ResponseError`."""
        data = parse_json(body, self._endpoint)
        rows: list[Any] = [data]
        if self._rows:
            rows = self._rows.find(data, n, body)
        elif n != 1:
            raise ResponseError(f"endpoint {self._endpoint!r}: {n} inputs were sent, but the description has no items")
        results: list[Result] = []
        lasting: list[str] = []
        for position, row in enumerate(rows):
            where = f"endpoint {self._endpoint!r}, item {position}: "
            if isinstance(row, ItemError):
                results.append(ItemError(where + row.message))
                continue
            try:
                results.append(self._space.prediction(self._scores(row)))
            except (_Misfit, ResponseError) as error:
                results.append(ItemError(where + str(error)))
                if not isinstance(error, _Misfit) or error.lasting:
                    lasting.append(where + str(error))
        if lasting and len(lasting) == n:
            raise ResponseError(f"{lasting[0]}; the answer begins {excerpt(body)}")
        return results


class _RowFinder:
    """The row of each input."""

    def __init__(self, endpoint: str, items: Items) -> None:
        self._endpoint = endpoint
        self._at = Query(items.at)
        self._key = Query(items.index or items.id or "@") if items.index or items.id else None
        self._by_id = items.id is not None
        self._error = Query(items.error) if items.error else None
        self._errors = items.errors
        if items.errors:
            self._refused = Query(items.errors.at)
            self._refused_key = Query(items.errors.index)
            self._refused_message = Query(items.errors.message)

    def find(self, data: Any, n: int, body: bytes) -> list[Any]:
        """``n`` rows, an :class:`ItemError` in the place of a refused or missing one. Raises :class:`ResponseError`."""
        rows = self._at(data)
        begin = f"; the answer begins {excerpt(body)}"
        start = f"endpoint {self._endpoint!r}: items {self._at.path!r} "
        if rows is None and self._errors:
            rows = []  # all refused
        if not isinstance(rows, list):
            found = "finds nothing" if rows is None else f"finds {shown(rows)}, not a list"
            raise ResponseError(f"{start}{found}{begin}")
        if self._key is None:
            if len(rows) != n:
                raise ResponseError(f"{start}finds {len(rows)} rows for {n} inputs{begin}")
            return [self._checked(row) for row in rows]
        found_rows: list[Any] = [ItemError("the answer has no row for this input")] * n
        seen: set[int] = set()
        for row in rows:
            position = self._position(self._key(row), n, seen, begin)
            found_rows[position] = self._checked(row)
        for refusal in self._refusals(data):
            position = self._position(self._refused_key(refusal), n, seen, begin)
            found_rows[position] = ItemError(f"refused: {shown(self._refused_message(refusal))}")
        if n and not seen:
            raise ResponseError(f"{start}finds no row for {n} inputs{begin}")
        return found_rows

    def _refusals(self, data: Any) -> Iterable[Any]:
        found = self._refused(data) if self._errors else None
        return found if isinstance(found, list) else ()

    def _checked(self, row: Any) -> Any:
        if self._error is None:
            return row
        error = self._error(row)
        return ItemError(f"refused: {shown(error)}") if truthy(error) else row

    def _position(self, key: Any, n: int, seen: set[int], begin: str) -> int:
        position = key
        if self._by_id and isinstance(key, str) and re.fullmatch(r"\d{1,9}", key, re.ASCII):
            position = int(key)
        if isinstance(position, bool) or not isinstance(position, int) or not 0 <= position < n:
            raise ResponseError(
                f"endpoint {self._endpoint!r}: a row says it belongs to input {shown(key)} of {n}{begin}"
            )
        if position in seen:
            raise ResponseError(f"endpoint {self._endpoint!r}: two rows say they belong to input {position}{begin}")
        seen.add(position)
        return position


def _score_reader(scores: Scores, space: LabelSpace) -> Callable[[Any], dict[str, float]]:
    """The reader of one row for the one shape that ``scores`` has."""
    if scores.map:
        at, scale = Query(scores.map.at), scores.map.scale
        return lambda row: _from_map(_found(at, row), scale)
    if scores.vector:
        at, scale = Query(scores.vector.at), scores.vector.scale
        return lambda row: _from_vector(_found(at, row), scale, space.labels)
    if scores.value:
        at, scale, name = Query(scores.value.at), scores.value.scale, scores.value.label
        return lambda row: {name: _number(_found(at, row), scale, name)}
    if scores.pairs:
        pairs = scores.pairs
        at, label, score = Query(pairs.at), Query(pairs.label), Query(pairs.score)
        return lambda row: _from_pairs(_found(at, row), label, score, pairs.scale)
    raise AssertionError("Scores holds exactly one shape")


def _itself(value: Any) -> Any:
    return value


def _found(at: Query, row: Any) -> Any:
    value = at(row)
    if value is None:
        raise _Misfit(f"{at.path!r} finds nothing in {shown(row)}")
    return value


def _from_map(value: Any, scale: float) -> dict[str, float]:
    if not isinstance(value, dict):
        raise _Misfit(f"expected an object {{label: score}}, got {shown(value)}")
    if isinstance(value, OrderedDict):
        raise _Misfit(f"a label stands twice in {shown(dict(value))}", lasting=False)
    return {_label(label): _number(score, scale, label) for label, score in value.items()}


def _from_vector(value: Any, scale: float, labels: tuple[str, ...] | None) -> dict[str, float]:
    if not isinstance(value, list):
        raise _Misfit(f"expected a list of scores, got {shown(value)}")
    if labels is not None and len(labels) != len(value):
        raise _Misfit(f"{len(value)} scores for {len(labels)} labels: {shown(value)}")
    names = labels if labels is not None else tuple(map(str, range(len(value))))
    return {name: _number(score, scale, name) for name, score in zip(names, value, strict=True)}


def _from_pairs(value: Any, label: Query, score: Query, scale: float) -> dict[str, float]:
    if not isinstance(value, list):
        raise _Misfit(f"expected a list of labels with scores, got {shown(value)}")
    out: dict[str, float] = {}
    for pair in value:
        name = _label(label(pair), label.path, pair)
        if name in out:
            raise _Misfit(f"label {shown(name)} stands twice in {shown(value)}", lasting=False)
        found = score(pair)
        if found is None:
            raise _Misfit(f"score {score.path!r} finds nothing in {shown(pair)}")
        out[name] = _number(found, scale, name)
    return out


def _label(value: Any, path: str = "", row: Any = None) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if abs(value) < 10**18 else shown(value)
    if not isinstance(value, str):
        raise _Misfit(f"label {path!r} is {shown(value)}, not text, in {shown(row)}")
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        raise _Misfit(f"label {shown(value)} holds what is not text", lasting=False)
    return value


def _number(value: Any, scale: float, label: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        # null and "NaN" are how servers write a score that came out undefined for this one input
        lasting = value is not None and value not in ("NaN", "Infinity", "-Infinity")
        raise _Misfit(f"the score of {shown(label)} is {shown(value)}, not a number", lasting=lasting)
    try:
        number = float(value) * scale
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Misfit(f"the score of {shown(label)} is {shown(value)}, not a finite number", lasting=False)
    return number
