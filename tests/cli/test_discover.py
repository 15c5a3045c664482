"""``probe discover`` against servers that publish what real ones do: from a URL to a checked endpoint and a first run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from tests.cli.program import here, probe, texts_config, write
from tests.cli.publishing import publishing
from tests.unit.discovery import published


def iris(path: str, body: Any) -> tuple[int, Any]:
    """Three classes of rows, by V2 or V1."""

    def proba(row: list[float]) -> list[float]:
        a, b, c = (math.exp(row[0] - row[k]) for k in (1, 2, 3))
        return [a / (a + b + c), b / (a + b + c), c / (a + b + c)]

    if path.endswith(":predict"):
        return 200, {"predictions": [proba(row) for row in body["instances"]]}
    tensor = body["inputs"][0]
    assert tensor["shape"] == [len(tensor["data"]), 4]
    assert body["outputs"] == [{"name": "predict_proba"}]
    data = [value for row in tensor["data"] for value in proba(row)]
    shape = [len(tensor["data"]), 3]
    output = {"name": "predict_proba", "datatype": "FP64", "shape": shape, "data": data}
    return 200, {"model_name": "iris", "outputs": [output]}


def sentiment(path: str, body: Any) -> tuple[int, Any] | web.Response:
    """Texts, as BentoML, FastAPI, Gradio or a chat model answer."""
    if path.endswith("/completions"):
        text = body["messages"][0]["content"].rpartition("\n\n")[2]
        tops = [{"token": " positive", "logprob": math.log(_positive(text))}]
        tops += [{"token": " negative", "logprob": math.log(1 - _positive(text))}]
        return 200, {"choices": [{"logprobs": {"content": [{"token": " positive", "top_logprobs": tops}]}}]}
    if "/gradio_api/call/" in path:
        return _call(path, body)
    text = body["text"]
    return 200, {"negative": 1 - _positive(text), "positive": _positive(text)}


def _call(path: str, body: Any) -> tuple[int, Any] | web.Response:
    """Gradio's queue: a call gets an id, under which a stream of events ends with the result."""
    if body is not None:
        return 200, {"event_id": body["data"][0].encode().hex()}
    text = bytes.fromhex(path.rpartition("/")[2]).decode()
    scores = {"negative": 1 - _positive(text), "positive": _positive(text)}
    confidences = [{"label": label, "confidence": score} for label, score in scores.items()]
    data = json.dumps([{"label": "positive", "confidences": confidences}])
    return web.Response(text=f"event: complete\ndata: {data}\n\n", content_type="text/event-stream")


def _positive(text: str) -> float:
    return 1 / (1 + math.exp(-text.count("example") - 0.01 * len(text)))


@pytest.mark.parametrize(
    ("documents", "answer", "name", "target"),
    [
        (published.MLSERVER, iris, "iris", "0"),
        ({**published.KSERVE, "GET /v2/models/iris": {}}, iris, "iris", "0"),
        (published.BENTOML, sentiment, "sentiment", "positive"),
        (published.FASTAPI, sentiment, "sentiment", "positive"),
        (published.GRADIO, sentiment, "sentiment", "positive"),
        (published.LLAMA, sentiment, "tiny", "positive"),
    ],
    ids=["mlserver", "kserve", "bentoml", "fastapi", "gradio", "openai"],
)
def test_from_a_url_to_a_checked_endpoint_and_a_run(
    documents: published.Documents, answer: Any, name: str, target: str, tmp_path: Path
) -> None:
    with publishing(documents, answer) as server:
        only = [] if name == "tiny" else ["--model", name]
        drafted = here("discover", server.url, *only, "--out", "probe.yaml", cwd=tmp_path)
        assert drafted.code == 0, drafted.err
        assert server.predictions == []
        assert drafted.err.splitlines()[-1] == (
            f"drafted {name} from {_source(documents)}; next: probe check-endpoint {name} -c probe.yaml"
        )
        rows = [] if target == "positive" else ["--input", '{"a": 5, "b": 3, "c": 1, "d": 0}']
        checked = here("check-endpoint", name, *rows, "--json", cwd=tmp_path)
        assert checked.code == 0, checked.err
        assert [row["scores"].keys() >= {target} for row in checked.json["exchanges"][0]["rows"]] == [True]
        sent = len(server.predictions)
        assert sent == len(checked.json["exchanges"]) <= 3
        if not rows or documents is published.MLSERVER:  # the width of KServe's rows is published nowhere
            run = here("run", "--json", cwd=tmp_path)
            assert run.code == 0, run.err
            assert {each["status"] for each in run.json["probes"]} == {"finished"}
            if not rows:  # the check's answers are in the ledger
                assert run.json["totals"]["from_ledger"] >= 1


def _source(documents: published.Documents) -> str:
    if "GET /v2/models/text" in documents:
        return "Open Inference Protocol V2"
    marks = {"GET /docs.json": "BentoML", "GET /openapi.json": "OpenAPI", "GET /gradio_api/info": "Gradio"}
    return next((source for mark, source in marks.items() if mark in documents), "model list")


def test_the_draft_goes_to_standard_output_and_the_questions_to_standard_error(tmp_path: Path) -> None:
    with publishing(published.BENTOML) as server:
        done = probe("discover", server.url, "--model", "classify", "--name", "bento", cwd=tmp_path)
    assert done.code == 0, done.err
    assert list(yaml.safe_load(done.out)["endpoints"]) == ["bento"]
    assert "GET /v2: 404\n" in done.err
    assert "GET /docs.json: 200 application/json; charset=utf-8" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "probe.yaml").write_text("mine", encoding="utf-8")
    with publishing(published.BENTOML) as server:
        done = here("discover", server.url, "--out", "probe.yaml", cwd=tmp_path)
        assert server.seen == []
    assert done.code == 2
    assert "exists already" in done.error
    assert (tmp_path / "probe.yaml").read_text(encoding="utf-8") == "mine"


def test_a_draft_is_added_to_a_config_that_then_works(tmp_path: Path) -> None:
    path = write(tmp_path, texts_config("http://127.0.0.1:9"))
    path.chmod(0o600)
    with publishing(published.FASTAPI, sentiment) as server:
        only = ("--model", "sentiment")
        done = here("discover", server.url, *only, "--append", "probe.yaml", "--name", "new", cwd=tmp_path)
        assert done.code == 0, done.err
        again = here("discover", server.url, *only, "--append", "probe.yaml", "--name", "new", cwd=tmp_path)
        assert again.code == 2
        assert "'new' already" in again.error
        checked = here("check-endpoint", "new", "--input", "an example", cwd=tmp_path)
    assert checked.code == 0, checked.err
    assert list(yaml.safe_load(path.read_text(encoding="utf-8"))["endpoints"]) == ["new", "words"]
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(each.name for each in tmp_path.iterdir()) == ["probe.db", "probe.yaml"]


def test_secrets_go_out_by_reference_and_into_the_draft_as_one(tmp_path: Path) -> None:
    with publishing(published.LLAMA) as server:
        options = ("--auth", '{bearer: "${LLAMA_KEY}"}', "--header", "x-tenant: ${TENANT}")
        secrets = {"LLAMA_KEY": "sk-very-secret", "TENANT": "tenant-very-secret"}
        done = here("discover", server.url, *options, cwd=tmp_path, env=secrets)
        assert done.code == 0, done.err
        assert server.headers["authorization"] == "Bearer sk-very-secret"
        assert server.headers["x-tenant"] == "tenant-very-secret"
        unset = here("discover", server.url, *options, cwd=tmp_path)
        written = here("discover", server.url, "--auth", "{bearer: sk-very-secret}", cwd=tmp_path)
    entry = yaml.safe_load(done.out)["endpoints"]["tiny"]
    assert entry["auth"] == {"bearer": "${LLAMA_KEY}"}
    assert entry["headers"] == {"x-tenant": "${TENANT}"}
    assert "very-secret" not in done.out + done.err
    assert (unset.code, written.code) == (2, 2)
    assert "LLAMA_KEY" in unset.error
    assert "never written" in written.error
    assert "very-secret" not in written.err


def test_a_server_that_wants_credentials(tmp_path: Path) -> None:
    refused = {f"GET {path}": web.Response(status=401) for path in ("/v2", "/v1/models", "/openapi.json")}
    with publishing(refused) as server:
        done = here("discover", server.url, cwd=tmp_path)
    assert done.code == 4
    assert "wants credentials (HTTP 401)" in done.error
    assert "--auth" in done.error


def test_redirects_are_told_and_not_followed(tmp_path: Path) -> None:
    with publishing(published.LLAMA) as elsewhere:
        paths = ("/v2", "/v1/models", "/gradio_api/info", "/docs.json", "/openapi.json", "/ping", "/api-description")
        moved = {f"GET {path}": web.Response(status=307, headers={"location": elsewhere.url + path}) for path in paths}
        moved["OPTIONS /"] = web.Response(status=307, headers={"location": elsewhere.url})
        with publishing(moved) as server:
            done = here("discover", server.url, cwd=tmp_path)
        assert elsewhere.seen == []
    assert done.code == 4
    assert f"redirects to {elsewhere.url}/v2, which is not followed" in done.error


def test_hostile_answers_end_in_one_line(tmp_path: Path) -> None:
    documents = {
        "GET /v2": web.Response(body=b"[" * 100_000, content_type="application/json"),
        "GET /v1/models": {"data": [{"id": "\x1b[2J\u202e" * 3}], "models": "x" * 10_000},
        "GET /docs.json": web.Response(body=b"x" * 5_000_000, content_type="application/json"),
        "GET /openapi.json": web.Response(
            body=b'{"openapi": NaN}', headers={"content-type": "application/json\x1b[31m".replace("\x1b", "")}
        ),
    }
    with publishing(documents) as server:
        done = here("discover", server.url, cwd=tmp_path)
    assert done.code == 0, done.err
    assert (done.out + done.err).replace("\n", "").isprintable()
    assert list(yaml.safe_load(done.out)["endpoints"]) == ["2J-2J-2J"]
    assert server.predictions == []


def test_an_endless_document_is_cut_off(tmp_path: Path) -> None:
    documents = {**published.FASTAPI, "GET /docs.json": web.Response(body=b"x" * 5_000_000)}
    with publishing(documents) as server:
        done = here("discover", server.url, "--model", "credit", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "GET /docs.json: an answer of more than 4194304 bytes" in done.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["http://127.0.0.1:9"], 4, "no connection"),
        (["127.0.0.1:9"], 2, "https://host/path"),
        (["http://user:pw@127.0.0.1:9"], 2, "user name or password"),
        (["http://127.0.0.1:9", "--out", "a", "--append", "b"], 2, "choose one"),
        (["http://127.0.0.1:9", "--append", "none.yaml"], 2, "no such file"),
        (["http://127.0.0.1:9", "--out", "none/a.yaml"], 2, "no directory"),
        (["http://127.0.0.1:9", "--header", "x-key"], 2, "Name: value"),
        (["http://127.0.0.1:9", "--auth", "{"], 2, "not YAML"),
        (["http://127.0.0.1:9", "--auth", "{bear: x}"], 2, "bear"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    done = here("discover", *arguments, cwd=tmp_path)
    assert done.code == code, done.err
    assert words in done.error
