"""AWS, as far as moto stands in for it: signatures are verified, and permissions are kept, as its documentation says they are.

The answers are constant, and said to be ``text/html``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.etree import ElementTree as ET

import httpx
import numpy as np
import pytest

from adapters import HttpResponse, Prediction
from tests.endpoints.using import endpoint, probe_of, run, scores, send

SENTIMENT = """
    endpoints:
      sentiment:
        url: @url/
        headers: {content-type: application/x-amz-json-1.1, x-amz-target: Comprehend_20171127.DetectSentiment}
        auth: {aws_sigv4: {service: comprehend, region: us-east-1}}
        json: {Text: "{{ x }}", LanguageCode: @language}
        scores: {map: SentimentScore}
    probes:
      review:
        kind: text
        inputs: {inline: ["not a good film"]}
        endpoints: [sentiment]
        methods: [occlusion]
        target: Neutral
"""
LABELS = """
    endpoints:
      labels:
        url: @url/
        headers: {content-type: application/x-amz-json-1.1, x-amz-target: RekognitionService.DetectLabels}
        auth: {aws_sigv4: {service: rekognition, region: us-east-1}}
        json: {Image: {Bytes: "{{ x | png | b64 }}"}, MaxLabels: 50, MinConfidence: 0}
        scores: {pairs: {at: Labels, label: Name, score: Confidence, scale: 0.01, missing: censored}}
"""


@pytest.fixture(scope="module")
def keys(moto: str) -> Iterator[dict[str, str]]:
    """Credentials of a user who may ask Comprehend and Rekognition for these two things and nothing else."""
    reader = _user(moto, "reader", ["comprehend:DetectSentiment", "rekognition:DetectLabels"])
    # only a request that is signed rightly is answered from here on
    assert httpx.post(f"{moto}/moto-api/reset-auth", content="0").json()["status"] == "ok"
    yield reader
    httpx.post(f"{moto}/moto-api/reset-auth", content="inf")


def _user(moto: str, name: str, actions: list[str]) -> dict[str, str]:
    _iam(moto, "CreateUser", UserName=name)
    allowed = [{"Effect": "Allow", "Action": actions, "Resource": "*"}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
    _iam(moto, "PutUserPolicy", UserName=name, PolicyName="allowed", PolicyDocument=policy)
    created = _iam(moto, "CreateAccessKey", UserName=name)
    found = {each.tag.partition("}")[2]: each.text or "" for each in created.iter()}
    return {"AWS_ACCESS_KEY_ID": found["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": found["SecretAccessKey"]}


def _iam(moto: str, action: str, **parameters: str) -> ET.Element:
    """One call of IAM while signatures are not verified yet."""
    scope = "AWS4-HMAC-SHA256 Credential=nobody/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0"
    sent = {"Action": action, "Version": "2010-05-08", **parameters}
    answer = httpx.post(moto, data=sent, headers={"authorization": scope}).raise_for_status()
    return ET.fromstring(answer.text)


def test_200_with_xml_is_not_taken_for_an_answer(moto: str, tmp_path: Path) -> None:
    """A request without a signature is one to another service, by moto's lights, and that one answers."""
    unsigned = SENTIMENT.replace("auth: {aws_sigv4: {service: comprehend, region: us-east-1}}", "auth: none")
    done = run(tmp_path, unsigned, url=moto, language="en")
    assert done.code == 4
    assert "HTTP 200" in done.error
    assert "a page instead of JSON: '<?xml" in done.error
    assert done.json["totals"]["sent"] == 1


def test_a_signed_request_is_answered(moto: str, keys: dict[str, str], tmp_path: Path) -> None:
    done = run(tmp_path, SENTIMENT, keys, url=moto, language="en")
    assert done.code == 0, done.err
    found = probe_of(done, "review", "occlusion")
    assert found["full_value"] == pytest.approx(0.9916, abs=1e-4)
    assert {each["feature"]: each["value"] for each in found["attributions"]} == dict.fromkeys(
        ("not", "a", "good", "film"), 0
    )


def test_json_that_is_called_text_html_is_read(
    moto: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    adapter = endpoint(SENTIMENT, url=moto, language="en")
    answer = send(adapter, ["a good film"])
    assert isinstance(answer, HttpResponse)
    assert dict(answer.headers)["content-type"].startswith("text/html")
    [scored] = adapter.predictions(answer, 1)
    assert isinstance(scored, Prediction)
    assert set(scored.scores) == {"Positive", "Negative", "Neutral", "Mixed"}
    assert sum(scored.scores.values()) == pytest.approx(1, abs=1e-3)


def test_labels_of_a_picture_are_cut_off_where_the_service_stops(
    moto: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    adapter = endpoint(LABELS, url=moto)
    answer = send(adapter, [np.zeros((8, 8, 3), np.uint8)])
    assert isinstance(answer, HttpResponse)
    [scored] = adapter.predictions(answer, 1)
    assert isinstance(scored, Prediction)
    assert scored.scores["Mobile Phone"] == pytest.approx(0.99936, abs=1e-5)
    assert scored.censored
    assert scored.floor == min(scored.scores.values())


def test_presets_are_signed_alike(moto: str, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    pictures = """
        endpoints:
          labels: {adapter: aws-rekognition-labels, region: eu-west-1, url: @url/}
    """
    [found] = scores(endpoint(pictures, url=moto), [np.zeros((8, 8, 3), np.uint8)])
    assert found["Mobile Phone"] == pytest.approx(0.99936, abs=1e-5)


def test_a_wrong_secret_is_refused_in_one_line(moto: str, keys: dict[str, str], tmp_path: Path) -> None:
    done = run(tmp_path, SENTIMENT, keys | {"AWS_SECRET_ACCESS_KEY": "a" * 40}, url=moto, language="en")
    assert done.code == 4
    assert "the credentials are refused, endpoint 'sentiment': HTTP 403" in done.error
    assert "'SignatureDoesNotMatch The request signature we calculated does not match the signature" in done.error
    assert "a" * 40 not in done.out + done.err


def test_an_action_that_is_not_allowed_is_refused_in_one_line(moto: str, keys: dict[str, str], tmp_path: Path) -> None:
    asked = SENTIMENT.replace("DetectSentiment", "DetectKeyPhrases")
    done = run(tmp_path, asked, keys, url=moto, language="en")
    assert done.code == 4
    assert "the credentials are refused, endpoint 'sentiment': HTTP 403" in done.error
    assert "AccessDenied User: arn:aws:iam::123456789012:user/reader is not authorized to perform: " in done.error
    assert "comprehend:DetectKeyPhrases" in done.error


def test_a_body_that_was_changed_on_the_way_is_refused(moto: str, keys: dict[str, str], tmp_path: Path) -> None:
    with between(moto, lambda body: body) as url:
        assert run(tmp_path, SENTIMENT, keys, url=url, language="en").code == 0
    with between(moto, lambda body: body.replace(b"good", b"evil")) as url:
        done = run(tmp_path, SENTIMENT, keys, url=url, language="en")
    assert done.code == 4
    assert "SignatureDoesNotMatch" in done.error


def test_without_credentials_nothing_is_sent(moto: str, keys: dict[str, str], tmp_path: Path) -> None:
    nowhere = {"AWS_CONFIG_FILE": "none", "AWS_SHARED_CREDENTIALS_FILE": "none", "AWS_EC2_METADATA_DISABLED": "true"}
    done = run(tmp_path, SENTIMENT, nowhere, url=moto, language="en")
    assert done.code == 4
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in done.error
    assert "nothing was sent" in done.error


def test_an_input_that_is_refused_is_not_sent_again(moto: str, keys: dict[str, str], tmp_path: Path) -> None:
    """400, as for throttling, but this one says that the input is wrong."""
    done = run(tmp_path, SENTIMENT, keys, url=moto, language="tlh")
    assert done.code != 0
    assert "ValidationException" in done.error
    assert "failed to satisfy constraint: Member must satisfy enum value set: [ar, hi, ko" in done.error
    assert done.json["totals"]["sent"] == 1
    assert done.json["totals"]["retried"] == 0


@contextmanager
def between(upstream: str, change: Callable[[bytes], bytes]) -> Iterator[str]:
    """The URL of a proxy that hands requests on with a changed body and everything else as it came."""

    class Hand(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = change(self.rfile.read(int(self.headers["content-length"])))
            answer = httpx.post(upstream + self.path, content=body, headers=dict(self.headers))
            self.send_response(answer.status_code)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hand) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
