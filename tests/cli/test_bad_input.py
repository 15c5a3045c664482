"""Whatever is wrong is said in one line with the exit code that the README promises, before anything is sent if possible."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.program import here, probe, texts_config, texts_endpoint, write
from tests.servers import RunningServer

NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: nobody listens there


def with_endpoint(**changes: Any) -> dict[str, Any]:
    return texts_config(NOWHERE, endpoint=changes)


def with_probe(**changes: Any) -> dict[str, Any]:
    return texts_config(NOWHERE, **changes)


#: what is wrong in the config, and what the error must name
CONFIGS: dict[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "key": ({**with_probe(), "endpoint": {}}, ("'endpoint'", "did you mean 'endpoints'?")),
    "key of a probe": (with_probe(budjet=3), ("'probes.reviews.budjet'", "did you mean 'budget'?")),
    "key of inputs": (with_probe(inputs={"file": ["x"]}), ("'probes.reviews.inputs.file'", "did you mean 'files'?")),
    "key of a table": (with_probe(inputs={"csv": "x.csv", "row": 3}), ("'probes.reviews.inputs.row'", "did you mean 'rows'?")),
    "key of an endpoint": (with_endpoint(limit={"rate": "5/s"}), ("endpoints.words", "'limit'", "did you mean 'limits'?")),
    "key deep in an endpoint": (
        with_endpoint(limits={"rat": "5/s"}),
        ("endpoints.words.limits", "'rat'", "did you mean 'rate'?"),
    ),
    "key of scores": (with_endpoint(scores={"maps": "s"}), ("endpoints.words.scores", "'maps'", "did you mean 'map'?")),
    "kind": (with_probe(kind="txt"), ("probes.reviews.kind", "'image', 'text' or 'tabular'", "'txt'")),
    "missing key": ({"endpoints": with_probe()["endpoints"], "probes": {"p": {"kind": "text"}}}, ("'probes.p.", "missing")),
    "missing url": (
        {**with_probe(), "endpoints": {"words": {"json": {}, "scores": {"map": "@"}}}},
        ("endpoints.words.url", "required"),
    ),
    "url": (with_endpoint(url="api.vendor.example/v1"), ("endpoints.words", "url", "https://")),
    "endpoint's name": (with_probe(endpoints=["wrods"]), ("probes.reviews.endpoints", "'wrods'", "did you mean 'words'?")),
    "duration": (with_probe(fresh="tomorrow"), ("probes.reviews.fresh", "'tomorrow'", "24h")),
    "repeats": (with_probe(repeats=0), ("probes.reviews.repeats", "1")),
    "missing input": (with_probe(inputs="inputs/none.txt"), ("probes.reviews.inputs", "inputs/none.txt", "no such file")),
    "glob": (with_probe(inputs="inputs/*.txt"), ("probes.reviews.inputs", "inputs/*.txt", "no file matches")),
    "picture": (with_probe(kind="image", inputs="broken.png"), ("broken.png", "not a readable image")),
    "text that is none": (with_probe(inputs="broken.png"), ("broken.png", "not UTF-8")),
    "text without words": (with_probe(inputs={"inline": ["…"]}), ("inline:0", "no word")),
    "written secret": (with_endpoint(auth={"bearer": "sk-12345678"}), ("endpoints.words.auth.bearer", "${NAME}")),
    "unset secret": (with_endpoint(auth={"bearer": "${UNSET_KEY}"}), ("'words'", "UNSET_KEY", "not set")),
    "label": (
        texts_config(NOWHERE, endpoint={"labels": ["long", "short"]}, target="lnog"),
        ("probes.reviews.target", "'lnog'", "did you mean 'long'?"),
    ),
    "budget": (with_probe(budget=3), ("reviews", "budget of 3", "at least 8")),
    "budget of KernelSHAP": (with_probe(budget=3, methods=["kernelshap"]), ("budget of 3", "7 features", "at least")),
    "budget for repeats": (with_probe(budget=15, repeats=2), ("reviews", "each coalition is 2 evaluations")),
    "method": (with_probe(methods=["lmie"]), ("probes.reviews.methods", "'lmie'", "did you mean 'lime'?")),
    "method of another kind": (with_probe(methods=["alteration"]), ("probes.reviews.methods", "alteration", "tabular")),
    "setting of a method": (
        with_probe(methods=[{"lime": {"kernel_widht": 1}}]),
        ("probes.reviews.methods", "'kernel_widht'", "did you mean 'kernel_width'?"),
    ),
    "two methods in one": (
        with_probe(methods=[{"lime": {}, "occlusion": {}}]),
        ("probes.reviews.methods", "lime, occlusion"),
    ),
    "setting of the masker": (with_probe(masker={"segment": 3}), ("probes.reviews", "'segment'", "mask_token")),
    "value of the masker": (with_probe(masker={"unit": "wrods"}), ("probes.reviews", "wrods", "word")),
    "run's budget": ({**with_probe(), "budget": "lots"}, ("budget", "'lots'", "500req or 2usd")),
}  # fmt: skip


@pytest.mark.parametrize("case", CONFIGS)
def test_what_the_config_gets_wrong(case: str, tmp_path: Path) -> None:
    config, words = CONFIGS[case]
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\nno picture \xff")
    write(tmp_path, config)
    done = here("run", cwd=tmp_path)
    assert done.code == 2, done
    assert done.out == ""
    for word in words:
        assert word in done.error


OPTIONS: dict[str, tuple[list[str], int, tuple[str, ...]]] = {
    "budget": (["run", "--budget", "lots"], 2, ("'lots'", "500req or 2usd")),
    "budget without unit": (["plan", "--budget", "500"], 2, ("'500'", "500req")),
    "rate": (["run", "--rate", "quick"], 2, ("'quick'", "5/s")),
    "rate of nothing": (["plan", "--rate", "0/s"], 2, ("'0/s'", "greater than 0")),
    "only": (["run", "--only", "revews"], 2, ("'revews'", "did you mean 'reviews'?")),
    "seed": (["run", "--seed", "-1"], 2, ("--seed",)),
    "option": (["run", "--bugdet", "3"], 2, ("--bugdet", "--budget")),
    "command": (["rnu"], 2, ("'rnu'", "did you mean 'run'?")),
    "folder": (["init", "/proc/none"], 2, ("/proc/none", "No such file")),
    "code": (["explain", "P999"], 2, ("'P999'",)),
    "config": (["run", "-c", "other.yaml"], 2, ("other.yaml", "no such file", "probe init")),
    "report": (["run", "--report", "none/report.html"], 2, ("none/report.html", "no directory none")),
    "report is a directory": (["run", "--report", "."], 2, ("directory",)),
    "directory of the database": (["run", "--storage", "sqlite:///none/p.db"], 5, ("none", "does not exist")),
    "file is no database": (["plan", "--storage", "sqlite:///probe.yaml"], 5, ("probe.yaml", "not a SQLite database")),
    "kind of database": (["ls", "--storage", "mysql://u:hidden-pw@h/d"], 5, ("'mysql'", "postgresql://")),
    "no database URL": (["ls", "--storage", "probe.db"], 5, ("sqlite:///probe.db",)),
    "no database yet": (["ls"], 5, ("probe.db", "no such file", "run a probe first")),
    "Postgres is down": (
        ["plan", "--storage", "postgresql://u:hidden-pw@127.0.0.1:9/d"],
        5,
        ("postgresql://u:***@127.0.0.1:9/d", "see that the server is up"),
    ),
    "Postgres URL": (["plan", "--storage", "postgresql://u:hidden-pw@h:x/d"], 5, ("storage URL cannot be read",)),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_what_the_options_get_wrong(case: str, tmp_path: Path) -> None:
    arguments, code, words = OPTIONS[case]
    write(tmp_path, with_probe())
    done = here(*arguments, cwd=tmp_path)
    assert done.code == code, done
    assert done.out == ""
    for word in words:
        assert word in done.error
    assert "hidden-pw" not in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("endpoints: {a: [}\n", ("probe.yaml:1:17", "not valid YAML")),
        ("seed: 1\nseed: 2\n", ("probe.yaml:2:1", "'seed'", "twice")),
        ("- a\n", ("expected a mapping",)),
        ("", ("the file is empty", "probe init")),
    ],
)
def test_what_is_no_config(text: str, words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "probe.yaml").write_text(text)
    done = here("plan", cwd=tmp_path)
    assert done.code == 2
    for word in words:
        assert word in done.error


def test_a_slip_ends_the_program_itself(tmp_path: Path) -> None:
    """As above in a process of its own: no traceback, no warning, nothing else."""
    write(tmp_path, with_probe(budjet=3))
    done = probe("plan", cwd=tmp_path)
    assert done.code == 2
    assert done.err == "probe: probe.yaml: unknown key 'probes.reviews.budjet'; did you mean 'budget'?\n"


@pytest.mark.parametrize("command", ["show", "report"])
def test_a_run_that_is_not_there(command: str, server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    assert here("run", cwd=tmp_path).code == 0
    done = here(command, "nothere", cwd=tmp_path)
    assert done.code == 2
    assert "'nothere'" in done.error
    assert "probe ls" in done.error
    assert list(tmp_path.glob("*.html")) == []


def test_a_database_that_may_only_be_read(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    assert here("run", cwd=tmp_path).code == 0
    server.reset()
    database = tmp_path / "probe.db"
    before = database.read_bytes()
    database.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        if os.access(database, os.W_OK):
            pytest.skip("this account writes whatever the permissions say")
        done = here("run", cwd=tmp_path)
    finally:
        tmp_path.chmod(0o755)
    assert done.code == 5
    assert "may not write" in done.error
    assert server.counts()["requests"] == 0
    assert database.read_bytes() == before


# --- endpoints that are not what they should be

ENDPOINTS: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = {
    "wrong key": ({"api_key": "right"}, {"auth": {"bearer": "${WORDS_KEY}"}}, ("401", "check the secret")),
    "page": ({"faults": {"html": 1.0, "attempts": None}}, {}, ("a page instead of JSON", "<!doctype html>")),
    "fewer rows": ({"faults": {"fewer_rows": True}}, {}, ("'predictions'", "0 rows for 1 input")),
    "NaN": ({"faults": {"nan": True}}, {}, ("NaN", "not a number")),
    "no such model": ({}, {"url": "/v1/nothing/predict"}, ("404", "url")),
}


@pytest.mark.parametrize("case", ENDPOINTS)
def test_what_the_endpoint_gets_wrong(case: str, server: RunningServer, tmp_path: Path) -> None:
    strict, changes, words = ENDPOINTS[case]
    if "url" in changes:
        changes = {**changes, "url": server.url + changes["url"]}
    server.set_strict(strict)
    write(tmp_path, texts_config(server.url, endpoint=changes))
    done = here("run", cwd=tmp_path, env={"WORDS_KEY": "canary-0123456789"})
    assert done.code == 4, done
    assert "endpoint 'words'" in done.error
    for word in words:
        assert word in done.error
    assert "canary" not in done.err + done.out
    assert "run the same command" in done.error
    assert server.counts()["requests"] <= 2, "it is given up before money is spent on it"

    server.set_strict({})
    server.reset()
    write(tmp_path, texts_config(server.url, endpoint={k: v for k, v in changes.items() if k != "url"}))
    repaired = here("run", "--json", cwd=tmp_path, env={"WORDS_KEY": "canary-0123456789"})
    assert repaired.code == 0, repaired.err
    assert server.counts()["billed_items"] == 8


def test_nobody_listens(tmp_path: Path) -> None:
    write(tmp_path, with_probe())
    began = time.monotonic()
    done = here("run", cwd=tmp_path)
    assert done.code == 4
    assert "127.0.0.1:9" in done.error
    assert "nothing was sent" in done.error
    assert "see that it is up" in done.error
    assert time.monotonic() - began < 15


def test_a_label_that_no_answer_has(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url, target="lnog"))
    done = here("run", cwd=tmp_path)
    assert done.code == 2
    for word in ("'lnog'", "did you mean 'long'?", "'long', 'short'"):
        assert word in done.error
    assert server.counts()["billed_items"] == 1, "the answer to the unaltered text says it"


def test_what_was_paid_for_is_not_lost_when_the_allowance_ends(server: RunningServer, tmp_path: Path) -> None:
    """A quota ends in the middle: the rest is sent when it is renewed, and nothing twice."""
    config = texts_config(
        server.url,
        endpoint={"batch": 1, "limits": {"rate": "30/s"}, "auth": {"bearer": "${WORDS_KEY}"}},
        methods=["lime"],
        budget=60,
    )
    write(tmp_path, config)
    server.set_strict({"rate": {"limit": 20, "window": 3600, "retry_after": 7200}})
    stopped = here("run", "--json", cwd=tmp_path, env={"WORDS_KEY": "k"})
    assert stopped.code == 3, stopped
    assert "allowance is used up" in stopped.error
    assert "run the same command when it is renewed" in stopped.error
    assert server.counts()["billed_items"] == 20
    assert stopped.json["probes"][0]["status"] == "partial"

    server.set_strict({})
    finished = here("run", "--json", cwd=tmp_path, env={"WORDS_KEY": "k"})
    assert finished.code == 0, finished.err
    counts = server.counts()
    assert counts["billed_items"] == counts["distinct_items"] == 60
    assert counts["billed_twice"] == 0


def test_one_probe_of_two_fails(server: RunningServer, tmp_path: Path) -> None:
    config = texts_config(server.url)
    config["endpoints"]["broken"] = texts_endpoint(server.url, url=f"{server.url}/v1/nothing/predict")
    config["probes"]["other"] = {**config["probes"]["reviews"], "endpoints": ["broken"]}
    write(tmp_path, config)
    done = here("run", "--json", "--report", "report.html", cwd=tmp_path)
    assert done.code == 4
    assert "endpoint 'broken'" in done.error
    whole, failed = done.json["probes"]
    assert (whole["probe"], whole["status"], len(whole["attributions"])) == ("reviews", "finished", 7)
    assert (failed["probe"], failed["status"], failed["attributions"]) == ("other", "failed", [])
    assert "404" in failed["error"]
    shown = here("show", done.json["id"], "--json", cwd=tmp_path)
    assert shown.json["probes"] == done.json["probes"]
    assert "not explained" in here("show", done.json["id"], cwd=tmp_path).out
    assert "exceedingly" in (tmp_path / "report.html").read_text()

    config["endpoints"]["broken"]["url"] = f"{server.url}/v1/echo-length/vector"
    config["endpoints"]["broken"] |= {"items": "rows", "scores": {"vector": {"at": "@"}}, "labels": ["long", "short"]}
    write(tmp_path, config)
    server.reset()
    repaired = here("run", "--json", cwd=tmp_path)
    assert repaired.code == 0, repaired.err
    assert server.counts()["billed_items"] == 8, "only the repaired endpoint is asked"


def test_one_target_of_two_is_wrong(server: RunningServer, tmp_path: Path) -> None:
    config = texts_config(server.url)
    config["probes"]["other"] = {**config["probes"]["reviews"], "target": "lnog"}
    write(tmp_path, config)
    done = here("run", "--json", cwd=tmp_path)
    assert done.code == 2
    assert "'lnog'" in done.error
    assert [each["status"] for each in done.json["probes"]] == ["finished", "failed"]


def test_many_failures_are_few_lines(server: RunningServer, tmp_path: Path) -> None:
    inputs = {"inline": [f"complaint number {word}" for word in "one two three four five six seven eight".split()]}
    write(tmp_path, texts_config(server.url, target="lnog", inputs=inputs))
    done = here("run", "--quiet", cwd=tmp_path)
    assert done.code == 2
    told = done.err.splitlines()
    assert len(told) == 6
    assert all("did you mean 'long'?" in line for line in told[:5])
    assert told[5].startswith("probe: … and 3 more like that: probe show ")
    assert done.out.count("not explained") == 8


# --- secrets


def test_a_secret_is_nowhere(server: RunningServer, tmp_path: Path) -> None:
    canary = "canary-5f0c-secret"
    server.set_strict({"api_key": canary})
    changes = {"auth": {"bearer": "${WORDS_CREDENTIAL}"}}  # a name that says nothing about what it holds
    write(tmp_path, texts_config(server.url, endpoint=changes))
    env = {"WORDS_CREDENTIAL": canary}
    done = here("run", "--json", "--report", "report.html", cwd=tmp_path, env=env)
    assert done.code == 0, done.err
    texts = [done.out, done.err, here("show", done.json["id"], cwd=tmp_path, env=env).out]
    server.set_strict({"api_key": "another"})
    (refused := here("run", "--json", "--rate", "9/s", "--storage", "sqlite:///second.db", cwd=tmp_path, env=env))
    assert refused.code == 4
    texts += [refused.out, refused.err]
    assert not any(canary in text for text in texts)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"probe.db", "second.db", "report.html"} <= {path.name for path in files}
    assert [path.name for path in files if canary.encode() in path.read_bytes()] == []
