from __future__ import annotations

import dataclasses
import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa

from storage import Ambiguous, Attribution, Damaged, NotFound, Run, RunStatus, Store, Unstorable
from storage.schema import attribution, body, feature, probe
from tests.storage import builders

SHA = builders.run().config_sha


def test_a_run_reads_back_as_it_was_given(store: Store) -> None:
    ended = builders.NOON + timedelta(minutes=1)
    store.finish_run("7f3a0001", "partial", ended, {"sent": 193, "cost_micro": 440_000})
    assert store.run("7f3a0001") == builders.run(
        status="partial", finished=ended, totals={"sent": 193, "cost_micro": 440_000}
    )


def test_ending_a_run_that_never_began_is_an_error(store: Store) -> None:
    with pytest.raises(NotFound, match="no run 'nope'"):
        store.finish_run("nope", "finished", builders.NOON, {})


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(store: Store) -> None:
    tokyo = datetime(2026, 3, 1, 8, 0, tzinfo=timezone(timedelta(hours=9)))
    store.start_run(builders.run("tokyo", started=tokyo))
    found = store.run("tokyo").started
    assert found == datetime(2026, 2, 28, 23, 0, tzinfo=UTC)
    assert found.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(store: Store) -> None:
    with pytest.raises(Unstorable, match="time zone"):
        store.start_run(builders.run("naive", started=datetime(2026, 3, 1)))
    assert len(store.runs()) == 1


def test_a_word_outside_the_enum_is_refused(store: Store) -> None:
    with pytest.raises(Unstorable):
        store.start_run(dataclasses.replace(builders.run("odd"), status="dancing"))  # type: ignore[arg-type]


def test_runs_are_listed_newest_first(store: Store) -> None:
    for hour in (2, 1, 3):
        store.start_run(builders.run(f"run{hour}", started=builders.NOON + timedelta(hours=hour)))
    assert [run.id for run in store.runs(3)] == ["run3", "run2", "run1"]


def test_a_run_is_found_by_the_beginning_of_its_id(store: Store) -> None:
    store.start_run(builders.run("7f3b"))
    store.start_run(builders.run("7f3b9"))
    assert store.run("7f3a").id == "7f3a0001"
    assert store.run("7f3b").id == "7f3b"  # a whole id wins over a longer one that begins like it
    with pytest.raises(Ambiguous, match="7f3a0001, 7f3b, 7f3b9"):
        store.run("7f")
    for unknown in ("c0ffee", "", "%", "7F3A"):
        with pytest.raises(NotFound):
            store.run(unknown)


@pytest.mark.parametrize(
    ("status", "resumable"),
    [("running", True), ("interrupted", True), ("partial", True), ("finished", False), ("failed", False)],
)
def test_the_newest_unfinished_run_of_the_same_config_and_seed_is_resumed(
    store: Store, status: RunStatus, resumable: bool
) -> None:
    def begin(run_id: str, *, hours: int = 0, **changes: object) -> Run:
        run = builders.run(run_id, started=builders.NOON + timedelta(hours=hours), **({"status": status} | changes))
        store.start_run(run)
        return run

    store.finish_run("7f3a0001", "finished", builders.NOON, {})
    begin("older")
    wanted = begin("newer", hours=1)
    begin("another seed", hours=2, seed=2)
    begin("another config", hours=2, config_sha=b"\x05" * 32)
    assert store.resumable_run(SHA, 1) == (wanted if resumable else None)


def test_an_endpoint_is_brought_up_to_date_and_an_instance_kept(store: Store) -> None:
    renamed = dataclasses.replace(builders.ENDPOINT, name="vendor-b")
    store.put_endpoint(renamed)
    store.put_instance(dataclasses.replace(builders.INSTANCE, name="other name"))
    assert store.endpoint(builders.ENDPOINT.id) == renamed
    assert store.instance(builders.INSTANCE.id) == builders.INSTANCE
    with pytest.raises(NotFound, match="no endpoint 'x'"):
        store.endpoint("x")
    with pytest.raises(NotFound, match="no instance 'x'"):
        store.instance("x")


def test_a_probe_reads_back_as_it_was_given(store: Store) -> None:
    first, second = builders.probe(), builders.probe("p2", method="lime", attributions=(), error="budget too small")
    store.save_probe(first)
    store.save_probe(second)
    assert store.probes("7f3a0001") == [first, second]
    assert store.probes("other") == []


def test_a_probe_saved_again_takes_the_place_of_the_first(store: Store) -> None:
    store.save_probe(builders.probe())
    store.save_probe(builders.probe("p2", method="lime"))
    again = builders.probe("p3", status="partial", attributions=(Attribution("zurück", 0.5, 0.25),))
    store.save_probe(again)
    assert [saved.id for saved in store.probes("7f3a0001")] == ["p3", "p2"]
    assert store.probes("7f3a0001")[0] == again
    with store.database.reading() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(attribution)) == 3


def test_a_probe_is_stored_whole_or_not_at_all(store: Store) -> None:
    twice = (Attribution("Bitte", 1.0, None), Attribution("Bitte", 2.0, None))
    with pytest.raises(Unstorable):
        store.save_probe(builders.probe(attributions=twice))
    assert store.probes("7f3a0001") == []
    assert store.counts()["features"] == 0


def test_a_probe_of_an_unknown_run_is_refused(store: Store) -> None:
    with pytest.raises(Unstorable):
        store.save_probe(builders.probe(run_id="nope"))


def test_figures_that_are_no_numbers_survive_where_they_may_occur(store: Store) -> None:
    store.save_probe(
        builders.probe(
            base_value=math.nan,
            trust={"r2": math.nan, "spread": 0.5},
            details={"curve": [1.0, math.inf]},
            attributions=(Attribution("Bitte", math.nan, math.nan),),
        )
    )
    (found,) = store.probes("7f3a0001")
    assert found.base_value is None
    assert math.isnan(found.trust["r2"])
    assert found.trust["spread"] == 0.5
    assert found.details == {"curve": [1.0, None]}
    assert math.isnan(found.attributions[0].value)
    assert found.attributions[0].std_error is None


@pytest.mark.parametrize("name", ["wörd\0", "\ud800", "zwölf " * 2000, "返" * 5000, "%s {} ' \" ; --"])
def test_any_feature_name_is_kept(store: Store, name: str) -> None:
    saved = builders.probe(
        top_feature=None, features=({"name": name},), attributions=(Attribution(name, 0.25, 0.125),), error=None
    )
    store.save_probe(saved)
    assert store.probes("7f3a0001") == [saved]


def test_one_word_over_time_is_read_from_the_primary_key(store: Store) -> None:
    for number in range(5):
        store.save_probe(builders.probe(f"p{number}", name=f"probe {number}"))
    question = (
        sa.select(probe.c.started, attribution.c.value)
        .join_from(attribution, probe)
        .where(attribution.c.feature_id == sa.select(feature.c.id).where(feature.c.key == "Bitte").scalar_subquery())
    )
    with store.database.reading() as connection:
        assert [value for _, value in connection.execute(question)] == [-0.0625] * 5
        if not store.database.is_sqlite:
            connection.execute(sa.text("SET LOCAL enable_seqscan = off"))  # which it prefers for five rows
            connection.execute(sa.text("SET LOCAL enable_bitmapscan = off"))
        explain = "EXPLAIN QUERY PLAN " if store.database.is_sqlite else "EXPLAIN "
        compiled = str(question.compile(connection, compile_kwargs={"literal_binds": True}))
        plan = "\n".join(str(row) for row in connection.execute(sa.text(explain + compiled)))
    assert "attribution USING PRIMARY KEY (feature_id=?)" in plan or "pk_attribution" in plan


@pytest.mark.parametrize("content", [b"", b"{}", b'{"score": 0.5}' * 1000, bytes(range(256)) * 300])
def test_bodies_are_kept_once_and_read_back(store: Store, content: bytes) -> None:
    sha = store.put_body(content)
    assert store.put_body(content) == sha
    assert store.body(sha) == content
    assert store.bodies([sha, b"\0" * 32]) == {sha: content}
    assert store.body(b"\0" * 32) is None
    assert store.counts()["bodies"] == 1


def test_long_bodies_are_compressed(store: Store) -> None:
    store.put_body(b'{"score": 0.5}' * 1000)
    with store.database.reading() as connection:
        assert len(connection.scalar(sa.select(body.c.content)) or b"") < 200


@pytest.mark.parametrize("change", [{"content": b"not zlib"}, {"size": 3}, {"encoding": "raw"}])
def test_an_altered_body_is_noticed(store: Store, change: dict[str, object]) -> None:
    sha = store.put_body(b'{"score": 0.5}' * 1000)
    store.database.write(lambda connection: connection.execute(body.update().values(**change)))
    with pytest.raises(Damaged, match=sha.hex()):
        store.body(sha)


def test_counts_name_everything(store: Store) -> None:
    store.save_probe(builders.probe())
    assert store.counts() == {
        "runs": 1,
        "endpoints": 1,
        "instances": 1,
        "probes": 1,
        "features": 2,
        "bodies": 0,
        "evaluations": 0,
        "intended": 0,
        "answered": 0,
        "rejected": 0,
        "failed": 0,
    }
    assert store.usage(date(2026, 1, 1)) == []


def test_what_was_asked_before_is_the_newest_of_each_question(store: Store) -> None:
    def later(seconds: int) -> datetime:
        return builders.NOON + timedelta(seconds=seconds)

    store.start_run(builders.run("second", code_version="0.2.0"))
    store.put_instance(dataclasses.replace(builders.INSTANCE, id="2" * 64))
    store.save_probe(builders.probe("p1", finished=later(1), table=b"old"))
    store.save_probe(builders.probe("p2", run_id="second", finished=later(2), table=b"new"))
    store.save_probe(builders.probe("p3", run_id="second", name="cut short", status="partial", finished=later(3)))
    store.save_probe(builders.probe("p4", method="lime", finished=later(4), table=b"lime"))
    store.save_probe(builders.probe("p5", instance_id="2" * 64, finished=later(5), table=b"other"))
    found = store.asked([builders.INSTANCE.id], before=later(5))
    assert [(asked.method, asked.finished, asked.code_version) for asked in found] == [
        ("shapley", True, "0.2.0"),
        ("shapley", False, "0.2.0"),
        ("lime", True, "0.1.0"),
    ]
    assert found[0].table == b"new"
    assert found[0].params == builders.probe().params
    assert [asked.table for asked in store.asked([builders.INSTANCE.id], before=later(1))] == [b"old"]
    both = store.asked(["2" * 64, builders.INSTANCE.id, "3" * 64], before=later(9))
    assert [asked.instance_id[0] for asked in both] == ["1", "1", "1", "2"]
    assert store.asked([], before=later(9)) == []
