"""Column types that behave the same on SQLite and Postgres."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any

import sqlalchemy as sa


class Moment(sa.TypeDecorator[datetime]):
    """A point in time: aware datetimes in, aware UTC datetimes out, microseconds. Raises ``ValueError`` for naive ones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.utcoffset() is None:
            raise ValueError(f"a time without a time zone cannot be stored: {value!r}")
        value = value.astimezone(UTC)
        # SQLite has no time type: its text is UTC and says no offset, so that it sorts and compares as text
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, _dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(sa.TypeDecorator[str]):
    """Text. What no database can hold as text (NUL, lone surrogates) is stored as its backslash escape."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: sa.Dialect) -> str | None:
        return None if value is None else escaped(value)


class Figure(sa.TypeDecorator[float]):
    """A 64-bit float; NaN is stored as NULL, which SQLite would do by itself and Postgres would not."""

    impl = sa.Double
    cache_ok = True

    def process_bind_param(self, value: float | None, _dialect: sa.Dialect) -> float | None:
        return None if value is None or math.isnan(value) else float(value)


class _Ready(str):
    """JSON text that needs no further serialising."""

    __slots__ = ()


class Json(sa.TypeDecorator[Any]):
    """JSON as text on both (never jsonb, which would rewrite numbers); NULL for ``None``. ``ValueError`` for NaN."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, _dialect: sa.Dialect) -> Any:
        # here and not in the driver, so that what cannot be said in JSON is refused alike on both
        return None if value is None else _Ready(to_json(value))


def escaped(text: str) -> str:
    """``text`` as :class:`Words` stores it."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def feature_key(name: str) -> str:
    """What a feature is stored under: its name, or of a very long one the beginning and a digest (an index has limits)."""
    key = escaped(name)
    if len(key.encode()) <= 1000:
        return key
    return f"{key[:200]}… {hashlib.sha256(key.encode()).hexdigest()}"


def serialized(value: Any) -> str:
    """What the drivers call to write JSON."""
    return value if isinstance(value, _Ready) else to_json(value)


def to_json(value: Any) -> str:
    """JSON text that reads back bit for bit, legible where UTF-8 can say it. Raises ``ValueError`` for NaN and infinity."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_known)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # a lone surrogate, which only an escape can hold
            return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_known)
    return text


def _known(value: object) -> object:
    match value:
        case Mapping():
            return dict(value)
        case Integral():
            return int(value)
        case Real():
            return float(value)
    raise ValueError(f"not JSON: {type(value).__name__}")


#: 64-bit count that SQLite may use as its row id.
Count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
