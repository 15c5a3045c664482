"""Runs that the service carries out: submitted, watched, cancelled, and gone on with after its end."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.program import texts_endpoint, write
from tests.servers import RunningServer
from tests.web.serving import SECRET, TEXT, Serving, project, serving, waited


def slow_config(url: str, *, text: str = TEXT, budget: int = 40, rate: str = "20/s") -> dict[str, Any]:
    """Requests one at a time."""
    entry = {
        "kind": "text",
        "inputs": {"inline": [text]},
        "endpoints": ["words"],
        "methods": ["kernelshap"],
        "target": "long",
        "budget": budget,
    }
    words = texts_endpoint(url, batch=1, limits={"rate": rate, "concurrency": 1})
    return {"endpoints": {"words": words}, "probes": {"reviews": entry}}


@contextmanager
def empty(folder: Path, url: str) -> Iterator[tuple[Serving, httpx.Client]]:
    """A service of one's own, to be ended."""
    project(folder, url)
    write(folder, slow_config(url), name="slow.yaml")
    with serving(folder) as service, service.client() as client:
        yield service, client


@pytest.fixture(scope="module")
def working(running: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, httpx.Client]]:
    """One for the others, each of which asks about a text of its own."""
    with empty(tmp_path_factory.mktemp("working"), running.url) as found:
        yield found


def slow(service: Serving, url: str, text: str) -> str:
    """A config that nobody else uses."""
    name = f"{text.split()[0]}.yaml"
    write(service.folder, slow_config(url, text=text), name=name)
    return name


def submit(client: httpx.Client, config: str, **options: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/jobs", json={"config": config, **options})
    assert answer.status_code == 202, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """(name, data) of server-sent events."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_a_run_is_submitted_watched_and_its_results_are_there(
    running: RunningServer, working: tuple[Serving, httpx.Client]
) -> None:
    service, client = working
    config = slow(service, running.url, "watched closely while it took so long")
    assert config in client.get("/api/v1/configs").json()["configs"]
    job = submit(client, config, seed=3)
    assert (job["status"], job["options"], job["by"]) == ("queued", {"seed": 3}, "local")
    with client.stream("GET", f"/api/v1/jobs/{job['id']}/events") as stream:
        told = list(events(stream.iter_lines()))
    names = [name for name, _ in told]
    assert names[-1] == "end"
    assert [name for name in names if name in {"RunStarted", "ProbeFinished", "RunFinished"}] == [
        "RunStarted", "ProbeFinished", "RunFinished",
    ]  # fmt: skip
    progress = [data for name, data in told if name == "progress"]
    assert [each["done"] for each in progress] == sorted(each["done"] for each in progress)
    assert len({each["done"] for each in progress}) > 2  # it was seen to grow
    assert progress[-1]["over"]
    ended = waited(client, job["id"], until=["finished"])
    run = client.get(f"/api/v1/runs/{ended['run']}").json()
    assert (run["status"], run["seed"], ended["exit_code"]) == ("finished", 3, 0)
    assert progress[-1]["done"] == run["totals"]["evaluations"] - run["totals"]["from_ledger"]
    logged = [line for line in service.lines() if line.get("job") == job["id"]]
    assert {line["run"] for line in logged} == {run["id"]}
    assert [line["event"] for line in logged] == ["RunStarted", "ProbeFinished", "RunFinished"]


def test_what_is_wrong_with_a_config_is_said_when_it_is_submitted(working: tuple[Serving, httpx.Client]) -> None:
    service, client = working
    outside = service.folder.parent / "elsewhere.yaml"
    outside.write_text("secret: yes\n")
    before = [each["id"] for each in client.get("/api/v1/jobs").json()["jobs"]]
    (service.folder / "broken.yaml").write_text("endpoints: {words: {url: 7}}\nprobes: {}\n")
    for given, words in [
        ({"config": "nothing.yaml"}, "there is no config 'nothing.yaml'"),
        ({"config": "../elsewhere.yaml"}, "there is no config '../elsewhere.yaml'"),
        ({"config": str(outside)}, "there is no config"),
        ({"config": "broken.yaml"}, "'probes' is missing"),
        ({"config": "probe.yaml", "only": ["loan"]}, "it has no 'loan'; it has reviews, pictures, loans"),
        ({"config": "probe.yaml", "only": [SECRET]}, "it has no '[redacted]'"),
        ({"config": "probe.yaml", "budget": "many"}, "budget"),
        ({"config": "probe.yaml", "rate": "fast"}, "rate 'fast'"),
        ({"config": "slow.yaml", "surveys": True}, "it has no surveys"),
    ]:
        answer = client.post("/api/v1/jobs", json=given)
        assert answer.status_code == 400, given
        assert words in answer.json()["error"]
    assert client.post("/api/v1/jobs", json={"config": "probe.yaml", "sudo": 1}).status_code == 422
    assert [each["id"] for each in client.get("/api/v1/jobs").json()["jobs"]] == before


def test_surveys_are_carried_out_and_shown(working: tuple[Serving, httpx.Client]) -> None:
    _, client = working
    ended = waited(client, submit(client, "probe.yaml", surveys=True)["id"], until=["finished", "failed"])
    assert ended["exit_code"] == 0, ended
    probes = client.get(f"/api/v1/runs/{ended['run']}/probes").json()["probes"]
    assert [each["method"] for each in probes] == ["permutation", "pdp"]
    for each in probes:
        page = client.get(f"/probes/{each['id']}", headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "A survey asks about many inputs at once" in page.text
        assert client.get(f"/api/v1/probes/{each['id']}/evaluations").json()["total"] == 0
    assert "mean score with one column set" in page.text


def test_runs_at_one_endpoint_wait_for_each_other_and_a_waiting_one_is_cancelled(
    running: RunningServer, working: tuple[Serving, httpx.Client]
) -> None:
    service, client = working
    config = slow(service, running.url, "crowded endpoints wait for each other")
    first = submit(client, config)
    waited(client, first["id"], until=["running"])
    second = submit(client, config, seed=2)
    other = submit(client, "probe.yaml", only=["loans"])
    assert waited(client, other["id"], until=["finished", "failed"])["exit_code"] == 0  # another endpoint
    assert client.get(f"/api/v1/jobs/{second['id']}").json()["status"] == "queued"
    assert client.post(f"/api/v1/jobs/{second['id']}/cancel").json()["status"] == "cancelled"
    assert client.get(f"/api/v1/jobs/{first['id']}").json()["status"] == "running"
    client.post(f"/api/v1/jobs/{first['id']}/cancel")
    ended = waited(client, first["id"], until=["cancelled"])
    assert client.get(f"/api/v1/runs/{ended['run']}").json()["status"] == "interrupted"
    assert client.post("/api/v1/jobs/nothing/cancel").status_code == 404


def test_sigterm_lets_answers_in_and_the_next_process_goes_on(server: RunningServer, tmp_path: Path) -> None:
    with empty(tmp_path, server.url) as (service, client):
        job = submit(client, "slow.yaml")
        running = waited(client, job["id"], until=["running"])
        with client.stream("GET", f"/api/v1/jobs/{job['id']}/events") as stream:
            for name, data in events(stream.iter_lines()):
                if name == "progress" and data["done"] >= 3:
                    running = {**running, "run": data["run"]}
                    service.process.send_signal(signal.SIGTERM)
                    break
            assert service.process.wait(timeout=60) == 0
    with serving(tmp_path) as _again, _again.client() as client:
        ended = waited(client, job["id"], until=["finished", "failed"])
        assert (ended["run"], ended["exit_code"]) == (running["run"], 0)
        totals = client.get(f"/api/v1/runs/{ended['run']}").json()["totals"]
    assert totals["unsure"] == totals["maybe_billed"] == 0
    assert server.counts()["billed_twice"] == 0


def test_a_job_of_a_killed_process_is_taken_up_by_the_next(server: RunningServer, tmp_path: Path) -> None:
    with empty(tmp_path, server.url) as (service, client):
        job = submit(client, "slow.yaml")
        waited(client, job["id"], until=["running"])
        service.process.kill()
        service.process.wait()
    with serving(tmp_path) as again, again.client() as client:
        ended = waited(client, job["id"], until=["finished", "failed"])  # once the dead one was silent for ten seconds
        assert ended["exit_code"] == 0
        assert client.get("/api/v1/jobs").json()["jobs"][0]["id"] == job["id"]


def test_a_run_is_asked_for_with_the_form(working: tuple[Serving, httpx.Client]) -> None:
    _, client = working
    before = len(client.get("/api/v1/jobs").json()["jobs"])
    page = client.get("/queue", headers={"accept": "text/html"}).text
    form_key = page.partition('name="form_key" value="')[2][:64]
    fields = {"form_key": form_key, "config": "probe.yaml", "what": "probes", "only": "pictures", "seed": ""}
    wrong = client.post("/queue", data=fields | {"budget": "many"})
    assert wrong.status_code == 400
    assert "many" in wrong.text
    assert client.post("/queue", data=fields | {"form_key": ""}).status_code == 403
    assert client.post("/queue", data=fields).headers["location"] == "/queue"
    job, *others = client.get("/api/v1/jobs").json()["jobs"]
    assert len(others) == before
    assert job["options"] == {"only": ["pictures"]}
    ended = waited(client, job["id"], until=["finished"])
    assert f'href="/runs/{ended["run"]}"' in client.get("/queue", headers={"accept": "text/html"}).text
    assert f"{job['id']},probe.yaml,finished,{ended['run']},local," in client.get("/queue.csv").text
