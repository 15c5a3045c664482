"""Every code a user can meet, worded once. ``probe explain CODE`` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from probe.discovery.findings import FINDINGS as ENDPOINT_FINDINGS
from probe.methods.findings import FINDINGS as METHOD_FINDINGS
from probe.methods.findings import FindingText
from probe.surveys.findings import FINDINGS as SURVEY_FINDINGS

#: P1xx: how the answers came about. P2xx (``methods/findings.py``): how far an explanation can be trusted.
#: P3xx (``surveys/findings.py``): how far a survey can. P4xx (``discovery/findings.py``): what an endpoint
#: answers with, and how.
FINDINGS: Mapping[str, FindingText] = MappingProxyType(
    {
        "P101": FindingText(
            "some inputs were refused",
            "The endpoint refused these altered inputs for good (they count as asked and are not sent again). The explanation "
            "rests on the others. If many are refused, the background makes inputs that the endpoint does not accept: choose "
            "another fill, a mask token instead of deletion, or another background row.",
        ),
        "P102": FindingText(
            "some evaluations have no answer",
            "They failed, or the run was stopped before they were sent. The explanation rests on the others. Run the same "
            "command again: what was answered is in the ledger and is not paid for twice.",
        ),
        "P103": FindingText(
            "the explained label was cut off in some answers",
            "The endpoint returns only its best labels, and the explained one was not always among them. Its score is then "
            "known only to be at most the lowest returned one, and that bound was used: effects that push the label far down "
            "are understated. Ask the endpoint for all labels if it can (top_k, MaxLabels, MinConfidence: 0).",
        ),
        "P104": FindingText(
            "the model often answers with something that is no label",
            "The scores of a language model are the probabilities of the answers that mean a label, scaled to add up to 1. "
            "Much of the probability goes to other answers, so the scores are shares of what is left and can move although "
            "the labels do not. Word the prompt so that the answer begins with a label, allow for more spellings of the "
            "labels (tokens, fold: true), or choose labels that are single tokens, such as A and B.",
        ),
        **METHOD_FINDINGS,
        **SURVEY_FINDINGS,
        **ENDPOINT_FINDINGS,
    }
)
