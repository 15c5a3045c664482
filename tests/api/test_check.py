"""Baselines and checks from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import probe
from tests.cli.program import write
from tests.drifting import drifting_server
from tests.engine.test_drift import straight


def test_a_baseline_and_its_checks_from_code(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [{"a": float(a), "b": float(b)} for a, b in rng.normal(0, 2, (20, 2))]
    with drifting_server(straight()) as server:
        entry = {"kind": "tabular", "inputs": {"inline": rows}, "endpoint": "vendor", "doubles": 20, "pairs": 4}
        config = write(
            tmp_path,
            {"endpoints": {"vendor": server.endpoint(batch=8)}, "baselines": {"rows": {**entry, "repeats": 12}}},
        )
        with pytest.raises(probe.ConfigError, match="no baseline 'rows'"):
            probe.check("rows", config)
        assert probe.make_baseline("rows", config).exit_code == 0
        assert probe.check("rows", config).exit_code == 0
        server.model = straight(0.2)
        checked = probe.check("rows", config)
    assert checked.exit_code == 1
    assert checked.verdict is not None
    assert checked.verdict.level == "canonical"


def test_free_texts_are_watched_for_answers_never_given_before(tmp_path: Path) -> None:
    said = {"a slow refund": "about money", "a warm welcome": "about people", "late again": "about time"}
    with drifting_server(lambda texts: [{said[text]: 1.0} for text in texts]) as server:
        entry = {"kind": "text", "answers": "text", "inputs": {"inline": list(said)}, "endpoint": "vendor"}
        config = write(
            tmp_path,
            {
                "endpoints": {"vendor": server.endpoint()},
                "baselines": {"topics": {**entry, "doubles": 30, "repeats": 20}},
            },
        )
        assert probe.make_baseline("topics", config).exit_code == 0
        assert probe.check("topics", config).exit_code == 0
        server.model = lambda texts: [{f"it is {said[text]}": 1.0} for text in texts]
        checked = probe.check("topics", config)
    assert checked.exit_code == 1
    assert checked.effect is not None
    assert (checked.effect.all.changed, checked.effect.all.asked) == (3, 3)
