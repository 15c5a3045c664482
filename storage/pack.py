"""Evaluations that are over, many in one blob of columns (``container.py``), and their response bodies in another.

A pack belongs to one run and one endpoint. Of the key the first 11 bytes are kept: among 10⁹ evaluations two keys agree in
them with a probability of 2·10⁻⁹.
"""

from __future__ import annotations

import hashlib
import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from storage import container
from storage.errors import Damaged
from storage.records import Entry, EntryState

KEY_BYTES = 11
#: Evaluations in one pack at most: what is read to get at one of them.
MOST_ROWS = 1 << 14

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICRO = timedelta(microseconds=1)
NEVER = -(2**63)
STATES: tuple[EntryState, ...] = get_args(EntryState)
_COUNTS = ("generation", "attempts", "maybe_billed", "cost_micro", "item", "items")
_WORDS = ("parser", "content_type", "error")


def micros(moment: datetime) -> int:
    """Microseconds since 1970."""
    return (moment - _EPOCH) // _MICRO


def _whole(seconds: float) -> int:
    """In microseconds, if it is a time that somebody may have waited."""
    return round(seconds * 1e6) if 0 <= seconds < 1e6 else 0


def write_rows(entries: Sequence[Entry]) -> bytes:
    """The blob of ``entries``, which are of one run and endpoint; in an order in which times hardly go back."""
    writer = container.Writer(len(entries))
    keys = b"".join([entry.key[:KEY_BYTES] for entry in entries])
    writer.raw("key", np.frombuffer(keys, np.uint8).reshape(-1, KEY_BYTES))
    writer.whole("state", [STATES.index(entry.state) for entry in entries])
    sent = np.array([micros(entry.sent_at) for entry in entries])
    lag = [  # how long it took us to note the answer
        NEVER if entry.answered_at is None else (entry.answered_at - entry.sent_at) // _MICRO - _whole(entry.elapsed)
        for entry in entries
    ]
    writer.whole("sent_at", sent, delta=True)
    writer.whole("noted_after", lag)
    writer.floats("elapsed", [entry.elapsed for entry in entries])
    for name in _COUNTS:
        writer.whole(name, [getattr(entry, name) for entry in entries])
    writer.whole("censored", [entry.censored for entry in entries])
    writer.whole("http_status", [-1 if entry.http_status is None else entry.http_status for entry in entries])
    writer.floats("floor", [math.nan if entry.floor is None else entry.floor for entry in entries])
    for name in _WORDS:
        writer.words(name, [getattr(entry, name) for entry in entries])
    bodies = {sha: place for place, sha in enumerate(body_order(entries))}
    writer.whole("body", [bodies.get(entry.body_sha, -1) for entry in entries], delta=True)  # type: ignore[arg-type]
    return writer.packed(**_write_scores(writer, entries))


def _write_scores(writer: container.Writer, entries: Sequence[Entry]) -> dict[str, Any]:
    """Scores by set of labels, label by label, because one label's scores are like each other. The last of several labels
    of which there is one set only is kept as its distance from what the others leave of 1, which is next to nothing."""
    shapes: dict[tuple[str, ...] | None, list[int]] = {}
    for row, entry in enumerate(entries):
        shapes.setdefault(None if entry.scores is None else tuple(entry.scores), []).append(row)
    codes = np.zeros(len(entries), dtype=np.int64)
    for code, rows in enumerate(shapes.values()):
        codes[rows] = code
    writer.whole("labels", codes)
    flat = [
        float(entries[row].scores[label])  # type: ignore[index]
        for labels, rows in shapes.items()
        for label in labels or ()
        for row in rows
    ]
    head = {"labels": [None if labels is None else list(labels) for labels in shapes]}
    (first, *more) = shapes or [None]
    if more or first is None or len(first) < 2:
        writer.floats("scores", flat)
        return head
    values = np.array(flat).reshape(len(first), -1)
    rest = container.remainder(values[:-1])
    kept = writer.floats("scores", values[:-1].ravel())
    if (ulps := container.steps(values[-1], rest, kept)) is not None:
        writer.whole("rest", ulps)
        return head | {"rest": kept}
    writer.floats("last", values[-1])
    return head


def body_order(entries: Sequence[Entry]) -> list[bytes]:
    """The digests of the bodies that ``entries`` refer to, each once, in the order in which a pack keeps them."""
    return list(dict.fromkeys(entry.body_sha for entry in entries if entry.body_sha is not None))


def write_bodies(shas: Sequence[bytes], contents: Mapping[bytes, bytes]) -> bytes:
    """The blob of bodies. Of one that is not there (any longer) the digest is kept."""
    sizes = [len(contents[sha]) if sha in contents else None for sha in shas]
    lost = [sha.hex() for sha in shas if sha not in contents]
    line = json.dumps({"sizes": sizes, "lost": lost}, separators=(",", ":")).encode() + b"\n"
    whole = line + b"".join(contents.get(sha, b"") for sha in shas)
    # answers are mostly digits, in which short repetitions are chance: then it is better not to look for them
    few = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_FILTERED)
    return min(zlib.compress(whole, 6), few.compress(whole) + few.flush(), key=len)


def read_bodies(blob: bytes, *, where: str) -> list[tuple[bytes, bytes | None]]:
    """Digest and content of every body in order; ``None`` for one that is not there. Raises :class:`Damaged`."""
    try:
        line, _, rest = container.inflated(blob).partition(b"\n")
        head = json.loads(line)
        lost = iter(head["lost"])
        found: list[tuple[bytes, bytes | None]] = []
        start = 0
        for size in head["sizes"]:
            if size is None:
                found.append((bytes.fromhex(next(lost)), None))
                continue
            content = rest[start : start + size]
            start += size
            found.append((hashlib.sha256(content).digest(), content))
    except (zlib.error, ValueError, KeyError, TypeError, StopIteration) as error:
        raise Damaged(
            f"{where}: its bodies cannot be read ({error}); the database was altered or is damaged"
        ) from error
    return found


@dataclass(frozen=True)
class Pack:
    """A pack that was read: row by row, or a column at a time. ``shas``: of the bodies, in order, as far as they are kept."""

    number: int
    run_id: str
    endpoint_id: str
    columns: container.Columns
    shas: Sequence[bytes] = ()

    @classmethod
    def of(
        cls, number: int, run_id: str, endpoint_id: str, content: bytes, shas: Sequence[bytes], *, where: str
    ) -> Pack:
        """Raises :class:`Damaged`."""
        return cls(number, run_id, endpoint_id, container.read(content, where=where), shas)

    @property
    def keys(self) -> NDArray[np.uint8]:
        """(m, 11) bytes."""
        found: NDArray[np.uint8] = self.columns.arrays["key"]
        return found

    @cached_property
    def rows_by_key(self) -> dict[bytes, list[int]]:
        """Where each key is."""
        raw = self.keys.tobytes()
        found: dict[bytes, list[int]] = {}
        for row in range(self.columns.rows):
            found.setdefault(raw[row * KEY_BYTES : (row + 1) * KEY_BYTES], []).append(row)
        return found

    @cached_property
    def _lists(self) -> dict[str, list[Any]]:
        arrays = self.columns.arrays
        return {name: arrays[name].tolist() for name in arrays if name not in {"key", "scores"}}

    @cached_property
    def _scores(self) -> list[tuple[list[str] | None, NDArray[np.float64], NDArray[np.int64]]]:
        """For every set of labels: the labels, their scores (labels, rows), and which rows these are."""
        arrays = self.columns.arrays
        codes, flat = arrays["labels"], arrays["scores"]
        if "rest" in arrays:
            rest = container.remainder(flat.reshape(-1, self.columns.rows))
            flat = np.concatenate([flat, container.stepped(rest, arrays["rest"], self.columns.header["rest"])])
        elif "last" in arrays:
            flat = np.concatenate([flat, arrays["last"]])
        found = []
        start = 0
        for code, labels in enumerate(self.columns.header["labels"]):
            rows = np.flatnonzero(codes == code)
            size = len(rows) * len(labels or ())
            values = flat[start : start + size].reshape(len(labels or ()), len(rows))
            found.append((labels, values, rows))
            start += size
        return found

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """Which of the rows with its set of labels each row is."""
        places = np.zeros(self.columns.rows, dtype=np.int64)
        for _, _, rows in self._scores:
            places[rows] = np.arange(len(rows))
        return places

    def scores(self) -> dict[str, NDArray[np.float64]]:
        """(m,) by label; NaN where an answer does not have it."""
        found: dict[str, NDArray[np.float64]] = {}
        for labels, values, rows in self._scores:
            for label, row_values in zip(labels or (), values, strict=True):
                if label not in found:
                    found[label] = np.full(self.columns.rows, np.nan)
                found[label][rows] = row_values
        return found

    def entry(self, row: int, key: bytes | None = None) -> Entry:
        """One evaluation. ``key``: the whole of its key, if it is known."""
        lists, words = self._lists, self.columns.words
        labels, values, _ = self._scores[lists["labels"][row]]
        lag, floor, status, body = (lists[name][row] for name in ("noted_after", "floor", "http_status", "body"))
        sent = _EPOCH + timedelta(microseconds=lists["sent_at"][row])
        elapsed = float(lists["elapsed"][row])
        return Entry(
            key=key or self.keys[row].tobytes(),
            state=STATES[lists["state"][row]],
            endpoint_id=self.endpoint_id,
            run_id=self.run_id,
            sent_at=sent,
            answered_at=None if lag == NEVER else sent + timedelta(microseconds=lag + _whole(elapsed)),
            elapsed=elapsed,
            scores=None if labels is None else dict(zip(labels, values[:, self._places[row]].tolist(), strict=True)),
            floor=None if math.isnan(floor) else float(floor),
            censored=bool(lists["censored"][row]),
            body_sha=self.shas[body] if 0 <= body < len(self.shas) else None,
            http_status=None if status < 0 else status,
            pack=self.number,
            **{name: lists[name][row] for name in _COUNTS},
            **{name: words[name][lists[name][row]] for name in _WORDS},
        )

    def entries(self) -> Iterator[Entry]:
        """All of them, in order."""
        return (self.entry(row) for row in range(self.columns.rows))
