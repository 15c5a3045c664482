"""Stored results as Python values: what ``probe.run`` and ``probe.explain`` return, and what reports are drawn from."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probe.interop import data_frame, shap_explanation
from probe.report import Shown, TrustCard, explanation_fragment, render_report, terminal_summary
from storage import Store, records


@dataclass(frozen=True, slots=True)
class Result:
    """One explanation with everything that is known about how it came about."""

    shown: Shown

    @property
    def probe(self) -> records.Probe:
        """The stored record: cost, trust figures, findings, details."""
        return self.shown.probe

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in order."""
        return tuple(share.feature for share in self.probe.attributions)

    @property
    def values(self) -> NDArray[np.float64]:
        """Attributions, shape (n,), in score units."""
        return np.array([share.value for share in self.probe.attributions], dtype=np.float64)

    @property
    def std_errors(self) -> NDArray[np.float64]:
        """Standard errors, shape (n,); NaN where the method gives none."""
        return np.array(
            [np.nan if share.std_error is None else share.std_error for share in self.probe.attributions],
            dtype=np.float64,
        )

    @property
    def base_value(self) -> float:
        """Score with every feature replaced; NaN if it was not asked."""
        return float("nan") if self.probe.base_value is None else self.probe.base_value

    @property
    def full_value(self) -> float:
        """Score of the instance as it is; NaN if it was not answered."""
        return float("nan") if self.probe.full_value is None else self.probe.full_value

    @property
    def trust(self) -> TrustCard:
        """How far to trust it, and what to do about it: verdict, facts, advice, and the figures behind them."""
        return TrustCard.of(self.probe)

    def to_shap(self) -> Any:
        """As a ``shap.Explanation`` of shape (n,), for shap's plots. Raises :class:`ConfigError` without shap."""
        return shap_explanation([self.shown])

    def to_pandas(self) -> Any:
        """As a ``pandas.DataFrame``, a line per feature. Raises :class:`ConfigError` without pandas."""
        return data_frame([self.shown])

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The strongest features by absolute value."""
        known = (share for share in self.probe.attributions if np.isfinite(share.value))
        ranked = sorted(known, key=lambda share: -abs(share.value))
        return [(share.feature, share.value) for share in ranked[:count]]

    def _repr_html_(self) -> str:
        return explanation_fragment(self.shown)


@dataclass(frozen=True, slots=True)
class Results(Sequence[Result]):
    """A run and its explanations, in the config's order. ``exit_code`` as the command line would report it."""

    run: records.Run
    items: tuple[Result, ...]
    exit_code: int = 0
    reasons: tuple[str, ...] = ()  #: why the run is not complete, if it is not

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Result:  # type: ignore[override]
        return self.items[index]

    def __iter__(self) -> Iterator[Result]:
        return iter(self.items)

    @property
    def shown(self) -> list[Shown]:
        """What reports are drawn from."""
        return [result.shown for result in self.items]

    def to_shap(self) -> Any:
        """As a ``shap.Explanation`` of shape (rows, n), for plots over many rows; one method and target at a time.

        Raises :class:`ConfigError` without shap, or if the features differ.
        """
        return shap_explanation(self.shown)

    def to_pandas(self) -> Any:
        """As a ``pandas.DataFrame``, a line per explanation and feature. Raises :class:`ConfigError` without pandas."""
        return data_frame(self.shown)

    def html(self) -> str:
        """The whole report: one self-contained page."""
        return render_report(self.run, self.shown)

    def text(self, *, width: int = 100, color: bool = False) -> str:
        """The summary as the terminal shows it."""
        return terminal_summary(self.run, self.shown, width=width, color=color)

    def _repr_html_(self) -> str:
        return "".join(explanation_fragment(result.shown) for result in self.items)


def load_results(store: Store, run_id: str) -> Results:
    """The run ``run_id`` (or the only one that starts like it) from the database."""
    run = store.run(run_id)
    return Results(run, tuple(Result(shown) for shown in load_shown(store, store.probes(run.id))))


def load_shown(store: Store, probes: Sequence[records.Probe]) -> list[Shown]:
    """Everything that is needed to draw ``probes``."""
    instances = {probe.instance_id: None for probe in probes}
    endpoints = {probe.endpoint_id: None for probe in probes}
    loaded = {instance_id: store.instance(instance_id) for instance_id in instances}
    described = {endpoint_id: store.endpoint(endpoint_id) for endpoint_id in endpoints}
    return [
        Shown(probe, loaded[probe.instance_id], described[probe.endpoint_id], _segments(store, probe))
        for probe in probes
    ]


def _segments(store: Store, probe: records.Probe) -> NDArray[np.int32] | None:
    if probe.segments_sha is None:
        return None
    body = store.body(probe.segments_sha)
    if body is None:  # dropped by retention; the numbers stand without the picture
        return None
    segments: NDArray[np.int32] = np.load(io.BytesIO(body), allow_pickle=False)
    return segments
