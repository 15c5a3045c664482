from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.show import gist


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"error": "too long"}', '\'{"error": "too long"}\''),
        (
            b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code><Message>Not you</Message></Error>',
            "'AccessDenied Not you'",
        ),
        (
            b"<html><head><title>502 Bad Gateway</title><style>p {color: red}</style></head>\n<hr>nginx</html>",
            "'502 Bad Gateway nginx'",
        ),
        (b'Traceback (most recent call last):\n  File "a.py"\nValueError: 3 columns\n', "'ValueError: 3 columns'"),
        (b"Internal Server Error", "'Internal Server Error'"),
        (b"<br/>", "'<br/>'"),
        (b"", "''"),
    ],
)
def test_a_failure_is_told_without_its_markup(body: bytes, told: str) -> None:
    assert gist(body) == told


@settings(deadline=None)
@given(st.binary() | st.binary().map(lambda body: b"<" + body) | st.sampled_from([b"<" * 9000, b"<script" * 2000]))
def test_whatever_it_is_it_is_one_short_printable_line(body: bytes) -> None:
    told = gist(body, 50)
    assert told.isprintable()
    assert len(told) < 250
