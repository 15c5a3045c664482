from __future__ import annotations

import struct
import threading
from concurrent.futures import wait
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import Closed, Entry, Journal, Store, Unstorable, Usage
from tests.storage import builders
from tests.storage.builders import NOON, answered, intended, key

BODY = b'{"labels": [{"label": "positive", "score": 0.9}]}'
WAIT = 20  # seconds; a hang is a failure, not an endless test


def test_intent_then_answer_leave_one_row(store: Store, journal: Journal) -> None:
    journal.intend([intended(1)]).result(WAIT)
    assert store.lookup([key(1)]) == {key(1): intended(1)}
    answer = answered(1, body_sha=sha256(BODY).digest())
    journal.record([answer], [BODY]).result(WAIT)
    assert store.lookup([key(1), key(2)]) == {key(1): answer}
    assert store.bodies([sha256(BODY).digest()]) == {sha256(BODY).digest(): BODY}
    assert store.counts()["evaluations"] == 1


def test_calls_queued_together_are_applied_in_order(store: Store, journal: Journal) -> None:
    futures = [
        journal.intend([intended(1), intended(2)]),
        journal.record([intended(1, state="failed", error="reset", maybe_billed=1)]),
        journal.intend([intended(1, attempts=2, sent_at=NOON + timedelta(seconds=1))]),
        journal.record([answered(2)]),
        journal.record([answered(3)]),  # one that was never intended
    ]
    wait(futures, WAIT)
    again = intended(1, attempts=2, maybe_billed=1, sent_at=NOON + timedelta(seconds=1))
    assert store.lookup([key(1), key(2), key(3)]) == {key(1): again, key(2): answered(2), key(3): answered(3)}


@pytest.mark.parametrize("state", ["answered", "rejected", "failed"])
def test_an_answer_stays_and_a_second_one_is_only_counted(store: Store, journal: Journal, state: str) -> None:
    first = answered(1)
    journal.record([first]).result(WAIT)
    other = answered(1, state=state, scores={"negative": 1.0}, sent_at=NOON + timedelta(seconds=5), error="?")
    journal.record([other]).result(WAIT)
    assert store.lookup([key(1)]) == {key(1): first.but(attempts=2, cost_micro=4000)}
    journal.intend([intended(1, attempts=7)]).result(WAIT)
    assert store.lookup([key(1)])[key(1)].state == "answered"


def test_recording_the_same_answer_twice_changes_nothing(store: Store, journal: Journal) -> None:
    for _ in range(2):
        journal.record([answered(1)]).result(WAIT)
    assert store.lookup([key(1)]) == {key(1): answered(1)}
    assert store.usage()[0].cost_micro == 2000


def test_counts_never_fall(store: Store, journal: Journal) -> None:
    journal.intend([intended(1, attempts=3, maybe_billed=2, cost_micro=4000)]).result(WAIT)
    journal.intend([intended(1, attempts=1)]).result(WAIT)
    assert store.lookup([key(1)]) == {key(1): intended(1, attempts=3, maybe_billed=2, cost_micro=4000)}


def test_an_attempt_that_was_not_made_after_all_is_not_counted(store: Store, journal: Journal) -> None:
    journal.intend([intended(1, attempts=2)]).result(WAIT)
    journal.record([intended(1, attempts=1, state="failed", error="stopped")]).result(WAIT)
    assert store.lookup([key(1)])[key(1)].attempts == 1
    assert [(usage.requests, usage.errors) for usage in store.usage()] == [(1, 1)]
    journal.intend([intended(2, attempts=2)]).result(WAIT)
    journal.record([intended(2, attempts=0, state="failed", sent_at=NOON + timedelta(seconds=1))]).result(WAIT)
    assert store.lookup([key(2)])[key(2)].attempts == 2, "another process's intent stays"


def test_lookup_gives_the_newest_generation_and_entries_all(store: Store, journal: Journal) -> None:
    generations = [answered(1, generation=number, cost_micro=number) for number in (1, 0, 2)]
    journal.record([*generations, answered(2)]).result(WAIT)
    assert store.lookup([key(1)]) == {key(1): generations[2]}
    assert store.entries([key(2), key(9), key(1), key(2)]) == [
        answered(2),
        *sorted(generations, key=lambda entry: entry.generation),
    ]


def test_a_hundred_thousand_keys_can_be_looked_up(store: Store, journal: Journal) -> None:
    journal.record([answered(number) for number in range(50)]).result(WAIT)
    assert len(store.lookup([key(number) for number in range(100_000)])) == 50


def test_usage_grows_with_the_answers(store: Store, journal: Journal) -> None:
    eve, morning = datetime(2026, 3, 1, 23, 59, tzinfo=UTC), datetime(2026, 3, 2, 0, 1, tzinfo=UTC)
    batch = [{"item": item, "items": 3, "sent_at": eve} for item in range(3)]
    journal.intend([intended(number, **place) for number, place in enumerate(batch)]).result(WAIT)
    journal.record([answered(number, **place) for number, place in enumerate(batch)]).result(WAIT)
    # one that failed and was sent again after midnight, alone
    journal.intend([intended(9, sent_at=eve)]).result(WAIT)
    journal.intend([intended(9, sent_at=morning, attempts=2, maybe_billed=1)]).result(WAIT)
    journal.record([answered(9, sent_at=morning, attempts=2, maybe_billed=1)]).result(WAIT)
    # and one that was refused
    journal.record([intended(10, state="rejected", sent_at=morning, error="too long")]).result(WAIT)
    assert store.usage() == [
        Usage(date(2026, 3, 1), "http", "sentiment-2", requests=2, errors=0, cost_micro=6000),
        Usage(date(2026, 3, 2), "http", "sentiment-2", requests=2, errors=2, cost_micro=2000),
    ]
    assert [usage.day.day for usage in store.usage(date(2026, 3, 2))] == [2]


def test_a_refused_call_fails_alone(store: Store, journal: Journal) -> None:
    calls = [[answered(number)] for number in range(20)]
    calls[7] = [answered(7), answered("unknown run", run_id="nope")]
    calls[9] = [answered(9, scores={"positive": float("nan")})]
    calls[11] = [answered(11, endpoint_id="nope")]
    calls[13] = [answered(13).but(key=b"short")]
    futures = [journal.record(entries, [BODY]) for entries in calls]
    wait(futures, WAIT)
    failed = {number for number, future in enumerate(futures) if isinstance(future.exception(), Unstorable)}
    assert failed == {7, 9, 11, 13}
    assert set(store.lookup([key(number) for number in range(20)])) == {
        key(number) for number in range(20) if number not in failed
    }


def test_the_two_calls_do_not_take_each_others_entries(journal: Journal) -> None:
    with pytest.raises(ValueError, match="answered"):
        journal.intend([answered(1)])
    with pytest.raises(ValueError, match="only intended"):
        journal.record([intended(1)])


def test_closing_writes_what_is_queued_and_takes_no_more(store: Store) -> None:
    journal = Journal(store)
    futures = [journal.record([answered(number)]) for number in range(500)]
    journal.close()
    journal.close()
    assert all(future.exception(0) is None for future in futures)
    assert store.counts()["answered"] == 500
    assert isinstance(journal.intend([intended(1)]).exception(0), Closed)


def test_a_caller_that_gives_up_does_not_disturb_the_writer(store: Store, journal: Journal) -> None:
    futures = [journal.intend([intended(number)]) for number in range(50)]
    assert not any(future.cancel() for future in futures)
    wait(futures, WAIT)
    assert store.counts()["intended"] == 50


def test_many_threads_may_journal_and_save_at_once(store: Store, journal: Journal) -> None:
    errors: list[BaseException] = []

    def work(thread: int) -> None:
        try:
            for number in range(20):
                journal.intend([intended(f"{thread}/{number}")]).result(WAIT)
                journal.record([answered(f"{thread}/{number}")], [BODY, b"%d" % number]).result(WAIT)
                store.save_probe(builders.probe(f"{thread}/{number}", name=f"{thread}/{number}"))
                assert store.lookup([key(f"{thread}/{number}")])
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    counts = store.counts()
    assert (counts["answered"], counts["probes"], counts["bodies"]) == (120, 120, 21)
    assert store.usage()[0].requests == 120


def bits(number: float) -> bytes:
    return struct.pack("<d", number)


@pytest.mark.parametrize(
    "number",
    [
        0.1 + 0.2,
        1e-300,
        5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        1 / 3,
        1.0,
        -1e-7,
        123456789.123456789,
    ],
)
def test_floats_come_back_bit_for_bit(store: Store, journal: Journal, number: float) -> None:
    journal.record([answered(1, scores={"a": number, "b": -0.0}, floor=number, elapsed=number)]).result(WAIT)
    found = store.lookup([key(1)])[key(1)]
    assert found.scores is not None
    assert found.floor is not None
    assert [bits(found.scores["a"]), bits(found.floor), bits(found.elapsed)] == [bits(number)] * 3
    assert bits(found.scores["b"]) == bits(-0.0)


@pytest.mark.parametrize("text", ["\0", "\ud800 alone", "😀 返金", "'; DROP TABLE run; --", "\x1b[31m<script>"])
def test_hostile_labels_and_messages_are_stored(store: Store, journal: Journal, text: str) -> None:
    entry = answered(1, scores={text: 0.5}, error=text, content_type=text)
    journal.record([entry]).result(WAIT)
    found = store.lookup([key(1)])[key(1)]
    assert found.scores == {text: 0.5}
    assert found.error == text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


WORDS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12)
COUNTS = st.integers(0, 2**31 - 1)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN_FLOATS = FLOATS.filter(lambda number: number != 0) | st.just(0.0)  # SQLite keeps -0.0 as 0.0 outside of JSON
ENTRIES = st.builds(
    Entry,
    key=st.binary(min_size=32, max_size=32),
    generation=st.integers(0, 3),
    state=st.sampled_from(["answered", "rejected", "failed"]),
    endpoint_id=st.just(builders.ENDPOINT.id),
    run_id=st.just("7f3a0001"),
    sent_at=TIMES,
    answered_at=st.none() | TIMES,
    attempts=COUNTS,
    maybe_billed=COUNTS,
    cost_micro=st.integers(0, 2**40),
    elapsed=PLAIN_FLOATS,
    scores=st.none() | st.dictionaries(WORDS, FLOATS, max_size=4),
    floor=st.none() | PLAIN_FLOATS,
    censored=st.booleans(),
    parser=WORDS,
    body_sha=st.none() | st.binary(min_size=32, max_size=32),
    http_status=st.none() | st.integers(100, 599),
    content_type=st.none() | WORDS,
    item=st.integers(0, 99),
    items=st.integers(1, 100),
    error=st.none() | WORDS,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.lists(ENTRIES, max_size=8, unique_by=lambda entry: (entry.key, entry.generation)))
def test_lookup_returns_what_was_recorded(store: Store, journal: Journal, entries: list[Entry]) -> None:
    journal.record(entries).result(WAIT)
    stored = {(entry.key, entry.generation): entry for entry in store.entries([entry.key for entry in entries])}
    newest = store.lookup([entry.key for entry in entries])
    for entry in entries:
        place = entry.key, entry.generation
        assert stored[place] == entry
        assert newest[entry.key].generation == max(at for found, at in stored if found == entry.key)
        assert list((stored[place].scores or {}).items()) == list(
            (entry.scores or {}).items()
        )  # the order of labels too
