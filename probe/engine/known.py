"""What earlier probes asked, so that another target, method or setting begins where they ended and pays for nothing twice."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probe.engine.bills import Bill
from probe.methods.base import Bools, OwnTable, Selective
from storage import Store
from storage.records import Asked


@dataclass(frozen=True, slots=True)
class Start:
    """The coalitions (k, n) that a bill begins with; ``whole``: there is nothing to add to them."""

    rows: Bools
    whole: bool = False


class Earlier:
    """The tables of earlier probes of the same inputs, and what of them a bill can use.

    The same question asked again is asked with the same coalitions, however old the answers: results are then equal to the
    last bit if the answers are, and differ by what changed at the endpoint if they are not. Another question about the
    same features (another target, method, budget) begins with those coalitions whose answers still count. Neither another
    seed nor another version of this program does, so that what depends on them can be seen.
    """

    def __init__(self, store: Store, bills: Sequence[Bill], *, before: datetime, code_version: str) -> None:
        """``before``: when the run began; what was stored later does not change what a resumed run asks."""
        self._store = store
        self._before = before
        self._version = code_version
        self._asked: dict[tuple[str, str], list[Asked]] = {}
        inputs = dict.fromkeys(bill.lead.item.id for bill in bills if _may_share(bill))
        for asked in store.asked(list(inputs), before=before):
            self._asked.setdefault((asked.instance_id, asked.endpoint_id), []).append(asked)

    def start(self, bill: Bill) -> Start:
        """What ``bill`` begins with.

        Raises:
            ConfigError: if its budget is too small for one of its methods.
        """
        found = self._comparable(bill) if _may_share(bill) else []
        question = (bill.lead.method.name, bill.params_hash(bill.lead), True, self._version)
        for asked in reversed(found):
            if (asked.method, asked.params_hash, asked.finished, asked.code_version) == question:
                return Start(read_table(asked.table)[0], whole=True)
        known = self._answered(found, bill)
        return Start(bill.first_from(known) if len(known) else bill.first())

    def _comparable(self, bill: Bill) -> list[Asked]:
        task = bill.lead
        found = self._asked.get((task.item.id, task.remote.record.id), [])
        return [asked for asked in found if _ground(asked.params) == _ground(task.params())]

    def _answered(self, found: Sequence[Asked], bill: Bill) -> Bools:
        """The distinct rows of ``found`` all of whose answers still count, in the order in which they were first asked."""
        n = bill.lead.masker.n
        rows: dict[bytes, tuple[Bools, list[bytes]]] = {}
        for table in dict.fromkeys(asked.table for asked in found):
            coalitions, keys_of = read_table(table)
            if coalitions.shape[1] != n:
                continue  # an earlier version cut the input differently
            for coalition, keys in zip(coalitions, keys_of, strict=True):
                rows.setdefault(coalition.tobytes(), (coalition, [key.tobytes() for key in keys]))
        entries = self._store.lookup([key for _, keys in rows.values() for key in keys])
        fresh = {
            key
            for key, entry in entries.items()
            if entry.state == "answered"
            and entry.answered_at is not None
            and self._before - entry.answered_at <= bill.lead.fresh
        }
        usable = [coalition for coalition, keys in rows.values() if fresh.issuperset(keys)]
        return np.vstack([np.zeros((0, n), dtype=bool), *usable])


def _may_share(bill: Bill) -> bool:
    """Methods that read chosen coalitions only, or follow a design of their own, have no use for others."""
    return not isinstance(bill.lead.method, Selective | OwnTable)


def _ground(params: Any) -> str:
    """What must agree for coalitions and answers to mean the same."""
    return json.dumps({name: params.get(name) for name in ("masker", "repeats", "seed")}, sort_keys=True)


def write_table(coalitions: Bools, keys: bytes | bytearray, width: int) -> bytes:
    """A compressed ``.npz``: ``coalitions`` as packed bits (m, ⌈n/8⌉), ``n``, ledger ``keys`` (m, ``width``, 32)."""
    found = np.frombuffer(bytes(keys), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        coalitions=np.packbits(coalitions, axis=1),
        n=np.array(coalitions.shape[1]),
        keys=found.reshape(len(coalitions), width, -1) if len(found) else found,
    )
    return buffer.getvalue()


def read_table(table: bytes) -> tuple[Bools, NDArray[np.uint8]]:
    """The coalitions (m, n) and their ledger keys (m, width, 32 or, where storage cut them, 11) of a stored ``table``."""
    with np.load(io.BytesIO(table), allow_pickle=False) as stored:
        n = int(stored["n"])
        coalitions = np.unpackbits(stored["coalitions"], axis=1, count=n).astype(bool)
        return coalitions, stored["keys"]
