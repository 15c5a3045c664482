from __future__ import annotations

import dataclasses
import json
import re

import pytest

from probe.methods import FINDINGS, METHODS, build_method

KNOWN = [
    "alteration",
    "banzhaf",
    "gradient",
    "interactions",
    "kernelshap",
    "leverageshap",
    "lime",
    "occlusion",
    "permutation",
    "quadtree",
    "rise",
    "shapley",
    "substitution",
]


def test_methods_are_registered_under_their_names() -> None:
    assert set(METHODS) == set(KNOWN)
    for name, cls in METHODS.items():
        assert cls.name == name
        assert cls.kinds
        assert cls.source


def test_settings_round_trip_as_json() -> None:
    for name in METHODS:
        method = build_method(name, {})
        assert build_method(name, json.loads(json.dumps(dict(method.settings)))) == method
    assert dict(build_method("lime", {"kernel_width": 0.5}).settings)["kernel_width"] == 0.5


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("shaply", {}, "unknown method 'shaply'; did you mean 'shapley'?"),
        ("zzz", {}, "unknown method 'zzz'; known: " + ", ".join(KNOWN)),
        ("lime", {"kernel_widht": 1}, "lime: unknown setting 'kernel_widht'; did you mean 'kernel_width'?"),
        ("occlusion", {"window": 1}, "occlusion: unknown setting 'window'; it has no settings"),
        ("lime", {"kernel_width": -1}, "kernel_width must be a number above 0"),
    ],
)
def test_mistakes_name_the_nearest_known(name: str, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        build_method(name, settings)


def test_every_code_is_worded() -> None:
    for code, text in FINDINGS.items():
        assert re.fullmatch(r"P2\d\d", code)
        assert text.title
        assert text.title[0].islower()
        assert text.text.endswith(".")


def test_methods_are_values() -> None:
    for name in METHODS:
        assert dataclasses.is_dataclass(METHODS[name])
        assert hash(build_method(name)) == hash(build_method(name))
