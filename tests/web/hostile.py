"""A store whose every text was written by somebody who wishes us ill."""

from __future__ import annotations

import json
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from probe.engine.known import write_table
from storage import Attribution, Endpoint, Instance, InstanceKind, Probe, Run, Store

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MARKUP = "</title></script></style><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
ATTRIBUTE = "\" onmouseover=window.hacked=1 autofocus onfocus=window.hacked=1 x='"
TEMPLATE = "{{ 111111 * 7 }}${111111*7}{% raw %}<%= 7 %>"
TERMINAL = "\x1b]0;title\x07\x1b[31mred\x1b[0m"
BIDI = "\u202egnp.exe\u2066"
FORMULA = '=HYPERLINK("https://evil.example","x")'
LINK = "javascript:window.hacked=1"
HTMX = "<div hx-get=https://evil.example/ hx-trigger=load hx-on::load=window.hacked=1>"
WORDS = MARKUP + ATTRIBUTE + TEMPLATE + TERMINAL + BIDI + HTMX

SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.hacked=1'><script>window.hacked=1</script></svg>"


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


#: a few bytes that would be 12 GB of pixels
BOMB = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 65_000, 65_000, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(bytes(1000)))
    + _chunk(b"IEND", b"")
)

#: of the last one the coalitions are not what they should be
RUNS = ("run0", "run1", "run2")

CONTENTS: tuple[tuple[InstanceKind, bytes], ...] = (
    ("text", WORDS.encode()),
    ("tabular", json.dumps({MARKUP: ATTRIBUTE, LINK: FORMULA, "n": 1}).encode()),
    ("tabular", b"[1, 2"),
    ("image", SVG),
    ("image", BOMB),
    ("image", b"\x89PNG\r\n\x1a\n" + b"\xff" * 100),
)


def fill(folder: Path) -> list[str]:
    """The store, at ``folder / "probe.db"``; the ids of its probes."""
    config = f"storage: sqlite:///probe.db\nendpoints: {{x: {{url: 'https://api.example/'}}}}\n# {WORDS}\n"
    (folder / "probe.yaml").write_text(
        "storage: sqlite:///probe.db\nendpoints: {words: {url: 'http://127.0.0.1:9/'}}\n"
        "probes: {a: {kind: text, inputs: {inline: [x]}, endpoints: [words], methods: [occlusion]}}\n"
    )
    made = []
    with Store.open(f"sqlite:///{folder / 'probe.db'}") as store:
        for run_id in RUNS:
            store.start_run(Run(run_id, MARKUP + FORMULA, bytes(32), config, WORDS, 1, NOON))
        store.put_endpoint(Endpoint("endpoint", FORMULA + MARKUP, ATTRIBUTE, LINK, WORDS, WORDS))
        for place, (kind, content) in enumerate(CONTENTS):
            store.put_instance(Instance(f"instance{place}", kind, MARKUP + ATTRIBUTE, content))
            for run_id in RUNS:
                made.append(f"{run_id}probe{place}")
                store.save_probe(_probe(made[-1], run_id, f"instance{place}", kind, content))
        store.finish_run("run0", "finished", NOON, {WORDS: 1, "cost_micro": 5})
    return made


def _probe(probe_id: str, run_id: str, instance: str, kind: str, content: bytes) -> Probe:
    names = (MARKUP, ATTRIBUTE, FORMULA, LINK, TEMPLATE)
    place = {"text": {"span": [0, 40]}, "tabular": {"columns": [MARKUP]}, "image": {"box": [MARKUP, 0, 1, ATTRIBUTE]}}
    return Probe(
        id=probe_id,
        run_id=run_id,
        name=WORDS,
        instance_id=instance,
        endpoint_id="endpoint",
        method=MARKUP,
        params={MARKUP: ATTRIBUTE, "target": {"labels": [MARKUP]}},
        params_hash=bytes(32),
        target=MARKUP + FORMULA,
        status="finished",
        started=NOON,
        finished=NOON + timedelta(hours=int(run_id[-1])),
        evaluations=5,
        base_value=0.1,
        full_value=0.9,
        top_feature=MARKUP,
        trust={MARKUP: 0.5},
        findings=({"code": ATTRIBUTE, "message": MARKUP},),
        details={MARKUP: ATTRIBUTE},
        features=tuple({"name": name, "place": place[kind]} for name in names),
        attributions=tuple(Attribution(name, 0.1 * rank - 0.2, 0.01) for rank, name in enumerate(names)),
        table=write_table(np.eye(5, dtype=bool), bytes(range(160)), 1) if run_id != "run2" else b"\x00 no table",
        error=WORDS,
    )


PATHS = (
    "/runs", "/runs.json", "/runs.csv", "/runs/run0", "/runs/run1", "/runs/run0.json", "/runs/run0.csv", "/runs/run0/report",
    "/search?probe=*", "/search.csv?probe=*", "/search.json?probe=*", "/diff?a=run0&b=run1", "/diff.json?a=run0&b=run1",
    "/sql?q=SELECT+*+FROM+endpoint", "/sql.csv?q=SELECT+*+FROM+run", "/queue", "/metrics", "/api",
    "/runs/run1/export?format=csv",
)  # fmt: skip


def paths(probes: list[str]) -> list[str]:
    """Every page over that store."""
    own = [path for probe in probes for path in (f"/probes/{probe}", f"/probes/{probe}.json", f"/probes/{probe}.csv")]
    more = ("history", "history.csv", "requests/0", "requests/4.json")
    return [*PATHS, *own, *(f"/probes/{probes[0]}/{each}" for each in more)]
