"""Questions about what is stored, and SQL that can only read."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from storage import Attribution, Filter, Refused, Store
from storage.questions import latest_run, runs_with, shares, top_changes
from storage.readonly import select
from tests.storage import builders
from tests.storage.builders import NOON


@pytest.fixture
def filled(store: Store) -> Store:
    """Two runs of the same probe an hour apart, and one of another endpoint."""
    other = dataclasses.replace(builders.ENDPOINT, id="f" * 64, name="vendor-b", provider="openai", model="m-1")
    store.put_endpoint(other)
    store.start_run(builders.run("second", started=NOON + timedelta(hours=1)))
    store.save_probe(builders.probe("p1", finished=NOON))
    later = NOON + timedelta(hours=1)
    changed = (Attribution("Bitte", 0.5, 0.01), Attribution("zurück", 0.1, None))
    store.save_probe(builders.probe("p2", run_id="second", finished=later, attributions=changed, top_feature="Bitte"))
    store.save_probe(
        builders.probe("p3", run_id="second", finished=later, endpoint_id=other.id, method="lime", target="negative")
    )
    return store


def found(store: Store, **wanted: object) -> list[tuple[str, str, float | None]]:
    return [(share.run, share.feature, share.value) for share in shares(store, Filter(**wanted))]  # type: ignore[arg-type]


def test_a_feature_over_time_newest_first(filled: Store) -> None:
    assert found(filled, feature="zurück", endpoint="vendor-a") == [
        ("second", "zurück", 0.1),
        ("7f3a0001", "zurück", 0.1 + 0.2),
    ]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 6),
        ({"run": "second"}, 4),
        ({"provider": "openai"}, 2),
        ({"model": "m-*"}, 2),
        ({"method": "shapley"}, 4),
        ({"label": "negative"}, 2),
        ({"instance": "reviews/1.txt"}, 6),
        ({"instance": "reviews/*"}, 6),
        ({"instance": "1" * 64}, 6),
        ({"feature": "Bi*"}, 3),
        ({"feature": "B_t*"}, 0),
        ({"feature": "bi*", "method": "nope"}, 0),
        ({"since": NOON + timedelta(minutes=1)}, 4),
        ({"until": NOON + timedelta(minutes=1)}, 2),
        ({"probe": "reviews", "since": NOON, "until": NOON}, 0),
    ],
)
def test_filters(filled: Store, wanted: dict[str, object], count: int) -> None:
    assert len(found(filled, **wanted)) == count


def test_top_features_that_changed_between_two_runs(filled: Store) -> None:
    (change,) = top_changes(filled, "7f3a0001", "second")
    assert (change.endpoint, change.before, change.after) == ("vendor-a", "zurück", "Bitte")
    assert top_changes(filled, "second", "second") == []


def test_runs_are_found_by_day_and_by_endpoints(filled: Store) -> None:
    assert latest_run(filled, before=NOON + timedelta(days=1)) == "second"
    assert latest_run(filled, before=NOON + timedelta(minutes=1), since=NOON) == "7f3a0001"
    assert latest_run(filled, before=NOON) is None
    assert runs_with(filled, ["vendor-a", "vendor-b"]) == ["second"]
    assert runs_with(filled, ["vendor-c"]) == []


def test_somebodys_own_sql(filled: Store) -> None:
    answer = select(filled.database, "SELECT id, status FROM run ORDER BY id;")
    assert answer.columns == ("id", "status")
    assert answer.rows == [("7f3a0001", "running"), ("second", "running")]
    assert not answer.more
    cut = select(filled.database, "SELECT id FROM run ORDER BY id", limit=1)
    assert (cut.rows, cut.more) == ([("7f3a0001",)], True)


@pytest.mark.parametrize(
    "statement",
    [
        "",
        " ; ",
        "DELETE FROM run",
        "UPDATE run SET seed = 2",
        "INSERT INTO feature (key) VALUES ('x')",
        "DROP TABLE run",
        "CREATE TABLE x (y INTEGER)",
        "SELECT 1; DELETE FROM run",
        "SELECT 1) AS q; DELETE FROM run; --",
        "WITH gone AS (DELETE FROM run RETURNING id) SELECT * FROM gone",
        "PRAGMA journal_mode=DELETE",
        "ATTACH DATABASE 'other.db' AS other",
        "COMMIT",
        "COPY run TO PROGRAM 'cat'",
        "SELECT nonsense FROM nowhere",
    ],
)
def test_nothing_but_reading_is_let_through(filled: Store, statement: str) -> None:
    before = filled.counts()
    with pytest.raises(Refused, match="--sql") as caught:
        select(filled.database, statement)
    assert "\n" not in str(caught.value)
    assert filled.counts() == before
    filled.start_run(builders.run("still writing"))


def test_a_statement_that_takes_too_long_is_stopped(filled: Store) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
    with pytest.raises(Refused, match=r"longer than 0\.2 s"):
        select(filled.database, endless, seconds=0.2)
    assert select(filled.database, "SELECT 1 AS one").rows == [(1,)]
