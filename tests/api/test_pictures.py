"""The methods for pictures from end to end, on a score that looks at one place only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import probe

PICTURE = np.random.default_rng(7).integers(60, 200, (64, 64, 3), dtype=np.uint8)
PICTURE[24:32, 40:48] = 250  # where the score looks


def brightness(pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
    return np.array([picture[24:32, 40:48].mean() / 250 for picture in pictures])


@pytest.mark.parametrize(
    ("method", "budget", "settings"),
    [
        ("quadtree", 40, {"depth": 3, "fill": "black"}),
        ({"rise": {"grid": 8}}, 300, {"fill": "black"}),
        ({"rise": {"masks": "superpixels"}}, 300, {"segments": 30, "fill": "black"}),
        ("occlusion", 300, {"window": 8, "stride": 8, "fill": "black"}),
    ],
)
def test_the_place_that_matters_is_the_strongest(method: Any, budget: int, settings: dict[str, Any]) -> None:
    result = probe.explain(brightness, PICTURE, method=method, budget=budget, masker=settings)
    values = np.array(result.values, dtype=float)
    strongest = result.probe.features[int(np.nanargmax(values))]["place"]
    if "box" in strongest:
        top, left, bottom, right = strongest["box"]
        assert top <= 28 < bottom
        assert left <= 44 < right
    assert result.probe.evaluations <= budget
    assert "data:image/png;base64," in result._repr_html_()


def test_several_fills_cost_a_request_each_and_show_how_far_they_are_apart() -> None:
    fills = ["black", "mean"]
    settings = {"window": 16, "stride": 16, "fill": fills}
    result = probe.explain(brightness, PICTURE, method="occlusion", budget=60, masker=settings)
    single = [
        probe.explain(brightness, PICTURE, method="occlusion", budget=60, masker={**settings, "fill": fill})
        for fill in fills
    ]
    assert result.values == pytest.approx(np.mean([one.values for one in single], axis=0))
    assert result.probe.details["by_background"] == [pytest.approx(list(one.values)) for one in single]
    with pytest.raises(probe.ConfigError, match="too small"):
        probe.explain(brightness, PICTURE, method="occlusion", budget=20, masker=settings)


def test_methods_for_pictures_refuse_other_inputs() -> None:
    with pytest.raises(probe.ConfigError, match="quadtree works on image"):
        probe.explain(lambda texts: [{"a": 1.0} for _ in texts], "a text", method="quadtree")
