"""What a run found, on a terminal: coloured where the terminal is, plain lines where it is not."""

from __future__ import annotations

import io
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from probe.report.clean import safe_text
from probe.report.figures import Decimals, figure, plural
from probe.report.model import Shown, Unexplained
from probe.report.pairs import pair_shares
from probe.report.shares import Share, largest, ranked
from probe.report.totals import run_totals
from probe.report.trust import TrustCard
from probe.report.view import headline
from storage.records import Probe, Run

_POSITIVE, _NEGATIVE = "#e08214", "#4393c3"
_VERDICTS = {"poor": "red", "fair": "yellow"}
_BAR = 16  # cells
#: with more explanations than this each one is a line
_ROOMY = 8


def terminal_summary(
    run: Run,
    shown: Sequence[Shown],
    *,
    width: int,
    color: bool,
    unexplained: Sequence[Unexplained] = (),
    currency: str = "USD",
    top: int = 5,
) -> str:
    """The run's results in lines of at most ``width`` cells, ending with a line end; ANSI sequences only if ``color``.

    ``top``: strongest features listed of each explanation; up to eight explanations get a bar for each, more get a line.
    Whatever came from outside is stripped of terminal sequences.
    """
    console = Console(
        file=io.StringIO(),
        width=max(40, width),
        force_terminal=color,
        color_system="256" if color else None,
        no_color=not color,
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    roomy = sum(1 for one in shown if one.probe.attributions) <= _ROOMY
    with console.capture() as captured:
        for one in shown:
            if one.probe.attributions:
                _explanation(console, one, top if roomy else min(top, 3), roomy=roomy)
            else:
                _failure(console, _title(one), one.probe.error)
        for left in unexplained:
            _failure(console, Text(_safe(left.what), style="bold"), left.why)
        console.print(_last_line(run, currency))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _safe(text: object, limit: int = 60) -> str:
    return safe_text(text, one_line=True, limit=limit)


def _title(shown: Shown) -> Text:
    probe = shown.probe
    where = f" · {_safe(shown.instance.name)} · {_safe(shown.endpoint.name)} · {_safe(probe.method)}"
    return Text.assemble((_safe(probe.name), "bold"), where)


def _indented(console: Console, text: Text) -> None:
    console.print(Padding(text, (0, 0, 0, 2), expand=False))


def _failure(console: Console, title: Text, why: str | None) -> None:
    console.print(title)
    _indented(console, Text.assemble(("not explained", "bold red"), f": {_safe(why or 'no reason was stored', 400)}"))


def _explanation(console: Console, shown: Shown, top: int, *, roomy: bool) -> None:
    probe = shown.probe
    title = _title(shown)
    title.append(f" → {_safe(probe.target)} {figure(probe.full_value)}")
    if probe.status == "partial":
        title.append(" · partial", "yellow")
    console.print(title)
    found = headline(shown)
    strongest = [found[i] for i in ranked(found)[:top] if found[i].value]
    if not strongest:
        _indented(console, Text("no feature moved the score", "dim"))
    elif roomy:
        _bars(console, found, strongest)
    else:
        _one_line(console, found, strongest)
    if said := _strongest_pair(probe):
        _indented(console, said)
    card = TrustCard.of(probe)
    if roomy or card.verdict == "poor":
        _indented(console, Text(_safe(card.line(), 400), _VERDICTS.get(card.verdict, "dim")))
    for finding in probe.findings:
        message = f" {_safe(finding.get('message', ''), 400)}"
        _indented(console, Text.assemble((_safe(finding.get("code", "?"), 12), "yellow"), message))
    if card.verdict == "poor" and not probe.findings:
        _indented(console, Text(f"to do: {card.advice[0]}"))


def _bars(console: Console, found: Sequence[Share], strongest: Sequence[Share]) -> None:
    decimals, limit = Decimals.for_values([share.value for share in found]), largest(found)
    names = [Text(_safe(share.name, 32)) for share in strongest]
    widest = max(name.cell_len for name in names)
    for name, share in zip(names, strongest, strict=True):
        name.pad_right(widest - name.cell_len)
        style = _style(share)
        line = Text.assemble("  ", name, "  ", (decimals.signed(share.value), style), " ")
        line.append(_blocks(abs(share.value or 0.0) / limit), style)
        line.append(f" {decimals.interval(share.value, share.half)}", "dim")
        console.print(line, no_wrap=True, overflow="ellipsis")
    if said := _others(found, len(strongest)):
        _indented(console, Text(said, "dim"))


def _one_line(console: Console, found: Sequence[Share], strongest: Sequence[Share]) -> None:
    decimals = Decimals.for_values([share.value for share in found], digits=2)
    parts = []
    for share in strongest:
        value = (decimals.signed(share.value), _style(share))
        interval = decimals.interval(share.value, share.half)
        parts.append(Text.assemble(f"“{_safe(share.name, 32)}” ", value, f" {interval}" if interval else ""))
    if said := _others(found, len(strongest)):
        parts.append(Text(said, "dim"))
    _indented(console, Text(" · ").join(parts))


def _strongest_pair(probe: Probe) -> Text | None:
    """The pair with the largest interaction, where the method looks at pairs and finds one."""
    found = pair_shares(probe)
    if not found or not largest(found):
        return None
    strongest, decimals = found[ranked(found)[0]], Decimals.for_values([largest(found)])
    value = (decimals.signed(strongest.value), _style(strongest))
    interval = decimals.interval(strongest.value, strongest.half)
    return Text.assemble(
        "strongest pair ", _safe(strongest.name, 70), " ", value, (f" {interval}" if interval else "", "dim")
    )


def _style(share: Share) -> str:
    return _POSITIVE if (share.value or 0.0) > 0 else _NEGATIVE


def _blocks(part: float) -> str:
    """A bar of ``part`` (0 … 1) of its full length, in eighths of a cell, padded to the full length."""
    whole, eighths = divmod(round(part * _BAR * 8), 8)
    return ("█" * whole + " ▏▎▍▌▋▊▉"[eighths]).ljust(_BAR) if eighths else ("█" * whole).ljust(_BAR)


def _others(found: Sequence[Share], listed: int) -> str:
    """About the features that are not listed."""
    unclear = sum(1 for share in found if share.separable is False and share.half)
    said = [f"{len(found) - listed} more"] if len(found) > listed else []
    if unclear:
        said.append(f"{plural(unclear, 'feature')} not separable from 0")
    return " · ".join(said)


def _last_line(run: Run, currency: str) -> Text:
    id_ = _safe(run.id, 80)
    line = Text.assemble("run ", (id_, "bold"), f" · seed {run.seed}")
    usual = {"sent", "from ledger", "retried", "maybe billed", "unsure", "cost"}
    for words, amount in run_totals(run, currency=currency):
        if words in usual:
            line.append(f" · {amount}" if words == "cost" else f" · {words} {amount}")
    if run.status != "finished":
        line.append(f" · {_safe(run.status, 20)}", "yellow")
    elsewhere = Path(run.name).suffix in {".yaml", ".yml"} and run.name != "probe.yaml"
    return line.append(f" · probe show {id_}" + (f" -c {_safe(shlex.quote(run.name), 200)}" if elsewhere else ""))
