"""Between values (``records.py``) and rows (``schema.py``)."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from storage.columns import feature_key
from storage.errors import Damaged
from storage.records import Attribution, Endpoint, Entry, Instance, Probe, Run
from storage.schema import endpoint, evaluation, instance, run

Row = dict[str, Any]

_ENTRY_COLUMNS = tuple(field.name for field in fields(Entry) if field.name != "pack")
_SCORES = _ENTRY_COLUMNS.index("scores")
_ENTRY_VALUES = attrgetter(*_ENTRY_COLUMNS)
#: Columns of ``evaluation`` in the order of the fields of :class:`Entry`.
ENTRY_SELECT = sa.select(*(evaluation.c[name] for name in _ENTRY_COLUMNS))
_PROBE_AS_IS = tuple(
    field.name
    for field in fields(Probe)
    if field.name not in {"params", "trust", "findings", "details", "features", "attributions", "table"}
)


def entry_row(entry: Entry) -> Row:
    """The row of ``evaluation`` for ``entry``."""
    return dict(zip(_ENTRY_COLUMNS, _ENTRY_VALUES(entry), strict=True))


def to_entry(row: Sequence[Any]) -> Entry:
    """The entry of a row of :data:`ENTRY_SELECT`."""
    values = list(row)
    if (scores := values[_SCORES]) is not None:
        # an API may write a score as 1; a score is a float
        values[_SCORES] = {label: float(score) for label, score in scores.items()}
    return Entry(*values)


def simple_row(value: Run | Endpoint | Instance) -> Row:
    """The row for a value whose fields are its columns."""
    row = {field.name: getattr(value, field.name) for field in fields(value)}
    if "totals" in row:
        row["totals"] = dict(row["totals"])
    return row


def to_run(row: sa.RowMapping) -> Run:
    """The run of a row of ``run``."""
    return Run(**_named(row, run))


def to_endpoint(row: sa.RowMapping) -> Endpoint:
    """The endpoint of a row of ``endpoint``."""
    return Endpoint(**_named(row, endpoint))


def to_instance(row: sa.RowMapping) -> Instance:
    """The instance of a row of ``instance``."""
    return Instance(**_named(row, instance))


def probe_row(value: Probe) -> Row:
    """The row of ``probe`` for ``value``, without its attributions. Figures that are not finite become ``null``."""
    row = {name: getattr(value, name) for name in _PROBE_AS_IS}
    for name in ("params", "trust", "findings", "details", "features"):
        row[name] = plain(getattr(value, name))
    return row | {"asked": value.table}


def to_probe(row: sa.RowMapping, shares: Sequence[tuple[str, float | None, float | None]]) -> Probe:
    """The probe of a row of ``probe`` and, in feature order, the key, value and standard error of its attributions.

    A trust figure that was not finite comes back as NaN, and so does an attribution's value.
    """
    names = [feature.get("name") for feature in row["features"]] + [None] * len(shares)
    return Probe(
        **{name: row[name] for name in _PROBE_AS_IS},
        params=row["params"],
        trust={name: math.nan if figure is None else figure for name, figure in row["trust"].items()},
        findings=tuple(row["findings"]),
        details=row["details"],
        features=tuple(row["features"]),
        attributions=tuple(
            # the key may be a shortened form of the name
            Attribution(name if name and feature_key(name) == key else key, math.nan if value is None else value, error)
            for name, (key, value, error) in zip(names, shares, strict=False)
        ),
        table=row["asked"],
    )


def plain(value: Any) -> Any:
    """``value`` as JSON can say it: mappings and sequences copied, floats that are not finite ``None``."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def body_row(content: bytes) -> Row:
    """The row of ``body`` for ``content``: compressed if that is shorter."""
    packed = zlib.compress(content, 6)
    short = len(packed) < len(content)
    return {
        "sha256": hashlib.sha256(content).digest(),
        "encoding": "zlib" if short else "raw",
        "size": len(content),
        "content": packed if short else content,
    }


def to_body(sha: bytes, encoding: str, size: int, content: bytes) -> bytes:
    """The bytes that :func:`body_row` was given. Raises :class:`Damaged` if they are not those."""
    try:
        # never more than was stored, whatever the file says now
        found = zlib.decompressobj().decompress(content, size + 1) if encoding == "zlib" else content
    except zlib.error:
        found = b""
    if len(found) != size or hashlib.sha256(found).digest() != sha:
        raise Damaged(
            f"body {sha.hex()}: what is stored does not have this hash; the database was altered or is damaged"
        )
    return found


def _named(row: sa.RowMapping, table: sa.Table) -> Row:
    return {column.name: row[column.name] for column in table.columns}
