"""Fields of answers that nobody may keep."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.errors import ConfigError
from probe.redaction import parsed, redacted

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=10,
)


@pytest.mark.parametrize(
    ("body", "paths", "expected"),
    [
        ({"user": {"email": "me@x"}, "x": 1}, ["user.email"], {"user": {"email": "[redacted]"}, "x": 1}),
        ({"items": [{"ssn": 12}, {"y": 1}]}, ["items[].ssn"], {"items": [{"ssn": "[redacted]"}, {"y": 1}]}),
        ([{"id": "a"}], ["[].id"], [{"id": "[redacted]"}]),
        ({"a": {"token": 1}, "b": {"token": [2]}}, ["*.token"], {"a": {"token": "[redacted]"}, "b": {"token": "[redacted]"}}),
        ({"user": "Alice", "note": "to Alice"}, ["user"], {"user": "[redacted]", "note": "to [redacted]"}),
        ({"user": "none"}, ["user.email"], {"user": "none"}),
    ],
)  # fmt: skip
def test_what_is_at_a_path_is_gone(body: object, paths: list[str], expected: object) -> None:
    assert json.loads(redacted(json.dumps(body).encode(), [parsed(path) for path in paths])) == expected


@given(JSON)
def test_an_answer_without_the_field_stays_as_it_came(content: object) -> None:
    body = json.dumps(content, indent=1).encode()
    assert redacted(body, [parsed("nowhere.to.be.seen")]) == body


def test_what_is_not_json_is_gone_as_a_whole() -> None:
    assert redacted(b"<html>secret</html>", [parsed("a")]) == b"[redacted]"
    assert redacted(b"", [parsed("a")]) == b""


@pytest.mark.parametrize("path", ["", ".", "a[0].b", "a[b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="is no path"):
        parsed(path)
