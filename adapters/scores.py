"""From the bytes of an answer to one result per input. Pure; whatever the bytes are, only typed errors leave this module.

What concerns one row (a refused input, a score that is not a number) is that item's :class:`ItemError`. What no row fits
is the whole answer's :class:`ResponseError`: then the description is wrong, not the input.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from adapters.base import ItemError, Prediction
from adapters.documents import Documents
from adapters.errors import NotJson, ResponseError
from adapters.read_json import Query, naming, parse_json, truthy
from adapters.read_kinds import from_levels, from_map, from_pairs, from_vector
from adapters.read_labels import LabelSpace, Misfit, found, number_of
from adapters.read_rows import RowFinder
from adapters.read_tensor import TensorRows, binary_answer
from adapters.read_words import LogprobReader, TextReader
from adapters.show import excerpt
from adapters.spec_scores import Items, Scores

__all__ = ["VERSION", "LabelSpace", "Query", "Result", "ScoreReader", "parse_json", "truthy"]

#: raise the count when the same rules read the same bytes differently
VERSION = 1

Result: TypeAlias = Prediction | ItemError
#: one row → its prediction; raises :class:`Misfit`
RowReader: TypeAlias = Callable[[Any], Prediction]


class ScoreReader:
    """Reads the answers of one endpoint by its ``items`` and ``scores`` rules."""

    def __init__(
        self,
        endpoint: str,
        *,
        scores: Scores,
        items: Items | None,
        space: LabelSpace,
        documents: Documents | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._documents = documents or Documents(endpoint, None)
        self._rows: RowFinder | TensorRows | None = RowFinder(endpoint, items) if items else None
        if scores.tensor is not None:
            self._rows = TensorRows(endpoint, scores.tensor, named=space.labels is not None)
        self._prediction = _row_reader(scores, space)

    def read(self, body: bytes, n: int) -> list[Result]:
        """``n`` results, in the order of the inputs. Raises :class:`ResponseError`."""
        data = self._parsed(body)
        rows: list[Any] = [data]
        if self._rows:
            with naming(self._endpoint):
                rows = self._rows.find(data, n, body)
        elif n != 1:
            raise ResponseError(f"endpoint {self._endpoint!r}: {n} inputs were sent, but the description has no items")
        results: list[Result] = []
        lasting: list[str] = []
        for position, row in enumerate(rows):
            where = f"endpoint {self._endpoint!r}, item {position}: "
            if isinstance(row, ItemError):
                results.append(ItemError(where + row.message))
                continue
            try:
                results.append(self._prediction(row))
            except (Misfit, ResponseError) as error:
                results.append(ItemError(where + str(error)))
                if not isinstance(error, Misfit) or error.lasting:
                    lasting.append(where + str(error))
        if lasting and len(lasting) == n:
            raise ResponseError(f"{lasting[0]}; the answer begins {excerpt(body)}")
        return results

    def _parsed(self, body: bytes) -> Any:
        try:
            return self._documents.parse(body)
        except NotJson:
            binary = binary_answer(body) if isinstance(self._rows, TensorRows) else None
            if binary is None:
                raise
            raise ResponseError(f"endpoint {self._endpoint!r}: {binary}") from None


def _row_reader(scores: Scores, space: LabelSpace) -> RowReader:
    """The reader of one row for the one kind that ``scores`` has."""
    if scores.logprobs:
        at, reader = Query(scores.logprobs.at), LogprobReader(scores.logprobs)
        return lambda row: reader.prediction(found(at, row))
    if scores.text:
        at, words = Query(scores.text.at), TextReader(scores.text)
        return lambda row: words.prediction(found(at, row))
    plain = _score_reader(scores, space)
    return lambda row: space.prediction(plain(row))


def _score_reader(scores: Scores, space: LabelSpace) -> Callable[[Any], dict[str, float]]:
    if scores.map:
        at, scale = Query(scores.map.at), scores.map.scale
        inner = None if scores.map.score is None else Query(scores.map.score)
        return lambda row: from_map(found(at, row), scale, inner)
    if scores.vector:
        at, scale = Query(scores.vector.at), scores.vector.scale
        return lambda row: from_vector(found(at, row), scale, space.labels)
    if scores.tensor:
        scale = scores.tensor.scale
        return lambda row: _from_output(row, scale, space.labels)
    if scores.value:
        at, scale, name = Query(scores.value.at), scores.value.scale, scores.value.label
        return lambda row: {name: number_of(found(at, row), scale, name)}
    if scores.pairs:
        pairs = scores.pairs
        at, label, score = Query(pairs.at), Query(pairs.label), Query(pairs.score)
        return lambda row: from_pairs(found(at, row), label, score, pairs.scale)
    if scores.ordinal:
        steps = scores.ordinal
        at, levels = Query(steps.at), steps.levels
        label_at = None if steps.label is None else Query(steps.label)
        level_at = None if steps.score is None else Query(steps.score)
        return lambda row: from_levels(found(at, row), levels, label_at, level_at)
    raise AssertionError("Scores holds exactly one kind")


def _from_output(row: Any, scale: float, labels: tuple[str, ...] | None) -> dict[str, float]:
    """One row of a tensor: a list, or the one number of an output without a second size, called ``value`` as elsewhere."""
    if isinstance(row, list):
        return from_vector(row, scale, labels)
    return from_vector([row], scale, labels or ("value",))
