"""Rows of anything on standard output: as a table, as JSON, or as CSV that no spreadsheet mistakes for formulas."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any

from probe.report.clean import safe_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain(value: Any) -> Any:
    """``value`` as JSON has it: times in ISO 8601, bytes in hex, what is not finite as ``None``."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return bytes(value).hex()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    return str(value)


def cell(value: Any) -> str:
    """``value`` on a terminal."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else ""
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return safe_text(plain(value), one_line=True, limit=80)


def as_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A list of objects."""
    return json.dumps([dict(zip(columns, map(plain, row), strict=True)) for row in rows], indent=2, ensure_ascii=False)


def as_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """With a header. A text that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(guarded, columns))
    writer.writerows([guarded(plain(value)) for value in row] for row in rows)
    return buffer.getvalue()


def guarded(value: Any) -> Any:
    """See :func:`as_csv`."""
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return value
