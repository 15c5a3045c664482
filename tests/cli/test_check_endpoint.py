"""``probe check-endpoint``: what it sends, what it shows, what it warns of, and how it ends."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from tests.cli.program import (
    here,
    pictures_endpoint,
    rows_endpoint,
    texts_config,
    texts_endpoint,
    write,
)
from tests.cli.publishing import Publisher, publishing
from tests.servers import RunningServer

Rows = Callable[[list[str]], Any]


def config(url: str, **changes: Any) -> dict[str, Any]:
    """One endpoint for texts, in batches of eight."""
    endpoint = {
        "url": f"{url}/classify",
        "json": {"texts": [{"$each": "{{ x }}"}]},
        "items": "rows",
        "scores": {"map": "@"},
        "batch": 8,
        **changes,
    }
    probes = {"reviews": {"kind": "text", "inputs": {"inline": ["good", "bad"]}, "endpoints": ["words"]}}
    return {
        "endpoints": {"words": {key: value for key, value in endpoint.items() if value is not None}},
        "probes": {"reviews": {**probes["reviews"], "methods": ["occlusion"]}},
    }


def scores(text: str) -> dict[str, float]:
    return {"no": 0.25, "yes": 0.75} if text == "good" else {"no": 0.5, "yes": 0.5}


def best(text: str) -> dict[str, float]:
    """Two of three labels."""
    return {label: 0.9 * score for label, score in scores(text).items()}


def rows(texts: list[str]) -> Any:
    return 200, {"rows": [scores(text) for text in texts]}


def answering(make: Rows) -> Callable[[str, Any], Any]:
    return lambda _, body: make(body["texts"])


def codes(report: Any) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def test_three_requests_show_the_exchange_the_scores_and_the_cost(server: RunningServer, tmp_path: Path) -> None:
    endpoint = {"limits": {"rate": "10/s"}, "price": {"request": 0.002}}
    write(tmp_path, texts_config(server.url, endpoint=endpoint))
    done = here("check-endpoint", "words", cwd=tmp_path)
    assert done.code == 0, done.err
    assert server.counts()["requests"] == 3
    assert done.err == "words: sending 3 requests (one input, the same input again, a batch), at most 0.006 USD\n"
    lines = done.out.splitlines()
    assert lines[:2] == ["== one input", f"> POST {server.url}/v1/echo-length/predict"]
    assert '> {"inputs":["the refund took exceedingly long this time"]}' in lines
    assert "> the same request" in lines
    assert "< the same body" in lines
    assert "== a batch of 2" in lines
    assert sum(line.startswith("=> ") for line in lines) == 4
    assert "this check: 3 requests, 0.006 USD" in lines
    assert any(line.startswith("to come: the config's probes: ") and "0.1 s under its limit" in line for line in lines)


def test_its_answers_are_in_the_ledger_and_a_run_uses_them(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    checked = here("check-endpoint", "words", cwd=tmp_path)
    assert checked.code == 0, checked.err
    planned = here("plan", "--json", cwd=tmp_path).json
    assert planned["probes"][0]["in_ledger"] >= 1
    again = here("check-endpoint", "words", cwd=tmp_path)  # a check is a check: it asks anew
    assert again.code == 0, again.err
    assert server.counts()["requests"] == 6


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (["a text"], ["a text"]),
        (["note.txt"], ["from a file"]),
        (["a text", "another"], ["another", "a text"]),
    ],
)
def test_texts_given_on_the_command_line(
    given: list[str], sent: list[str], server: RunningServer, tmp_path: Path
) -> None:
    write(tmp_path, texts_config(server.url))
    (tmp_path / "note.txt").write_text("from a file\n", encoding="utf-8")
    options = [part for text in given for part in ("--input", text)]
    done = here("check-endpoint", "words", *options, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    first, *_, batch = (json.loads(each["request"]["body"])["inputs"] for each in done.json["exchanges"])
    assert first == [sent[-1]]
    assert batch == (sent if len(sent) > 1 else [sent[0], sent[0]])


def test_rows_and_pictures(server: RunningServer, tmp_path: Path) -> None:
    row = {"a": 1.5, "b": 2, "c": 3, "d": 4}
    Image.fromarray(np.full((8, 8, 3), 128, dtype=np.uint8)).save(tmp_path / "grey.png")
    (tmp_path / "rows.csv").write_text("a,b,c,d\n1.5,2,3,4\n", encoding="utf-8")
    (tmp_path / "row.json").write_text(json.dumps(row), encoding="utf-8")
    endpoints = {
        "rows": rows_endpoint(server.url),
        "pictures": pictures_endpoint(server.url),
        "words": texts_endpoint(server.url),
    }
    write(tmp_path, {**texts_config(server.url), "endpoints": endpoints})
    for given in (json.dumps(row), "row.json", "rows.csv"):
        done = here("check-endpoint", "rows", "--input", given, "--json", cwd=tmp_path)
        assert done.code == 0, done.err
        assert json.loads(done.json["exchanges"][0]["request"]["body"]) == {"inputs": [row]}
        assert "a probe like this input with shapley: 15 evaluations in 2 requests" in done.json["foreseen"]
    picture = here("check-endpoint", "pictures", "--input", "grey.png", "--json", cwd=tmp_path)
    assert picture.code == 0, picture.err
    assert "a probe like this input with shapley: at most " in picture.json["foreseen"]
    misfit = here("check-endpoint", "pictures", "--input", "a text", cwd=tmp_path)
    assert misfit.code == 2
    assert "png and jpeg does not apply to text" in misfit.error
    assert "nothing was sent" in misfit.error


def test_a_budget_stops_it_and_what_came_is_shown(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    done = here("check-endpoint", "words", "--budget", "1req", cwd=tmp_path)
    assert done.code == 3
    assert "budget of 1 requests" in done.error
    assert server.counts()["requests"] == 1
    assert "=> " in done.out
    assert here("check-endpoint", "words", "--budget", "2usd", cwd=tmp_path).code == 2  # it has no price


def test_secrets_are_shown_nowhere(tmp_path: Path) -> None:
    secret = "sk-0123456789-very-secret"

    def echo(_: str, body: Any) -> web.Response:
        text = json.dumps({"rows": [scores(text) for text in body["texts"]], "key": secret})
        return web.Response(text=text, content_type="application/json", headers={"x-key": f"Bearer {secret}"})

    with publishing({}, echo) as server:
        write(tmp_path, config(server.url, auth={"bearer": "${VENDOR_KEY}"}))
        shown = [
            here("check-endpoint", "words", *options, cwd=tmp_path, env={"VENDOR_KEY": secret})
            for options in ((), ("--full",), ("--json",))
        ]
        assert server.headers["authorization"] == f"Bearer {secret}"
    for done in shown:
        assert done.code == 0, done.err
        assert secret not in done.out + done.err
        assert "[redacted]" in done.out
    assert "> authorization: Bearer [redacted]" in shown[0].out
    assert "< x-key: Bearer [redacted]" in shown[0].out


def test_a_signature_is_not_shown(tmp_path: Path) -> None:
    keys = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
    with publishing({}, answering(rows)) as server:
        write(tmp_path, config(server.url, auth={"aws_sigv4": {"service": "comprehend", "region": "us-east-1"}}))
        done = here("check-endpoint", "words", cwd=tmp_path, env=keys)
        signed = server.headers["authorization"]
    assert done.code == 0, done.err
    assert signed.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "> authorization: [redacted]" in done.out
    assert signed.rpartition("Signature=")[2] not in done.out
    assert keys["AWS_SECRET_ACCESS_KEY"] not in done.out


def test_the_body_of_a_refusal_is_shown(tmp_path: Path) -> None:
    with publishing({}, lambda *_: (422, {"detail": [{"loc": ["body", "txt"], "msg": "field required"}]})) as server:
        write(tmp_path, config(server.url))
        done = here("check-endpoint", "words", cwd=tmp_path)
        assert len(server.predictions) == 1
        as_json = here("check-endpoint", "words", "--json", cwd=tmp_path)
    assert done.code == 4
    assert "'words'" in done.error
    assert "HTTP 422" in done.error
    assert "< 422 after" in done.out
    assert '< {"detail": [{"loc": ["body", "txt"], "msg": "field required"}]}' in done.out
    assert as_json.code == 4
    assert as_json.json["exchanges"][0]["response"]["status"] == 422


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda *_: (500, {"error": "model crashed"}), "HTTP 500"),
        (lambda *_: (429, {"error": "slow down"}), "HTTP 429"),
        (lambda *_: (401, {"error": "who are you"}), "HTTP 401"),
        (lambda *_: web.Response(text="<html>hello</html>", content_type="text/html"), "a page instead of JSON"),
        (lambda *_: (200, {"rows": []}), "0 rows for 1 inputs"),
        (lambda *_: (200, {"results": []}), "'rows' finds nothing"),
        (lambda *_: (200, {"rows": [{"yes": "high"}]}), "'high', not a number"),
        (lambda *_: (200, {"rows": [{"yes": None}]}), "not a number"),
    ],
)
def test_what_is_no_answer_ends_in_one_line_and_one_request(answer: Any, words: str, tmp_path: Path) -> None:
    with publishing({}, answer) as server:
        write(tmp_path, config(server.url))
        done = here("check-endpoint", "words", cwd=tmp_path)
        assert len(server.predictions) == 1
    assert done.code == 4, done.err
    assert words in done.error
    assert "== one input" in done.out
    assert "< " in done.out


def test_a_batch_that_is_refused_is_not_taken_apart(tmp_path: Path) -> None:
    def single_only(texts: list[str]) -> Any:
        return rows(texts) if len(texts) == 1 else (400, {"error": "one text, please"})

    with publishing({}, answering(single_only)) as server:
        write(tmp_path, config(server.url))
        done = here("check-endpoint", "words", cwd=tmp_path)
        assert len(server.predictions) == 3
    assert done.code == 4
    assert "one text, please" in done.error
    assert "== a batch of 2" in done.out


def test_a_batch_that_is_too_large_is_not_made(tmp_path: Path) -> None:
    with publishing({}, answering(rows)) as server:
        write(tmp_path, config(server.url, batch={"max_items": 8, "max_bytes": 20}))
        done = here("check-endpoint", "words", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert [each["what"] for each in done.json["exchanges"]] == ["one input", "the same input again", "another input"]


def test_nobody_there(tmp_path: Path) -> None:
    write(tmp_path, config("http://127.0.0.1:9"))
    done = here("check-endpoint", "words", cwd=tmp_path)
    assert done.code == 4
    assert "no connection" in done.error
    assert "< no answer: " in done.out


def test_rows_in_another_order_are_found(tmp_path: Path) -> None:
    def reversed_rows(texts: list[str]) -> Any:
        return rows(texts[::-1])

    with publishing({}, answering(reversed_rows)) as server:
        write(tmp_path, config(server.url))
        done = here("check-endpoint", "words", cwd=tmp_path)
    assert done.code == 1
    assert "P404: an input is answered differently in a batch than alone" in done.out
    assert "the rows come in another order (probe explain P404)" in done.out
    assert here("explain", "P404", cwd=tmp_path).code == 0


def test_noise_is_found_and_measured(tmp_path: Path) -> None:
    drift = itertools.count()

    def noisy(texts: list[str]) -> Any:
        shift = 0.05 * (next(drift) % 2)
        return 200, {"rows": [{"no": scores(text)["no"] - shift, "yes": scores(text)["yes"] + shift} for text in texts]}

    with publishing({}, answering(noisy)) as server:
        write(tmp_path, config(server.url, batch=1))
        done = here("check-endpoint", "words", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["findings"] == [{"code": "P405", "message": "asked twice, its scores differ by up to 0.05"}]
    assert [each["what"] for each in done.json["exchanges"]] == ["one input", "the same input again", "another input"]


@pytest.mark.parametrize(
    ("changes", "answer", "expected"),
    [
        ({}, answering(rows), []),
        ({}, answering(lambda texts: (200, {"rows": [{"no": 0.9, "yes": 0.9}] * len(texts)})), ["P401", "P408"]),
        ({}, answering(lambda texts: (200, {"rows": [{"no": 0, "yes": 1}] * len(texts)})), ["P402", "P408"]),
        ({"missing": "censored"}, answering(rows), []),  # what adds up to 1 leaves nothing to others
        ({"missing": "censored"}, answering(lambda texts: (200, {"rows": [best(text) for text in texts]})), ["P403"]),
        (
            {},
            lambda _, body: web.Response(text=json.dumps(rows(body["texts"])[1]), content_type="text/html"),
            ["P406"],
        ),
        (
            {},
            lambda _, body: web.json_response(rows(body["texts"])[1], headers={"ratelimit-policy": "60;w=60"}),
            ["P407"],
        ),
    ],
    ids=["good", "sum", "hard labels", "all labels", "top-k", "content type", "limits"],
)
def test_what_is_odd_has_a_code(changes: dict[str, Any], answer: Any, expected: list[str], tmp_path: Path) -> None:
    with publishing({}, answer) as server:
        write(tmp_path, config(server.url, **changes))
        done = here("check-endpoint", "words", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert codes(done.json) == expected


def chat(label_mass: float) -> Callable[[str, Any], Any]:
    import math

    def answer(_: str, body: Any) -> Any:
        positive = 0.8 if body["messages"][0]["content"] == "good" else 0.4
        tops = [
            {"token": " yes", "logprob": math.log(positive * label_mass)},
            {"token": "no", "logprob": math.log((1 - positive) * label_mass)},
        ]
        return 200, {"choices": [{"logprobs": {"content": [{"top_logprobs": tops}]}}]}

    return answer


@pytest.mark.parametrize(("mass", "expected"), [(0.99, []), (0.3, ["P104"])])
def test_the_mass_of_a_language_models_labels(mass: float, expected: list[str], tmp_path: Path) -> None:
    scores_of = {"logprobs": {"at": "choices[0].logprobs.content[0].top_logprobs", "labels": ["yes", "no"]}}
    body = {"messages": [{"role": "user", "content": "{{ x }}"}]}
    with publishing({}, chat(mass)) as server:
        write(tmp_path, config(server.url, json=body, scores=scores_of, items=None, batch=1))
        done = here("check-endpoint", "words", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert codes(done.json) == expected
    assert done.json["exchanges"][0]["rows"][0]["mass"] == pytest.approx(mass)


def test_hostile_answers_do_not_reach_the_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\u202elabel"

    def answer(_: str, body: Any) -> web.Response:
        text = json.dumps({"rows": [{evil: 0.5, "b": 0.5}] * len(body["texts"])}, ensure_ascii=False)
        return web.Response(body=text.encode(), headers={"content-type": "application/json", "x-a": "\x9b2J"})

    with publishing({}, answer) as server:
        write(tmp_path, config(server.url))
        done = here("check-endpoint", "words", "--full", cwd=tmp_path)
    assert done.code == 0, done.err
    assert (done.out + done.err).replace("\n", "").isprintable()
    assert "=> label 0.5 · b 0.5 · sum 1" in done.out


def test_a_form_with_a_picture_is_shown_with_escapes(tmp_path: Path) -> None:
    Image.fromarray(np.arange(3072, dtype=np.uint16).astype(np.uint8).reshape(32, 32, 3)).save(tmp_path / "a.png")
    form = {"image": {"content": "{{ x | png }}", "filename": "input.png", "type": "image/png"}}
    with publishing({}, lambda *_: (200, {"no": 0.25, "yes": 0.75})) as server:
        write(tmp_path, config(server.url, json=None, multipart=form, items=None, batch=1))
        refused = here("check-endpoint", "words", "--input", "a.png", cwd=tmp_path)
    assert refused.code == 4  # our server takes JSON only
    lines = refused.out.splitlines()
    assert r'> content-disposition: form-data; name="image"; filename="input.png"\r' in map(str.lower, lines)
    assert any(line.startswith(r"> \x89PNG") for line in lines)


def large(_: str, body: Any) -> web.Response:
    answer = {**rows(body["texts"])[1], "padding": "x" * 5000}
    return web.json_response(answer)


def test_long_bodies_are_cut_unless_asked_for(tmp_path: Path) -> None:
    with publishing({}, large) as server:
        write(tmp_path, config(server.url))
        cut = here("check-endpoint", "words", cwd=tmp_path)
        full = here("check-endpoint", "words", "--full", cwd=tmp_path)
    assert "bytes in all: --full shows them, --json has them" in cut.out
    assert max(map(len, cut.out.splitlines())) < 2000
    assert "x" * 5000 in full.out


def test_a_python_function_has_no_exchange_to_show(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def f(xs):\n    return [{'a': len(x) / 99, 'b': 1 - len(x) / 99} for x in xs]\n")
    document = config("http://127.0.0.1:9")
    document["endpoints"] = {"words": {"adapter": "callable", "function": "mine.py:f"}}
    write(tmp_path, document)
    done = here("check-endpoint", "words", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "=> [1] b 0.959596 · a 0.040404 · sum 1" in done.out


def test_names_and_inputs_that_are_missing(tmp_path: Path) -> None:
    document = config("http://127.0.0.1:9")
    document["endpoints"]["other"] = document["endpoints"]["words"]
    write(tmp_path, document)
    unknown = here("check-endpoint", "wrods", cwd=tmp_path)
    assert unknown.code == 2
    assert "did you mean 'words'?" in unknown.error
    without = here("check-endpoint", "other", cwd=tmp_path)
    assert without.code == 2
    assert "--input" in without.error
    broken = here("check-endpoint", "other", "--input", "{not json", cwd=tmp_path)
    assert broken.code == 2
    assert "begins like JSON" in broken.error


def test_a_probe_that_is_wrong_does_not_keep_an_endpoint_from_being_checked(tmp_path: Path) -> None:
    with publishing({}, answering(rows)) as server:
        document = config(server.url)
        document["probes"]["reviews"]["inputs"] = "none/*.txt"
        write(tmp_path, document)
        done = here("check-endpoint", "words", "--input", "good", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["foreseen"].startswith("a probe like this input with shapley: ")
    assert here("plan", cwd=tmp_path).code == 2


def test_a_survey_lends_its_inputs_without_the_truth(tmp_path: Path) -> None:
    def classify(_: str, body: Any) -> Any:
        assert set(body["rows"][0]) == {"age"}
        return 200, [{"no": 1 - row["age"] / 100, "yes": row["age"] / 100} for row in body["rows"]]

    inputs = {"inline": [{"age": 40, "paid": "yes"}, {"age": 60, "paid": "no"}]}
    with publishing({}, classify) as server:
        endpoint = {
            "url": f"{server.url}/c",
            "json": {"rows": [{"$each": "{{ x }}"}]},
            "scores": {"map": "@"},
            "batch": 4,
        }
        survey = {"inputs": inputs, "labels": "paid", "endpoints": ["loans"], "methods": ["pdp"]}
        write(tmp_path, {"endpoints": {"loans": endpoint}, "surveys": {"s": survey}})
        done = here("check-endpoint", "loans", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert codes(done.json) == []


def test_publisher_counts_predictions_apart() -> None:
    assert Publisher({"POST /a": 1}, lambda *_: (200, 1), seen=["POST /a", "POST /b", "GET /c"]).predictions == [
        "POST /b"
    ]
