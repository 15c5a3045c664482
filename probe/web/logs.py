"""What the service writes about itself: one line of JSON for each request and each step of a run, with the run's id."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from adapters import Secrets
from probe.engine.events import EvaluationDone, Event, RunStarted, Standing
from probe.report.clean import safe_text

_USUAL: Final = set(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class Lines(logging.Formatter):
    """A record as a line of JSON: ``at``, ``level``, ``event`` and whatever else it was given. Secrets do not pass."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in record.__dict__.items() if name not in _USUAL and value is not None}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return self._secrets.redact(json.dumps(line, ensure_ascii=True, default=safe_text))


def write_to(stream: TextIO, secrets: Secrets) -> logging.Handler:
    """Have everything that the service and its server log written to ``stream``."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(secrets))
    for name, level in (("probe.web", logging.INFO), ("uvicorn", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
    return handler


class EventLog:
    """A run's events as lines of the log; single evaluations and the state of every second are left out."""

    def __init__(self, job: str) -> None:
        self._about: dict[str, Any] = {"job": job}
        self._log = logging.getLogger("probe.web")

    def hear(self, event: Event) -> None:
        """Write one event."""
        if isinstance(event, RunStarted):
            self._about["run"] = event.run_id
        if not isinstance(event, EvaluationDone | Standing):
            told = {name: value for name, value in event.as_json().items() if name not in {"event", "run_id", "top"}}
            self._log.info(type(event).__name__, extra=self._about | _unlike_a_record(told))


def _unlike_a_record(fields: Mapping[str, Any]) -> dict[str, Any]:
    """``fields`` under names that :mod:`logging` does not use itself."""
    return {f"{name}_" if name in _USUAL else name: value for name, value in fields.items()}
