"""What a run prints and where, under a strict limit, and in either database."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from tests.cli.program import ROOT, command, environment, here, probe, texts_config, timeless, write
from tests.cli.test_plan import mixed_config
from tests.servers import RunningServer


def test_a_strict_limit_is_kept_and_used(server: RunningServer, tmp_path: Path) -> None:
    """20 requests a second in any window, judged by the server; 3 in 100 fail at first; the time is that of the limit.

    A starved machine may hold a request back for longer than the limiter allows for, so there are three tries; a limiter
    that is wrong fails them all. Nothing may be lost or paid for twice in any of them.
    """
    limit, budget = 20, 100
    config = texts_config(
        server.url,
        endpoint={"batch": 1, "limits": {"rate": f"{limit}/s"}},
        inputs={"inline": ["nobody answered my long complaint about the refund for eleven days"]},
        methods=["lime"],
        budget=budget,
    )
    write(tmp_path, config)
    for attempt in range(3):
        server.set_strict(
            {
                "rate": {"limit": limit, "window": 1.0},
                "latency": {"mean": 0.05, "jitter": 0.02},
                "faults": {"status500": 0.03, "seed": 6},
            }
        )
        server.reset()
        done = probe("run", "--json", "--storage", f"sqlite:///{attempt}.db", cwd=tmp_path)
        assert done.code == 0, done.err
        counts = server.counts()
        failed = counts["faults"].get("status500", 0)
        refused = counts["refused_429"]
        assert failed > 0
        assert counts["billed_items"] == counts["distinct_items"] == counts["answered"] == budget
        assert counts["requests"] == budget + failed + refused == done.json["totals"]["sent"]
        assert done.json["totals"]["retried"] == failed + refused
        assert done.json["probes"][0]["evaluations"] == budget
        if refused == 0 and counts["span"] <= 1.05 * counts["requests"] / limit:
            break
    else:
        pytest.fail(f"{refused} refused, {counts['span']:.2f} s for {counts['requests']} requests at {limit} a second")


def test_results_on_stdout_progress_on_stderr(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url, methods=["occlusion", "lime"], budget=40))
    done = probe("run", "--report", "report.html", cwd=tmp_path)
    assert done.code == 0
    assert re.match(r"run [0-9a-f]{8}: 2 probes, \d+ evaluations to send, 0 in the ledger\n", done.err)
    assert "reviews · inline:0 · words · occlusion: finished" in done.err
    assert "exceedingly" in done.out
    assert "report: report.html" in done.out
    assert "evaluations to send" not in done.out
    assert "\x1b" not in done.out + done.err
    quiet = here("run", "--quiet", "--json", cwd=tmp_path)
    assert quiet.err == ""
    assert quiet.json["status"] == "finished"
    html = (tmp_path / "report.html").read_text()
    assert "<script" not in html.lower()
    assert quiet.json["probes"][0]["probe"] == "reviews"


def test_what_was_stored_is_shown_again(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    run = here("run", "--json", cwd=tmp_path)
    server.reset()
    id_ = run.json["id"]
    assert here("show", id_, "--json", cwd=tmp_path).json == run.json
    assert here("show", id_[:4], "--json", cwd=tmp_path).json == run.json
    listed = here("ls", "--json", cwd=tmp_path).json
    assert [each["id"] for each in listed] == [id_]
    assert {key: value for key, value in run.json.items() if key != "probes"} == listed[0]
    assert id_ in here("ls", cwd=tmp_path).out
    reported = here("report", id_, cwd=tmp_path)
    assert reported.out == f"probe-report-{id_}.html\n"
    assert "exceedingly" in (tmp_path / f"probe-report-{id_}.html").read_text()
    assert server.counts()["requests"] == 0


def test_json_has_no_nan(server: RunningServer, tmp_path: Path) -> None:
    """Methods without standard errors, a probe that fails: ``null``, never ``NaN``."""
    config = texts_config(server.url, methods=["occlusion", "substitution", "lime"], budget=40)
    config["probes"]["other"] = {**config["probes"]["reviews"], "target": "lnog"}
    write(tmp_path, config)
    done = here("run", "--json", cwd=tmp_path)
    assert done.code == 2
    errors = [share["std_error"] for each in done.json["probes"] for share in each["attributions"]]
    assert None in errors
    assert any(isinstance(error, float) for error in errors)


def on_terminal(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    """What ``probe`` writes to a terminal."""
    main, child = pty.openpty()
    with subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        env=environment({"TERM": "xterm-256color", **(env or {})}),
        stdout=child,
        stderr=child,
    ) as process:
        os.close(child)
        parts: list[bytes] = []
        while select.select([main], [], [], 60)[0]:
            try:
                parts.append(os.read(main, 65536))
            except OSError:  # Linux's way to say that the other end was closed
                break
        assert process.wait(timeout=60) == 0, b"".join(parts)
    os.close(main)
    return b"".join(parts).decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*[34][0-9;]*m")


def test_colours_on_a_terminal_unless_told_otherwise(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    run = on_terminal("run", cwd=tmp_path)
    assert COLOUR.search(run)
    assert "exceedingly" in run
    id_ = here("ls", "--json", cwd=tmp_path).json[0]["id"]
    plain = on_terminal("show", id_, cwd=tmp_path, env={"NO_COLOR": "1"})
    assert "exceedingly" in plain
    assert not COLOUR.search(plain)
    planned = on_terminal("plan", cwd=tmp_path, env={"NO_COLOR": "1"})
    assert not COLOUR.search(planned)


def test_a_reader_that_leaves_is_no_error(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    line = f"{' '.join(command('plan', '--json'))} | head -c 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")


def test_a_database_is_brought_up_to_date(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    made = here("db", "upgrade", cwd=tmp_path)
    assert made.code == 0, made.err
    assert re.fullmatch(r"schema none → \d+\n", made.out)
    assert here("run", cwd=tmp_path).code == 0
    assert re.fullmatch(r"schema \d+: up to date already\n", here("db", "upgrade", cwd=tmp_path).out)
    with closing(sqlite3.connect(tmp_path / "probe.db")) as database:
        database.execute("UPDATE probe_schema SET version_num = '9999'")
        database.commit()
    later = here("run", cwd=tmp_path)
    assert later.code == 5
    assert "later version" in later.error


def test_a_table_folds_on_a_narrow_terminal_only(server: RunningServer, tmp_path: Path) -> None:
    write(tmp_path, texts_config(server.url))
    narrow = on_terminal("plan", cwd=tmp_path, env={"COLUMNS": "72", "NO_COLOR": "1"})
    assert "occlusion" in narrow
    assert "…" not in narrow
    whole = here("plan", cwd=tmp_path, env={"COLUMNS": "40"})
    assert re.search(r"^reviews · inline:0 · words · occlusion +7 +8 +0 +0 +8$", whole.out, re.MULTILINE)


@pytest.mark.parametrize("name", ["demo", "init", "plan", "run", "show", "ls", "report", "explain", "db"])
def test_every_command_explains_itself(name: str, tmp_path: Path) -> None:
    done = here(name, "--help", cwd=tmp_path)
    assert done.code == 0
    assert done.out.startswith("Usage: ")
    assert done.err == ""
    assert list(tmp_path.iterdir()) == []
    listed = here("--help", cwd=tmp_path)
    assert re.search(rf"^  {name} +[A-Z].*\.$", listed.out, re.MULTILINE)


def test_help_and_version_come_without_the_libraries(tmp_path: Path) -> None:
    code = (
        "import sys, probe.cli\n"
        "for words in (['--help'], ['run', '--help'], ['plan', '-c', 'none.yaml']):\n"
        "    try: probe.cli.main(words)\n"
        "    except SystemExit: pass\n"
        "heavy = {'sklearn', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    arguments = [command()[0], "-c", code]
    done = subprocess.run(arguments, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert here("--version", cwd=tmp_path).out.startswith("probe, version ")


def test_init_writes_what_plan_accepts(tmp_path: Path) -> None:
    made = probe("init", cwd=tmp_path)
    assert made.code == 0, made.err
    assert {path.name for path in tmp_path.iterdir()} == {"probe.yaml", "probe.schema.json", "inputs"}
    planned = probe("plan", "--json", cwd=tmp_path)
    assert planned.code == 0, planned.err
    assert {each["method"] for each in planned.json["probes"]} == {"occlusion", "substitution", "lime", "shapley"}
    to_send = {each["method"]: each["to_send"] for each in planned.json["probes"]}
    assert to_send["substitution"] > 0
    assert to_send["shapley"] > 0 == to_send["occlusion"] == to_send["lime"], (
        "shapley's evaluations serve these two as well"
    )
    schema = json.loads((tmp_path / "probe.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    again = here("init", cwd=tmp_path)
    assert again.code == 2
    assert "exists already" in again.error


def test_every_code_is_worded(tmp_path: Path) -> None:
    listed = here("explain", cwd=tmp_path)
    codes = [line.split()[0] for line in listed.out.splitlines()]
    assert {"P101", "P102", "P103"} <= set(codes)
    for code in codes:
        assert here("explain", code.lower(), cwd=tmp_path).out.startswith(f"{code}: ")


def test_postgres_gives_what_sqlite_gives(server: RunningServer, tmp_path: Path, postgres_url: str) -> None:
    write(tmp_path, mixed_config(server.url, tmp_path))
    sqlite = here("run", "--json", cwd=tmp_path)
    assert sqlite.code == 0, sqlite.err
    sent = server.counts()["requests"]
    postgres = here("run", "--json", "--storage", postgres_url, cwd=tmp_path)
    assert postgres.code == 0, postgres.err
    assert server.counts()["requests"] == 2 * sent
    assert timeless(postgres.json) == timeless(sqlite.json)
    id_ = postgres.json["id"]
    shown = here("show", id_, "--json", cwd=tmp_path, env={"PROBE_STORAGE": postgres_url})
    assert shown.json == postgres.json
    assert here("run", "--json", "--storage", postgres_url, cwd=tmp_path).json["totals"]["sent"] == 0
    assert here("plan", "--json", "--storage", postgres_url, cwd=tmp_path).json["endpoints"][0]["requests"] == 0
    assert ROOT.name not in json.dumps(postgres.json["probes"])
