"""What pages show, and the same as JSON and CSV: over a store that real runs filled."""

from __future__ import annotations

import csv
import io
import re
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.cli.program import here
from tests.web.conftest import Filled
from tests.web.serving import KEYS, SECRET, TEXT


def rows(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.text)))


def test_runs_are_found_by_facet_and_text(filled: Filled, client: httpx.Client) -> None:
    older, newer = filled.runs
    page = client.get("/runs").text
    assert page.index(f'href="/runs/{newer}"') < page.index(f'href="/runs/{older}"')
    assert client.get("/").headers["location"] == "/runs"
    for query in ("endpoint=words", "method=lime", "kind=tabular", "status=finished", "text=reviews", f"text={newer}"):
        assert f'href="/runs/{newer}"' in client.get(f"/runs?{query}").text, query
    assert "No run is like that" in client.get("/runs?endpoint=nobody").text
    assert [each["id"] for each in client.get("/runs.json").json()] == [newer, older]
    assert [each["id"] for each in rows(client.get("/runs.csv"))] == [newer, older]
    assert rows(client.get("/runs.csv"))[1]["from_ledger"] == "0"


def test_a_run_shows_its_explanations_as_show_does(filled: Filled, client: httpx.Client) -> None:
    run = filled.runs[-1]
    page = client.get(f"/runs/{run}").text
    for each in filled.probes(run):
        assert f'href="/probes/{each["id"]}"' in page
    shown = here("show", run, "--json", cwd=filled.service.folder, env=KEYS).json
    assert client.get(f"/runs/{run}.json").json() == shown
    assert client.get(f"/api/v1/runs/{run[:5]}").json()["probes"] == shown["probes"]
    found = rows(client.get(f"/runs/{run}.csv"))
    assert len(found) == sum(len(each["attributions"]) for each in shown["probes"])


def test_the_report_and_the_exports_are_those_of_the_commands(filled: Filled, client: httpx.Client) -> None:
    run, folder = filled.runs[0], filled.service.folder
    here("report", run, "-o", "report.html", cwd=folder, env=KEYS)
    assert client.get(f"/runs/{run}/report").text == (folder / "report.html").read_text(encoding="utf-8")
    here("export", run, "-o", "evaluations.jsonl", "--evaluations", cwd=folder, env=KEYS)
    given = client.get(f"/runs/{run}/export?format=jsonl&evaluations=true")
    assert given.content == (folder / "evaluations.jsonl").read_bytes()
    assert given.headers["content-disposition"] == f'attachment; filename="run-{run}-evaluations.jsonl"'


@pytest.mark.parametrize(("name", "method"), [("reviews", "occlusion"), ("pictures", "lime"), ("loans", "shapley")])
def test_an_explanation_has_its_card_its_picture_and_its_requests(
    filled: Filled, client: httpx.Client, name: str, method: str
) -> None:
    probe = filled.probe(name, method)
    page = client.get(f"/probes/{probe}").text
    assert "How far to trust it" in page
    assert ("Heat map of the attributions" in page) == (name == "pictures")
    told = client.get(f"/probes/{probe}.json").json()
    listed = client.get(f"/api/v1/probes/{probe}/evaluations").json()
    assert listed["total"] >= told["evaluations"] > 0
    assert f'href="/probes/{probe}/requests/0"' in page
    assert [float(row["value"]) for row in rows(client.get(f"/probes/{probe}.csv"))] == [
        share["value"] for share in told["attributions"]
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="the program that the line is for is not here")
@pytest.mark.parametrize(("name", "method"), [("reviews", "occlusion"), ("pictures", "lime"), ("loans", "shapley")])
def test_a_request_shown_is_the_request_that_was_sent(
    filled: Filled, client: httpx.Client, name: str, method: str
) -> None:
    probe = filled.probe(name, method)
    total = client.get(f"/api/v1/probes/{probe}/evaluations").json()["total"]
    for number in (0, total - 1):
        told = client.get(f"/probes/{probe}/requests/{number}.json").json()
        assert told["state"] == "answered"
        # sent again by hand it has the score of the ledger
        sent = subprocess.run(["sh", "-c", told["curl"]], env=KEYS, capture_output=True, text=True, check=True)
        label = {"reviews": "long", "pictures": "top-left", "loans": "positive"}[name]
        assert f'"{label}": {told["score"]}' in sent.stdout
        page = client.get(f"/probes/{probe}/requests/{number}").text
        assert "curl -sS -X POST" in page
        assert "Asked again" not in page
    assert client.get(f"/probes/{probe}/requests/{total}").status_code == 404


def test_the_command_names_the_secret_and_does_not_hold_it(filled: Filled, client: httpx.Client) -> None:
    probe = filled.probe("reviews", "occlusion")
    told = client.get(f"/probes/{probe}/requests/0.json").json()
    assert '-H "authorization: Bearer ${WEB_KEY}"' in told["curl"]
    assert TEXT in told["curl"]


def test_no_secret_is_on_any_page_nor_in_the_log(filled: Filled, client: httpx.Client) -> None:
    run, probe = filled.runs[-1], filled.probe("reviews", "shapley")
    paths = [
        "/runs", f"/runs/{run}", f"/runs/{run}.json", f"/runs/{run}/report", f"/probes/{probe}", f"/probes/{probe}.json",
        f"/probes/{probe}/requests/0", f"/probes/{probe}/requests/0.json", "/queue", "/metrics", "/api/v1/openapi.json",
        f"/runs/{run}/export?format=jsonl&evaluations=true", "/sql?q=SELECT+*+FROM+run", "/sql?q=SELECT+*+FROM+endpoint",
    ]  # fmt: skip
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert SECRET not in answer.text, path
    assert SECRET not in filled.service.log.read_text()


def test_two_runs_are_compared(filled: Filled, client: httpx.Client) -> None:
    older, newer = filled.runs
    page = client.get(f"/diff?a={older}&b={newer}").text
    assert "coalitions asked on both sides" in page
    by_command = here("diff", older, newer, "--json", cwd=filled.service.folder, env=KEYS).json
    assert client.get(f"/diff.json?a={older}&b={newer}").json() == by_command
    found = rows(client.get(f"/diff.csv?a={older}&b={newer}"))
    assert len(found) == sum(len(each["features"]) for each in by_command["probes"])
    missing = client.get(f"/diff?a={older}&b=nothing")
    assert missing.status_code == 404
    assert "&#39;nothing&#39; is neither a run" in missing.text


def test_a_probe_over_time(filled: Filled, client: httpx.Client) -> None:
    probe = filled.probe("loans", "shapley")
    page = client.get(f"/probes/{probe}/history").text
    assert "2 explanations" in page
    assert re.search(r'aria-label="Score over time: 2 values', page)
    found = rows(client.get(f"/probes/{probe}/history.csv"))
    assert [row["run"] for row in found[::4]] == list(filled.runs)
    assert client.get(f"/api/v1/probes/{probe}/history").json()["endpoint"] == "rows"


def test_attributions_are_searched(filled: Filled, client: httpx.Client) -> None:
    page = client.get("/search?feature=refund&method=occlusion").text
    assert "2 found" in page
    by_command = here("query", "--feature", "refund", "--json", cwd=filled.service.folder, env=KEYS).json
    assert client.get("/search.json?feature=refund").json() == by_command
    assert client.get("/search?run=nothing").status_code == 404


def test_sql_reads_and_nothing_else(client: httpx.Client) -> None:
    assert "<bdi>2</bdi>" in client.get("/sql?q=SELECT count(*) AS runs FROM run").text
    assert client.get("/sql.json?q=SELECT 1 AS one, NULL AS none").json() == [{"one": 1, "none": None}]
    for statement in ("DELETE FROM run", "SELECT 1; DELETE FROM run", "PRAGMA query_only=OFF", "ATTACH 'x.db' AS x"):
        refused = client.get("/sql", params={"q": statement})
        assert refused.status_code == 400, statement
    assert client.get("/api/v1/runs").json()["runs"] != []


def test_what_is_not_there_is_said(client: httpx.Client) -> None:
    for path in ("/runs/nothing", "/probes/nothing", "/instances/nothing/thumbnail", "/nowhere", "/static/x/site.css"):
        answer = client.get(path)
        assert answer.status_code == 404, path
        assert "<h1>Not Found</h1>" in answer.text
    assert client.get("/runs/nothing.json").json()["error"].startswith("sqlite:///")
    assert client.get("/runs?before=yesterday").status_code == 400


def test_files_of_pages_are_kept_and_nothing_else_is(client: httpx.Client) -> None:
    page = client.get("/runs").text
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', page)
    assert len(found) == 4
    for path in found:
        assert "immutable" in client.get(path).headers["cache-control"]
    assert not re.search(r'(?:href|src|action)="(?!/|#)', page)
    assert "<script>" not in page
    assert not re.search(r"<style|\son[a-z]+=", page)


def test_metrics_are_in_prometheus_format(client: httpx.Client) -> None:
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    seen: dict[str, float] = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            found = re.fullmatch(r'([a-z_]+(?:\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)*\})?) ([0-9.e+-]+)', line)
            assert found, line
            seen[found[1]] = float(found[2])
    assert seen['probe_jobs{status="queued"}'] == 0
    assert seen['probe_endpoint_requests_total{provider="http",model=""}'] > 0


def test_lines_of_the_log_are_json_and_say_what_was_asked(filled: Filled, client: httpx.Client) -> None:
    path = f"/runs/{filled.runs[0]}/report"
    client.get(f"{path}?asked=here")
    end = time.monotonic() + 10
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < end:  # it is written once the answer has gone
        found = [line for line in filled.service.lines() if line.get("path") == path]
    line = found[-1]
    assert (line["event"], line["method"], line["status"], line["route"]) == (
        "request",
        "GET",
        200,
        "/runs/{run_id}/report",
    )
    assert line["seconds"] >= 0
    assert "asked=here" not in filled.service.log.read_text()


def test_a_run_of_another_process_shows_how_far_it_is(filled: Filled, client: httpx.Client) -> None:
    run = filled.runs[0]
    database = filled.service.folder / "probe.db"

    def mark(status: str) -> None:
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE run SET status = ? WHERE id = ?", (status, run))

    mark("running")
    try:
        page = client.get(f"/runs/{run}").text
    finally:
        mark("finished")
    assert '<div class="live">' in page
    assert "Another process carries this run out" in page
    assert "&lt;div" not in page
