"""What a check asks, what it proves, and what it does not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adapters import Instance
from probe.drift.answers import Reference, Seen
from probe.drift.check import Check, Past, summary
from probe.drift.effect import effect
from probe.drift.exact import needed
from probe.drift.noise import Noise, NoRepeats, measured
from probe.drift.suite import Probe, Suite
from tests.unit.drift.endpoints import Endpoint, after, built, checked, straight


def test_without_change_every_probe_is_asked_once_and_the_verdict_says_what_would_have_been_seen() -> None:
    verdict = checked(built(straight()), straight())
    assert (verdict.kind, verdict.channel, verdict.level) == ("no change found", None, None)
    assert (verdict.asked, verdict.failed) == (20, 0)
    assert verdict.sees.flips == pytest.approx(1 - 0.1 ** (1 / 20), rel=1e-6)
    assert verdict.sees.words() == "would have seen ≥ 10.9 % of 20 probes flip, with power 0.9"


def test_a_shift_far_below_what_any_ordinary_input_shows_is_found_within_eight_questions() -> None:
    suite = built(straight())
    changed = straight(shift=0.0005)
    verdict = checked(suite, changed)
    assert (verdict.kind, verdict.channel, verdict.level) == ("alarm", "canary", "canonical")
    assert verdict.asked <= 8
    [flip] = [flip for flip in verdict.flips if flip.proven]
    assert set(flip.before.labels).isdisjoint(answer.label for answer in flip.after)
    assert len(flip.after) == needed(10, 0, 0.005 / 20)
    natural = suite.of("natural")
    found = effect([probe.reference for probe in natural], [changed(probe.instance) for probe in natural], noise=0.0)
    assert (found.all.changed, found.all.asked) == (0, 60)
    assert found.all.high == pytest.approx(0.0596, abs=1e-3)


def test_scores_that_never_varied_raise_an_alarm_of_the_raw_text_when_labels_stay() -> None:
    suite = built(straight(scores=True), repeats=20)

    def gentler(row: Instance) -> Seen | None:  # on the same side everywhere
        answer = straight(scores=True)(row)
        return answer and replace(answer, raw="0" * 16)

    verdict = checked(suite, gentler)
    assert (verdict.kind, verdict.channel, verdict.level) == ("alarm", "canary", "raw")
    assert verdict.asked <= 5


def test_noisy_scores_that_move_are_suspect_on_the_first_day_and_an_alarm_on_the_second() -> None:
    def scored(shift: float, seed: int) -> Endpoint:
        return straight(shift=shift, noise=0.05, scores=True, seed=seed)

    suite = built(scored(0.0, 0))
    assert checked(suite, scored(0.0, 1)).shift is not None
    first = checked(suite, scored(0.2, 2))
    assert first.shift is not None
    assert (first.shift.suspect, first.shift.certain) == (True, False)
    second = checked(suite, scored(0.2, 3), Past(score_suspect=True))
    assert second.kind == "alarm"
    assert second.level in ("score", "canonical")


def test_a_single_answer_off_the_usual_one_is_asked_again_and_forgiven() -> None:
    suite = built(straight())
    endpoint, times = straight(), 0

    def once_off(row: Instance) -> Seen | None:
        nonlocal times
        times += 1
        answer = endpoint(row)
        return Seen("no" if answer and answer.label == "yes" else "yes", "other") if times == 1 else answer

    verdict = checked(suite, once_off)
    assert (verdict.kind, verdict.asked, verdict.off) == ("no change found", 21, 1)
    assert [flip.proven for flip in verdict.flips] == [False]


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_questions_without_answers_are_no_ground_for_a_verdict(share: float) -> None:
    rng = np.random.default_rng(0)
    endpoint = straight()

    def failing(row: Instance) -> Seen | None:
        return None if rng.random() < share else endpoint(row)

    verdict = checked(built(straight()), failing)
    assert (verdict.kind, verdict.channel, verdict.level) == ("inconclusive", None, None)
    assert "not answered" in verdict.why


@pytest.mark.parametrize("scores", [{}, {"": 1.0}, {"  ": 1.0}])
def test_an_empty_answer_is_none(scores: dict[str, float]) -> None:
    assert Seen.of(scores) is None


def test_nothing_is_judged_without_repeats() -> None:
    suite = built(straight())
    with pytest.raises(NoRepeats, match="asked twice"):
        Check(replace(suite, noise=measured([])))
    once = tuple(replace(probe, first=probe.first[:1]) for probe in suite.probes)
    with pytest.raises(NoRepeats, match="no input has enough answers"):
        Check(replace(suite, probes=once))


def test_a_new_label_counts_as_another_answer_and_a_new_text_as_one_never_seen() -> None:
    def text(row: Instance) -> Seen:
        return Seen(f"about {round(row['a'])}, {int(rng.integers(3))}", "")  # type: ignore[index, call-overload, arg-type]

    rng = np.random.default_rng(0)
    probes = tuple(
        Probe({"a": float(k)}, "natural", f"row {k}", tuple(text({"a": float(k)}) for _ in range(40))) for k in range(8)
    )
    suite = Suite(probes, Noise(100, 66, 66), "text")
    assert checked(suite, text).kind == "no change found"
    verdict = checked(suite, lambda row: Seen(f"it is {rng.random()}", ""))
    assert (verdict.kind, verdict.level) == ("alarm", "canonical")
    assert verdict.asked <= 4
    grown = built(straight())
    assert checked(grown, lambda row: Seen("a label that is new", "")).kind == "alarm"


def test_the_raw_text_is_not_watched_where_repeats_differed_in_it() -> None:
    rng = np.random.default_rng(0)
    quiet = straight()

    def stamped(row: Instance) -> Seen | None:
        answer = quiet(row)
        return answer and replace(answer, raw=str(rng.random()))

    assert checked(built(stamped), stamped).kind == "no change found"


def test_null_runs_with_noise_raise_no_more_alarms_than_promised() -> None:
    alarms = runs = 0
    for seed, (flips, noise) in enumerate([(0.0, 0.0), (0.02, 0.0), (0.0, 0.05), (0.0, 0.5)]):
        suite, past = built(straight(flips=flips, noise=noise, seed=seed)), Past()
        endpoint = straight(flips=flips, noise=noise, seed=100 + seed)
        for _ in range(60):
            verdict = checked(suite, endpoint, past)
            runs += 1
            alarms += verdict.kind == "alarm"
            suite, past = after(suite, past, verdict)
    assert runs == 240
    assert alarms <= 2


def test_a_verdict_is_stored_as_plain_json() -> None:
    import json

    told = summary(checked(built(straight(noise=0.1, scores=True)), straight(noise=0.1, scores=True)))
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    assert told["probes"] == 20 or told["probes"] > 0


def test_the_usual_answer_is_the_most_frequent_and_off_counts_the_others() -> None:
    reference = Reference.of([Seen("b", "1"), Seen("a", "1"), Seen("a", "1")])
    assert (reference.usual, reference.n, reference.off, reference.raw) == ("a", 3, 1, "1")
    assert Reference.of([]).n == 0
