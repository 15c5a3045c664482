"""What a check found, as text, Markdown, JUnit and JSON: from what is stored, so that it can be told again at any time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from probe.drift.power import Sight
from probe.engine.budget import money
from probe.report.clean import safe_text
from probe.report.pictures import read_picture
from storage import Baseline, BaselineProbe, CheckRecord, Instance

_MOST_FLIPS = 20  #: shown; the JSON has all
#: what changed, by the level at which it did
LEVELS: Mapping[str, str] = {
    "canonical": "answers are other ones",
    "raw": "labels are the same, and scores differ where they never did",
    "score": "scores moved",
    "distribution": "how often each answer comes has moved",
}


@dataclass(frozen=True, slots=True)
class FlipView:
    """One probe that answered otherwise. ``proven``: as often in a row as the bound asks for. ``picture``: a data URI, of an
    image."""

    name: str
    shown: str
    picture: str | None
    before: str
    after: str
    level: str
    proven: bool


@dataclass(frozen=True, slots=True)
class ShareView:
    """A row of the effect: how many of the natural inputs changed."""

    name: str
    changed: int
    asked: int
    interval: str


@dataclass(frozen=True, slots=True)
class CheckView:
    """One check as it is shown."""

    name: str
    endpoint: str
    baseline: Baseline
    record: CheckRecord
    verdict: str
    why: str
    sees: str
    flips: tuple[FlipView, ...]
    effect: tuple[ShareView, ...]
    noise: float | None
    moved: float | None
    notes: tuple[str, ...]
    currency: str = "USD"

    @property
    def title(self) -> str:
        """The verdict in capitals, and whose it is."""
        return f"{self.verdict.upper()}: {self.name} ({self.endpoint})"

    @property
    def level(self) -> str | None:
        """What it is that changed."""
        found = self.record.result.get("level")
        return None if found is None else LEVELS[found]

    @property
    def cost(self) -> str:
        """What was asked and paid."""
        result = self.record.result
        paid = f" · {money(self.record.cost_micro)} {self.currency}" if self.record.cost_micro else ""
        return f"{result.get('asked', 0)} questions, {result.get('failed', 0)} without an answer{paid}"


def check_view(
    baseline: Baseline,
    record: CheckRecord,
    probes: Sequence[tuple[BaselineProbe, Instance]],
    *,
    endpoint: str,
    currency: str = "USD",
) -> CheckView:
    """``record`` with the inputs that its flips name."""
    result = record.result
    found = result.get("effect")
    return CheckView(
        name=safe_text(baseline.name, one_line=True),
        endpoint=safe_text(endpoint, one_line=True),
        baseline=baseline,
        record=record,
        verdict=record.verdict or "not finished",
        why=safe_text(result.get("why", ""), one_line=True, limit=300),
        sees=Sight(**result["sees"]).words() if result.get("sees") else "",
        flips=tuple(_flip(flip, probes) for flip in result.get("flips", ())),
        effect=() if found is None else tuple(_share(each) for each in (found["all"], *found["classes"])),
        noise=None if found is None else found["noise"],
        moved=None if found is None else found["moved"],
        notes=tuple(_notes(result)),
        currency=currency,
    )


def _flip(flip: Mapping[str, Any], probes: Sequence[tuple[BaselineProbe, Instance]]) -> FlipView:
    probe, instance = probes[flip["place"]]
    picture = read_picture(instance.content) if instance.kind == "image" else None
    if instance.kind == "image":
        shown = "a picture"
    else:
        shown = safe_text(instance.content.decode("utf-8", "replace"), one_line=True, limit=160)
    uri = None if picture is None else picture.uri
    after: Mapping[str, int] = Counter(flip["after"])
    if flip["level"] == "raw":
        return FlipView(_short(probe.name), shown, uri, "always the same scores", "other scores", "raw", flip["proven"])
    return FlipView(
        _short(probe.name), shown, uri, _counted(flip["before"]), _counted(after), "canonical", flip["proven"]
    )


def _counted(labels: Mapping[str, int]) -> str:
    ranked = sorted(labels.items(), key=lambda each: -each[1])
    words = [f"{_short(label)} × {count}" for label, count in ranked[:3]]
    return ", ".join([*words, *(["…"] if len(ranked) > 3 else [])])


def _share(each: Mapping[str, Any]) -> ShareView:
    interval = f"{100 * each['low']:.1f}–{100 * each['high']:.1f} %"
    return ShareView(_short(each["name"]), each["changed"], each["asked"], interval)


def _notes(result: Mapping[str, Any]) -> list[str]:
    """What the channels besides the canary say."""
    notes = []
    if (found := result.get("band")) is not None:
        if found["p"] is None:
            notes.append(f"band of {found['points']} varying inputs: not calibrated yet, it needs five unchanged days")
        else:
            more = "; to be confirmed on another day" if found["suspect"] else ""
            notes.append(f"band of {found['points']} varying inputs: p = {found['p']:.2g}{more}")
    if (found := result.get("shift")) is not None:
        more = "" if found["certain"] else ", not calibrated by unchanged days yet"
        more += "; to be confirmed on another day" if found["suspect"] and not found["certain"] else ""
        notes.append(f"scores: moved by {found['size']:.2g} (logit), p = {found['p']:.2g}{more}")
    if (found := result.get("guard")) is not None:
        notes.append(f"long run: e-value {found['value']:.3g} after {found['checks']} checks")
    return notes


def _short(text: object) -> str:
    return safe_text(text, one_line=True, limit=80)


def check_text(view: CheckView) -> str:
    """Lines for a terminal, ending with a line end."""
    lines = [f"{view.title}", f"  {view.why}"]
    if view.level is not None:
        lines.append(f"  what changed: {view.level}")
    for flip in view.flips[:_MOST_FLIPS]:
        lines.append(f"  {flip.name}: {flip.before} → {flip.after}{'' if flip.proven else ' (noise)'}")
        lines.append(f"    {flip.shown}")
    lines += [
        f"  natural inputs, {share.name}: {share.changed} of {share.asked} changed label ({share.interval})"
        for share in view.effect
    ]
    if view.noise is not None:
        lines.append(f"  two calls disagree by themselves in {100 * view.noise:.1f} %" + _moved(view))
    if view.verdict == "no change found":
        lines.append(f"  {view.sees}")
    elif view.sees:
        lines.append(f"  had it ended without a finding, it {view.sees}")
    lines += [f"  {note}" for note in view.notes]
    lines.append(f"  {view.cost} · check {view.record.id} of baseline {view.baseline.id}")
    return "".join(f"{line}\n" for line in lines)


def _moved(view: CheckView) -> str:
    return "" if view.moved is None else f"; the usual label's score moved by {view.moved:.2g} (logit) on average"


def check_markdown(view: CheckView) -> str:
    """A section for a pull request or a job summary."""
    lines = [f"### {_escaped(view.title)}", "", _escaped(view.why), ""]
    if view.level is not None:
        lines += [f"What changed: {view.level}.", ""]
    if view.flips:
        lines += ["| probe | before | after | |", "|---|---|---|---|"]
        lines += [
            f"| {_escaped(flip.name)} | {_escaped(flip.before)} | {_escaped(flip.after)} | "
            f"{'proven' if flip.proven else 'noise'} |"
            for flip in view.flips[:_MOST_FLIPS]
        ]
        lines.append("")
    if view.effect:
        lines += ["| natural inputs | changed | of | 95 % interval |", "|---|---|---|---|"]
        lines += [
            f"| {_escaped(share.name)} | {share.changed} | {share.asked} | {share.interval} |" for share in view.effect
        ]
        lines.append("")
    if view.sees:
        lines += [f"This check {view.sees}.", ""]
    lines += [f"- {note}" for note in view.notes]
    lines += [f"- {view.cost}", f"- check `{view.record.id}` of baseline `{view.baseline.id}`", ""]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return "".join(f"\\{mark}" if mark in "\\`*_|<>[]#" else mark for mark in text)


def check_junit(view: CheckView) -> str:
    """One test case: failed at an alarm, skipped where nothing can be concluded."""
    alarm, unsure = view.verdict == "alarm", view.verdict not in ("alarm", "no change found")
    counts = {"tests": "1", "failures": str(int(alarm)), "errors": "0", "skipped": str(int(unsure))}
    suites = ET.Element("testsuites")
    suite = ET.SubElement(suites, "testsuite", {"name": "probe check", **counts})
    suite.set("timestamp", view.record.started.strftime("%Y-%m-%dT%H:%M:%S"))
    case = ET.SubElement(suite, "testcase", {"classname": f"probe.check.{view.endpoint}", "name": view.name})
    if alarm:
        ET.SubElement(case, "failure", {"message": view.why, "type": "alarm"}).text = check_text(view)
    elif unsure:
        ET.SubElement(case, "skipped", {"message": f"{view.verdict}: {view.why}"})
    ET.SubElement(case, "system-out").text = check_text(view)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def check_json(view: CheckView) -> dict[str, Any]:
    """Everything that is stored of the check but the answers as before."""
    record = view.record
    return {
        "check": record.id,
        "baseline": view.baseline.id,
        "name": view.baseline.name,
        "endpoint": view.endpoint,
        "run": record.run_id,
        "started": record.started.isoformat(),
        "finished": None if record.finished is None else record.finished.isoformat(),
        "verdict": record.verdict,
        "cost_micro": record.cost_micro,
        "currency": view.currency,
        **{name: value for name, value in record.result.items() if name != "learnt"},
    }


def check_file(view: CheckView, suffix: str) -> str | None:
    """The check as a file that ends in ``suffix``: ``.md``, ``.xml`` (JUnit), ``.json`` or ``.txt``; ``None`` for others."""
    if suffix == ".json":
        return json.dumps(check_json(view), indent=2) + "\n"
    written = {".md": check_markdown, ".xml": check_junit, ".txt": check_text}.get(suffix)
    return None if written is None else written(view)
