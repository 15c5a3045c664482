"""What the report shows of a survey besides what every result has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from probe.report.clean import safe_text
from probe.report.figures import Decimals, figure, plural
from probe.report.model import Shown
from probe.report.shares import Share, ranked
from probe.report.survey_curves import MeanCurve, mean_curves
from probe.report.survey_swarm import Swarm, swarm
from storage.records import Probe

MOST_CURVES: Final = 24
MOST_RULES: Final = 40

#: by method: the table's caption, and the head of its figures
_TABLES: Final = {
    "permutation": ("What shuffling a column over the set takes away", "Importance"),
    "pdp": ("How far each column's partial dependence is from flat", "Deviation"),
    "ale": ("How far each column's accumulated effect moves the score", "Deviation"),
    "surrogate": ("What the surrogate uses", "Share"),
    "beeswarm": ("Mean |φ| over the set", "Mean |φ|"),
}


@dataclass(frozen=True, slots=True)
class SurveyParts:
    """What is drawn of one survey: curves, a swarm or rules, as its method has them."""

    what: str  #: of what, by whom, in a sentence
    lead: str
    caption: str
    value_head: str
    table_head: str
    curves: tuple[MeanCurve, ...] = ()
    curves_left_out: int = 0
    centred: bool = False  #: accumulated effects: their mean is 0
    swarm: Swarm | None = None
    rules: tuple[str, ...] = ()
    rules_left_out: int = 0


def is_survey(probe: Probe) -> bool:
    """Whether ``probe`` is about a set of inputs."""
    return isinstance(probe.details.get("survey"), Mapping)


def survey_parts(shown: Shown, found: Sequence[Share]) -> SurveyParts:
    """The drawings and words of a survey whose figures are ``found``."""
    probe = shown.probe
    details = probe.details
    caption, head = _TABLES.get(probe.method, ("Figures", "Value"))
    if probe.method == "surrogate" and details.get("form") == "linear":
        head = "Deviation"
    order = [found[k].name for k in ranked(found)]
    curves: list[MeanCurve] = []
    left_out = 0
    if isinstance(lines := details.get("curves"), Mapping):
        curves, left_out = mean_curves(lines, order, most=MOST_CURVES)
    rules = [safe_text(rule, one_line=True, limit=400) for rule in details.get("rules") or ()]
    dots = details.get("swarm")
    return SurveyParts(
        what=_what(probe),
        lead=_lead(probe, found),
        caption=caption,
        value_head=head,
        table_head="Word" if shown.instance.kind == "text" else "Column",
        curves=tuple(curves),
        curves_left_out=left_out,
        centred=probe.method == "ale",
        swarm=swarm(dots) if isinstance(dots, Mapping) else None,
        rules=tuple(rules[:MOST_RULES]),
        rules_left_out=max(0, len(rules) - MOST_RULES),
    )


def _what(probe: Probe) -> str:
    inputs = plural(int(probe.details["survey"].get("inputs") or 0), "input")
    metric = probe.details.get("metric")
    if probe.method == "permutation" and metric != "mean absolute change":
        return f"Over {inputs}, whose {safe_text(metric, limit=40)} is {figure(probe.full_value)} as they are"
    return f"Over {inputs}, which score {figure(probe.full_value)} on average"


def _lead(probe: Probe, found: Sequence[Share]) -> str:
    values = [found[k] for k in ranked(found)[:1] if found[k].value]
    if not values:
        return ""
    best, decimals = values[0], Decimals.for_values([values[0].value], digits=2)
    name, amount = safe_text(best.name, one_line=True, limit=60), decimals.plain(abs(best.value or 0.0))
    metric = safe_text(probe.details.get("metric") or "score", limit=40)
    if probe.method == "permutation":
        if metric == "mean absolute change":
            return f"“{name}” matters most: shuffled, the score moves by {amount} on average."
        verb = "lowers" if (best.value or 0.0) > 0 else "raises"
        return f"“{name}” matters most: shuffling it {verb} the {metric} by {amount}."
    if probe.method == "surrogate":
        return f"The surrogate looks at “{name}” most."
    if probe.method == "beeswarm":
        return f"“{name}” moves single scores most: by {amount} on average."
    return f"“{name}” moves the mean score most."
