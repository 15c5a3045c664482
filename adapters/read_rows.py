"""The row of each input in the answer to a batch: by order, by position or by id, with the refused ones beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from adapters.base import ItemError
from adapters.errors import ResponseError
from adapters.read_json import Query, truthy
from adapters.show import excerpt, shown
from adapters.spec_scores import Items


class RowFinder:
    """The row of each input, by the ``items`` rules of one endpoint."""

    def __init__(self, endpoint: str, items: Items) -> None:
        self._endpoint = endpoint
        self._at = Query(items.at)
        self._key = Query(items.index or items.id or "@") if items.index or items.id else None
        self._by_id = items.id is not None or (items.errors is not None and items.errors.id is not None)
        self._error = Query(items.error) if items.error else None
        self._errors = items.errors
        if items.errors:
            self._refused = Query(items.errors.at)
            self._refused_key = Query(items.errors.index or items.errors.id or "@")
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
