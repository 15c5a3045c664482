from __future__ import annotations

import numpy as np
import pytest

from probe.surveys.beeswarm import Beeswarm, Explained, Part, gather
from tests.unit.surveys.tables import Floats


def explained(phi: Floats, errors: Floats | float = 0.0, names: str = "abcdefgh") -> list[Explained]:
    spread = np.broadcast_to(errors, phi.shape)
    return [
        (f"row {i}", [Part(names[k], float(phi[i, k]), float(spread[i, k]), float(i)) for k in range(phi.shape[1])])
        for i in range(len(phi))
    ]


def test_without_noise_it_is_the_mean_absolute_share() -> None:
    phi = np.random.default_rng(0).normal(size=(40, 3)) * [1.0, 3.0, 0.2]
    found = gather(explained(phi), Beeswarm(), seed=0)
    assert found.names == ("b", "a", "c")
    assert found.values.tolist() == pytest.approx(np.sort(np.abs(phi).mean(axis=0))[::-1].tolist())
    spread = np.abs(phi).std(axis=0, ddof=1) / np.sqrt(40)
    assert found.std_errors.tolist() == pytest.approx(spread[[1, 0, 2]].tolist())
    assert found.trust == {"dof": 39.0, "inflation": pytest.approx(0.0)}
    swarm = found.details["swarm"]["b"]
    assert swarm["mean_abs"] == found.values[0]
    assert swarm["points"][7] == [phi[7, 1], 7.0, 7]


@pytest.mark.parametrize("truth", ["none", "normal", "constant", "sparse"])
def test_noise_does_not_make_features_important(truth: str) -> None:
    """Shares known with an error as large as their own spread: the plain mean is far off, the corrected one is not."""
    rng = np.random.default_rng(1)
    plain, corrected, wanted = [], [], []
    for _ in range(30):
        phi = {
            "none": np.zeros((50, 1)),
            "normal": rng.normal(0, 1, (50, 1)),
            "constant": np.full((50, 1), 1.0),
            "sparse": rng.normal(0, 3, (50, 1)) * (rng.random((50, 1)) < 0.3),
        }[truth]
        found = gather(explained(phi + rng.normal(0, 1, phi.shape), 1.0), Beeswarm(), seed=0)
        plain.append(found.details["swarm"]["a"]["mean_abs"])
        corrected.append(found.values[0])
        wanted.append(float(np.abs(phi).mean()))
    before, after = (abs(np.mean(each) - np.mean(wanted)) for each in (plain, corrected))
    # far from 0 noise hardly inflates; where few shares are far off, a normal spread of them is only a rough model
    assert after < {"none": 0.3, "normal": 0.2, "constant": 0.1 + before, "sparse": 0.7 * before}[truth]


def test_intervals_cover_the_mean_over_many_inputs() -> None:
    rng = np.random.default_rng(2)
    truth = np.sqrt(2 / np.pi)
    inside = []
    for _ in range(80):
        phi = rng.normal(0, 1, (40, 1))
        found = gather(explained(phi + rng.normal(0, 0.5, phi.shape), 0.5), Beeswarm(), seed=0)
        inside.append(abs(found.values[0] - truth) <= 1.96 * found.std_errors[0])
    assert 0.88 <= np.mean(inside) <= 0.99


def test_words_over_texts() -> None:
    texts: list[Explained] = [
        ("one", [Part("good", 0.5, 0.0, None), Part("film", 0.0, 0.0, None)]),
        ("two", [Part("bad", -0.75, 0.0, None), Part("good", 0.25, 0.0, None), Part("good", 0.25, 0.0, None)]),
        ("three", [Part("film", -0.25, 0.0, None)]),
    ]
    found = gather(texts, Beeswarm(), seed=0)
    assert dict(zip(found.names, found.values.tolist(), strict=True)) == {
        "good": pytest.approx(1 / 3),
        "bad": pytest.approx(0.25),
        "film": pytest.approx(0.25 / 3),
    }
    assert found.details["swarm"]["good"]["count"] == 2
    assert len(found.details["swarm"]["good"]["points"]) == 3
    assert found.details["swarm"]["bad"]["mean"] == pytest.approx(-0.25)


def test_shares_without_standard_errors_are_told() -> None:
    phi = np.ones((3, 1))
    found = gather(explained(phi, np.nan), Beeswarm(), seed=0)
    assert found.values.tolist() == [1.0]
    assert [finding.code for finding in found.findings] == ["P301"]
    assert found.details["swarm"]["a"]["noise"] is None
    assert "inflation" not in found.trust


def test_only_the_strongest_and_some_dots_are_kept() -> None:
    phi = np.random.default_rng(3).normal(size=(30, 8)) * [1, 1, 1, 1, 1, 1, 4, 9]
    found = gather(explained(phi), Beeswarm(most=2, points=10), seed=0)
    assert found.names == ("h", "g")
    points = found.details["swarm"]["h"]["points"]
    assert len(points) == 10
    assert [row for _, _, row in points] == sorted(row for _, _, row in points)


def test_one_explanation_is_no_swarm() -> None:
    with pytest.raises(ValueError, match="at least two inputs, not of 1"):
        gather(explained(np.ones((1, 2))), Beeswarm(), seed=0)
