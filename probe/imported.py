"""Answers that were collected elsewhere, into the ledger: they cost nothing here and are marked as what they are."""

from __future__ import annotations

import hashlib
import json
import math
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from adapters import Instance
from probe.engine.keys import evaluation_key
from probe.engine.tasks import Remote
from probe.errors import ConfigError
from probe.inputs import read_image
from probe.setup import code_version
from storage import Store, records

#: How an imported answer is marked: its content type, and the name of its run.
MARK = "imported"
_KEYS = {"input", "image", "scores", "at", "floor", "repeat"}
_TOGETHER = 20_000


@dataclass(frozen=True, slots=True)
class Imported:
    """``known``: lines whose evaluation the ledger had answered already; they changed nothing."""

    run: str
    added: int
    known: int


def import_answers(store: Store, remote: Remote, path: Path, *, now: datetime | None = None) -> Imported:
    """Read a file of JSON lines ``{"input": …, "scores": {label: score}}`` as answers of ``remote``.

    ``input`` is a text or a row (a mapping or a list); ``image`` names a file instead. Optional: ``at`` (ISO 8601), ``floor``
    (open label spaces), ``repeat`` (from 0; by default the same input counts up). Nothing is stored if a line is wrong.

    Raises:
        ConfigError: naming the line.
        storage.StorageError: the database failed; nothing was stored.
    """
    now = now or datetime.now(UTC)
    run_id = secrets.token_hex(4)
    entries = {entry.key: entry for entry in _entries(path, remote, run_id, now)}
    known = {key for key, entry in store.lookup(list(entries)).items() if entry.state == "answered"}
    new = [entry for key, entry in entries.items() if key not in known]
    name = f"import:{path.name}"
    digest = hashlib.sha256(name.encode()).digest()
    store.put_endpoint(remote.record)
    store.start_run(records.Run(run_id, name, digest, "", code_version(), 0, now))
    for start in range(0, len(new), _TOGETHER):
        store.put_away(new[start : start + _TOGETHER])
    totals = {"evaluations": len(new), "from_ledger": len(known), MARK: len(new), "sent": 0, "cost_micro": 0}
    store.finish_run(run_id, "finished", now, totals)
    return Imported(run_id, len(new), len(known))


def _entries(path: Path, remote: Remote, run_id: str, now: datetime) -> Iterator[records.Entry]:
    seen: dict[bytes, int] = {}
    identity, parser = remote.adapter.identity, remote.adapter.parser
    for number, said in _lines(path):
        where = f"{path}:{number}"
        instance = _instance(said, where, path.parent)
        first = evaluation_key(identity, instance)
        repeat = said.get("repeat", seen.get(first, 0))
        if not isinstance(repeat, int) or isinstance(repeat, bool) or repeat < 0:
            raise ConfigError(f"{where}: repeat is {repeat!r}; write a number from 0")
        seen[first] = repeat + 1
        at = _time(said.get("at"), where, now)
        yield records.Entry(
            key=first if repeat == 0 else evaluation_key(identity, instance, repeat),
            generation=0,
            state="answered",
            endpoint_id=remote.record.id,
            run_id=run_id,
            sent_at=at,
            answered_at=at,
            scores=_scores(said.get("scores"), where),
            floor=_floor(said.get("floor"), where),
            parser=parser,
            content_type=MARK,
        )


def _lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from _objects(path, file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _objects(path: Path, file: Iterable[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path}:{number}: not a line of JSON: {error}") from error
        if not isinstance(said, Mapping):
            raise ConfigError(f'{path}:{number}: expected {{"input": …, "scores": …}}, found {type(said).__name__}')
        if unknown := sorted(set(said) - _KEYS):
            raise ConfigError(f"{path}:{number}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_KEYS))}")
        yield number, said


def _instance(said: Mapping[str, Any], where: str, base: Path) -> Instance:
    if ("input" in said) == ("image" in said):
        raise ConfigError(f"{where}: write one of input and image")
    if "image" in said:
        return read_image(base / str(said["image"]))
    found = said["input"]
    cells = found.values() if isinstance(found, Mapping) else found if isinstance(found, list) else ()
    if not isinstance(found, str | Mapping | list) or not all(
        isinstance(cell, str | int | float | None) for cell in cells
    ):
        raise ConfigError(f"{where}: input is neither a text nor a row of plain values")
    return found


def _scores(found: Any, where: str) -> dict[str, float]:
    if not isinstance(found, Mapping) or not found:
        raise ConfigError(f"{where}: scores must be a mapping of labels to numbers")
    for label, score in found.items():
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise ConfigError(f"{where}: the score of {label!r} is {str(score)[:40]!r}, which is no number")
    return {label: float(score) for label, score in found.items()}


def _floor(found: Any, where: str) -> float | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise ConfigError(f"{where}: floor is {str(found)[:40]!r}, which is no number")
    return float(found)


def _time(found: Any, where: str, now: datetime) -> datetime:
    if found is None:
        return now
    try:
        at = datetime.fromisoformat(found)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: at is {str(found)[:40]!r}; write 2026-03-01T12:00:00+00:00") from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
