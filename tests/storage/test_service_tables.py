"""Keys to the service, its queue, and what pages ask of the store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from storage import Attribution, NotFound, Store, browse, jobs, tokens
from storage.browse import RunFilter
from storage.jobs import Job
from tests.storage import builders
from tests.storage.builders import NOON

HOUR = timedelta(hours=1)


def test_a_key_is_found_by_its_secret_and_only_its_hash_is_stored(store: Store) -> None:
    made, key = tokens.add(store, "ana", "run", now=NOON, lifetime=HOUR)
    assert tokens.find(store, key) == made
    assert tokens.listed(store) == [made]
    with store.database.reading() as connection:
        kept = connection.execute(sa.text("SELECT * FROM token")).one()
    secret = key.split("_", 2)[2]
    assert len(secret) == 43  # 256 bits in base64
    assert secret not in repr(tuple(kept))


@pytest.mark.parametrize(
    "change",
    [lambda key: key[:-1], lambda key: key + "x", lambda key: "probe_nobody_x", lambda _: "", lambda _: "é_é_é"],
)
def test_another_key_is_nobodys(store: Store, change: Any) -> None:
    _, key = tokens.add(store, "ana", "read", now=NOON)
    assert tokens.find(store, change(key)) is None


def test_scopes_include_the_smaller_ones_until_the_token_expires(store: Store) -> None:
    made, _ = tokens.add(store, "ana", "run", now=NOON, lifetime=HOUR)
    assert [made.allows(scope, NOON) for scope in ("read", "run", "admin")] == [True, True, False]
    assert not made.allows("read", NOON + HOUR)
    forever, _ = tokens.add(store, "bo", "admin", now=NOON)
    assert forever.allows("admin", NOON + 10_000 * HOUR)


def test_a_rotated_key_runs_out_and_the_new_one_lives_as_long_as_it_did(store: Store) -> None:
    old, old_key = tokens.add(store, "ana", "run", now=NOON, lifetime=100 * HOUR)
    new, new_key = tokens.rotate(store, old.id, now=NOON + HOUR, grace=2 * HOUR)
    assert (new.name, new.scope, new.expires) == ("ana", "run", NOON + 101 * HOUR)
    assert tokens.find(store, new_key) == new
    fading = tokens.find(store, old_key)
    assert fading is not None
    assert fading.expires == NOON + 3 * HOUR


def test_a_key_that_was_taken_away_is_gone(store: Store) -> None:
    made, key = tokens.add(store, "ana", "read", now=NOON)
    tokens.remove(store, made.id)
    assert tokens.find(store, key) is None
    with pytest.raises(NotFound, match=made.id):
        tokens.remove(store, made.id)


def job(job_id: str = "j1", **changes: Any) -> Job:
    return Job(job_id, "probe.yaml", {"only": ["reviews"]}, "local", **({"submitted": NOON} | changes))


def test_one_of_two_takes_a_job(store: Store) -> None:
    jobs.submit(store, job())
    assert [jobs.take(store, "j1", owner=owner, now=NOON) for owner in ("one", "two")] == [True, False]
    assert jobs.get(store, "j1").owner == "one"
    assert jobs.counts(store) == {"running": 1}


def test_the_job_of_a_silent_process_waits_again_and_that_process_changes_it_no_more(store: Store) -> None:
    jobs.submit(store, job())
    jobs.take(store, "j1", owner="one", now=NOON)
    jobs.beat(store, "one", NOON + HOUR)
    assert jobs.put_back(store, silent_since=NOON + HOUR) == 0
    assert jobs.put_back(store, silent_since=NOON + 2 * HOUR) == 1
    assert jobs.get(store, "j1").status == "queued"
    jobs.take(store, "j1", owner="two", now=NOON + 2 * HOUR)
    assert not jobs.change(store, "j1", owner="one", status="finished")
    assert jobs.change(store, "j1", owner="two", status="finished", exit_code=0)
    assert jobs.get(store, "j1").exit_code == 0


def test_a_job_is_cancelled_while_it_waits(store: Store) -> None:
    jobs.submit(store, job())
    assert jobs.cancel(store, "j1", now=NOON)
    assert not jobs.take(store, "j1", owner="one", now=NOON)
    assert not jobs.cancel(store, "j1", now=NOON)


def test_jobs_are_listed_from_either_end(store: Store) -> None:
    for number in range(3):
        jobs.submit(store, job(f"j{number}", submitted=NOON + number * HOUR))
    assert [each.id for each in jobs.listed(store, limit=2)] == ["j2", "j1"]
    assert [each.id for each in jobs.listed(store, status="queued", newest=False)] == ["j0", "j1", "j2"]
    assert jobs.listed(store)[0].options == {"only": ["reviews"]}


SHARES = (Attribution("slow", 0.3, 0.01), Attribution("fast", -0.5, None), Attribution("the", 0.0, 0.1))


def filled(store: Store) -> None:
    """Three runs an hour apart, with one probe each."""
    for number in range(3):
        run_id = f"run{number}"
        store.start_run(builders.run(run_id, started=NOON + (number + 1) * HOUR, name=f"c{number % 2}.yaml"))
        made = builders.probe(
            f"p{number}",
            run_id=run_id,
            finished=NOON + (number + 1) * HOUR,
            attributions=SHARES,
            features=tuple({"name": share.feature} for share in SHARES),
            full_value=0.5 + number / 10,
        )
        store.save_probe(made)


def ids(store: Store, **wanted: Any) -> list[str]:
    return [line.id for line in browse.run_lines(store, RunFilter(**wanted))]


def test_runs_are_found_by_facet_and_by_text(store: Store) -> None:
    filled(store)
    assert ids(store) == ["run2", "run1", "run0", "7f3a0001"]
    assert ids(store, config="c0.yaml") == ["run2", "run0"]
    assert ids(store, endpoint="vendor-a", method="shapley", kind="text", config="c1.yaml") == ["run1"]
    assert ids(store, text="c1.YAML") == ["run1"]
    assert ids(store, text="reviews/1") == ["run2", "run1", "run0"]  # the input
    assert ids(store, text="%") == ids(store, text="_") == []
    assert ids(store, status="finished") == []


def test_pages_of_runs_follow_each_other_without_gaps(store: Store) -> None:
    filled(store)
    seen = []
    before = None
    while found := browse.run_lines(store, RunFilter(), limit=1, before=before):
        seen.append(found[0].id)
        before = (found[0].started, found[0].id)
    assert seen == ["run2", "run1", "run0", "7f3a0001"]


def test_facets_count_runs(store: Store) -> None:
    filled(store)
    found = browse.facets(store)
    assert found["endpoint"] == [("vendor-a", 3)]
    assert found["method"] == [("shapley", 3)]
    assert found["config"] == [("c0.yaml", 2), ("c1.yaml", 1), ("probe.yaml", 1)]


def test_a_line_of_a_probe_has_its_strongest_features(store: Store) -> None:
    filled(store)
    [line] = browse.probe_lines(store, "run0")
    assert line.top == (("fast", -0.5, None), ("slow", 0.3, 0.01))
    assert (line.instance, line.endpoint, line.kind) == ("reviews/1.txt", "vendor-a", "text")
    assert browse.probe_lines(store, "run0", after=line.number) == []


def test_one_probe_is_what_the_run_has(store: Store) -> None:
    filled(store)
    assert browse.one_probe(store, "p1") == store.probes("run1")[0]
    with pytest.raises(NotFound, match="'nope'"):
        browse.one_probe(store, "nope")


def test_a_history_is_of_one_probe_oldest_first(store: Store) -> None:
    filled(store)
    store.save_probe(builders.probe("other", run_id="run2", method="occlusion"))
    points = browse.history(
        store, name="reviews", instance_id=builders.INSTANCE.id, endpoint_id=builders.ENDPOINT.id, method="shapley"
    )
    assert [point.id for point in points] == ["p0", "p1", "p2"]
    assert points[0].shares == {"slow": (0.3, 0.01), "fast": (-0.5, None), "the": (0.0, 0.1)}
    assert [point.full_value for point in points] == [0.5, 0.6, 0.7]
