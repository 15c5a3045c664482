from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from probe.engine.keys import canonical, evaluation_key

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())


KNOWN = ["b15da35ff164f0b5", "c5045232f101e32b", "0420e58cfe847201", "5bdec3ee706a8430"]


def test_keys_of_earlier_versions_still_count() -> None:
    """A ledger outlives the program: these must never change."""
    picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    keys = [
        evaluation_key("endpoint", "text — 返金"),
        evaluation_key("endpoint", picture),
        evaluation_key("endpoint", {"a": 1, "b": None, "c": "x", "d": 0.1, "e": True}),
        evaluation_key("endpoint", [1.0, 2.5], repeat=3),
    ]
    assert [key.hex()[:16] for key in keys] == KNOWN
    assert all(len(key) == 32 for key in keys)


def test_what_a_model_can_tell_apart_has_another_key() -> None:
    grey = np.zeros((4, 6), dtype=np.uint8)
    different = [
        "1",
        "1 ",
        [1],
        [1.0],
        [True],
        ["1"],
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        [["a", 1], ["b", 2]],
        grey,
        grey.T,
        grey[..., None],
        grey + 1,
    ]
    keys = [evaluation_key("endpoint", each) for each in different]  # type: ignore[arg-type]
    keys += [evaluation_key("other", "1"), evaluation_key("endpoint", "1", repeat=1)]
    assert len(set(keys)) == len(keys)


def test_what_it_cannot_tell_apart_has_the_same() -> None:
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    fortran = np.asfortranarray(picture)
    assert evaluation_key("e", picture) == evaluation_key("e", fortran) == evaluation_key("e", picture[::1])
    assert evaluation_key("e", {"a": np.float64(0.5)}) == evaluation_key("e", {"a": 0.5})
    assert evaluation_key("e", np.array([1.5, 2.0])) == evaluation_key("e", [1.5, 2.0])


def test_odd_characters_have_keys() -> None:
    assert len({evaluation_key("e", text) for text in ("", "\0", "\ud800", "\U0001f600", "é", "e\u0301")}) == 6


@given(st.dictionaries(st.text(), SCALARS, max_size=4), st.dictionaries(st.text(), SCALARS, max_size=4))
def test_rows_collide_only_if_equal(one: dict[str, object], two: dict[str, object]) -> None:
    same = [(name, type(value), repr(value)) for name, value in one.items()] == [
        (name, type(value), repr(value)) for name, value in two.items()
    ]
    assert (canonical(one) == canonical(two)) == same  # type: ignore[arg-type]
