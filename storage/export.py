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
    """Evaluations of one run and endpoint. ``columns``: by name, arrays or lists of equal length; ``scores``: by label, NaN
    where an answer has none (``None``: wide answers are kept in their bodies only)."""

    run: str
    endpoint: str
    columns: dict[str, NDArray[Any] | list[Any]]
    scores: dict[str, NDArray[np.float64]]
    rows: int


#: Columns of :class:`Batch`. Times are microseconds since 1970 (UTC).
COLUMNS = (
    *("key", "generation", "state", "sent_at", "answered_at", "elapsed", "attempts", "maybe_billed", "cost_micro"),
    *("item", "items", "floor", "censored", "http_status", "content_type", "parser", "error"),
)


def batches(store: Store, run_id: str | None = None) -> Iterator[Batch]:
    """The evaluations of a run (its whole id), or all there are. Raises :class:`Damaged`."""
    with store.database.reading() as connection:
        names: dict[str, str] = dict(connection.execute(sa.select(endpoint.c.id, endpoint.c.name)).all())
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
    sent = arrays["sent_at"]
    late = arrays["noted_after"]
    waited = np.where((arrays["elapsed"] >= 0) & (arrays["elapsed"] < 1e6), np.rint(arrays["elapsed"] * 1e6), 0)
    answered = np.where(late == NEVER, NEVER, sent + late + waited.astype(np.int64))
    raw = found.keys.tobytes().hex()
    size = 2 * found.keys.shape[1]
    columns: dict[str, NDArray[Any] | list[Any]] = {name: arrays[name] for name in COLUMNS if name in arrays}
    columns["key"] = [raw[start : start + size] for start in range(0, len(raw), size)]
    columns["state"] = np.array(STATES, dtype=object)[arrays["state"]].tolist()
    columns["answered_at"] = answered
    columns["censored"] = arrays["censored"].astype(bool)
    for name in words:
        columns[name] = np.array(words[name], dtype=object)[arrays[name]].tolist()
    return Batch(
        found.run_id,
        names.get(found.endpoint_id, found.endpoint_id),
        {name: columns[name] for name in COLUMNS},
        found.scores(),
        found.columns.rows,
    )
