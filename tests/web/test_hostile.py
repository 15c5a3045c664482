"""Names, labels, texts and pictures out of which somebody would like to make more than what they are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.web import hostile
from tests.web.serving import Serving, serving


class Seen(HTMLParser):
    """What a browser would act upon."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in {"script", "iframe", "object", "embed", "base", "style", "animate", "set"} and not given.get(
            "src", ""
        ).startswith("/static/"):
            self.acts.append(f"<{tag}>")
        for name, value in given.items():
            loads = name in {"src", "href", "action", "hx-get", "hx-post", "sse-connect", "formaction", "xlink:href"}
            ours = value.startswith(
                ("/", "#", "data:image/png;base64,", "data:image/jpeg;base64,")
            ) and not value.startswith("//")
            if name.startswith(("on", "hx-on")) or (loads and not ours):
                self.acts.append(f"<{tag} {name}={value[:60]}>")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, list[str]]]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    probes = hostile.fill(folder)
    with serving(folder) as found:
        yield found, probes


def test_nothing_that_is_stored_becomes_markup(service: tuple[Serving, list[str]]) -> None:
    with service[0].client(accept="text/html") as client:
        for path in hostile.paths(service[1]):
            answer = client.get(path)
            assert answer.status_code == 200, path
            kind = answer.headers["content-type"]
            assert answer.headers["x-content-type-options"] == "nosniff"
            if kind.startswith("text/html") and not path.endswith(
                "/report"
            ):  # the report has its own style element, and tests
                seen = Seen()
                seen.feed(answer.text)
                assert seen.acts == [], path
                assert "\x1b" not in answer.text
                assert "\u202e" not in answer.text
                assert "777777" not in answer.text
            if kind.startswith("text/csv"):
                for row in csv.reader(io.StringIO(answer.text)):
                    # numbers may begin with a minus sign, texts not
                    assert [cell for cell in row if cell.startswith(("=", "@", "+", "\t", "\r"))] == [], path


def test_what_is_damaged_is_said_and_the_rest_is_shown(service: tuple[Serving, list[str]]) -> None:
    with service[0].client(accept="text/html") as client:
        page = client.get("/probes/run2probe0")
        assert page.status_code == 200
        assert "The requests cannot be listed" in page.text
        assert "the coalitions of probe run2probe0 cannot be read" in client.get("/diff?a=run0&b=run2").text
        broken = client.get("/api/v1/diff?a=run0&b=run2")
        assert broken.status_code == 500
        assert "cannot be read" in broken.json()["error"]


def test_pictures_that_are_none_are_not_passed_on(service: tuple[Serving, list[str]]) -> None:
    with service[0].client() as client:
        for place, (kind, _) in enumerate(hostile.CONTENTS):
            answer = client.get(f"/instances/instance{place}/thumbnail")
            assert answer.status_code == 404
            assert answer.headers["content-type"] == "application/json", kind
        assert "The stored picture cannot be shown" in client.get("/probes/run0probe3").text


def test_what_is_asked_for_is_not_echoed_as_markup(service: tuple[Serving, list[str]]) -> None:
    with service[0].client(accept="text/html") as client:
        for path, name in (
            ("/runs", "text"),
            ("/runs", "endpoint"),
            ("/search", "feature"),
            ("/diff", "a"),
            ("/sql", "q"),
            ("/login", "next"),
        ):
            given = {name: hostile.WORDS, "b": "x"}
            seen = Seen()
            seen.feed(client.get(path, params=given).text)
            assert seen.acts == [], path
        seen = Seen()
        seen.feed(client.get("/runs/%3Cscript%3Ealert(1)%3C%2Fscript%3E%22onload=x").text)
        assert seen.acts == []


def test_nul_and_lone_surrogates_are_asked_for_without_harm(service: tuple[Serving, list[str]]) -> None:
    with service[0].client(accept="text/html") as client:
        for path in (
            "/runs?text=%00",
            "/runs?text=%ED%A0%80",
            "/search?feature=%00",
            "/sql?q=SELECT+'%00'",
            "/runs/%00",
            "/probes/%ED%A0%80",
        ):
            assert client.get(path).status_code in {200, 400, 404}, path
        lone = client.post(
            "/api/v1/sql", content=b'{"sql": "SELECT \'\\ud800\'"}', headers={"content-type": "application/json"}
        )
        assert lone.status_code in {400, 422}
