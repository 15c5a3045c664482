"""What shows that nothing was altered since: a hash of every evaluation, a root of every run, and a chain of roots.

The trees are those of RFC 6962, section 2.1: a leaf is SHA-256(0x00 ‖ what it is of), a node SHA-256(0x01 ‖ left ‖ right). A
leaf of the first tree is the line of JSON that :func:`line` makes of an evaluation, of the second a body's SHA-256. A chain
shows order and integrity. It does not show that whoever wrote it was honest: he may have written all of it anew. To show that
to others, give away a link's hash (or a signed bundle) while nobody knows yet what it will be good for.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import attrgetter

from storage.pack import KEY_BYTES, micros
from storage.records import Entry

EMPTY = hashlib.sha256(b"").digest()
#: What the first link holds in place of the one before.
BEGINNING = bytes(32)


def line(entry: Entry) -> bytes:
    """An evaluation as a line of JSON, without the line end: the same for a row and what a pack makes of it.

    Times are microseconds since 1970 (UTC), keys the first 11 bytes in hex; the body is in a tree of its own.
    """
    fields = _FIELDS(entry)
    key, generation, state, run, endpoint, sent, answered, attempts, maybe_billed, cost = fields[:10]
    elapsed, scores, floor, censored, parser, status, kind, item, items, error = fields[10:]
    # written out, because this is what takes longest of putting evaluations away
    return (
        f'{{"key":"{key[:KEY_BYTES].hex()}","generation":{generation},"state":"{state}","run":{_text(run)},'
        f'"endpoint":{_text(endpoint)},"sent":{micros(sent)},'
        f'"answered":{"null" if answered is None else micros(answered)},"attempts":{attempts},'
        f'"maybe_billed":{maybe_billed},"cost_micro":{cost},"elapsed":{_number(elapsed)},'
        f'"scores":{_scores(scores)},"floor":{"null" if floor is None else _number(floor)},'
        f'"censored":{"true" if censored else "false"},"parser":{_text(parser)},'
        f'"status":{"null" if status is None else status},"type":{_text(kind)},'
        f'"item":{item},"items":{items},"error":{_text(error)}}}'
    ).encode()


_FIELDS = attrgetter(
    *("key", "generation", "state", "run_id", "endpoint_id", "sent_at", "answered_at", "attempts", "maybe_billed"),
    *("cost_micro", "elapsed", "scores", "floor", "censored", "parser", "http_status", "content_type", "item", "items"),
    "error",
)


def _scores(scores: Mapping[str, float] | None) -> str:
    if scores is None:
        return "null"
    return "{" + ",".join([f"{_text(label)}:{_number(score)}" for label, score in scores.items()]) + "}"


def _number(value: float) -> str:
    """As ``json`` writes it."""
    return float.__repr__(value) if math.isfinite(value) else json.dumps(value)


@lru_cache(maxsize=4096)
def _text(text: str | None) -> str:
    """As ``json`` writes it, in ASCII."""
    return json.dumps(text)


def leaf(content: bytes) -> bytes:
    """The hash of a leaf."""
    return hashlib.sha256(b"\0" + content).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over the hashes of leaves, in their order."""
    level = list(leaves)
    if not level:
        return EMPTY
    sha256 = hashlib.sha256
    while len(level) > 1:
        paired = [sha256(b"\1" + level[i] + level[i + 1]).digest() for i in range(0, len(level) - 1, 2)]
        level = paired + level[len(level) & ~1 :]
    return level[0]


def entries_root(entries: Sequence[Entry]) -> bytes:
    """Over the evaluations of a pack."""
    return root(leaf(line(entry)) for entry in entries)


@dataclass(frozen=True, slots=True)
class Link:
    """One link of the chain. ``root``: of the run, over its packs; of a prune, over what was dropped."""

    seq: int
    at: datetime
    what: str
    run_id: str | None
    note: str
    root: bytes
    previous: bytes
    hash: bytes

    def expected(self) -> bytes:
        """What ``hash`` must be."""
        said = [self.seq, micros(self.at), self.what, self.run_id, self.note, self.root.hex(), self.previous.hex()]
        return hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).digest()


def link(*, seq: int, at: datetime, what: str, run_id: str | None, note: str, root: bytes, previous: bytes) -> Link:
    """A link after the one whose hash is ``previous``."""
    bare = Link(seq, at, what, run_id, note, root, previous, b"")
    return Link(seq, at, what, run_id, note, root, previous, bare.expected())
