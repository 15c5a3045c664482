"""Looking after a database: checks, retention, copies, and the chain that says what happened."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256

import pytest
import sqlalchemy as sa

from storage import Journal, Store, Unstorable, chain, evidence, upgrade, upkeep
from storage.schema import body, evaluation, index_page, metadata, pack, run
from tests.storage import builders
from tests.storage.builders import NOON, answered, key
from tests.storage.test_packs import many, table, write

LATER = NOON + timedelta(days=400)


@pytest.fixture
def filled(store: Store, journal: Journal) -> Store:
    write(journal, many(30))
    store.save_probe(builders.probe(table=table(*range(30))))
    journal.record([answered(40, body_sha=sha256(b"{}").digest())], [b"{}"]).result(20)
    store.finish_run("7f3a0001", "partial", NOON + timedelta(minutes=1), {})
    return store


def links(store: Store) -> list[evidence.Link]:
    with store.database.reading() as connection:
        return list(chain.links(connection))


def test_what_was_written_is_whole(filled: Store) -> None:
    assert list(upkeep.check(filled)) == []


def change(statement: sa.Executable) -> Callable[[Store], None]:
    def alter(store: Store) -> None:
        store.database.write(lambda connection: connection.execute(statement))

    return alter


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (change(pack.update().values(root=b"\x01" * 32)), "pack 1: an evaluation was altered"),
        (change(pack.update().values(bodies_root=b"\x01" * 32)), "pack 1: a response body was altered"),
        (change(pack.update().values(content=b"\x78\x9c")), "pack 1: what is stored cannot be read"),
        (change(index_page.delete()), "pack 1: 30 keys are not in the index"),
        (change(run.update().values(seed=2)), "its settings or packs are not those of link 1"),
        (change(pack.update().values(root=b"\x01" * 32)), "not those of link 1"),
        (change(sa.text("UPDATE chain SET note = 'finished'")), "the chain is broken at link 1"),
        (change(body.update().values(content=b"x")), "does not have this hash"),
    ],
)
def test_what_was_altered_is_named(filled: Store, alter: Callable[[Store], None], words: str) -> None:
    alter(filled)
    assert [said for said in upkeep.check(filled) if words in said]


def test_the_index_can_be_made_anew(filled: Store) -> None:
    change(index_page.delete())(filled)
    assert list(upkeep.check(filled, repair=True)) == []
    assert filled.lookup([key(3)])[key(3)].state == "answered"


def test_pruning_drops_old_bodies_and_keeps_every_number(filled: Store) -> None:
    keys = [key(number) for number in range(41)]
    before = [entry.but(body_sha=None) for entry in filled.entries(keys)]
    counts, usage = filled.counts(), filled.usage()
    probes = filled.probes("7f3a0001")
    assert upkeep.prune(filled, before=NOON, at=LATER) == upkeep.Pruned(0, 0, 0)
    planned = upkeep.prune(filled, before=LATER, at=LATER, dry_run=True)
    assert filled.counts() == counts
    done = upkeep.prune(filled, before=LATER, at=LATER)
    assert done == planned
    assert (done.bodies, done.kept) == (31, 0)
    assert [entry.but(body_sha=None) for entry in filled.entries(keys)] == before
    assert filled.bodies_of(filled.entries(keys)) == {}
    assert filled.counts() == counts | {"bodies": 0}
    assert (filled.usage(), filled.probes("7f3a0001")) == (usage, probes)
    assert list(upkeep.check(filled)) == []
    assert [(link.what, link.note.split()[0]) for link in links(filled)] == [("run", "partial"), ("prune", "31")]


def test_a_body_that_alone_holds_the_scores_is_kept(store: Store, journal: Journal) -> None:
    pairs = [
        (answered(n, scores=None if n else {"a": 1.0}, body_sha=sha256(b"%d" % n).digest()), b"%d" % n) for n in (0, 1)
    ]
    write(journal, pairs)
    store.save_probe(builders.probe(table=table(0, 1)))
    done = upkeep.prune(store, before=LATER, at=LATER)
    assert (done.bodies, done.kept) == (1, 1)
    assert list(store.bodies_of(store.entries([key(0), key(1)])).values()) == [b"1"]
    assert list(upkeep.check(store)) == []


def test_a_row_that_is_newer_keeps_its_body(store: Store, journal: Journal) -> None:
    write(journal, [(answered(1, body_sha=sha256(b"x").digest()), b"x")])
    assert upkeep.prune(store, before=NOON, at=LATER).bodies == 0
    assert upkeep.prune(store, before=NOON + timedelta(seconds=1), at=LATER).bodies == 1


def test_finished_runs_leave_no_rows(store: Store, journal: Journal) -> None:
    journal.record([answered(number) for number in range(5)]).result(20)
    store.finish_run("7f3a0001", "finished", NOON, {})
    with store.database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(evaluation)) == 0
    assert len(store.lookup([key(number) for number in range(5)])) == 5
    assert upkeep.compact(store) == 0


def test_rows_of_an_earlier_version_are_folded_by_hand(store: Store, journal: Journal) -> None:
    store.finish_run("7f3a0001", "finished", NOON, {})
    journal.record([answered(number) for number in range(5)]).result(20)
    assert upkeep.compact(store) == 5
    assert len(store.lookup([key(number) for number in range(5)])) == 5


def test_each_link_holds_the_one_before(filled: Store) -> None:
    filled.finish_run("7f3a0001", "finished", NOON + timedelta(minutes=2), {})
    first, second = links(filled)
    assert first.previous == evidence.BEGINNING
    assert second.previous == first.hash
    assert first.root != second.root, "the row that was left is in a pack now"
    assert chain.broken([first, second]) is None
    assert chain.broken([second]) is second


def test_a_database_is_copied_with_everything(
    filled: Store, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = f"sqlite:///{tmp_path_factory.mktemp('copy')}/probe.db" if not filled.database.is_sqlite else postgres_url
    with Store.open(other) as target:
        moved = upkeep.copy(filled, target)
        assert moved > 5
        assert target.counts() == filled.counts()
        assert target.probes("7f3a0001") == filled.probes("7f3a0001")
        keys = [key(number) for number in range(41)]
        assert target.entries(keys) == filled.entries(keys)
        assert target.bodies_of(target.entries(keys)) == filled.bodies_of(filled.entries(keys))
        assert list(upkeep.check(target)) == []
        # and it goes on: numbers are given out after those that were copied
        target.save_probe(builders.probe("p9", name="new", table=b""))
        target.put_away([answered(99)])
        assert len(target.probes("7f3a0001")) == 2
        with pytest.raises(Unstorable, match="empty database"):
            upkeep.copy(filled, target)
    assert upgrade(other)[0] is not None


def test_stats_count_what_there_is(filled: Store) -> None:
    found = upkeep.stats(filled)
    assert (found["evaluations"], found["packs"], found["rows"], found["bodies"]) == (31, 1, 1, 31)
    assert found["bytes"] > found["bytes_packs"] > 0
    assert set(metadata.tables) >= {"pack", "chain"}


def test_the_trees_are_those_of_rfc_6962() -> None:
    # roots over 0, 1, 2, 3 … 8 leaves of certificate-transparency's reference test vectors
    leaves = [bytes.fromhex(each) for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657")]
    leaves.append(bytes.fromhex("606162636465666768696a6b6c6d6e6f"))
    roots = {
        0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    }
    for count, expected in roots.items():
        assert evidence.root(map(evidence.leaf, leaves[:count])).hex() == expected
