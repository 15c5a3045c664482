"""Stored results at ten million evaluations: bytes, ingest on one core, the questions people ask, export.

On SQLite in a temporary directory and, where there is one, on Postgres. Probes of 1,000 evaluations each: texts of 14 words
of a vocabulary of 2,000, scores of two labels in 32-bit floats, as most servers send them, 16 inputs a request. Also a
smaller database with response bodies. Bytes are those of the whole database, results and indexes included.
"""

from __future__ import annotations

import gc
import hashlib
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa

from benchmarks.common import Line, finish, options
from benchmarks.shared_limit import databases
from probe.exported import export
from storage import Attribution, Endpoint, Entry, Filter, Instance, Journal, Probe, Run, Store, upkeep
from storage.questions import shares, top_changes

_START = datetime(2026, 1, 1, tzinfo=UTC)
_SIZE = 1_000  #: evaluations in a probe
_BATCH = 16
_WORDS = 14
_ENDPOINT = Endpoint("e" * 32, "vendor-a", "http", "https://api.vendor.example/v1", "sentiment-2", "POST … sentiment-2")
_PROBES_IN_RUN = 100


def answers(number: int, rng: np.random.Generator, *, run: str, bodies: bool) -> tuple[list[Entry], list[bytes]]:
    """The evaluations of probe ``number``, as the engine would have recorded them."""
    scores = rng.beta(0.5, 0.5, _SIZE).astype(np.float32).astype(np.float64)
    raw = rng.bytes(32 * _SIZE)
    sent = _START + timedelta(seconds=60 * number)
    found: list[Entry] = []
    kept: list[bytes] = []
    waits = rng.exponential(0.02, _SIZE).tolist()
    latencies = rng.lognormal(-2, 0.3, _SIZE).tolist()
    lags = rng.integers(50, 300, _SIZE).tolist()
    for start in range(0, _SIZE, _BATCH):
        batch = scores[start : start + _BATCH].tolist()
        sent += timedelta(seconds=round(waits[start], 6))
        elapsed = round(latencies[start], 6)
        answered = sent + timedelta(seconds=elapsed, microseconds=lags[start])
        pairs = [{"positive": score, "negative": float(np.float32(1 - score))} for score in batch]
        sha = None
        if bodies:
            body = json.dumps([[{"label": label, "score": s} for label, s in pair.items()] for pair in pairs]).encode()
            kept.append(body)
            sha = hashlib.sha256(body).digest()
        for item, pair in enumerate(pairs):
            place = start + item
            found.append(
                Entry(
                    *(raw[32 * place : 32 * place + 32], 0, "answered", _ENDPOINT.id, run, sent, answered, 1, 0, 2000),
                    *(elapsed, pair, None, False, "parser-1", sha, 200, "application/json", item, len(pairs)),
                )
            )
    return found, kept


def explained(number: int, rng: np.random.Generator, entries: list[Entry], *, run: str) -> Probe:
    """The explanation of the probe, with the table of its coalitions."""
    words = [f"word{place}" for place in rng.choice(2_000, _WORDS, replace=False)]
    values = rng.normal(0, 0.1, _WORDS)
    keys = np.frombuffer(b"".join(entry.key for entry in entries), np.uint8).reshape(-1, 1, 32)
    buffer = io.BytesIO()
    bits = np.packbits(design(rng), axis=1)
    np.savez(buffer, coalitions=bits, n=np.array(_WORDS), keys=keys)
    finished = entries[-1].sent_at + timedelta(seconds=1)
    return Probe(
        id=f"{number:012x}",
        run_id=run,
        name="reviews",
        instance_id=f"{number % (_PROBES_IN_RUN):064x}",
        endpoint_id=_ENDPOINT.id,
        method="shapley",
        params={"method": {"seed": 1}, "masker": {"unit": "word"}, "budget": _SIZE, "repeats": 1, "seed": 1},
        params_hash=b"\x01" * 32,
        target="positive",
        status="finished",
        started=entries[0].sent_at,
        finished=finished,
        evaluations=_SIZE,
        requests=_SIZE // _BATCH,
        cost_micro=2000 * _SIZE,
        base_value=0.5,
        full_value=0.9,
        top_feature=words[int(np.abs(values).argmax())],
        trust={"r2": 0.98, "dof": 120.0},
        features=tuple({"name": word, "place": {"span": [6 * n, 6 * n + 5]}} for n, word in enumerate(words)),
        attributions=tuple(Attribution(word, float(v), 0.01) for word, v in zip(words, values, strict=True)),
        table=buffer.getvalue(),
    )


def design(rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """(1,000, 14) coalitions with their complements, of sizes as Kernel SHAP draws them."""
    sizes = np.arange(1, _WORDS)
    weights = 1 / (sizes * (_WORDS - sizes))
    drawn = rng.choice(sizes, _SIZE // 2, p=weights / weights.sum())
    half = rng.permuted(np.arange(_WORDS) < drawn[:, None], axis=1)
    return np.stack([half, ~half], axis=1).reshape(_SIZE, _WORDS)


def fill(store: Store, probes: int, *, bodies: bool) -> float:
    """Write ``probes`` probes; returns the CPU seconds of this process that storing took, without what it takes to make them
    up. On Postgres what the server does comes on top, on another core."""
    rng = np.random.default_rng(1)
    store.put_endpoint(_ENDPOINT)
    for number in range(min(probes, _PROBES_IN_RUN)):
        store.put_instance(Instance(f"{number:064x}", "text", f"reviews/{number}.txt", b"fourteen words " * 6))
    seconds = 0.0
    for number in range(probes):
        run = f"{number // _PROBES_IN_RUN:08x}"
        if number % _PROBES_IN_RUN == 0:
            at = _START + timedelta(seconds=60 * number)
            store.start_run(Run(run, "probe.yaml", b"\x01" * 32, "storage: x\n", "0.1.0", 1, at))
        entries, kept = answers(number, rng, run=run, bodies=bodies)
        probe = explained(number, rng, entries, run=run)
        began = time.process_time()
        store.save_probe(probe, evaluations=entries, bodies=kept)
        seconds += time.process_time() - began
        if number % 100 == 99:
            analyzed(store)
        if number % _PROBES_IN_RUN == _PROBES_IN_RUN - 1:
            store.finish_run(run, "finished", probe.finished, {"sent": 1})
    return seconds


def through_the_journal(store: Store, count: int) -> float:
    """Evaluations a second, written one by one as they are sent and answered, then folded."""
    rng = np.random.default_rng(2)
    store.start_run(Run("journal", "probe.yaml", b"\x02" * 32, "", "0.1.0", 1, _START))
    began = 0.0
    for number in range(count // _SIZE):
        entries, kept = answers(10**6 + number, rng, run="journal", bodies=True)
        probe = replace(explained(10**6 + number, rng, entries, run="journal"), id=f"j{number}", name=f"j{number}")
        start = time.perf_counter()
        with Journal(store) as journal:
            intents = [entry.but(state="intended", answered_at=None, scores=None, body_sha=None) for entry in entries]
            for place in range(0, _SIZE, _BATCH):
                journal.intend(intents[place : place + _BATCH])
            for place in range(0, _SIZE, _BATCH):
                journal.record(entries[place : place + _BATCH], [kept[place // _BATCH]])
        store.save_probe(probe)
        began += time.perf_counter() - start
    return count / began


def p95(ask: Callable[[int], Any], times: int) -> tuple[float, float]:
    """Seconds, by the clock and of this process's own work."""
    taken = []
    for number in range(times):
        began, worked = time.perf_counter(), time.process_time()
        ask(number)
        taken.append((time.perf_counter() - began, time.process_time() - worked))
    clock, work = np.quantile(taken, 0.95, axis=0).tolist()
    return clock, work


def questions(store: Store, probes: int, *, times: int) -> Iterator[tuple[str, tuple[float, float], float]]:
    """What, p95 in seconds (by the clock, and of work), and the goal."""
    rng = np.random.default_rng(3)
    words = [f"word{n}" for n in rng.integers(0, 2_000, times)]
    runs = max(2, probes // _PROBES_IN_RUN)
    picked = rng.integers(0, runs - 1, times).tolist()
    yield "a word over time", p95(lambda n: shares(store, Filter(feature=words[n]), limit=10_000), times), 0.05

    def changes(n: int) -> object:
        return top_changes(store, f"{picked[n]:08x}", f"{picked[n] + 1:08x}")

    yield "top features that changed between two runs", p95(changes, times), 0.05
    some = [store.probes(f"{run:08x}")[n % 50] for n, run in enumerate(picked)]
    tables = []
    for probe in some:
        with np.load(io.BytesIO(store.table(probe)), allow_pickle=False) as stored:
            tables.append([key.tobytes() for key in stored["keys"][:, 0]])

    yield "one probe's evaluations", p95(lambda n: store.evaluations(some[n]), times), 0.05
    yield "requests and cost by provider and day", p95(lambda _: store.usage(), times), 0.02
    absent = [[rng.bytes(32) for _ in range(_SIZE)] for _ in range(min(times, 20))]
    yield "1,000 keys in the ledger, all there", p95(lambda n: store.lookup(tables[n]), min(times, 20)), 0.0
    yield "1,000 keys in the ledger, none there", p95(lambda n: store.lookup(absent[n]), min(times, 20)), 0.0


def exported(store: Store, runs: int) -> tuple[int, float]:
    """Rows, and CPU seconds to write them to Parquet."""
    rows = 0
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            path = Path(folder) / "evaluations.parquet"
            rows += export(store, f"{run:08x}", path, kind="parquet", evaluations=True)
    return rows, time.process_time() - began


def lines(kind: str, url: str, bodies_url: str, *, probes: int) -> Iterator[Line]:
    """What one database does with so many ``probes``."""
    quick = probes < 1_000
    with Store.open(url) as store:
        seconds = fill(store, probes, bodies=False)
        count = probes * _SIZE
        analyzed(store)
        found = upkeep.stats(store)
        each = found["bytes"] / count
        core = taken_by(store, ("pack", "index_sheaf", "index_page", "coalitions", "evaluation")) / count
        yield Line(f"{kind}: bytes an evaluation, {count:,}", f"{core:.1f}", "", "≤ 25", core <= 25)
        yield Line(f"{kind}: … with all results", f"{each:.1f}")
        rate = count / seconds
        yield Line(f"{kind}: ingest of finished probes on one core", f"{rate:,.0f}/s", "", "≥ 50,000/s", rate >= 50_000)
        for what, taken, goal in questions(store, probes, times=40 if quick else 100):
            words = f"≤ {goal * 1e3:.0f} ms" if goal else ""
            clock, work = taken
            worked = f"CPU {work * 1e3:.1f}"
            yield Line(f"{kind}: {what}, p95", f"{clock * 1e3:.1f} ms", worked, words, clock <= goal if goal else None)
        if find_spec("pyarrow") is None:
            yield Line(f"{kind}: export to Parquet", "not measured: pyarrow is not installed")
        else:
            exported(store, 1)  # which loads the libraries
            gc.collect()
            rows, seconds = exported(store, 1 if quick else 20)
            rate = rows / seconds
            yield Line(f"{kind}: export to Parquet", f"{rate:,.0f} rows/s", f"{rows:,}", "≥ 1,000,000", rate >= 1e6)
        slow = through_the_journal(store, 2_000 if quick else 20_000)
        yield Line(f"{kind}: sent and answered one batch at a time, then folded", f"{slow:,.0f}/s")
    with Store.open(bodies_url) as store:
        probes = max(100, probes // 10)
        fill(store, probes, bodies=True)
        analyzed(store)
        each = taken_by(store, ("pack", "index_sheaf", "index_page", "coalitions", "evaluation", "body"))
        each /= probes * _SIZE
        yield Line(f"{kind}: bytes an evaluation with bodies", f"{each:.1f}", "", "≤ 45", each <= 45)


def another(url: str) -> str:
    """A second, empty database beside the one at ``url``."""
    if url.startswith("sqlite"):
        return url.replace("probe.db", "bodies.db")
    parsed = sa.make_url(url).set(drivername="postgresql+psycopg")
    with sa.create_engine(parsed, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE bodies")
    return parsed.set(database="bodies", drivername="postgresql").render_as_string(hide_password=False)


def taken_by(store: Store, tables: tuple[str, ...]) -> int:
    """Bytes on disk of ``tables`` with their indexes."""
    with store.database.reading() as connection:
        if not store.database.is_sqlite:
            sizes = [sa.func.pg_total_relation_size(name) for name in tables]
            return sum(connection.execute(sa.select(*sizes)).one())
        names = sa.text("SELECT name FROM sqlite_master WHERE tbl_name = :table")
        pages = sa.text("SELECT sum(pgsize) FROM dbstat WHERE name = :name")
        found = [name for table in tables for (name,) in connection.execute(names, {"table": table})]
        return sum(int(connection.execute(pages, {"name": name}).scalar() or 0) for name in found)


def analyzed(store: Store) -> None:
    """As autovacuum and ``PRAGMA optimize`` leave it, which have days for what takes minutes here."""
    if store.database.is_sqlite:
        store.database.write(lambda connection: connection.exec_driver_sql("ANALYZE"))
        return
    with store.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    table: list[Line] = []
    with databases() as found:
        for kind, url in found.items():
            for line in lines(kind, url, another(url), probes=200 if chosen.quick else 10_000):
                print(line, flush=True)
                table.append(line)
    return finish("Storage", table, json_file=chosen.json, packages=("sqlalchemy", "psycopg", "numpy"))


if __name__ == "__main__":
    sys.exit(main())
