"""The documentation of the presets is made from them, and its examples are endpoints."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from adapters import endpoint_from_config
from adapters.presets import presets
from adapters.spec_auth import Auth
from tools.provider_table import BEGIN, DOCUMENT, renewed

TEXT = DOCUMENT.read_text("utf-8")


def test_the_table_is_of_the_presets_as_they_are() -> None:
    assert renewed(TEXT) == TEXT, "run: python -m tools.provider_table"
    rows = TEXT.split(BEGIN)[1].splitlines()[2:]
    assert [row.split("`")[1] for row in rows if row.startswith("| ")] == list(presets())


def test_the_examples_are_endpoints() -> None:
    [example] = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    for name, entry in yaml.safe_load(example)["endpoints"].items():
        assert endpoint_from_config(name, entry, environment={}, base=Path()).name == name


def test_every_kind_of_authentication_is_told() -> None:
    told = re.findall(r"^\| `\{(\w+): .*?\}` \|", TEXT, re.MULTILINE)
    assert told == list(Auth.model_fields)
    for row in re.findall(r"^\| `(\{\w+: .*?\})` \|", TEXT, re.MULTILINE):
        if "…" not in row:
            Auth.model_validate(yaml.safe_load(row))


def test_the_readme_leads_here() -> None:
    assert "(docs/providers.md)" in (DOCUMENT.parents[1] / "README.md").read_text("utf-8")
