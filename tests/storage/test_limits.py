"""Slots and money that several threads and processes take from the same row."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from storage import Purse, ReadOnly, Reservations, Spent, StorageError, Store
from storage.schema import budget, limiter
from tests.storage.test_failures import refuse_in_server

#: Leases 3 slots at a time and prints each as "now start end"; then takes from the budget until it is refused.
TAKER = """
import sys
from storage import Purse, Reservations, Store

with Store.open(sys.argv[1], timeout=30) as store:
    reservations, purse = Reservations(store), Purse(store)
    print("ready", flush=True)
    sys.stdin.readline()
    for _ in range(50):
        lease = reservations.lease("vendor-a", count=3, gap=0.002)
        print(lease.now, lease.end - lease.count * lease.gap, lease.end)
    taken = 0
    while purse.take("run", requests=1, micro=7, most_requests=100, most_micro=None):
        taken += 1
    print("taken", taken)
"""


@pytest.fixture
def reservations(store: Store) -> Reservations:
    return Reservations(store)


@pytest.fixture
def purse(store: Store) -> Purse:
    return Purse(store)


def change(store: Store, **columns: sa.ColumnElement[float]) -> None:
    store.database.write(lambda connection: connection.execute(limiter.update().values(**columns)))


def test_slots_follow_each_other_whoever_asks(reservations: Reservations) -> None:
    first = reservations.lease("vendor-a", count=20, gap=0.5)
    second = reservations.lease("vendor-a", count=1, gap=0.5)
    third = reservations.lease("vendor-a", count=2, gap=0.5)
    assert first.starts_in == pytest.approx(0, abs=0.05)
    assert second.now + second.starts_in == pytest.approx(first.end, abs=1e-6)
    assert third.now + third.starts_in == pytest.approx(second.end, abs=1e-6) == first.end + 0.5
    assert first.end - first.now == pytest.approx(10, abs=0.05)
    assert (first.count, first.gap, third.count, third.gap) == (20, 0.5, 2, 0.5)


def test_what_one_found_necessary_holds_for_all_and_is_forgotten(store: Store, reservations: Reservations) -> None:
    reservations.lease("vendor-a", count=1, gap=0.1)
    assert reservations.lease("vendor-a", count=1, gap=0.2).gap == 0.2
    wide = reservations.lease("vendor-a", count=10, gap=0.1)
    assert 0.19 < wide.gap <= 0.2
    assert wide.end - wide.now - wide.starts_in == pytest.approx(10 * wide.gap, abs=1e-5)
    change(store, as_of=limiter.c.as_of - 2)  # 20 slots later
    assert reservations.lease("vendor-a", count=1, gap=0.1).gap == pytest.approx(0.15, abs=0.01)
    change(store, as_of=limiter.c.as_of - 1e6)
    assert reservations.lease("vendor-a", count=1, gap=0.1).gap == pytest.approx(0.1, abs=1e-6)
    assert reservations.lease("vendor-a", count=1, gap=0).gap == pytest.approx(0.1, abs=0.01)


def test_each_limit_has_its_own_slots(reservations: Reservations) -> None:
    reservations.lease("vendor-a", count=1, gap=3600)
    assert reservations.lease("vendor-b", count=1, gap=3600).starts_in < 1


def test_slots_nobody_took_in_time_are_gone(reservations: Reservations) -> None:
    first = reservations.lease("vendor-a", count=1, gap=0.01)
    time.sleep(0.05)
    later = reservations.lease("vendor-a", count=1, gap=0.01)
    assert later.starts_in == pytest.approx(0, abs=1e-4)
    assert later.end - first.end >= 0.05


def test_a_hold_moves_everybody(reservations: Reservations, storage_url: str) -> None:
    with Store.open(storage_url) as other:
        Reservations(other).hold("vendor-a", 50)
        Reservations(other).hold("vendor-a", 5)  # a shorter one changes nothing
    assert 45 < reservations.held_for("vendor-a") <= 50
    assert reservations.held_for("vendor-b") == 0
    lease = reservations.lease("vendor-a", count=2, gap=1)
    assert lease.starts_in == pytest.approx(lease.held_for)
    assert 45 < lease.held_for <= 50
    assert reservations.lease("vendor-a", count=1, gap=1).starts_in == pytest.approx(lease.starts_in + 2, abs=1)


def test_a_hold_passes(reservations: Reservations) -> None:
    reservations.lease("vendor-a", count=1, gap=0.01)
    reservations.hold("vendor-a", 0.05)
    time.sleep(0.06)
    assert reservations.held_for("vendor-a") == 0
    assert reservations.lease("vendor-a", count=1, gap=0.01).starts_in == pytest.approx(0, abs=1e-4)


def test_unused_slots_are_taken_back_only_from_the_end(reservations: Reservations) -> None:
    first = reservations.lease("vendor-a", count=10, gap=10)
    assert reservations.return_unused(first, 4)
    assert not reservations.return_unused(first, 4)  # not twice
    second = reservations.lease("vendor-a", count=10, gap=10)
    assert second.now + second.starts_in == pytest.approx(first.end - 40, abs=1e-6)
    assert not reservations.return_unused(first, 1)
    third = reservations.lease("vendor-a", count=1, gap=10)
    assert third.now + third.starts_in == pytest.approx(second.end, abs=1e-6)


def test_a_clock_that_went_back_delays_nobody_for_longer_than_was_left(
    store: Store, reservations: Reservations
) -> None:
    """The server's time was set, or the machine of a SQLite file started again."""
    reservations.lease("vendor-a", count=1, gap=20)
    reservations.hold("vendor-a", 30)
    row = limiter.c
    change(store, next_slot=row.next_slot + 1e6, held_until=row.held_until + 1e6, as_of=row.as_of + 1e6)
    assert 25 < reservations.held_for("vendor-a") <= 30.1
    lease = reservations.lease("vendor-a", count=1, gap=20)
    assert 25 < lease.starts_in <= 30.1
    assert 25 < lease.held_for <= 30.1
    assert 25 < reservations.held_for("vendor-a") <= 30.1
    assert lease.starts_in + 15 < reservations.lease("vendor-a", count=1, gap=20).starts_in < lease.starts_in + 20.1


def test_a_hold_after_the_clock_went_back_keeps_what_was_left(store: Store, reservations: Reservations) -> None:
    reservations.lease("vendor-a", count=1, gap=20)
    row = limiter.c
    change(store, next_slot=row.next_slot + 1e6, held_until=row.held_until + 1e6, as_of=row.as_of + 1e6)
    reservations.hold("vendor-a", 1)
    assert 15 < reservations.lease("vendor-a", count=1, gap=20).starts_in <= 20.1
    assert reservations.held_for("vendor-a") <= 1


def test_the_wall_clock_plays_no_part_on_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(f"sqlite:///{tmp_path}/probe.db") as store:
        reservations = Reservations(store)
        monkeypatch.setattr(time, "time", lambda: 0.0)
        lease = reservations.lease("vendor-a", count=1, gap=1)
        assert lease.now == pytest.approx(time.monotonic(), abs=1)


@pytest.mark.parametrize(("count", "gap"), [(0, 1.0), (1, -1.0), (1, math.nan), (1, math.inf)])
def test_a_lease_of_nothing_is_refused(reservations: Reservations, count: int, gap: float) -> None:
    with pytest.raises(ValueError, match="one slot or more"):
        reservations.lease("vendor-a", count=count, gap=gap)


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_a_hold_without_an_end_is_refused(reservations: Reservations, seconds: float) -> None:
    with pytest.raises(ValueError, match="finite time"):
        reservations.hold("vendor-a", seconds)


def test_more_cannot_be_given_back_than_was_leased(reservations: Reservations) -> None:
    lease = reservations.lease("vendor-a", count=2, gap=1)
    for count in (0, 3):
        with pytest.raises(ValueError, match="cannot be given back"):
            reservations.return_unused(lease, count)


def test_a_budget_is_spent_to_the_last_and_no_further(purse: Purse) -> None:
    def take(micro: int) -> bool:
        return purse.take("run", requests=1, micro=micro, most_requests=4, most_micro=100)

    assert [take(60), take(50), take(40), take(1)] == [True, False, True, False]
    assert purse.spent("run") == Spent(2, 100)
    assert [take(0), take(0), take(0)] == [True, True, False]
    assert purse.spent("run") == Spent(4, 100)
    assert purse.spent("another") == Spent(0, 0)


def test_the_first_take_is_held_to_the_limits_too(purse: Purse) -> None:
    assert not purse.take("run", requests=5, micro=0, most_requests=4, most_micro=None)
    assert not purse.take("run", requests=1, micro=2, most_requests=None, most_micro=1)
    assert purse.spent("run") == Spent(0, 0)


def test_a_budget_without_limits_counts(purse: Purse) -> None:
    for _ in range(3):
        assert purse.take("run", requests=2, micro=2**40, most_requests=None, most_micro=None)
    assert purse.spent("run") == Spent(6, 3 * 2**40)


def test_what_is_given_back_can_be_taken_again(purse: Purse) -> None:
    assert purse.take("run", requests=4, micro=100, most_requests=4, most_micro=100)
    purse.give_back("run", requests=0, micro=30)  # refused by the server: the request counts, the money does not
    assert not purse.take("run", requests=1, micro=30, most_requests=4, most_micro=100)
    purse.give_back("run", requests=1, micro=10)
    assert purse.take("run", requests=1, micro=40, most_requests=4, most_micro=100)
    assert purse.spent("run") == Spent(4, 100)


def test_more_given_back_than_was_spent_is_an_error(purse: Purse) -> None:
    purse.take("run", requests=1, micro=0, most_requests=None, most_micro=None)
    with pytest.raises(StorageError, match="requests"):
        purse.give_back("run", requests=2, micro=0)
    for wrong in ({"requests": -1, "micro": 0}, {"requests": 0, "micro": -1}):
        with pytest.raises(ValueError, match="not negative"):
            purse.give_back("run", **wrong)
        with pytest.raises(ValueError, match="not negative"):
            purse.take("run", **wrong, most_requests=None, most_micro=None)
    assert purse.spent("run") == Spent(1, 0)


def test_threads_of_one_process_share_both(reservations: Reservations, purse: Purse) -> None:
    begin = threading.Barrier(8)

    def work(_: int) -> list[tuple[float, float]]:
        begin.wait()
        leases = [reservations.lease("vendor-a", count=2, gap=1) for _ in range(10)]
        while purse.take("run", requests=1, micro=1, most_requests=None, most_micro=90):
            pass
        return [(lease.end - 2, lease.end) for lease in leases]

    with ThreadPoolExecutor(8) as pool:
        leased = sorted(lease for some in pool.map(work, range(8)) for lease in some)
    assert len(leased) == 80
    assert all(later[0] >= earlier[1] - 1e-6 for earlier, later in itertools.pairwise(leased))
    assert purse.spent("run") == Spent(90, 90)


def test_processes_share_both(storage_url: str) -> None:
    Store.open(storage_url).close()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKER, storage_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    lines = [line.split() for process in processes for line in process.communicate("go\n", timeout=60)[0].splitlines()]
    leases = sorted((float(start), float(end)) for _, start, end in (line for line in lines if len(line) == 3))
    assert len(leases) == 200
    assert all(later[0] >= earlier[1] - 1e-6 for earlier, later in itertools.pairwise(leases))
    assert sum(int(line[1]) for line in lines if line[0] == "taken") == 100
    with Store.open(storage_url) as store:
        assert Purse(store).spent("run") == Spent(100, 700)


def test_failures_of_the_database_are_worded(storage_url: str) -> None:
    with Store.open(storage_url) as store:
        if store.database.is_sqlite:
            store.database.close()

            @sa.event.listens_for(store.database.engine, "connect")
            def refuse(connection: object, _record: object) -> None:
                connection.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]
        else:
            refuse_in_server(store, "25006", table=limiter.name)
        with pytest.raises(ReadOnly, match="in `storage:`"):
            Reservations(store).lease("vendor-a", count=1, gap=1)
    with Store.open(storage_url) as store, store.database.reading() as connection:
        assert connection.execute(sa.select(limiter)).all() == connection.execute(sa.select(budget)).all() == []


def test_a_budget_begins_with_what_was_spent_and_never_falls(purse: Purse) -> None:
    purse.open("run", requests=3, micro=50)
    assert purse.spent("run") == Spent(3, 50)
    assert purse.take("run", requests=1, micro=10, most_requests=4, most_micro=None)
    purse.open("run", requests=2, micro=90)
    assert purse.spent("run") == Spent(4, 90)
    assert not purse.take("run", requests=1, micro=0, most_requests=4, most_micro=None)
