from __future__ import annotations

import textwrap
from datetime import timedelta
from pathlib import Path

import pytest

from probe.config import load_config, parse_config
from probe.config_sections import Files, Group, Inline, Stop, Table, parse_duration
from probe.errors import ConfigError

GOOD = """
endpoints:
  a: {url: "https://a.example/v1"}
probes:
  reviews:
    kind: text
    inputs: reviews/*.txt
    endpoints: [a]
    methods: [lime, {shapley: {pairs: true}}, {occlusion: }]
"""


def probe(lines: str) -> str:
    """A config whose only probe has these keys beside the necessary ones."""
    head = "endpoints: {a: {}}\nprobes:\n  p:\n    kind: text\n    endpoints: [a]\n"
    wanted = textwrap.dedent(lines).strip("\n")
    if "inputs:" not in wanted:
        wanted = f"inputs: x.txt\n{wanted}"
    if "methods:" not in wanted:
        wanted = f"methods: [lime]\n{wanted}"
    return head + textwrap.indent(wanted, "    ")


def complaint(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, where="probe.yaml")
    message = str(caught.value)
    assert message.startswith("probe.yaml")
    assert "\n" not in message
    assert len(message) < 400
    return message.removeprefix("probe.yaml").removeprefix(": ")


def test_a_good_config_and_its_defaults() -> None:
    config = parse_config(GOOD)
    reviews = config.probes["reviews"]
    assert (config.storage, config.seed, config.budget) == ("sqlite:///probe.db", 1, None)
    assert reviews.methods == ["lime", {"shapley": {"pairs": True}}, {"occlusion": None}]
    assert (reviews.target, reviews.budget, reviews.repeats, reviews.fresh) == ("top1", 300, 1, timedelta(hours=24))


@pytest.mark.parametrize(
    ("inputs", "kind"),
    [
        ("a.txt", str),
        ("[a.txt, b.txt]", list),
        ("{files: [a.png], max_side: 64}", Files),
        ("{csv: a.csv, rows: 0:5}", Table),
        ("{parquet: a.parquet, rows: [0, 3], text: body, id: key}", Table),
        ("{inline: [one, two]}", Inline),
        ("{inline: [{a: 1, b: x, c: true, d: 1.5, e: null}]}", Inline),
    ],
)
def test_ways_to_name_inputs(inputs: str, kind: type) -> None:
    assert isinstance(parse_config(probe(f"inputs: {inputs}")).probes["p"].inputs, kind)


def test_when_to_stop() -> None:
    stop = parse_config(probe("stop: {half_width: 0.03, top: 5}")).probes["p"].stop
    assert stop == Stop(half_width=0.03, top=5)


def test_a_group_of_labels() -> None:
    target = parse_config(probe("target: {group: [tabby, tiger cat], name: any cat}")).probes["p"].target
    assert target == Group(group=["tabby", "tiger cat"], name="any cat")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (probe("stop: {}"), "write half_width, top or both"),
        (probe("stop: {half_width: 0}"), "probes.p.stop.half_width: input should be greater than 0"),
        (probe("stop: {half_with: 0.1}"), "unknown key 'probes.p.stop.half_with'; did you mean 'half_width'?"),
        (probe("stop: {top: 0}"), "probes.p.stop.top: input should be greater than or equal to 1"),
        ("", "the file is empty; `probe init` writes an example"),
        ("# nothing but a remark\n", "the file is empty"),
        ("just words", "expected a mapping with endpoints and probes, found str"),
        ("[1, 2]", "found list"),
        ("endpoints: {a: {}}", "'probes' is missing"),
        (GOOD + "sedd: 2", "unknown key 'sedd'; did you mean 'seed'?"),
        (GOOD + "seed: -1", "seed: input should be greater than or equal to 0, found '-1' (int)"),
        (GOOD + "seed: 99999999999999999999", "seed: input should be less than or equal to 9223372036854775807"),
        (GOOD + "seed: " + "9" * 6000, "not valid YAML"),
        (GOOD + "budget: 500", "budget: input should be a valid string, found '500' (int)"),
        (
            "endpoints: {a: null}\nprobes: {p: {kind: text, inputs: x, endpoints: [a], methods: [lime]}}",
            "endpoints.a: input should be a valid dictionary, found 'None'",
        ),
        ("endpoints: {a: {}}\nprobes: {}", "'probes' is missing; write probes, surveys or baselines"),
        (
            "endpoints: {1: {}}\nprobes: {p: {kind: text, inputs: x, endpoints: [a], methods: [lime]}}",
            "endpoints.1: input should be a valid string, found '1' (int)",
        ),
        (GOOD.replace("[a]", "[b]"), "probes.reviews.endpoints: there is no endpoint 'b'; there are a"),
        (GOOD.replace("  a:", "  vendor:").replace("[a]", "[vendr]"), "did you mean 'vendor'?"),
        (GOOD.replace("kind: text", "kind: txt"), "probes.reviews.kind: input should be 'image', 'text' or 'tabular'"),
        (probe("methods: 3"), "probes.p.methods: input should be a valid list, found '3' (int)"),
        (probe("methods: []"), "probes.p.methods: list should have at least 1 item"),
        (probe("methods: [3]"), "probes.p.methods.0: input should be a valid string, found '3' (int)"),
        (probe("methods: [{lime: 3}]"), "probes.p.methods.0.lime: input should be a valid dictionary, found '3' (int)"),
        (probe("budgt: 3"), "unknown key 'probes.p.budgt'; did you mean 'budget'?"),
        (probe("budget: lots"), "probes.p.budget: input should be a valid integer"),
        (probe("budget: 1" + "0" * 40), "probes.p.budget: "),
        (probe("repeats: 0"), "probes.p.repeats: input should be greater than or equal to 1"),
        (probe("fresh: soon"), "probes.p.fresh: not a duration; write 30m, 24h or 7d, found 'soon'"),
        (probe("fresh: 99999999999999w"), "probes.p.fresh: longer than a century"),
        (probe("fresh: false"), "probes.p.fresh: not a duration"),
        (probe("inputs: 3"), "probes.p.inputs: input should be a valid string, found '3' (int)"),
        (probe("inputs: [a.txt, 3]"), "probes.p.inputs.1: input should be a valid string, found '3' (int)"),
        (probe("inputs: {fles: [a.txt]}"), "unknown key 'probes.p.inputs.fles'; did you mean 'files'?"),
        (probe("inputs: {csv: a.csv, rwos: 0:5}"), "unknown key 'probes.p.inputs.rwos'; did you mean 'rows'?"),
        (
            probe("inputs: {csv: a.csv, parquet: b.parquet}"),
            "probes.p.inputs: name one of csv and parquet, found a mapping",
        ),
        (probe("inputs: {csv: a.csv, rows: {a: 1}}"), "probes.p.inputs.rows: input should be a valid string"),
        (probe("inputs: {inline: [{a: 2020-01-01}]}"), "probes.p.inputs.inline.0.a: input should be a valid string"),
        (probe("inputs: {inline: [{a: [1]}]}"), "probes.p.inputs.inline.0.a: "),
        (probe("inputs: {inline: []}"), "probes.p.inputs.inline: "),
        (probe("target: {group: [], name: x}"), "probes.p.target.group: list should have at least 1 item"),
        (probe("target: {grp: [a], name: x}"), "unknown key 'probes.p.target.grp'; did you mean 'group'?"),
        (probe("target: {group: [a, a], name: x}"), "probes.p.target: the label 'a' is in the group twice"),
        (probe("target: 3"), "probes.p.target: input should be a valid string, found '3' (int)"),
        (probe("masker: grey"), "probes.p.masker: input should be a valid dictionary, found 'grey'"),
        (probe("yes: 1"), "probes.p"),
        (GOOD + "a: [1", "not valid YAML"),
        (GOOD + "\tx: 1", "not valid YAML"),
        ("a: \x00", "not valid YAML: unacceptable character"),
        ("a: 2020-13-45", "not valid YAML: month must be in 1..12"),
        ("[" * 5000, "not valid YAML: nested too deeply"),
        ("a: !!python/object/apply:os.system [echo]", "not valid YAML: could not determine a constructor"),
        ("? {a: 1}\n: 2", "not valid YAML"),
    ],
)
def test_every_slip_is_one_line_that_says_where(text: str, says: str) -> None:
    assert says in complaint(text)


def test_the_place_of_a_syntax_error() -> None:
    assert complaint("endpoints: {\nprobes: [").startswith(":2:")


@pytest.mark.parametrize(
    "text",
    [
        "seed: 1\nseed: 2",
        "probes: {p: {kind: text, 'kind': image}}",
        "a: {<<: {x: 1}, y: 1, y: 2}",
    ],
)
def test_duplicate_keys_are_refused(text: str) -> None:
    assert "is there twice" in complaint(text)


def test_merge_keys_override_and_nest() -> None:
    config = parse_config("""
endpoints:
  a: &a {url: one, batch: 1}
  nested: {deeper: {deepest: &b {<<: *a, batch: 2}}}
  c: {<<: *b, url: three}
  d: {<<: [*a, *b], json: 1}
probes:
  p: {kind: text, inputs: x.txt, endpoints: [c], methods: [lime]}
""")
    assert config.endpoints["c"] == {"url": "three", "batch": 2}
    assert config.endpoints["d"] == {"url": "one", "batch": 1, "json": 1}
    assert config.endpoints["nested"]["deeper"]["deepest"] == {"url": "one", "batch": 2}


def test_a_storm_of_aliases_is_refused_at_once() -> None:
    levels = [f"l{k}: &l{k} [{', '.join([f'*l{k - 1}'] * 9)}]" for k in range(1, 12)]
    assert "with its aliases written out" in complaint("\n".join(["l0: &l0 [x]", *levels]))


def test_what_contains_itself_is_refused() -> None:
    assert "inside of what it stands for" in complaint("endpoints: &a {b: *a}")
    assert "inside of what it stands for" in complaint("a: &a {<<: *a}")


def test_many_honest_aliases_are_fine() -> None:
    probes = "\n".join(f"  p{k}: {{<<: *p, budget: {k + 2}}}" for k in range(500))
    config = parse_config(
        "endpoints: {a: {}}\nprobes:\n  p: &p {kind: text, inputs: x.txt, endpoints: [a], methods: [lime]}\n" + probes
    )
    assert config.probes["p499"].budget == 501


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("30m", 1800), ("24h", 86400), ("7d", 604800), ("1.5h", 5400), (0, 0), ("0", 0), ("2 w", 1209600)],
)
def test_durations(value: object, seconds: int) -> None:
    assert parse_duration(value) == timedelta(seconds=seconds)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file; `probe init` writes one"):
        load_config(tmp_path / "probe.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")
    with pytest.raises(ConfigError, match=r"cannot be read.*utf-8"):
        load_config(tmp_path / "latin.yaml")
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    config, text = load_config(tmp_path / "bom.yaml")
    assert "reviews" in config.probes
    assert "reviews" in text
