"""Explanations as other people's values: shap's ``Explanation`` with its plots, and data frames. Imported when asked for."""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from probe.analysis.intervals import quantile
from probe.errors import ConfigError
from probe.report import Shown
from probe.report.view import features_of, row_of


def shap_explanation(shown: Sequence[Shown]) -> Any:
    """A ``shap.Explanation``: of shape (n,) for one explanation, (rows, n) for several of the same features.

    ``data`` are the columns' values of a row, the pieces of a text, the shares of a picture's area. Where the score with
    everything replaced was not asked, the base value is what the values leave of the score.

    Raises:
        ConfigError: shap is not installed, there is nothing to convert, or features, methods or targets differ.
    """
    names, values, base, data, errors = _alike(shown, "to_shap")
    one = len(shown) == 1
    return _module("shap", "to_shap").Explanation(
        values=values[0] if one else values,
        base_values=float(base[0]) if one else base,
        data=data[0] if one else data,
        feature_names=list(names),
        error_std=None if np.isnan(errors).any() else errors[0] if one else errors,
    )


def explanation_arrays(shown: Sequence[Shown]) -> dict[str, np.ndarray[Any, Any]]:
    """What :func:`shap_explanation` is made of, as arrays without objects: ``shap.Explanation(**arrays)``. ``data`` are
    numbers where all of them are, else texts.

    Raises:
        ConfigError: there is nothing to convert, or features, methods or targets differ.
    """
    names, values, base, data, _ = _alike(shown, "export")
    try:
        plain = data.astype(np.float64)
    except (TypeError, ValueError):
        plain = np.array([["" if cell is None else str(cell) for cell in row] for row in data], dtype=str)
    return {"values": values, "base_values": base, "data": plain, "feature_names": np.array(names, dtype=str)}


def _alike(
    shown: Sequence[Shown], asked_by: str
) -> tuple[tuple[str, ...], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Names, and by explanation values, base values, data and standard errors."""
    if not shown:
        raise ConfigError(f"{asked_by}: there is no explanation to convert")
    names = _names(shown[0])
    for other in shown[1:]:
        for what, differs in (
            ("features", _names(other) != names),
            ("method", other.probe.method != shown[0].probe.method),
            ("target", other.probe.target != shown[0].probe.target),
        ):
            if differs:
                raise ConfigError(
                    f"{asked_by}: {shown[0].instance.name} and {other.instance.name} do not have the same {what}; "
                    "convert them one by one"
                )
    rows = [_row(one) for one in shown]
    values, errors, data = (np.array([row[key] for row in rows]) for key in ("values", "errors", "data"))
    return names, values, np.array([row["base"] for row in rows]), data, errors


def data_frame(shown: Sequence[Shown]) -> Any:
    """A ``pandas.DataFrame`` with a line per feature: where it is from, ``value``, ``std_error`` and the 95 % interval.

    Raises:
        ConfigError: pandas is not installed.
    """
    lines: list[dict[str, Any]] = []
    for one in shown:
        probe = one.probe
        row = _row(one)
        factor = quantile(probe.trust.get("dof"))
        for name, value, error, data in zip(_names(one), row["values"], row["errors"], row["data"], strict=True):
            lines.append(
                {
                    "probe": probe.name,
                    "instance": one.instance.name,
                    "endpoint": one.endpoint.name,
                    "method": probe.method,
                    "target": probe.target,
                    "feature": name,
                    "data": data,
                    "value": value,
                    "std_error": error,
                    "low": value - factor * error,
                    "high": value + factor * error,
                }
            )
    columns = ["probe", "instance", "endpoint", "method", "target", "feature", "data"]
    return _module("pandas", "to_pandas").DataFrame(lines, columns=[*columns, "value", "std_error", "low", "high"])


def _module(name: str, asked_by: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(f"{asked_by} needs {name}, which is not installed here: pip install {name}") from error


def _names(shown: Shown) -> tuple[str, ...]:
    return tuple(share.feature for share in shown.probe.attributions)


def _row(shown: Shown) -> dict[str, Any]:
    probe = shown.probe
    values = np.array([share.value for share in probe.attributions], dtype=np.float64)
    errors = [math.nan if share.std_error is None else share.std_error for share in probe.attributions]
    base = probe.base_value
    if base is None:
        full = math.nan if probe.full_value is None else probe.full_value
        base = full - float(np.nansum(values))
    return {"values": values, "errors": np.array(errors), "base": base, "data": _data(shown)}


def _data(shown: Shown) -> np.ndarray[Any, Any]:
    """What each feature is in the input (n,), as objects."""
    content, kind = shown.instance.content, shown.instance.kind
    row = row_of(content) if kind == "tabular" else {}
    text = content.decode("utf-8", "replace") if kind == "text" else ""
    cells = [_cell(feature.get("place") or {}, row, text, shown) for feature in features_of(shown.probe)]
    found = np.empty(len(cells), dtype=object)
    found[:] = cells
    return found


def _cell(place: Mapping[str, Any], row: Mapping[str, Any], text: str, shown: Shown) -> Any:
    if "columns" in place:
        known = [row.get(column) for column in place["columns"]]
        return known[0] if len(known) == 1 else ", ".join(map(str, known))
    if "span" in place:
        return text[slice(*place["span"])]
    if "segment" in place and shown.segments is not None:
        return float(np.mean(shown.segments == place["segment"]))
    return None
