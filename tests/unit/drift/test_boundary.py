"""The search for inputs on which a small change shows."""

from __future__ import annotations

import numpy as np
import pytest

from adapters import Instance
from probe.drift.answers import Seen
from probe.drift.boundary import BoundarySearch
from probe.drift.paths import path_between
from tests.unit.drift.endpoints import built, rows, straight


def margin(instance: Instance) -> float:
    return abs(1.3 * instance["a"] - 0.7 * instance["b"])  # type: ignore[index, call-overload, operator, no-any-return]


def test_without_noise_the_neighbours_are_as_close_as_twenty_rounds_make_them() -> None:
    suite = built(straight())
    probes = suite.of("boundary")
    assert len(probes) == 20
    assert max(margin(probe.instance) for probe in probes) < 20 * 2.0**-20
    for lo, hi in zip(probes[::2], probes[1::2], strict=True):
        assert {lo.reference.usual, hi.reference.usual} == {"yes", "no"}
    assert suite.of("band") == []


def test_with_noise_they_stand_behind_where_answers_vary_and_the_crossing_is_kept_for_the_band() -> None:
    suite = built(straight(noise=0.1))
    distances = [margin(probe.instance) for probe in suite.of("boundary")]
    assert np.quantile(distances, 0.25) > 0.3
    band = suite.of("band")
    assert len(band) >= 5
    assert max(margin(probe.instance) for probe in band) < 0.4
    assert all(set(probe.reference.labels) == {"yes", "no"} for probe in band)


def test_a_round_asks_for_all_pairs_at_once() -> None:
    path = path_between({"a": -1.0, "b": 0.0}, {"a": 1.0, "b": 0.0})
    search = BoundarySearch([path] * 3, [("no", "yes")] * 3, repeats=4)
    endpoint, sizes = straight(shift=0.3), []
    while wanted := search.ask():
        sizes.append(len(wanted))
        search.tell([endpoint(instance) for instance in wanted])
    assert sizes == [3] * 20 + [6, 18]


def test_texts_end_at_neighbours_that_differ_in_one_word() -> None:
    path = path_between("the refund was slow and late", "we liked the friendly helpful staff")
    search = BoundarySearch([path], [("bad", "good")], repeats=4)
    while wanted := search.ask():
        search.tell([Seen("good" if "friendly" in str(text) else "bad", "") for text in wanted])
    assert search.found is not None
    [found] = search.found
    assert found is not None
    assert found.lo is not None
    assert found.hi is not None
    assert (found.lo.instance, found.hi.instance) == ("we liked the slow and late", "we liked the friendly and late")


def test_pictures_end_at_neighbours_that_differ_by_a_single_level() -> None:
    rng = np.random.default_rng(0)
    dark, light = rng.integers(0, 100, (6, 6), dtype=np.uint8), rng.integers(150, 256, (6, 6), dtype=np.uint8)
    search = BoundarySearch([path_between(dark, light)], [("dark", "light")], repeats=4)
    while wanted := search.ask():
        search.tell([Seen("light" if np.mean(picture) > 128 else "dark", "") for picture in wanted])  # type: ignore[arg-type]
    assert search.found is not None
    [found] = search.found
    assert found is not None
    assert found.lo is not None
    assert found.hi is not None
    apart = np.asarray(found.hi.instance, dtype=np.int64) - np.asarray(found.lo.instance, dtype=np.int64)
    assert np.abs(apart).sum() == 1


def test_a_pair_that_is_never_answered_is_dropped_and_the_others_go_on() -> None:
    paths = [path_between({"a": -1.0, "b": float(k)}, {"a": 3.0, "b": float(k)}) for k in range(2)]
    search = BoundarySearch(paths, [("no", "yes")] * 2, repeats=4)
    endpoint = straight()
    while wanted := search.ask():
        search.tell([None if row["b"] == 1.0 else endpoint(row) for row in wanted])  # type: ignore[index, call-overload]
    assert search.found is not None
    assert [each is None for each in search.found] == [False, True]


def test_inputs_of_one_label_leave_the_inputs_themselves_to_be_watched() -> None:
    suite = built(straight(shift=100.0), repeats=8)
    assert suite.of("boundary") == []
    assert len(suite.canary) == len(rows())
    assert min(probe.reference.n for probe in suite.canary) >= 8


@pytest.mark.parametrize("repeats", [10, 40])
def test_a_quiet_endpoint_is_asked_as_often_as_planned(repeats: int) -> None:
    from probe.drift.power import baseline_cost

    asked = 0
    endpoint = straight()

    def counting(row: Instance) -> Seen | None:
        nonlocal asked
        asked += 1
        return endpoint(row)

    built(counting, repeats=repeats)
    assert asked == baseline_cost(doubles=100, pairs=10, repeats=repeats, noisy=False).expected
