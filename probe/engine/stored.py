"""Reading the ledger's answers again, without asking anybody."""

from __future__ import annotations

from collections.abc import Sequence

from adapters import Adapter, AdapterError, HttpResponse, ItemError, Prediction
from storage import Store
from storage.records import Entry


def read_predictions(store: Store, stored: Sequence[tuple[Entry, Adapter]]) -> list[Prediction | None]:
    """The scores of each entry, or ``None`` where it was not answered or cannot be read.

    Scores kept beside the entry are used if the rules of reading have not changed since; otherwise the stored body is read
    again, once for all the items of a batch.
    """
    bodies = store.bodies_of([entry for entry, adapter in stored if _to_parse(entry, adapter)])
    parsed: dict[tuple[str, bytes, int], list[Prediction | ItemError]] = {}
    results: list[Prediction | None] = []
    for entry, adapter in stored:
        if entry.state != "answered":
            results.append(None)
        elif _kept(entry, adapter) and entry.scores is not None:
            results.append(Prediction(entry.scores, entry.floor, entry.censored))
        elif entry.body_sha is None or entry.body_sha not in bodies:
            results.append(None)
        else:
            key = (adapter.name, entry.body_sha, entry.items)
            if key not in parsed:
                parsed[key] = _parse(entry, adapter, bodies[entry.body_sha])
            result = parsed[key][entry.item] if entry.item < len(parsed[key]) else None
            results.append(result if isinstance(result, Prediction) else None)
    return results


def _kept(entry: Entry, adapter: Adapter) -> bool:
    return entry.scores is not None and entry.parser == adapter.parser


def _to_parse(entry: Entry, adapter: Adapter) -> bool:
    return entry.state == "answered" and not _kept(entry, adapter)


def _parse(entry: Entry, adapter: Adapter, body: bytes) -> list[Prediction | ItemError]:
    headers = (("content-type", entry.content_type or ""),)
    try:
        return adapter.predictions(HttpResponse(entry.http_status or 200, headers, body), entry.items)
    except AdapterError:
        return []
