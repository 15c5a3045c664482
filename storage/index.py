"""Where in the packs a key is: sorted fingerprints in pages, a little over three bytes a key.

A fingerprint is the first four bytes of a key. A sheaf is a sorted set of (fingerprint, pack), cut into pages by the first
bits of the fingerprint, so that the page of a key is known without searching. Each new pack adds a sheaf; of eight of about
the same size one is made, up to a size from which on they stay (a log-structured merge tree, O'Neil et al., 1996). Whoever
looks for a key reads one page of each sheaf, and then the packs that these name.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from storage.connect import chunks
from storage.errors import Damaged
from storage.schema import index_page, index_sheaf

_PAGE = 256  #: fingerprints in a page at least: small enough for Postgres to keep it in one piece
_MERGE = 8
_FINAL = 1 << 20  #: fingerprints in a sheaf that is not merged any more

Fingerprints = NDArray[np.uint32]


def fingerprints(keys: NDArray[np.uint8]) -> Fingerprints:
    """Of (m, 11) keys."""
    return np.ascontiguousarray(keys[:, :4]).view(">u4").ravel().astype(np.uint32)


def add(connection: sa.Connection, keys: NDArray[np.uint8], packs: NDArray[np.int64]) -> None:
    """Say that ``keys`` (m, 11) are in ``packs`` (m,). Only one transaction may do this at a time."""
    _put(connection, fingerprints(keys), packs)
    while (found := _alike(connection)) is not None:
        parts = [_whole(connection, number) for number in found]
        _put(connection, *(np.concatenate([part[side] for part in parts]) for side in (0, 1)))
        for table, column in ((index_page, index_page.c.sheaf), (index_sheaf, index_sheaf.c.number)):
            connection.execute(table.delete().where(column.in_(found)))


def find(connection: sa.Connection, keys: NDArray[np.uint8]) -> list[int]:
    """The packs that may hold some of ``keys`` (m, 11), in order; one in some thousands is named in vain."""
    _, packs = _near(connection, np.unique(fingerprints(keys)))
    return [int(number) for number in np.unique(packs)]


def held(connection: sa.Connection, keys: NDArray[np.uint8], number: int) -> NDArray[np.bool_]:
    """Which of ``keys`` (m, 11) the index says to be in pack ``number``."""
    wanted = fingerprints(keys)
    prints, packs = _near(connection, np.unique(wanted))
    known: NDArray[np.bool_] = np.isin(wanted, prints[packs == number])
    return known


def _near(connection: sa.Connection, wanted: Fingerprints) -> tuple[Fingerprints, NDArray[np.int64]]:
    """What the index says of ``wanted``, which are sorted and distinct."""
    parts = list(_pages(connection, wanted))
    if not parts:
        return wanted[:0], np.zeros(0, dtype=np.int64)
    prints, packs = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
    at = np.searchsorted(wanted, prints)
    known = wanted[np.minimum(at, len(wanted) - 1)] == prints
    return prints[known], packs[known]


def _pages(connection: sa.Connection, wanted: Fingerprints) -> Iterator[tuple[Fingerprints, NDArray[np.int64]]]:
    """Every page that may have one of ``wanted``, which are distinct."""
    for number, bits in connection.execute(sa.select(index_sheaf.c.number, index_sheaf.c.bits)).all():
        pages = np.unique(_page_of(wanted, bits)).tolist()
        for some in chunks(pages):
            question = sa.select(index_page.c.page, index_page.c.content).where(
                (index_page.c.sheaf == number) & index_page.c.page.in_(some)
            )
            for page, content in connection.execute(question):
                yield _read(content, number, page, bits)


def drop(connection: sa.Connection, tables: Iterable[sa.Table] = (index_page, index_sheaf)) -> None:
    """Forget everything, to be told again."""
    for table in tables:
        connection.execute(table.delete())


def _put(connection: sa.Connection, prints: Fingerprints, packs: NDArray[np.int64]) -> None:
    order = np.lexsort((packs, prints))
    prints, packs = prints[order], packs[order]
    bits = max(0, (len(prints) // _PAGE).bit_length() - 1)
    row = {"size": len(prints), "bits": bits}
    number = connection.execute(index_sheaf.insert().values(row).returning(index_sheaf.c.number)).scalar_one()
    pages, starts = np.unique(_page_of(prints, bits), return_index=True)
    ends = [*starts[1:].tolist(), len(prints)]
    connection.execute(
        index_page.insert(),
        [
            {"sheaf": number, "page": page, "content": _written(prints[start:end], packs[start:end], page, bits)}
            for page, start, end in zip(pages.tolist(), starts.tolist(), ends, strict=True)
        ],
    )


def _alike(connection: sa.Connection) -> list[int] | None:
    """Sheaves of about the same size, if there are enough of them to be merged."""
    tiers: dict[int, list[int]] = {}
    question = sa.select(index_sheaf.c.number, index_sheaf.c.size).where(index_sheaf.c.size < _FINAL)
    for number, size in connection.execute(question.order_by(index_sheaf.c.number)):
        tier = tiers.setdefault(max(0, (size.bit_length() - 7) // 3), [])
        tier.append(number)
        if len(tier) == _MERGE:
            return tier
    return None


def _whole(connection: sa.Connection, number: int) -> tuple[Fingerprints, NDArray[np.int64]]:
    bits = connection.execute(sa.select(index_sheaf.c.bits).where(index_sheaf.c.number == number)).scalar_one()
    question = sa.select(index_page.c.page, index_page.c.content).where(index_page.c.sheaf == number)
    parts = [_read(content, number, page, bits) for page, content in connection.execute(question)]
    return np.concatenate([prints for prints, _ in parts]), np.concatenate([packs for _, packs in parts])


def _page_of(prints: Fingerprints, bits: int) -> NDArray[np.int64]:
    return prints.astype(np.int64) >> (32 - bits)


def _written(prints: Fingerprints, packs: NDArray[np.int64], page: int, bits: int) -> bytes:
    """Differences of the sorted fingerprints, then the packs above the lowest, each byte by byte."""
    gaps = np.diff(prints.astype(np.int64), prepend=page << (32 - bits))
    base = int(packs.min())
    columns = np.concatenate([gaps, packs - base]).astype("<u4")
    return base.to_bytes(8, "little") + zlib.compress(columns.view(np.uint8).reshape(-1, 4).T.tobytes(), 6)


def _read(content: bytes, number: int, page: int, bits: int) -> tuple[Fingerprints, NDArray[np.int64]]:
    try:
        raw = np.frombuffer(zlib.decompress(content[8:]), np.uint8)
        gaps, packs = np.ascontiguousarray(raw.reshape(4, -1).T).view("<u4").reshape(2, -1).astype(np.int64)
    except (zlib.error, ValueError) as error:
        raise Damaged(
            f"page {page} of sheaf {number} of the index cannot be read; `probe db check --repair` makes the index anew"
        ) from error
    return (gaps.cumsum() + (page << (32 - bits))).astype(np.uint32), packs + int.from_bytes(content[:8], "little")
