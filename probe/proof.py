"""A run as evidence: what it is made of, read from the database or from a bundle, and checked."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probe.engine.known import read_table
from probe.engine.recompute import Sources, differences
from probe.engine.recorded import Recorded, is_survey
from storage import Store, chain, evidence, packs, records
from storage.pack import KEY_BYTES
from storage.schema import pack


@dataclass(frozen=True, slots=True)
class Sheet:
    """Evaluations in an order of their own: a pack of the run, or (``number`` 0) those that it took from elsewhere.

    ``root`` and ``bodies_root``: what is recorded for the pack. ``bodies``: digests, in order.
    """

    number: int
    entries: tuple[records.Entry, ...]
    root: bytes | None = None
    bodies_root: bytes | None = None
    bodies: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Proof:
    """A run with everything that its numbers come from. ``tables``: by probe id; ``bodies``: by SHA-256."""

    run: records.Run
    links: tuple[evidence.Link, ...]
    probes: tuple[records.Probe, ...]
    instances: Mapping[str, records.Instance]
    endpoints: Mapping[str, records.Endpoint]
    tables: Mapping[str, bytes]
    segments: Mapping[bytes, bytes]
    sheets: tuple[Sheet, ...]
    bodies: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was looked at, and what is wrong first; ``None`` if nothing is."""

    evaluations: int = 0
    bodies: int = 0
    recomputed: int = 0
    not_recomputed: int = 0  #: surveys: their evaluations are hashed, their readings are not computed again
    numbers: int = 0
    wrong: str | None = None


def gather(store: Store, run_id: str) -> Proof:
    """A run from the database.

    Raises:
        storage.NotFound: there is none.
        storage.Damaged: something of it cannot be read.
    """
    run = store.run(run_id)
    probes = tuple(store.probes(run.id))
    tables = {probe.id: store.table(probe) for probe in probes}
    with store.database.reading() as connection:
        links = tuple(link for link in chain.links(connection) if link.run_id == run.id)
        roots = chain.roots_of(connection, run.id)
        own = list(packs.load(connection, store.url, pack.c.run_id == run.id))
    sheets = [
        Sheet(found.number, tuple(found.entries()), root, bodies_root, tuple(found.shas))
        for found, (root, bodies_root) in zip(own, roots, strict=True)
    ]
    known = {(entry.key, entry.generation) for sheet in sheets for entry in sheet.entries}
    used = {(entry.key[:KEY_BYTES], entry.generation): entry for probe in probes for entry in store.evaluations(probe)}
    others = [entry for place, entry in used.items() if place not in known and entry.state in packs.OVER]
    sheets.append(Sheet(0, tuple(others), bodies=tuple(dict.fromkeys(e.body_sha for e in others if e.body_sha))))
    every = [entry for sheet in sheets for entry in sheet.entries]
    maps = [probe.segments_sha for probe in probes if probe.segments_sha is not None]
    return Proof(
        run=run,
        links=links,
        probes=probes,
        instances={probe.instance_id: store.instance(probe.instance_id) for probe in probes},
        endpoints={
            **{probe.endpoint_id: store.endpoint(probe.endpoint_id) for probe in probes},
            **{entry.endpoint_id: store.endpoint(entry.endpoint_id) for entry in every[:1]},
        },
        tables=tables,
        segments=store.bodies(maps),
        sheets=tuple(sheets),
        bodies=store.bodies_of(every),
    )


def check(proof: Proof) -> Checked:
    """Hash everything again, and compute every number from the raw answers."""
    evaluations = sum(len(sheet.entries) for sheet in proof.sheets)
    done = Checked(evaluations=evaluations, bodies=len(proof.bodies))
    if wrong := next(_hashes(proof), None):
        return _with(done, wrong=wrong)
    recomputed = skipped = numbers = 0
    for probe in proof.probes:
        if is_survey(probe) or not probe.table:
            skipped += 1
            continue
        wrong = differences(_sources(proof, probe))
        if wrong is not None:
            return _with(done, recomputed=recomputed, not_recomputed=skipped, numbers=numbers, wrong=wrong)
        recomputed += 1
        numbers += 2 * len(probe.attributions) + len(probe.trust) + 2
    return _with(done, recomputed=recomputed, not_recomputed=skipped, numbers=numbers)


def _with(done: Checked, **changes: int | str) -> Checked:
    return replace(done, **changes)  # type: ignore[arg-type]


def _hashes(proof: Proof) -> Iterator[str]:
    for sheet in proof.sheets:
        if sheet.root is None:
            continue
        if evidence.entries_root(sheet.entries) != sheet.root:
            yield f"pack {sheet.number}: its evaluations do not have the root that was recorded for them"
        if sheet.bodies_root is not None and sheet.bodies and _bodies_root(sheet.bodies) != sheet.bodies_root:
            yield f"pack {sheet.number}: its response bodies do not have the root that was recorded for them"
    for link in proof.links:
        if link.expected() != link.hash:
            yield f"link {link.seq} of the chain is not what its hash says"
    roots = [(sheet.root, sheet.bodies_root) for sheet in proof.sheets if sheet.root is not None]
    last = next((link for link in reversed(proof.links) if link.what == "run"), None)
    if last is not None and chain.run_root(proof.run, roots) != last.root:
        yield f"run {proof.run.id}: its settings and packs do not have the root that link {last.seq} of the chain holds"


def _bodies_root(shas: Sequence[bytes]) -> bytes:
    return evidence.root(map(evidence.leaf, shas))


def _sources(proof: Proof, probe: records.Probe) -> Sources:
    coalitions, keys = read_table(proof.tables[probe.id])
    raw = [[key.tobytes()[:KEY_BYTES] for key in row] for row in keys]
    wanted = {key for row in raw for key in row}
    by_key: dict[bytes, records.Entry] = {}
    for sheet in proof.sheets:
        for entry in sheet.entries:
            short = entry.key[:KEY_BYTES]
            if short in wanted and (entry.answered_at or entry.sent_at) <= probe.finished:
                before = by_key.get(short)
                if before is None or entry.generation > before.generation:
                    by_key[short] = entry.but(key=short)
    found = Recorded(
        coalitions, tuple(tuple(by_key.get(key) for key in row) for row in raw), tuple(tuple(row) for row in raw)
    )
    return Sources(
        run=proof.run,
        probe=probe,
        instance=proof.instances[probe.instance_id],
        endpoint=proof.endpoints[probe.endpoint_id],
        recorded=found,
        segments=_segments(proof, probe),
        bodies=proof.bodies,
    )


def _segments(proof: Proof, probe: records.Probe) -> NDArray[np.int32] | None:
    blob = proof.segments.get(probe.segments_sha) if probe.segments_sha is not None else None
    if blob is None:
        return None
    found: NDArray[np.int32] = np.load(io.BytesIO(blob), allow_pickle=False)
    return found
