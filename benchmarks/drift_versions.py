"""Real versions of real models behind HTTP: what changed between releases, and what did not.

Each version is installed into a folder of its own (from the package index) and runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapters import endpoint_from_config, open_transport
from benchmarks.common import Line, finish, options
from probe.drift.build import BuildSettings
from probe.engine.drift_run import BaselineRunner, Checked, CheckRunner
from probe.engine.drift_task import WatchTask
from probe.engine.run import RunSettings
from probe.inputs import Item
from probe.setup import remote_of
from storage import Store
from tests.drifting import DriftingServer, Model, drifting_server

_WORKER = Path(__file__).parent / "drift" / "worker.py"
_SETTINGS = RunSettings("benchmark", "", 1, "0")
_LANGUAGES = (
    "the refund took three weeks and nobody answered my letters",
    "we were given a warm welcome and a room with a view of the lake",
    "my order arrived late and the box had been opened",
    "she reads the paper every morning before she goes to work",
    "die Rückzahlung hat drei Wochen gedauert und niemand hat geantwortet",
    "wir wurden freundlich empfangen und hatten ein Zimmer mit Blick auf den See",
    "meine Bestellung kam zu spät und das Paket war offen",
    "sie liest jeden Morgen die Zeitung bevor sie zur Arbeit geht",
    "le remboursement a pris trois semaines et personne n'a répondu",
    "nous avons été bien accueillis et la chambre donnait sur le lac",
    "ma commande est arrivée en retard et le carton était ouvert",
    "elle lit le journal tous les matins avant d'aller au travail",
    "el reembolso tardó tres semanas y nadie contestó mis cartas",
    "nos recibieron muy bien y la habitación tenía vistas al lago",
    "mi pedido llegó tarde y la caja estaba abierta",
    "ella lee el periódico todas las mañanas antes de ir al trabajo",
    "il rimborso ha richiesto tre settimane e nessuno ha risposto",
    "siamo stati accolti bene e la camera aveva la vista sul lago",
    "het geld kwam pas na drie weken terug en niemand gaf antwoord",
    "wij werden hartelijk ontvangen en hadden een kamer met uitzicht op het meer",
)
_REVIEWS = (
    "the staff were friendly and the room was clean",
    "you are a complete idiot and everybody knows it",
    "thank you for the quick answer to my question",
    "what a stupid piece of crap this machine is",
    "the parcel came on time and nothing was missing",
    "shut up you damn fool and go to hell",
    "we will certainly come back next summer",
    "this moron ruined the whole damn evening",
    "the soup was cold but the waiter was kind",
    "only an idiot would pay for this garbage",
    "please send me the invoice once again",
    "screw this company and their lousy service",
)


@contextmanager
def _installed(package: str, version: str, model: str, folder: Path) -> Iterator[Model]:
    """``package`` of ``version`` in ``folder``, as a model that a server can ask."""
    target = folder / f"{package}-{version}"
    command = [sys.executable, "-m", "pip", "install", "-q", "--target", str(target), f"{package}=={version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    environment = {**os.environ, "PYTHONPATH": str(target), "PYTHONWARNINGS": "ignore"}
    with subprocess.Popen(
        [sys.executable, str(_WORKER), model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=target,
    ) as process:
        sent, read = process.stdin, process.stdout
        if sent is None or read is None:
            raise RuntimeError("a process started with pipes has them")

        def ask(inputs: Sequence[Any]) -> list[Mapping[str, float]]:
            sent.write(json.dumps(list(inputs)) + "\n")
            sent.flush()
            answers: list[Mapping[str, float]] = json.loads(read.readline())
            return answers

        try:
            yield ask
        finally:
            sent.close()
            process.wait(timeout=10)


def _task(server: DriftingServer, texts: Sequence[str], number: int) -> WatchTask:
    adapter = endpoint_from_config("model", server.endpoint(batch=16), environment={}, base=Path())
    items = tuple(Item(f"text {k}", "text", text) for k, text in enumerate(texts))
    build = BuildSettings(doubles=2 * len(texts), pairs=10, repeats=20)
    remote = remote_of(adapter, provider="http", url="", model="")
    return WatchTask(f"suite {number}", "text", items, remote, "label", build, 0.01, 5, 100, 1)


def _suites(before: Model, later: Sequence[Model], texts: Sequence[str], suites: int) -> list[list[Checked]]:
    """For each of the ``later`` models one check of every suite, each made of ``before``."""
    found: list[list[Checked]] = [[] for _ in later]
    with (
        tempfile.TemporaryDirectory() as folder,
        drifting_server(before) as server,
        Store.open(f"sqlite:///{folder}/probe.db") as store,
    ):
        for number in range(suites):
            server.model = before
            task = _task(server, texts, number)
            given: dict[str, Any] = {
                "settings": replace(_SETTINGS, seed=number),
                "open_transport": lambda adapter: open_transport(adapter, environment={}),
            }
            asyncio.run(BaselineRunner(task, store, **given).run())
            for model, checks in zip(later, found, strict=True):
                server.model = model
                checks.append(asyncio.run(CheckRunner(task, store, **given).run()))
    return found


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    suites = 3 if chosen.quick else 20
    lines = []
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)

        def version(package: str, number: str, model: str) -> Model:
            return stack.enter_context(_installed(package, number, model, folder))

        old = version("py3langid", "0.2.2", "languages")
        newer = [version("py3langid", number, "languages") for number in ("0.3.0", "0.4.0")]
        same, other = _suites(old, newer, _LANGUAGES, suites)
        calm = sum(each.exit_code == 0 for each in same)
        lines.append(
            Line("py3langid 0.2.2 → 0.3.0", f"no change found in {calm} of {suites}", "", f"{suites}", calm == suites)
        )
        lines.append(_line("py3langid 0.2.2 → 0.4.0", other, most=10))
        before = version("alt-profanity-check", "1.4.2", "profanity")
        after = version("alt-profanity-check", "1.9.1", "profanity")
        [scores] = _suites(before, [after], _REVIEWS, suites)
        lines.append(_line("alt-profanity-check 1.4.2 → 1.9.1", scores, most=5))
    return finish("drift_versions: questions until the alarm", lines, json_file=chosen.json)


def _line(what: str, checks: Sequence[Checked], *, most: int) -> Line:
    alarms = [each for each in checks if each.exit_code == 1]
    asked = [each.verdict.asked for each in alarms if each.verdict is not None]
    levels = sorted({str(each.verdict.level) for each in alarms if each.verdict is not None})
    changed = [each.effect.all.changed for each in alarms if each.effect is not None]
    holds = len(alarms) == len(checks) and max(asked, default=0) <= most
    value = f"{len(alarms)} of {len(checks)} alarms, after {statistics.median(asked or [0]):g}, at most {max(asked, default=0)}"
    return Line(f"{what} ({', '.join(levels)})", value, f"{max(changed, default=0)} labels", f"all, ≤ {most}", holds)


if __name__ == "__main__":
    sys.exit(main())
