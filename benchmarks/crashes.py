"""Runs killed (SIGKILL) and stopped (SIGTERM) at random moments, and started again: lost, stored twice, billed twice.

Every trial is ``probe run`` on a server that takes its time, in a process of its own, ended at a moment that a seeded
generator chose: most of them while requests are under way, some before the first or after the last. Then the same command
runs to its end, and the server's bill, the ledger and the results are compared with those of a run that nobody disturbed.
In flight is what the server had not answered when the signal was sent, or so shortly before that the answer could not yet
be on the disk. Processes are forked from one that has loaded the
libraries, as loading them takes longer than all the rest; the last line says how long.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import Line, finish, options
from probe.cli import main as run_probe
from tests.cli.program import probe, texts_config, timeless, write
from tests.servers import RunningServer, running_server

CONCURRENCY = 6
LATENCY = {"mean": 0.04, "jitter": 0.02}
_ON_ITS_WAY = 0.025  #: seconds in which an answer is to be on the disk (the journal's goal, 99 of 100)
_EARLY = 0.15  #: share of the kills that come before the first request has arrived
_SEED = 20
_PATIENCE = 120.0  #: seconds for anything to happen at all
_PRELOADED = [
    "probe.api",
    "probe.cli.run",
    "probe.cli.progress",
    "probe.report.as_json",
    "adapters.aio",
    "alembic.command",
]


@dataclass(frozen=True, slots=True)
class End:
    """How one process ended."""

    code: int
    out: str
    err: str
    first: float  #: seconds from its start to the first request it sent; 0 if it sent none
    sending: float  #: … from there to the last answer
    rest: float  #: … and to its end


@dataclass(frozen=True, slots=True)
class Trial:
    """One run that was ended, and the one that went on."""

    code: int  #: of the first run; of one that was killed, minus the signal's number
    code_again: int
    in_flight: int  #: when the signal was sent
    sent_before: int  #: requests of the first run
    sent_after: int  #: … of the second
    twice: int  #: inputs billed more than once
    unsure: int  #: evaluations of which the second run says that the first may have sent them
    lost: int  #: evaluations without an answer in the ledger
    duplicates: int  #: rows too many: of evaluations, runs or probes
    understated: int  #: requests that the server saw and the ledger does not know of
    overstated: int  #: … and those of which only the ledger knows; of a run that was killed, some may have been lost
    equal: bool  #: the results are those of the undisturbed run, to the last bit

    @property
    def finished(self) -> bool:
        """The signal came too late: there was nothing left to send."""
        return self.sent_after == 0

    @property
    def unreported(self) -> int:
        return max(0, self.twice - self.unsure)


def config(url: str) -> dict[str, Any]:
    """Two methods on one text: some eighty evaluations, one request each."""
    return texts_config(
        url,
        endpoint={"batch": 1, "limits": {"rate": "100/s", "concurrency": CONCURRENCY}, "price": {"request": 0.001}},
        inputs={"inline": ["after eleven exhausting days nobody answered my complaint about the refund"]},
        methods=["occlusion", "kernelshap"],
        budget=80,
    )


class Bench:
    """A server, and what a run on it comes to if it is left alone."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(_PRELOADED)
        load = self._processes.Process(target=_nothing)
        load.start()
        load.join()
        server.reset()
        with tempfile.TemporaryDirectory() as folder:
            home = self._home(folder)
            self.undisturbed = self._wait_for_end(self._start(home), home)
            if self.undisturbed.code != 0:
                raise RuntimeError(f"the undisturbed run failed: {self.undisturbed.err}")
            self._rows = _rows(home)
        self._expected = json.loads(self.undisturbed.out)

    def trials(self, number: signal.Signals, count: int) -> list[Trial]:
        """``count`` trials at moments of their own."""
        rng = np.random.default_rng([_SEED, number])
        return [self._trial(number, rng) for _ in range(count)]

    def _trial(self, number: signal.Signals, rng: np.random.Generator) -> Trial:
        server = self._server
        server.reset()
        with tempfile.TemporaryDirectory() as folder:
            home = self._home(folder)
            process = self._start(home)
            if number is signal.SIGKILL and rng.random() < _EARLY:
                time.sleep(rng.uniform(0, self.undisturbed.first))
            else:
                self._first_request(process)
                time.sleep(rng.uniform(0, self._most_wait(number)))
            at = time.monotonic()
            if process.pid is not None and process.is_alive():
                os.kill(process.pid, number)
            first = self._wait_for_end(process, home)
            while server.counts()["in_flight"]:
                time.sleep(0.01)
            arrivals = server.arrivals()
            finished = _rows_of_copy(home)["finished"]
            again = self._wait_for_end(self._start(home), home)
            counts, rows = server.counts(), _rows(home)
        rows["runs"] -= finished  # a run that had ended before the kill is not gone on with
        rows["probes"] -= finished * self._rows["probes"]
        results: dict[str, Any] = json.loads(again.out) if again.out else {"totals": {"unsure": 0}, "probes": []}
        return Trial(
            code=first.code,
            code_again=again.code,
            in_flight=min(CONCURRENCY, sum(arrival["left"] >= at - _ON_ITS_WAY for arrival in arrivals)),
            sent_before=len(arrivals),
            sent_after=counts["requests"] - len(arrivals),
            twice=counts["billed_items"] - counts["distinct_items"],
            unsure=results["totals"]["unsure"],
            lost=self._rows["answered"] - rows["answered"],
            duplicates=sum(max(0, rows[name] - self._rows[name]) for name in ("evaluations", "runs", "probes")),
            understated=max(0, counts["requests"] - rows["attempts"]),
            overstated=max(0, rows["attempts"] - counts["requests"]),
            equal=timeless(results, counters=False) == timeless(self._expected, counters=False),
        )

    def _most_wait(self, number: signal.Signals) -> float:
        """Seconds after the first request: a kill is to come at any moment, a stop while there is something to stop."""
        return self.undisturbed.rest if number is signal.SIGKILL else 0.8 * self.undisturbed.sending

    def _home(self, folder: str) -> Path:
        write(Path(folder), config(self._server.url))
        return Path(folder)

    def _start(self, home: Path) -> ForkServerProcess:
        process = self._processes.Process(target=_run, args=(str(home),))
        process.start()
        return process

    def _first_request(self, process: ForkServerProcess) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._server.counts()["requests"] and process.is_alive():
            if time.monotonic() > deadline:
                raise TimeoutError("the run sends nothing")
            time.sleep(0.005)

    def _wait_for_end(self, process: ForkServerProcess, home: Path) -> End:
        started = time.monotonic()
        process.join(_PATIENCE)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError("the run does not end")
        ended = time.monotonic()
        counts = self._server.counts()
        first = counts["first_arrival"] or ended
        out, err = (home / name for name in ("out", "err"))
        return End(
            process.exitcode,
            out.read_text(encoding="utf-8") if out.exists() else "",
            err.read_text(encoding="utf-8") if err.exists() else "",
            max(0.0, first - started),
            counts["span"] or 0.0,
            ended - first,
        )


def _nothing() -> None:
    """The first process to be forked loads the libraries for all."""


def _run(home: str) -> None:
    """``probe run --json`` in ``home``, in this process, with its output in files."""
    os.chdir(home)
    for number, name in ((1, "out"), (2, "err")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    run_probe(["run", "--json"])


def _rows_of_copy(home: Path) -> dict[str, int]:
    """The same of a database that is left as the kill left it: opening it would repair it."""
    with tempfile.TemporaryDirectory() as folder:
        return _rows(Path(shutil.copytree(home, folder, dirs_exist_ok=True)))


def _rows(home: Path) -> dict[str, int]:
    """What the database holds; all 0 if there is none yet."""
    questions = {
        # rows while a probe runs, packs when it is over; every request carries one input here
        "evaluations": "SELECT (SELECT count(*) FROM evaluation) + coalesce(sum(evaluations), 0) FROM pack",
        "answered": "SELECT (SELECT count(DISTINCT key) FROM evaluation WHERE state = 'answered') "
        "+ coalesce(sum(answered), 0) FROM pack",
        "attempts": "SELECT (SELECT coalesce(sum(attempts), 0) FROM evaluation) + coalesce(sum(requests), 0) FROM pack",
        "runs": "SELECT count(*) FROM run",
        "finished": "SELECT count(*) FROM run WHERE status = 'finished'",
        "probes": "SELECT count(*) FROM probe",
    }
    with closing(sqlite3.connect(home / "probe.db")) as database:
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'evaluation'").fetchone():
            return dict.fromkeys(questions, 0)
        return {name: int(database.execute(question).fetchone()[0]) for name, question in questions.items()}


def line(what: str, trials: Sequence[Trial], *, killed: bool) -> Line:
    """All trials of one signal in one row."""

    def most(name: str) -> int:
        return max((int(getattr(trial, name)) for trial in trials), default=0)

    def total(name: str) -> int:
        return sum(int(getattr(trial, name)) for trial in trials)

    differ = sum(not trial.equal for trial in trials)
    over = sum(trial.twice > trial.in_flight + 1 for trial in trials)
    words = (
        f"lost {total('lost')}, duplicate rows {total('duplicates')}, results differ {differ}, "
        f"billed twice {total('twice')} (most {most('twice')}; {total('in_flight')} in flight), "
        f"unreported {total('unreported')}, understated {total('understated')}, overstated {total('overstated')}"
    )
    holds = not (total("lost") or total("duplicates") or differ or total("unreported") or total("understated"))
    holds &= all(trial.code_again == 0 for trial in trials)
    if killed:
        goal = "0 lost, duplicate, different, unreported, understated; each billed twice ≤ in flight + 1"
        holds &= not over
        words += f", over {over}" if over else ""
    else:
        goal = "0 lost, duplicate, different, billed twice, under- or overstated; exit code 130"
        codes = sum(trial.code != 130 and not (trial.code == 0 and trial.finished) for trial in trials)
        holds &= not (total("twice") or total("overstated") or codes)
        words += f", other exit codes {codes}" if codes else ""
    return Line(f"{len(trials)} × {what}", words, goal=goal, holds=holds)


def spread(trials: Sequence[Trial]) -> Line:
    """Where in the run the signals came."""
    before = sum(trial.sent_before == 0 for trial in trials)
    after = sum(trial.finished for trial in trials)
    words = f"{before} before the first request, {after} after the last, {len(trials) - before - after} between"
    return Line("the moments of the kills", words)


def start_up(url: str) -> Line:
    """What loading the libraries takes: the command as a user starts it, with nothing left to send."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), config(url))
        ends = []
        for _ in range(2):
            started = time.monotonic()
            done = probe("run", "--json", cwd=Path(folder), timeout=_PATIENCE)
            ends.append(time.monotonic() - started)
            if done.code != 0:
                raise RuntimeError(done.err)
    return Line("probe run with everything in the ledger, as a user starts it", f"{ends[-1]:.1f} s")


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    kills, stops = (8, 3) if chosen.quick else (100, 20)
    rules = {"latency": LATENCY}
    with running_server(rules, models=("echo-length",), preload=True) as server:
        bench = Bench(server)
        killed = bench.trials(signal.SIGKILL, kills)
        stopped = bench.trials(signal.SIGTERM, stops)
        lines = [
            line("SIGKILL, then run again", killed, killed=True),
            spread(killed),
            line("SIGTERM, then run again", stopped, killed=False),
            start_up(server.url),
        ]
    packages = ("sqlalchemy", "aiohttp", "numpy")
    return finish("Runs that are killed and stopped", lines, json_file=chosen.json, packages=packages)


if __name__ == "__main__":
    sys.exit(main())
