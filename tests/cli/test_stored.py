"""What is stored, from the command line: searched, compared, exported, imported, computed again, proven, looked after."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import Store
from storage.schema import attribution, pack
from tests.cli.program import Done, here, probe, texts_config, write

TEXT = "the refund was slow but great in every way"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A project whose endpoint is a function that can be changed between runs."""
    (tmp_path / "model.py").write_text(
        "import json, pathlib, random\n"
        "def judge(batch):\n"
        "    said = json.loads((pathlib.Path(__file__).parent / 'weights.json').read_text())\n"
        "    rng = random.Random(said.get('seed', 0))\n"
        "    rows = []\n"
        "    for text in batch:\n"
        "        score = 0.3 + sum(said.get(word, 0) for word in text.split()) + rng.gauss(0, said.get('noise', 0))\n"
        "        rows.append({'positive': score, 'negative': 1 - score})\n"
        "    return rows\n"
    )
    weigh(tmp_path)
    configure(tmp_path)
    return tmp_path


def weigh(home: Path, **changes: float) -> None:
    (home / "weights.json").write_text(json.dumps({"refund": 0.2, "slow": -0.1, "great": 0.15} | changes))


def configure(home: Path, *, top: dict[str, Any] | None = None, **changes: Any) -> None:
    entry = {
        "kind": "text",
        "inputs": {"inline": [TEXT]},
        "endpoints": ["a"],
        "methods": ["kernelshap"],
        "target": "positive",
        "budget": 64,
        "fresh": "0",
    }
    endpoint = {"adapter": "callable", "function": "model.py:judge", "batch": 8}
    write(home, {**(top or {}), "endpoints": {"a": endpoint}, "probes": {"reviews": entry | changes}})


def run(home: Path, *options: str) -> str:
    """The id of a run that is made now."""
    done = here("run", "--quiet", "--json", *options, cwd=home)
    assert done.code == 0, done.err
    return str(done.json["id"])


def test_what_is_stored_is_searched(home: Path) -> None:
    first, second = run(home), run(home)
    found = here("query", "--feature", "refund", "--json", cwd=home).json
    assert [row["run"] for row in found] == [second, first]
    assert found[0]["value"] == pytest.approx(0.2)
    assert found[0]["p"] < 1e-9
    strong = here("query", "--run", first, "--significant", "0.05", "--csv", cwd=home)
    rows = list(csv.DictReader(io.StringIO(strong.out)))
    assert {row["feature"] for row in rows} >= {"refund", "slow", "great"}
    assert "refund" in here("query", "--feature", "ref*", cwd=home).out
    assert here("query", "--method", "lime", cwd=home).out == "nothing found\n"
    assert here("query", "--since", "1h", "--until", "2000-01-01", cwd=home).out == "nothing found\n"
    cut = here("query", "--limit", "2", cwd=home)
    assert "only the first 2 rows" in cut.err
    answer = here("query", "--sql", "SELECT count(*) AS runs FROM run", "--json", cwd=home)
    assert answer.json == [{"runs": 2}]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--sql", "DELETE FROM run"), "only reading is allowed"),
        (("--since", "yesterday"), "'yesterday' is no time"),
        (("--run", "nope"), "no run 'nope'"),
    ],
)
def test_a_slip_in_a_question_is_one_line(home: Path, arguments: tuple[str, ...], words: str) -> None:
    run(home)
    done = here("query", *arguments, cwd=home)
    assert done.code == 2
    assert words in done.error


def test_csv_cells_are_no_formulas(home: Path) -> None:
    configure(home, inputs={"inline": ["=1+1 refund @SUM"]})
    run(home)
    rows = list(csv.DictReader(io.StringIO(here("query", "--csv", cwd=home).out)))
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "@"))]


def test_an_unchanged_endpoint_does_not_move_and_a_changed_one_does(home: Path) -> None:
    first, second = run(home), run(home)
    same = here("diff", first, second, cwd=home)
    assert same.code == 0
    assert "0 of 9 features moved" in same.out
    weigh(home, refund=0.3)
    third = run(home)
    moved = here("diff", second, third, "--json", cwd=home)
    assert moved.code == 1
    (compared,) = moved.json["probes"]
    assert [each["feature"] for each in compared["features"] if each["moved"]] == ["refund"]
    assert (compared["paired"], compared["coalitions"], compared["reused"]) == (True, 64, 0)
    words = here("diff", second, third, cwd=home).out
    assert 'moved: "refund" +0.2 → +0.3, change +0.1' in words
    assert "no change found in 8 features" in words
    alone = here("diff", second, third, "--attributions", "--json", cwd=home)
    assert alone.code == 1
    assert not alone.json["probes"][0]["paired"]


def test_noise_is_no_change(home: Path) -> None:
    weigh(home, noise=0.02, seed=1)
    first = run(home)
    weigh(home, noise=0.02, seed=2)
    done = here("diff", first, run(home), cwd=home)
    assert done.code == 0, done.out
    assert "would have seen" in done.out


def test_answers_from_the_ledger_are_said_to_be_the_same(home: Path) -> None:
    configure(home, fresh="24h")
    done = here("diff", run(home), run(home), cwd=home)
    assert done.code == 0
    assert "100% of the answers are the same ones" in done.out


def test_two_endpoints_of_a_run_are_compared_under_their_own_labels(home: Path) -> None:
    (home / "other.py").write_text(
        "from model import judge\n"
        "def named(batch):\n"
        "    return [{'POS': row['positive'], 'NEG': row['negative']} for row in judge(batch)]\n"
    )
    configure(home)
    config = (home / "probe.yaml").read_text()
    other = "  b:\n    adapter: callable\n    function: other:named\n"
    config = config.replace("probes:\n", other + "probes:\n").replace("    - a\n", "    - a\n    - b\n")
    (home / "probe.yaml").write_text(config.replace("target: positive", "target: top1"))
    done = probe("run", "--quiet", cwd=home, env={"PYTHONPATH": f"{Path(__file__).parents[2]}:{home}"})
    assert done.code == 0, done.err
    mapped = here("diff", "a", "b", "--label", "positive=POS", "--label", "negative=NEG", "--json", cwd=home)
    assert mapped.code == 0, mapped.out
    assert mapped.json["probes"][0]["paired"]


def test_what_cannot_be_compared_is_one_line(home: Path) -> None:
    first = run(home)
    configure(home, methods=["lime"])
    second = run(home)
    for arguments, words in (
        ((first, second), "no probe of the same input and method"),
        ((first, "c"), "neither a run"),
    ):
        done = here("diff", *arguments, cwd=home)
        assert done.code == 2
        assert words in done.error


def test_exports_hold_what_is_stored(home: Path) -> None:
    id_ = run(home)
    shown = here("show", id_, "--json", cwd=home).json["probes"][0]
    for name in ("a.csv", "a.jsonl", "a.npz", "s.npz", "e.csv", "e.jsonl"):
        options = ["--evaluations"] if name[0] == "e" else ["--format", "shap"] if name == "s.npz" else []
        assert here("export", id_, "-o", name, *options, cwd=home).code == 0
    lines = [json.loads(line) for line in (home / "a.jsonl").read_text().splitlines()]
    assert [line["value"] for line in lines] == [share["value"] for share in shown["attributions"]]
    with (home / "a.csv").open(newline="") as file:
        assert [row["feature"] for row in csv.DictReader(file)] == [line["feature"] for line in lines]
    evaluations = [json.loads(line) for line in (home / "e.jsonl").read_text().splitlines()]
    assert len(evaluations) == 64
    whole = max(evaluations, key=lambda each: each["scores"]["positive"])
    assert whole["scores"] == pytest.approx({"positive": 0.65, "negative": 0.35})
    with np.load(home / "a.npz", allow_pickle=False) as stored:
        assert stored["0/coalitions"].shape == (64, 9)
        assert stored["0/scores"].shape == (64,)
        assert stored["0/values"].tolist() == [line["value"] for line in lines]
    with np.load(home / "s.npz", allow_pickle=False) as stored:
        assert set(stored.files) == {"values", "base_values", "data", "feature_names"}
        assert stored["values"].shape == (1, 9)
        assert float(stored["base_values"][0]) == pytest.approx(0.3)


def test_parquet_holds_what_is_stored(home: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    id_ = run(home)
    for name, options in (("a.parquet", []), ("e.parquet", ["--evaluations"])):
        assert here("export", id_, "-o", name, *options, cwd=home).code == 0
    assert parquet.read_table(home / "a.parquet").num_rows == 9
    table = parquet.read_table(home / "e.parquet")
    assert table.num_rows == 64
    assert max(table.column("score positive").to_pylist()) == pytest.approx(0.65)


def test_an_export_that_cannot_be_written_is_one_line(home: Path) -> None:
    id_ = run(home)
    for arguments, words in (
        (("-o", "no/such/a.csv"), "cannot be written"),
        (("-o", "a.xls"), "does not say what to write"),
    ):
        done = here("export", id_, *arguments, cwd=home)
        assert done.code == 2
        assert words in done.error


def test_answers_from_elsewhere_are_used_and_cost_nothing(home: Path) -> None:
    configure(home, methods=["occlusion"], inputs={"inline": ["a b"]}, fresh="24h")
    texts = ["a b", "[MASK] b", "a [MASK]", "[MASK] [MASK]"]
    lines = [{"input": text, "scores": {"positive": len(text) / 100, "negative": 0.0}} for text in texts]
    (home / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = here("import", "answers.jsonl", "--endpoint", "a", cwd=home)
    assert done.out.startswith("4 answers imported · run ")
    assert "4 were there already" in here("import", "answers.jsonl", "--endpoint", "a", cwd=home).out
    listed = here("ls", "--json", cwd=home).json[-1]
    assert (listed["config"], listed["totals"]["imported"]) == ("import:answers.jsonl", 4)
    planned = here("plan", "--json", cwd=home).json
    assert "answers" not in str(planned)
    with Store.open(f"sqlite:///{home}/probe.db", create=False) as store:
        assert store.usage() == []
        assert store.spent(listed["id"]) == (0, 0)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"input": "x"', "answers.jsonl:2: not a line of JSON"),
        ('{"input": "x", "scores": {"positive": NaN}}', "which is no number"),
        ('{"input": "x", "scores": {}}', "scores must be a mapping"),
        ('{"input": {"a": [1]}, "scores": {"p": 1}}', "neither a text nor a row"),
        ('{"scores": {"p": 1}}', "write one of input and image"),
        ('{"input": "x", "score": {"p": 1}}', "unknown key 'score'"),
        ('{"input": "x", "scores": {"p": 1}, "at": "noon"}', "at is 'noon'"),
    ],
)
def test_an_import_with_a_wrong_line_stores_nothing(home: Path, line: str, words: str) -> None:
    (home / "answers.jsonl").write_text('{"input": "fine", "scores": {"positive": 1}}\n' + line + "\n")
    done = here("import", "answers.jsonl", "--endpoint", "a", cwd=home)
    assert done.code == 2
    assert words in done.error
    assert here("ls", cwd=home).out.startswith("no runs yet")


def test_another_method_target_or_setting_is_computed_offline(home: Path) -> None:
    run(home)
    (home / "weights.json").unlink()  # whoever asks now gets an error
    for changes in ({"methods": ["lime"]}, {"target": "negative"}, {"methods": [{"lime": {"kernel_width": 0.5}}]}):
        configure(home, **changes)
        done = here("run", "--offline", "--quiet", "--json", cwd=home)
        assert done.code == 0, done.err
        assert (done.json["totals"]["sent"], done.json["totals"]["from_ledger"]) == (0, 64)


def test_what_is_missing_offline_is_named(home: Path) -> None:
    run(home)
    configure(home, budget=70)
    done = here("run", "--offline", "--quiet", "--json", cwd=home)
    assert done.code == 3
    assert done.json["totals"]["sent"] == 0
    assert "6 evaluations are not in the ledger: reviews (inline:0, a, kernelshap) without '" in done.error
    configure(home, inputs={"inline": ["something else"]})
    done = here("run", "--offline", "--quiet", cwd=home)
    assert done.code == 3
    assert "1 evaluation is not in the ledger: reviews (inline:0, a, kernelshap) as it is" in done.error


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a run of two methods, away from the database it is from."""
    home = tmp_path_factory.mktemp("bundled")
    (home / "model.py").write_text(
        "def judge(batch):\n    return [{'long': len(x) / 50, 'short': 0.1} for x in batch]\n"
    )
    configure(home, methods=["kernelshap", "occlusion"], target="long", budget=40)
    id_ = run(home)
    assert here("bundle", id_, "-o", "run.zip", cwd=home).code == 0
    for path in (*home.glob("probe.db*"), home / "model.py", home / "probe.yaml"):
        path.unlink()
    return home / "run.zip"


def test_a_bundle_holds_without_network_and_database(bundled: Path, tmp_path: Path) -> None:
    away = shutil.copy(bundled, tmp_path / "elsewhere.zip")
    done = probe("verify", away, cwd=tmp_path)
    assert done.code == 0, done.err
    assert "numbers of 2 explanations recomputed" in done.out


def test_the_same_run_gives_the_same_bytes(home: Path) -> None:
    id_ = run(home)
    said = [here("bundle", id_, "-o", name, cwd=home).out.split()[-1] for name in ("a.zip", "b.zip")]
    assert said[0] == said[1]


def test_one_flipped_byte_anywhere_is_found_and_named(bundled: Path, tmp_path: Path) -> None:
    content = bundled.read_bytes()
    rng = random.Random(1)
    places = [rng.randrange(len(content)) for _ in range(150)]
    places += [content.find(b"PK\x01\x02") + offset for offset in (4, 8, 12, 20, 40)]
    places += [*range(12), len(content) - 1, len(content) - 22]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.randrange(8)
        path = tmp_path / "flipped.zip"
        path.write_bytes(flipped)
        done = here("verify", path, cwd=tmp_path)
        assert done.code == 6, (place, done.out, done.err)
        assert "was altered" in done.error or "MANIFEST" in done.error, (place, done.error)


@pytest.mark.parametrize(
    ("member", "before", "after", "words"),
    [
        ("probes.jsonl", '"full_value":', '"full_value":1', "full_value is"),
        ("run.json", '"seed": 1', '"seed": 2', "do not have the root"),
        ("evaluations/", '"short":0.1', '"short":0.2', "do not have the root"),
    ],
)
def test_a_forger_who_fixes_the_hashes_is_found_by_recomputation(
    bundled: Path, tmp_path: Path, member: str, before: str, after: str, words: str
) -> None:
    import hashlib
    import zipfile

    from probe.bundle import MANIFEST, archive

    with zipfile.ZipFile(bundled) as file:
        members = {name: file.read(name) for name in file.namelist()}
    name = next(name for name in members if name.startswith(member))
    members[name] = members[name].replace(before.encode(), after.encode(), 1)
    manifest = json.loads(members[MANIFEST])
    manifest["sha256"][name] = hashlib.sha256(members[name]).hexdigest()
    members[MANIFEST] = json.dumps(manifest, indent=1).encode() + b"\n"
    (tmp_path / "forged.zip").write_bytes(archive(members))
    done = here("verify", "forged.zip", cwd=tmp_path)
    assert done.code == 6
    assert words in done.error


def test_a_number_altered_in_the_database_is_found(home: Path) -> None:
    id_ = run(home)
    assert here("verify", id_, cwd=home).code == 0
    with Store.open(f"sqlite:///{home}/probe.db") as store:
        store.database.write(
            lambda connection: connection.execute(
                attribution.update().where(attribution.c.position == 1).values(value=attribution.c.value + 1e-6)
            )
        )
    done = here("verify", id_, cwd=home)
    assert done.code == 6
    assert "value of 'refund' is" in done.error


def test_an_answer_altered_in_the_database_is_found(home: Path) -> None:
    id_ = run(home)
    with Store.open(f"sqlite:///{home}/probe.db") as store:
        store.database.write(lambda connection: connection.execute(pack.update().values(root=b"\x01" * 32)))
    assert here("verify", id_, cwd=home).code == 6
    assert here("db", "check", cwd=home).code == 6


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH is not installed")
def test_a_signature_is_checked(home: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "key"], cwd=home, check=True)
    (home / "allowed").write_text(f"me {(home / 'key.pub').read_text()}")
    id_ = run(home)
    assert here("bundle", id_, "-o", "run.zip", "--sign", "key", cwd=home).code == 0

    def check(identity: str) -> Done:
        options = ("--signature", "run.zip.sig", "--allowed", "allowed", "--identity", identity)
        return here("verify", "run.zip", *options, cwd=home)

    assert "signed by me" in check("me").out
    assert check("you").code == 6
    again = run(home)
    here("bundle", again, "-o", "run.zip", cwd=home)
    assert check("me").code == 6


def test_the_database_is_looked_after(home: Path) -> None:
    id_ = run(home)
    assert here("db", "stats", "--json", cwd=home).json["evaluations"] == 64
    assert "are whole" in here("db", "check", cwd=home).out
    assert "retain" in here("db", "prune", cwd=home).error
    configure(home, top={"retain": "180d"})
    assert here("db", "prune", cwd=home).out == "dropped 0 bodies, 0 bytes\n"
    before = here("show", id_, "--json", cwd=home).json
    assert here("db", "prune", "--older-than", "0", "--vacuum", cwd=home).out.startswith("dropped ")
    assert here("show", id_, "--json", cwd=home).json == before
    assert here("verify", id_, cwd=home).code == 0
    assert here("db", "copy", "sqlite:///copy.db", cwd=home).code == 0
    assert here("show", id_, "--json", "--storage", "sqlite:///copy.db", cwd=home).json == before
    assert here("verify", id_, "--storage", "sqlite:///copy.db", cwd=home).code == 0
    assert "copied onto itself" in here("db", "copy", "sqlite:///probe.db", cwd=home).error


class Echo(BaseHTTPRequestHandler):
    """An API that tells everybody everything, in good answers and in bad ones."""

    field = "canary.person@example.org"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        (text,) = asked["inputs"]
        user = {"email": self.field, "plan": "free"}
        said: dict[str, Any] = {"user": user, "note": f"asked by {self.field}", "key": self.headers["authorization"]}
        refused = "slow" in text and "refund" not in text
        said |= {"error": f"too short, {self.field}"} if refused else {"scores": {"long": len(text) / 50, "short": 0.1}}
        body = json.dumps(said).encode()
        self.send_response(422 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[str]:
    """The URL of such an API."""
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/predict"
        server.shutdown()
        thread.join()


def test_secrets_and_redacted_fields_are_in_no_byte(echo: str, tmp_path: Path) -> None:
    key = "sk-canary-0815"
    endpoint = {"url": echo, "auth": {"bearer": "${VENDOR_KEY}"}, "json": {"inputs": ["{{ x }}"]}}
    endpoint |= {"items": "[@]", "scores": {"map": "scores"}}
    entry = {"kind": "text", "inputs": {"inline": [TEXT]}, "endpoints": ["a"], "methods": ["kernelshap"], "budget": 40}
    config = {"redact": ["user.email"], "endpoints": {"a": endpoint}, "probes": {"reviews": entry | {"target": "long"}}}
    write(tmp_path, config)
    done = probe("run", "--quiet", "--report", "report.html", cwd=tmp_path, env={"VENDOR_KEY": key})
    assert done.code == 0, done.err
    log = done.out + done.err
    id_ = here("ls", "--json", cwd=tmp_path).json[0]["id"]
    for arguments in (
        ("bundle", id_, "-o", "run.zip"),
        ("verify", "run.zip"),
        ("show", id_, "--json"),
        ("export", id_, "-o", "a.jsonl"),
        ("export", id_, "-o", "a.npz"),
        ("export", id_, "-o", "e.csv", "--evaluations"),
        ("query", "--csv"),
    ):
        found = here(*arguments, cwd=tmp_path)
        assert found.code == 0, found.err
        log += found.out + found.err
    with Store.open(f"sqlite:///{tmp_path}/probe.db") as store:
        entries = [entry for each in store.probes(id_) for entry in store.evaluations(each)]
        bodies = b"".join(store.bodies_of(entries).values())
        errors = [entry.error for entry in entries]
    assert b'"plan":"free"' in bodies
    assert b"[redacted]" in bodies
    assert any(error and "too short" in error for error in errors)
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    everything += bodies + log.encode() + repr(entries).encode()
    for canary in (key, Echo.field):
        assert canary.encode() not in everything


def test_a_path_that_is_none_is_one_line(tmp_path: Path) -> None:
    write(tmp_path, texts_config("http://127.0.0.1:1") | {"redact": ["items[0].ssn"]})
    done = here("run", "--quiet", cwd=tmp_path)
    assert done.code == 2
    assert "redact: 'items[0].ssn' is no path" in done.error
