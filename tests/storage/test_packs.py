"""Evaluations that are over are folded into packs, and everything goes on as if they were rows."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from storage import Damaged, Entry, Journal, Store, container, evidence
from storage.pack import KEY_BYTES, Pack, body_order, read_bodies, write_bodies, write_rows
from storage.schema import evaluation, index_sheaf, pack
from tests.storage import builders
from tests.storage.builders import NOON, answered, intended, key
from tests.storage.test_journal import ENTRIES

WAIT = 20


def table(*numbers: int | str, width: int = 1) -> bytes:
    """What the engine hands over for coalitions whose keys are these."""
    keys = np.frombuffer(b"".join(map(key, numbers)), np.uint8).reshape(-1, width, 32)
    buffer = io.BytesIO()
    bits = np.arange(len(keys) * 2, dtype=np.uint8).reshape(-1, 2)
    np.savez_compressed(buffer, coalitions=bits, n=np.array(11), keys=keys)
    return buffer.getvalue()


def many(count: int, **changes: object) -> list[tuple[Entry, bytes]]:
    """Answers with a body each, a request every 20 ms."""
    found = []
    for number in range(count):
        body = b'{"score": 0.%06d}' % number
        sent = NOON + timedelta(milliseconds=20 * number)
        entry = answered(number, sent_at=sent, answered_at=sent + timedelta(milliseconds=81), elapsed=0.08)
        found.append((entry.but(body_sha=sha256(body).digest(), **changes), body))
    return found


def write(journal: Journal, found: list[tuple[Entry, bytes]]) -> None:
    journal.record([entry for entry, _ in found], [body for _, body in found]).result(WAIT)


def rows_left(store: Store) -> int:
    with store.database.reading() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(evaluation)) or 0)


def test_a_finished_probe_leaves_no_rows_and_loses_nothing(store: Store, journal: Journal) -> None:
    found = many(40)
    write(journal, found)
    journal.record([answered(50, state="rejected", scores=None, error="too long", sent_at=NOON)]).result(WAIT)
    keys = [key(number) for number in range(60)]
    before, bodies = store.entries(keys), store.bodies_of(store.entries(keys))
    counts, spent, usage = store.counts(), store.spent("7f3a0001"), store.usage()
    store.save_probe(builders.probe(table=table(*range(40), 50)))
    assert rows_left(store) == 0
    assert store.entries(keys) == before
    assert {entry.pack for entry in store.entries(keys)} == {1}
    assert store.lookup(keys) == {entry.key: entry for entry in before}
    assert store.bodies_of(store.entries(keys)) == bodies == {sha256(body).digest(): body for _, body in found}
    assert store.bodies([sha256(found[0][1]).digest()]) == {}, "moved, not copied"
    assert store.counts() == counts | {"probes": 1, "features": 2}
    assert (store.spent("7f3a0001"), store.usage()) == (spent, usage)


def test_a_partial_probe_stays_in_rows_until_it_is_finished(store: Store, journal: Journal) -> None:
    write(journal, many(5))
    store.save_probe(builders.probe(status="partial", table=table(*range(5))))
    assert rows_left(store) == 5
    store.save_probe(builders.probe(table=table(*range(5))))
    assert rows_left(store) == 0
    assert len(store.probes("7f3a0001")) == 1


def test_what_is_not_over_stays_a_row(store: Store, journal: Journal) -> None:
    journal.intend([intended(1)]).result(WAIT)
    journal.record([intended(2, state="failed", error="reset"), answered(3)]).result(WAIT)
    store.save_probe(builders.probe(table=table(1, 2, 3)))
    assert rows_left(store) == 2
    assert {key(n): entry.state for n, entry in enumerate(store.entries([key(1), key(2), key(3)]), 1)} == {
        key(1): "intended",
        key(2): "failed",
        key(3): "answered",
    }


def test_the_table_of_a_probe_is_given_back_with_its_keys(store: Store, journal: Journal) -> None:
    write(journal, many(6))
    store.save_probe(builders.probe("p1", table=table(0, 1, 2)))
    given_ = table(3, 1, 4, 5, "never answered", 0, width=2)
    store.save_probe(builders.probe("p2", name="second", table=given_))
    (first, second) = store.probes("7f3a0001")
    assert len(second.table) < len(given_) / 2
    with np.load(io.BytesIO(store.table(second))) as stored, np.load(io.BytesIO(given_)) as before:
        assert np.array_equal(stored["keys"], before["keys"][:, :, :KEY_BYTES])
        assert np.array_equal(stored["coalitions"], before["coalitions"])
        assert stored["coalitions"].dtype == before["coalitions"].dtype
        assert stored["n"] == 11
    asked = store.asked([builders.INSTANCE.id], before=NOON + timedelta(days=1))
    assert [each.table for each in asked] == [store.table(second)], "of equal questions the newest"
    short = [key(n)[:KEY_BYTES] for n in (0, 5, 9)]
    assert {each: entry.but(key=b"") for each, entry in store.lookup(short).items()} == {
        each: store.lookup([key(n)])[key(n)].but(key=b"") for n, each in ((0, short[0]), (5, short[1]))
    }
    assert store.table(first) == store.table(store.probes("7f3a0001")[0])


def test_short_keys_find_rows_too(store: Store, journal: Journal) -> None:
    journal.record([answered(1)]).result(WAIT)
    short = key(1)[:KEY_BYTES]
    assert store.lookup([short, key(2)[:KEY_BYTES]]) == {short: answered(1).but(key=short)}


def test_a_newer_generation_counts_wherever_it_is(store: Store, journal: Journal) -> None:
    journal.record([answered(1)]).result(WAIT)
    store.save_probe(builders.probe(table=table(1)))
    newer = answered(1, generation=1, scores={"positive": 0.5})
    journal.record([newer]).result(WAIT)
    assert store.lookup([key(1)]) == {key(1): newer}
    store.save_probe(builders.probe("p2", name="again", table=table(1)))
    assert rows_left(store) == 0
    assert store.lookup([key(1)]) == {key(1): newer}
    assert store.entries([key(1)]) == [answered(1), newer]


def test_an_answer_paid_for_by_two_processes_counts_twice_and_the_first_stays(store: Store, journal: Journal) -> None:
    journal.record([answered(1)]).result(WAIT)
    store.save_probe(builders.probe(table=table(1)))
    late = answered(1, scores={"positive": 0.9}, answered_at=NOON + timedelta(seconds=9))
    journal.record([late]).result(WAIT)
    assert store.entries([key(1)]) == [answered(1).but(attempts=2, cost_micro=4000)]
    store.save_probe(builders.probe("p2", name="other", table=table(1)))
    assert store.entries([key(1)]) == [answered(1).but(attempts=2, cost_micro=4000)]
    assert store.spent("7f3a0001") == (2, 4000)
    journal.intend([intended(1)]).result(WAIT)
    assert store.lookup([key(1)])[key(1)].state == "answered"


def test_a_body_that_a_row_still_needs_stays(store: Store, journal: Journal) -> None:
    body = b"of a batch of two"
    pair = [answered(n, body_sha=sha256(body).digest(), item=n, items=2) for n in (0, 1)]
    journal.record(pair, [body]).result(WAIT)
    store.save_probe(builders.probe(table=table(0)))
    assert set(store.bodies_of(store.entries([key(0)])).values()) == {body}
    assert set(store.bodies_of(store.entries([key(1)])).values()) == {body}
    store.save_probe(builders.probe("p2", name="other", table=table(1)))
    assert set(store.bodies_of(store.entries([key(1)])).values()) == {body}
    assert store.body(sha256(body).digest()) is None


def test_a_superpixel_map_is_never_mistaken_for_a_response(store: Store, journal: Journal) -> None:
    sha = store.put_body(b"a map")
    journal.record([answered(1, body_sha=sha)], [b"a map"]).result(WAIT)
    store.save_probe(builders.probe("p0", segments_sha=sha, table=b""))
    store.save_probe(builders.probe("p1", name="other", table=table(1)))
    assert store.body(sha) == b"a map"


def test_a_disk_that_fills_while_folding_leaves_the_rows(store: Store, journal: Journal) -> None:
    write(journal, many(3))

    def fail(connection: sa.Connection) -> None:
        if store.database.is_sqlite:
            connection.execute(
                sa.text("CREATE TRIGGER t BEFORE INSERT ON attribution BEGIN SELECT RAISE(ABORT,'x'); END")
            )
        else:
            connection.execute(
                sa.text("CREATE FUNCTION t() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'x'; END $$")
            )
            connection.execute(
                sa.text("CREATE TRIGGER t BEFORE INSERT ON attribution FOR EACH ROW EXECUTE FUNCTION t()")
            )

    store.database.write(fail)
    with pytest.raises(Exception, match="x"):
        store.save_probe(builders.probe(table=table(0, 1, 2)))
    assert (rows_left(store), store.counts()["bodies"], store.probes("7f3a0001")) == (3, 3, [])


def test_ten_thousand_keys_are_found_through_merged_sheaves(store: Store) -> None:
    entries = [entry.but(body_sha=None) for entry, _ in many(10_000)]
    for start in range(0, 10_000, 500):
        store.put_away(entries[start : start + 500])
    with store.database.reading() as connection:
        sizes = connection.scalars(sa.select(index_sheaf.c.size)).all()
    assert sum(sizes) == 10_000
    assert len(sizes) < 8
    keys = [entry.key for entry in entries]
    assert store.lookup([*keys[::97], key("absent")]) == {entry.key: entry for entry in entries[::97]}
    assert store.counts()["answered"] == 10_000


def test_a_pack_that_was_altered_is_named(store: Store) -> None:
    store.put_away([answered(1)])

    def alter(connection: sa.Connection) -> None:
        content = connection.scalar(sa.select(pack.c.content)) or b""
        connection.execute(pack.update().values(content=content[:-1] + bytes([content[-1] ^ 1])))

    store.database.write(alter)
    with pytest.raises(Damaged, match="pack 1"):
        store.lookup([key(1)])


@settings(max_examples=60, deadline=None)
@given(entries=st.lists(ENTRIES, min_size=1, max_size=12), data=st.data())
def test_a_pack_holds_every_field_bit_for_bit(entries: list[Entry], data: st.DataObject) -> None:
    entries = [entry.but(body_sha=None) for entry in entries]
    labels = data.draw(st.sampled_from([("a", "b"), ("a",), ("x", "y", "z")]))
    scores = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.5, 0.25, 1.0, 0.1, 0.9, -0.0])
    if data.draw(st.booleans()):  # one set of labels, as most endpoints have it
        entries = [entry.but(scores={label: data.draw(scores) for label in labels}) for entry in entries]
    found = Pack.of(1, entries[0].run_id, entries[0].endpoint_id, write_rows(entries), (), where="here")
    back = list(found.entries())
    assert back == [entry.but(key=entry.key[:KEY_BYTES]) for entry in entries]
    assert [evidence.line(entry) for entry in back] == [evidence.line(entry) for entry in entries]


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.floats(allow_nan=False), max_size=30), scale=st.integers(0, 8))
def test_floats_are_kept_bit_for_bit_however_they_are_written(values: list[float], scale: int) -> None:
    for given_ in (
        values,
        [round(value, scale) for value in values if abs(value) < 1e6],
        np.array(values).clip(-1e30, 1e30).astype(np.float32).tolist(),
    ):
        writer = container.Writer(len(given_))
        writer.floats("x", given_)
        found = container.read(writer.packed(), where="here").arrays["x"]
        assert np.asarray(found, dtype=np.float64).tobytes() == np.array(given_, dtype=np.float64).tobytes()


def test_bodies_that_are_lost_keep_their_digests() -> None:
    entries = [entry for entry, _ in many(3)]
    shas = body_order(entries)
    blob = write_bodies(shas, {shas[1]: b'{"score": 0.000001}'})
    assert read_bodies(blob, where="here") == [(shas[0], None), (shas[1], b'{"score": 0.000001}'), (shas[2], None)]


def test_the_document_shows_how_to_read_a_pack() -> None:
    text = (Path(__file__).parents[2] / "storage" / "FORMAT.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    space: dict[str, Any] = {}
    exec(code, space)
    entries = [entry for entry, _ in many(50)]
    entries = [entry.but(scores={"a": number / 7, "b": 1 - number / 7}) for number, entry in enumerate(entries)]
    head, found = space["columns"](write_rows(entries))
    assert head["labels"] == [["a", "b"]]
    assert [bytes(key) for key in found["key"]] == [entry.key[:KEY_BYTES] for entry in entries]
    assert found["scores"].tolist() == [entry.scores["a"] for entry in entries if entry.scores]
    assert found["elapsed"].tolist() == [0.08] * 50
    near = (1.0 - found["scores"]).view(np.int64)
    assert (near + found["rest"]).view(np.float64).tolist() == [entry.scores["b"] for entry in entries if entry.scores]
