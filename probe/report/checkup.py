"""What ``probe check-endpoint`` found, as lines for a terminal and as JSON. Whatever came from outside is made harmless."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapters import Announcement, Prediction
from probe.discovery.checks import rate_words
from probe.engine.checkup import Exchange, Hop
from probe.findings import FINDINGS
from probe.methods.base import Finding
from probe.report.clean import safe_text

_EXCERPT: Final = 1500  #: bytes of a body shown, unless all of it is asked for
_BINARY_EXCERPT: Final = 300  #: of one that is no text
_MOST_LABELS: Final = 10


@dataclass(frozen=True, slots=True)
class Checked:
    """Everything there is to tell of one endpoint."""

    endpoint: str
    exchanges: Sequence[Exchange]
    findings: Sequence[Finding]
    announced: Sequence[Announcement]
    cost: str  #: of the check itself
    foreseen: str  #: what probes will send and cost; empty if unknown


def lines(checked: Checked, *, full: bool) -> Iterator[str]:
    """The report. ``full``: bodies whole instead of their beginnings."""
    first = checked.exchanges[0] if checked.exchanges else None
    for exchange in checked.exchanges:
        yield from _exchange(exchange, full=full, first=None if full or exchange is first else first)
        yield ""
    answered = [each for each in checked.exchanges if each.response is not None]
    if answered:
        times = ", ".join(f"{each.elapsed * 1000:.0f} ms" for each in answered)
        yield f"latency: {times}"
    if checked.announced:
        limits = dict.fromkeys(safe_text(rate_words(each), one_line=True) for each in checked.announced)
        yield f"limits announced: {', '.join(limits)}"
    yield f"this check: {checked.cost}"
    if checked.foreseen:
        yield f"to come: {checked.foreseen}"
    for finding in checked.findings:
        title, message = FINDINGS[finding.code].title, safe_text(finding.message, one_line=True)
        yield f"{finding.code}: {title}: {message} (probe explain {finding.code})"


def _exchange(exchange: Exchange, *, full: bool, first: Exchange | None) -> Iterator[str]:
    """One exchange; what is as in the ``first`` one is not written out again."""
    count = len(exchange.step.instances)
    yield f"== {exchange.step.what}" + (f" of {count}" if exchange.step.what == "a batch" else "")
    before = [] if first is None else first.hops
    for number, hop in enumerate(exchange.hops):
        if number:
            yield f"-- look {number} for the result"
        yield from _hop(hop, before[number] if number < len(before) else None, full=full)
    for number, (prediction, error) in enumerate(zip(exchange.predictions, exchange.errors, strict=True)):
        where = f"[{number}] " if count > 1 else ""
        if prediction is not None:
            yield f"=> {where}{_scores(prediction)}"
        elif error:
            yield _line(f"=> {where}", error)


def _hop(hop: Hop, before: Hop | None, *, full: bool) -> Iterator[str]:
    request, response = hop.request, hop.response
    if request is not None and before is not None and request == before.request:
        yield "> the same request"
    elif request is not None:
        yield _line("> ", f"{request.method} {request.url}")
        yield from _headers("> ", request.headers)
        yield from _body("> ", request.body, full=full)
    if response is None:
        yield _line("< ", f"no answer: {hop.failure}")
        return
    yield _line("< ", f"{response.status} after {response.elapsed * 1000:.0f} ms")
    yield from _headers("< ", response.headers)
    if before is not None and before.response is not None and response.body == before.response.body:
        yield "< the same body"
    else:
        yield from _body("< ", response.body, full=full)


def _scores(prediction: Prediction) -> str:
    """The best labels with their scores, and what is known of the others."""
    best = sorted(prediction.scores.items(), key=lambda pair: (-pair[1], pair[0]))
    words = [f"{safe_text(label, one_line=True, limit=40)} {score:.6g}" for label, score in best[:_MOST_LABELS]]
    if len(best) > _MOST_LABELS:
        words.append(f"… {len(best) - _MOST_LABELS} more")
    if len(best) > 1:
        words.append(f"sum {sum(prediction.scores.values()):.6g}")
    if prediction.floor is not None:
        words.append(f"others ≤ {prediction.floor:.6g}" if prediction.censored else "others 0")
    if prediction.mass is not None:
        words.append(f"mass {prediction.mass:.4g}")
    return " · ".join(words) or "no label"


def _headers(mark: str, headers: Sequence[tuple[str, str]]) -> Iterator[str]:
    return (_line(mark, f"{name}: {value}") for name, value in headers)


def _line(mark: str, text: str) -> str:
    return mark + safe_text(text, one_line=True)


def _body(mark: str, body: bytes, *, full: bool) -> Iterator[str]:
    """``body`` line by line: as text if it is one, else with escapes for what is not ASCII."""
    yield mark.rstrip()
    if not body:
        return
    shown = body if full else body[:_EXCERPT]
    text = _as_text(shown)
    if text is None:
        shown = body if full else body[:_BINARY_EXCERPT]
        lines = [repr(line)[2:-1] for line in shown.split(b"\n")]
    else:
        lines = safe_text(text).split("\n")
    yield from ((mark + line).rstrip() for line in lines)
    if len(shown) < len(body):
        yield f"{mark}… {len(body):,} bytes in all: --full shows them, --json has them"


def _as_text(body: bytes) -> str | None:
    """``body`` as text if it is one; a cut may go through a character."""
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        if error.start >= len(body) - 3 and error.start > 0:
            return body[: error.start].decode()
        return None


# -- JSON -------------------------------------------------------------------------------------------------------------------


def as_json(checked: Checked) -> dict[str, Any]:
    """The same, whole: bodies as text, or base64 where they are none."""
    return {
        "endpoint": checked.endpoint,
        "exchanges": [_exchange_json(each) for each in checked.exchanges],
        "findings": [{"code": each.code, "message": each.message} for each in checked.findings],
        "announced": [
            {
                "kind": each.kind,
                "limit": each.limit,
                "remaining": each.remaining,
                "window": each.window,
                "reset_after": each.reset_after,
            }
            for each in checked.announced
        ],
        "cost": checked.cost,
        "foreseen": checked.foreseen,
    }


def _exchange_json(exchange: Exchange) -> dict[str, Any]:
    first, *looks = [_hop_json(hop) for hop in exchange.hops]
    pairs = zip(exchange.predictions, exchange.errors, strict=True)
    return {
        "what": exchange.step.what,
        "inputs": len(exchange.step.instances),
        **first,
        "looks": looks,
        "rows": [_row_json(prediction, error) for prediction, error in pairs],
    }


def _hop_json(hop: Hop) -> dict[str, Any]:
    request, response = hop.request, hop.response
    return {
        "request": request
        and {
            "method": request.method,
            "url": request.url,
            "headers": [list(pair) for pair in request.headers],
            **_body_json(request.body),
        },
        "response": response
        and {
            "status": response.status,
            "headers": [list(pair) for pair in response.headers],
            "elapsed": response.elapsed,
            **_body_json(response.body),
        },
        "failure": hop.failure or None,
    }


def _body_json(body: bytes) -> Mapping[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _row_json(prediction: Prediction | None, error: str | None) -> dict[str, Any]:
    if prediction is None:
        return {"error": error or "no answer"}
    return {
        "scores": dict(prediction.scores),
        "floor": prediction.floor,
        "censored": prediction.censored,
        "mass": prediction.mass,
    }
