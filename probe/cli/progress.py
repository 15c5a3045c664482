"""The run's events as a person sees them: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import datetime
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from probe.cli.pace import Pace
from probe.engine.events import (
    CircuitClosed,
    CircuitOpened,
    EndpointStopped,
    EvaluationDone,
    Event,
    ProbeFinished,
    Retried,
    RunStarted,
    Standing,
    Throttled,
)
from probe.report.clean import safe_text

_PLAIN_EVERY = 10.0  #: seconds between lines where there is no terminal


class Progress:
    """Hears the engine's events and writes to ``stream``."""

    def __init__(
        self,
        stream: TextIO,
        *,
        quiet: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.width = min(shutil.get_terminal_size((100, 24)).columns, 140)
        self._quiet = quiet
        self._stream = stream
        self._monotonic = monotonic
        self._pace = Pace(monotonic=monotonic, now=now)
        self._standings: dict[str, Standing] = {}
        self._total = self._from_ledger = 0
        self._last_line = monotonic()
        self._bars: Bars | None = None
        if stream.isatty() and not quiet:
            self._bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=12),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}", markup=False),
                console=Console(file=stream, highlight=False),
                transient=True,
            )

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def hear(self, event: Event) -> None:
        """Show ``event`` if it is something to show."""
        if isinstance(event, RunStarted):
            self._start(event)
        elif isinstance(event, EvaluationDone):
            self._step()
        elif isinstance(event, Retried):
            self._pace.retried(event)
        elif isinstance(event, Standing):
            self._stands(event)
        elif isinstance(event, Throttled):
            self._line(f"{safe_text(event.endpoint)}: told to slow down, holding {event.wait:.1f} s")
        elif isinstance(event, CircuitOpened):
            self._line(f"{safe_text(event.endpoint)}: does not answer, trying again in {event.pause:.0f} s")
        elif isinstance(event, CircuitClosed):
            self._line(f"{safe_text(event.endpoint)}: answers again")
        elif isinstance(event, EndpointStopped):
            self._standings.pop(event.endpoint, None)
            self._line(
                f"{safe_text(event.endpoint)}: stopped ({event.kind})"
            )  # the reason ends the command, in one line
        elif isinstance(event, ProbeFinished) and self._bars is None:
            what = (event.probe, event.instance, event.endpoint, event.method)
            self._line(f"{' · '.join(safe_text(word) for word in what)}: {event.status}")

    def _start(self, event: RunStarted) -> None:
        self._total, self._from_ledger = event.evaluations, event.from_ledger
        resumed = "taken up again, " if event.resumed else ""
        unsure = f", {event.unsure} unsure" if event.unsure else ""
        self._line(
            f"run {event.run_id}: {resumed}{event.probes} probes, {event.evaluations} evaluations to send, "
            f"{event.from_ledger} in the ledger{unsure}"
        )
        if self._bars is not None and event.evaluations:
            self._task = self._bars.add_task("sending", total=event.evaluations, note="")

    def _step(self) -> None:
        self._pace.answered()
        if self._bars is not None and self._bars.tasks:
            self._bars.advance(self._task)
        else:
            self._tell()

    def _stands(self, event: Standing) -> None:
        """Once a second for every endpoint that has work: what comes after the first round is known by then."""
        self._standings[event.endpoint] = event
        self._total = max(self._total, self._pace.done + sum(each.left for each in self._standings.values()))
        if self._bars is not None and self._bars.tasks:
            self._bars.update(self._task, total=self._total, note=self._words())
        else:
            self._tell()

    def _tell(self) -> None:
        if self._monotonic() - self._last_line >= _PLAIN_EVERY:
            self._line(f"{self._pace.done}/{self._total} evaluations · {self._words()}")

    def _words(self) -> str:
        return safe_text(self._pace.words(self._standings, from_ledger=self._from_ledger), one_line=True)

    def _line(self, text: str) -> None:
        if self._quiet:
            return
        self._last_line = self._monotonic()
        if self._bars is not None:
            self._bars.console.print(text, markup=False)
        else:
            print(text, file=self._stream, flush=True)
