"""Adapters from other distributions: the one that CONTRIBUTING shows, built, installed and used; and broken ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from adapters import SpecError, endpoint_from_config
from tests.cli.program import ROOT, here, texts_config, write

ENTRY = {"url": "http://127.0.0.1:9/", "json": "{{ x }}"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory into which the example of CONTRIBUTING was built and installed."""
    source, wheels, site = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "site"))
    document = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for name, text in re.findall(r"^```(?:python|toml)\n# (\S+)\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
        (source / name).write_text(text)
    assert {path.name for path in source.iterdir()} == {"probe_lines.py", "pyproject.toml"}
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    pip += ["--disable-pip-version-check", "--target", str(site), *map(str, wheels.iterdir())]
    subprocess.run(pip, check=True, capture_output=True)
    return site


class Lines(BaseHTTPRequestHandler):
    """Answers with the share of letters, in lines."""

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["content-length"])))
        share = sum(map(str.isalpha, text)) / max(1, len(text))
        body = f"letters\t{share}\nothers\t{1 - share}\n".encode()
        self.send_response(200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Lines) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()
        thread.join()


def test_the_example_is_planned_and_run(
    installed: Path, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = texts_config(server, methods=["occlusion"], target="letters")
    config["endpoints"]["words"] = {"adapter": "lines", "url": server, "json": "{{ x }}"}
    write(tmp_path, config)
    without = here("plan", cwd=tmp_path)
    assert without.code == 2
    assert "endpoints.words.adapter: unknown adapter 'lines'" in without.error
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(installed))
        planned = here("plan", "--json", cwd=tmp_path)
        ran = here("run", "--json", cwd=tmp_path)
    assert planned.code == 0, planned.err
    assert planned.json["endpoints"][0]["requests"] == 8
    assert ran.code == 0, ran.err
    assert ran.json["totals"]["sent"] == 8
    text = config["probes"]["reviews"]["inputs"]["inline"][0]
    assert ran.json["probes"][0]["full_value"] == pytest.approx(sum(map(str.isalpha, text)) / len(text))


def plug_in(site: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, code: str, distribution: str = "broken") -> None:
    """As installed by ``distribution``."""
    (site / f"{distribution}_module.py").write_text(code)
    info = site / f"{distribution}-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[probe.adapters]\n{name} = {distribution}_module:build\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, f"{distribution}_module", raising=False)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import no_such_library", "fails with ModuleNotFoundError: No module named 'no_such_library'"),
        ("x = 1", "fails with AttributeError: "),
        ("raise SystemExit('bye')", "fails with SystemExit: bye"),
        ("def build(", "fails with SyntaxError: "),
        ("def build(name, config, around):\n    raise RuntimeError('one\\ntwo')", "fails with RuntimeError: one two"),
        ("def build(name): ...", "fails with TypeError: build() takes 1 positional argument but 3 were given"),
        (
            "def build(name, config, around): return 5",
            "made no adapter but 'int': it lacks name, identity, parser, limits",
        ),
        (
            "class build:\n    def __init__(self, *_): self.name = 'v'",
            "made no adapter but 'build': it lacks identity, parser",
        ),
    ],
)
def test_a_broken_plug_in_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, said: str) -> None:
    plug_in(tmp_path, monkeypatch, name="odd", code=code)
    with pytest.raises(SpecError) as caught:
        endpoint_from_config("v", {"adapter": "odd", **ENTRY}, environment={}, base=Path())
    assert str(caught.value).startswith(f"endpoints.v.adapter: the plug-in 'odd' of broken 2.0 {said}")
    assert str(caught.value).isprintable()


def test_what_a_plug_in_says_of_the_config_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from adapters import SpecError\ndef build(name, config, around): raise SpecError('endpoints.v.speed: too fast')"
    plug_in(tmp_path, monkeypatch, name="odd", code=code)
    with pytest.raises(SpecError, match=r"^endpoints\.v\.speed: too fast$"):
        endpoint_from_config("v", {"adapter": "odd", **ENTRY}, environment={}, base=Path())


def test_two_of_the_same_name_are_not_chosen_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for distribution in ("one", "two"):
        site = tmp_path / distribution
        site.mkdir()
        plug_in(site, monkeypatch, name="odd", code="", distribution=distribution)
    with pytest.raises(SpecError) as caught:
        endpoint_from_config("v", {"adapter": "odd", **ENTRY}, environment={}, base=Path())
    told = str(caught.value)
    assert told.startswith("endpoints.v.adapter: ")
    assert "one 2.0" in told
    assert "two 2.0" in told
    assert told.endswith("both provide 'odd': uninstall one of them")


def test_a_plug_in_takes_no_name_that_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, name="http", code="raise SystemExit")
    config = {"adapter": "http", **ENTRY, "scores": {"map": "@"}}
    assert endpoint_from_config("v", config, environment={}, base=Path()).name == "v"


def test_an_unknown_adapter_is_told_of_plug_ins_near_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(tmp_path, monkeypatch, name="seismograph", code="")
    with pytest.raises(SpecError, match="unknown adapter 'seismogram', did you mean 'seismograph'"):
        endpoint_from_config("v", {"adapter": "seismogram", **ENTRY}, environment={}, base=Path())
