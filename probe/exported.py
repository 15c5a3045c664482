"""What is stored, as files for other programs: attributions and evaluations, in CSV, JSON lines, Parquet and NumPy's format.

Nothing is pickled. ``shap``: what ``shap.Explanation(**numpy.load(file))`` takes.
"""

from __future__ import annotations

import csv
import importlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from probe.engine.recorded import is_survey, recorded, table_of, target_of
from probe.errors import ConfigError
from probe.interop import explanation_arrays
from probe.report.listing import guarded, plain
from probe.report.queried import COLUMNS, Found
from probe.results import Results, load_results
from storage import Store
from storage.export import NUMBERS, TEXTS, Batch, batches
from storage.pack import KEY_BYTES, NEVER
from storage.questions import Filter, shares

FORMATS = ("csv", "jsonl", "parquet", "npz", "shap")
EVALUATION_COLUMNS = ("key", *NUMBERS, *TEXTS)
_TIMES = ("sent_at", "answered_at")
_GROUP = 1 << 17  #: rows in one row group of a Parquet file


def export(store: Store, run_id: str, path: Path, *, kind: str, evaluations: bool = False) -> int:
    """Write a run to ``path``; returns the number of rows (of explanations for ``npz`` and ``shap``).

    Raises:
        ConfigError: the format needs a package that is not here, or explanations are not alike, or the file cannot be
            written.
        storage.NotFound: there is no such run.
        storage.Damaged: stored answers cannot be read.
    """
    run = store.run(run_id)
    try:
        if kind == "npz":
            return _npz(store, load_results(store, run.id), path)
        if kind == "shap":
            return _shap(load_results(store, run.id), path)
        if evaluations:
            return _evaluations(batches(store, run.id), path, kind)
        rows = [Found.of(share).cells() for share in shares(store, Filter(run=run.id), limit=2**31 - 1, newest=False)]
        return _attributions(rows, path, kind)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error


def _attributions(rows: Sequence[Sequence[Any]], path: Path, kind: str) -> int:
    if kind == "parquet":
        arrow = _arrow()
        columns = {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}
        arrow.parquet.write_table(arrow.table(columns), path)
    elif kind == "jsonl":
        with path.open("w", encoding="utf-8") as file:
            for row in rows:
                _line(file, dict(zip(COLUMNS, map(plain, row), strict=True)))
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows([guarded(plain(value)) for value in row] for row in rows)
    return len(rows)


def _evaluations(found: Iterable[Batch], path: Path, kind: str) -> int:
    if kind == "parquet":
        return _evaluations_parquet(found, path)
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        if kind == "csv":
            writer.writerow(("run", "endpoint", *EVALUATION_COLUMNS, "scores"))
        for batch in found:
            count += batch.rows
            for row in _rows(batch):
                if kind == "jsonl":
                    _line(file, row)
                else:
                    row["scores"] = json.dumps(row["scores"], ensure_ascii=False)
                    writer.writerow([guarded(value) for value in row.values()])
    return count


def _rows(batch: Batch) -> Iterator[dict[str, Any]]:
    columns = {"key": [key.tobytes().hex() for key in batch.keys]}
    columns |= {name: _plain_column(name, values) for name, values in batch.numbers.items()}
    columns |= {name: [words[code] for code in codes.tolist()] for name, (words, codes) in batch.texts.items()}
    scores = {label: values.tolist() for label, values in batch.scores.items()}
    for place in range(batch.rows):
        row: dict[str, Any] = {"run": batch.run, "endpoint": batch.endpoint}
        row |= {name: values[place] for name, values in columns.items()}
        row["scores"] = {label: values[place] for label, values in scores.items() if not math.isnan(values[place])}
        yield row


def _plain_column(name: str, values: NDArray[Any]) -> list[Any]:
    found = values.tolist()
    if name in _TIMES:
        return [None if value == NEVER else datetime.fromtimestamp(value / 1e6, UTC).isoformat() for value in found]
    if name == "http_status":
        return [None if value < 0 else value for value in found]
    return [plain(value) for value in found] if name in {"floor", "elapsed"} else found


def _line(file: IO[str], row: dict[str, Any]) -> None:
    file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace").decode() + "\n")


def _evaluations_parquet(found: Iterable[Batch], path: Path) -> int:
    """One row group for many packs; scores as a column for each label that the first of them have, the rest in ``other``."""
    arrow = _arrow()
    count = 0
    writer: Any = None
    labels: list[str] = []
    try:
        for group in _together(found):
            if writer is None:
                labels = list(dict.fromkeys(label for batch in group for label in batch.scores))
            table = _table(arrow, group, labels)
            if writer is None:
                # keys and times do not repeat: looking for that takes longer than anything else
                repeating = [name for name in table.column_names if name not in {"key", *_TIMES}]
                writer = arrow.parquet.ParquetWriter(path, table.schema, compression="zstd", use_dictionary=repeating)
            writer.write_table(table, row_group_size=_GROUP)
            count += table.num_rows
        if writer is None:
            arrow.parquet.write_table(arrow.table({"key": arrow.array([], arrow.string())}), path)
    finally:
        if writer is not None:
            writer.close()
    return count


def _together(found: Iterable[Batch]) -> Iterator[list[Batch]]:
    group: list[Batch] = []
    for batch in found:
        group.append(batch)
        if sum(each.rows for each in group) >= _GROUP:
            yield group
            group = []
    if group:
        yield group


def _table(arrow: Any, group: Sequence[Batch], labels: Sequence[str]) -> Any:
    raw = b"".join(batch.keys.tobytes() for batch in group)
    rows = sum(batch.rows for batch in group)
    columns: dict[str, Any] = {
        name: _texts(arrow, [([getattr(batch, name)], np.zeros(batch.rows, dtype=np.int64)) for batch in group])
        for name in ("run", "endpoint")
    }
    columns["key"] = arrow.Array.from_buffers(arrow.binary(KEY_BYTES), rows, [None, arrow.py_buffer(raw)])
    columns |= {name: _numbers(arrow, name, [batch.numbers[name] for batch in group]) for name in NUMBERS}
    columns |= {name: _texts(arrow, [batch.texts[name] for batch in group]) for name in TEXTS}
    for label in labels:
        whole = np.concatenate([batch.scores.get(label, np.full(batch.rows, np.nan)) for batch in group])
        columns[f"score {label}"] = arrow.array(whole, mask=np.isnan(whole))
    others = [{label: values for label, values in batch.scores.items() if label not in labels} for batch in group]
    if any(others):
        columns["other"] = arrow.array(
            [
                json.dumps({label: values[place] for label, values in rest.items() if not math.isnan(values[place])})
                for rest, batch in zip(others, group, strict=True)
                for place in range(batch.rows)
            ]
        )
    else:
        columns["other"] = arrow.nulls(rows, arrow.string())
    return arrow.table(columns)


def _texts(arrow: Any, parts: Sequence[tuple[Sequence[str | None], NDArray[np.int64]]]) -> Any:
    """Texts of which few are different, kept as such."""
    known: dict[str | None, int] = {}
    codes = []
    for words, places in parts:
        codes.append(np.array([known.setdefault(word, len(known)) for word in words])[places])
    whole = np.concatenate(codes).astype(np.int32)
    empty = known.get(None, -1)
    indices = arrow.array(whole, mask=whole == empty)
    return arrow.DictionaryArray.from_arrays(indices, arrow.array([word or "" for word in known], arrow.string()))


def _numbers(arrow: Any, name: str, parts: Sequence[NDArray[Any]]) -> Any:
    whole: NDArray[Any] = np.concatenate(parts)
    if name in _TIMES:
        return arrow.array(whole, mask=whole == NEVER).cast(arrow.timestamp("us", tz="UTC"))
    if name == "http_status":
        return arrow.array(whole, mask=whole < 0)
    return arrow.array(whole, mask=np.isnan(whole) if whole.dtype.kind == "f" else None)


def _arrow() -> Any:
    try:
        importlib.import_module("pyarrow.parquet")
        return importlib.import_module("pyarrow")
    except ImportError as error:
        raise ConfigError(
            "Parquet needs pyarrow, which is not installed here: pip install 'blackbox-probe[parquet]'"
        ) from error


def _npz(store: Store, results: Results, path: Path) -> int:
    """For every explanation ``i``: ``i/values``, ``i/std_errors``, ``i/features``, ``i/coalitions``, ``i/scores``; and
    ``about``, a line of JSON for each."""
    arrays: dict[str, NDArray[Any]] = {}
    about = []
    for place, result in enumerate(results):
        probe = result.probe
        arrays[f"{place}/values"], arrays[f"{place}/std_errors"] = result.values, result.std_errors
        arrays[f"{place}/features"] = np.array(result.names, dtype=str)
        if probe.table and not is_survey(probe):
            table = table_of(probe, recorded(store, probe), target_of(probe))
            arrays[f"{place}/coalitions"], arrays[f"{place}/scores"] = table.coalitions, table.values
        said = {"probe": probe.name, "instance": result.shown.instance.name, "endpoint": result.shown.endpoint.name}
        said |= {"method": probe.method, "target": probe.target}
        about.append(json.dumps(said | {"base_value": probe.base_value, "full_value": probe.full_value}))
    with path.open("wb") as file:
        np.savez_compressed(file, about=np.array(about, dtype=str), **arrays)  # type: ignore[arg-type]
    return len(results)


def _shap(results: Results, path: Path) -> int:
    arrays = explanation_arrays(results.shown)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    return len(results)
