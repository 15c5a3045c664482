"""Evaluations as columns, a pack at a time: what exports are made of, without a Python object for each evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from storage import packs, rows
from storage.connect import chunks
from storage.pack import MOST_ROWS, NEVER, STATES, Pack, body_order, write_rows
from storage.schema import endpoint, evaluation, pack
from storage.store import Store


@dataclass(frozen=True, slots=True)
class Batch:
    """Evaluations of one run and endpoint. ``keys``: (m, 11). ``numbers``: (m,) by name. ``texts``: by name few different
    texts, and which of them each evaluation has. ``scores``: (m,) by label, NaN where an answer has none (wide answers are
    kept in their bodies only)."""

    run: str
    endpoint: str
    rows: int
    keys: NDArray[np.uint8]
    numbers: dict[str, NDArray[Any]]
    texts: dict[str, tuple[list[str | None], NDArray[np.int64]]]
    scores: dict[str, NDArray[np.float64]]


#: What :class:`Batch` has, in order. Times are microseconds since 1970 (UTC).
NUMBERS = (
    *("generation", "sent_at", "answered_at", "elapsed", "attempts", "maybe_billed", "cost_micro", "item", "items"),
    *("floor", "censored", "http_status"),
)
TEXTS = ("state", "content_type", "parser", "error")


def batches(store: Store, run_id: str | None = None) -> Iterator[Batch]:
    """The evaluations of a run (its whole id), or all there are. Raises :class:`Damaged`."""
    with store.database.reading() as connection:
        names = {id_: str(name) for id_, name in connection.execute(sa.select(endpoint.c.id, endpoint.c.name))}
        which = sa.true() if run_id is None else pack.c.run_id == run_id
        for found in packs.load(connection, store.url, which, bodies=False):
            yield _batch(found, names)
        mine = sa.true() if run_id is None else evaluation.c.run_id == run_id
        question = rows.ENTRY_SELECT.where(mine).order_by(
            evaluation.c.run_id, evaluation.c.endpoint_id, evaluation.c.sent_at, evaluation.c.key
        )
        open_ = [rows.to_entry(row) for row in connection.execute(question)]
        for group in packs.grouped(open_, over=False):
            for some in chunks(group, MOST_ROWS):
                content = write_rows(some)
                first = some[0]
                yield _batch(
                    Pack.of(0, first.run_id, first.endpoint_id, content, body_order(some), where=store.url), names
                )


def _batch(found: Pack, names: dict[str, str]) -> Batch:
    arrays, words = found.columns.arrays, found.columns.words
    sent, late, elapsed = arrays["sent_at"], arrays["noted_after"], arrays["elapsed"]
    waited = np.where((elapsed >= 0) & (elapsed < 1e6), np.rint(elapsed * 1e6), 0).astype(np.int64)
    numbers = dict(arrays) | {
        "answered_at": np.where(late == NEVER, NEVER, sent + late + waited),
        "censored": arrays["censored"].astype(bool),
    }
    texts: dict[str, tuple[list[str | None], NDArray[np.int64]]] = {"state": (list(STATES), arrays["state"])}
    texts |= {name: (list(words[name]), arrays[name]) for name in TEXTS if name in words}
    return Batch(
        run=found.run_id,
        endpoint=names.get(found.endpoint_id, found.endpoint_id),
        rows=found.columns.rows,
        keys=found.keys,
        numbers={name: numbers[name] for name in NUMBERS},
        texts={name: texts[name] for name in TEXTS},
        scores=found.scores(),
    )
