"""Black-box probing of remote machine-learning APIs.

import probe
results = probe.run("probe.yaml")                       # what the config says; nothing is paid for twice
result = probe.explain(model, "some text")              # one answer of a function or an endpoint
survey = probe.survey(model, rows, labels="paid")       # importances, curves and a surrogate over a set of inputs
predict = probe.predict_fn("vendor-a")                  # an endpoint as a function, for shap, lime, scikit-learn
checked = probe.check("reviews")                        # has an endpoint changed since its baseline was made?
phi = probe.explain_game(v, n=12, budget=120).values    # Shapley values of a bare value function
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from probe._siblings import check_siblings
from probe.errors import BudgetReached, ConfigError, EndpointDown, ProbeError, StorageError

check_siblings()  # `adapters` and `storage` are names that other distributions use as well

if TYPE_CHECKING:
    from probe.api import aexplain, aexplain_all, arun, explain, explain_all, predict_fn, run
    from probe.drift_api import acheck, amake_baseline, check, make_baseline
    from probe.games import explain_game
    from probe.methods.stopping import StopRule
    from probe.results import Result, Results
    from probe.survey_api import asurvey, beeswarm, survey

__all__ = [
    "BudgetReached",
    "ConfigError",
    "EndpointDown",
    "ProbeError",
    "Result",
    "Results",
    "StopRule",
    "StorageError",
    "acheck",
    "aexplain",
    "aexplain_all",
    "amake_baseline",
    "arun",
    "asurvey",
    "beeswarm",
    "check",
    "explain",
    "explain_all",
    "explain_game",
    "make_baseline",
    "predict_fn",
    "run",
    "survey",
]

#: Loaded when first used: scikit-image and scikit-learn take seconds to import, and `probe ls` needs neither.
_HOMES = {
    **dict.fromkeys(("aexplain", "aexplain_all", "arun", "explain", "explain_all", "predict_fn", "run"), "probe.api"),
    **dict.fromkeys(("StopRule",), "probe.methods.stopping"),
    **dict.fromkeys(("explain_game",), "probe.games"),
    **dict.fromkeys(("acheck", "amake_baseline", "check", "make_baseline"), "probe.drift_api"),
    **dict.fromkeys(("Result", "Results"), "probe.results"),
    **dict.fromkeys(("asurvey", "beeswarm", "survey"), "probe.survey_api"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
