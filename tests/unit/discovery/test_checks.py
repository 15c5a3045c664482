"""What answers say about their endpoint: each code, what brings it and what does not."""

from __future__ import annotations

from typing import Any

import pytest

from adapters import Announcement, HttpResponse, Limits, Prediction
from probe.discovery.checks import Replies, difference, findings, rate_words
from probe.discovery.findings import FINDINGS, WRONG
from probe.findings import FINDINGS as ALL
from probe.methods.base import Finding

JSON = HttpResponse(200, (("content-type", "application/json"),), b"{}")
GOOD = Prediction({"no": 0.25, "yes": 0.75})
OTHER = Prediction({"no": 0.5, "yes": 0.5})


def found(
    one: Prediction = GOOD,
    *,
    response: HttpResponse = JSON,
    limits: Limits | None = None,
    announced: tuple[Announcement, ...] = (),
    **replies: Any,
) -> list[Finding]:
    given = {"again": one, "batched": one, "other": OTHER, **replies}
    return findings(Replies(one, **given), response, limits=limits or Limits(), announced=announced)


def codes(*arguments: Any, **options: Any) -> list[str]:
    return [finding.code for finding in found(*arguments, **options)]


def test_nothing_is_said_of_good_answers() -> None:
    assert found() == []


def test_every_code_is_worded() -> None:
    assert set(FINDINGS) <= set(ALL)
    assert set(FINDINGS) >= WRONG


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (Prediction({"a": 0.4, "b": 0.4}), ["P401"]),
        (Prediction({"a": 97.0, "b": 3.0}), ["P401"]),
        (Prediction({"a": -2.0, "b": 3.0}), ["P401"]),
        (Prediction({"a": 0.502, "b": 0.502}), []),
        (Prediction({"value": 206.1}), []),
        (Prediction({"a": 0.6, "b": 0.1}, floor=0.0), []),
        (Prediction({"a": 0.6, "b": 0.7}, floor=0.0), ["P401"]),
        (Prediction({"a": 1.0, "b": 0.0}), ["P402"]),
        (Prediction({"a": 1.0}, floor=0.0), ["P402"]),
        (Prediction({"a": 1.0}), []),
        (Prediction({"a": 0.6, "b": 0.1}, floor=0.1, censored=True), ["P403"]),
        (Prediction({"a": 0.6, "b": 0.4}, floor=0.4, censored=True), []),
    ],
)
def test_what_the_scores_are_like(one: Prediction, expected: list[str]) -> None:
    assert codes(one, other=None) == expected


def test_labels_that_come_and_go() -> None:
    [finding] = found(other=Prediction({"maybe": 0.5, "yes": 0.5}))
    assert finding.code == "P403"
    assert finding.message == "not every answer has the same labels ('maybe', 'no')"


def test_a_batch_that_answers_otherwise() -> None:
    [finding] = found(batched=Prediction({"no": 0.75, "yes": 0.25}))
    assert finding == Finding("P404", "alone and in a batch its scores differ by up to 0.5")
    [swapped] = found(batched=OTHER, other=GOOD)[:1]
    assert swapped.message.endswith("the rows come in another order")
    assert codes(batched=Prediction({"no": 0.2502, "yes": 0.7498})) == []


def test_noise_is_measured_and_excuses_a_batch() -> None:
    again, batched = Prediction({"no": 0.2, "yes": 0.8}), Prediction({"no": 0.15, "yes": 0.85})
    assert found(again=again, batched=batched) == [Finding("P405", "asked twice, its scores differ by up to 0.05")]
    assert codes(again=Prediction({"no": 0.25 + 1e-7, "yes": 0.75 - 1e-7})) == []


def test_a_content_type_that_is_not_jsons() -> None:
    page = HttpResponse(200, (("content-type", "text/html"),), b"{}")
    assert found(response=page) == [Finding("P406", "its content type is 'text/html'")]
    assert codes(response=HttpResponse(200, (), b"{}")) == ["P406"]
    assert codes(response=HttpResponse(200, (("content-type", "application/problem+json"),), b"{}")) == []
    assert codes(response=HttpResponse(200, (("content-type", "text/event-stream"),), b"{}")) == []


def test_limits_that_the_config_does_not_have() -> None:
    minute = Announcement("requests", limit=60, remaining=12, window=60.0)
    assert found(announced=(minute,)) == [Finding("P407", "announced: 60/min (12 left)")]
    assert codes(announced=(minute,), limits=Limits(rate=1.0, period=1.0)) == []
    assert codes(announced=(minute,), limits=Limits(rate=5.0, period=1.0)) == ["P407"]
    assert codes(announced=(minute,), limits=Limits(rate=5.0, period=1.0, more=((50.0, 60.0),))) == []
    assert codes(announced=(Announcement("tokens", limit=60, window=60.0),)) == []
    assert rate_words(Announcement("input-tokens", limit=1000, window=3.0)) == "1000 input tokens/3 s"


def test_inputs_that_make_no_difference() -> None:
    assert codes(other=GOOD) == ["P408"]
    assert codes(other=GOOD, differ=False) == []


def test_the_difference_of_two_answers() -> None:
    assert difference(GOOD, OTHER) == 0.25
    one = Prediction({"a": 0.9, "b": 0.1}, floor=0.1, censored=True)
    assert difference(one, Prediction({"a": 0.9, "c": 0.05}, floor=0.05, censored=True)) == pytest.approx(0.05)
