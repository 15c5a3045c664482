from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probe.maskers import AlterationMasker, Masker, SubstitutionMasker
from probe.maskers.substitutions import LexicalRelation


@dataclass(frozen=True)
class Entry:
    word: str
    relation: str
    pos: str
    sense: str


class SmallLexicon:
    """A few entries, looked up in any case."""

    def __init__(self) -> None:
        self.entries = {
            "good": (
                Entry("bad", "antonym", "a", "good.a.01"),
                Entry("fine", "synonym", "a", "good.a.01"),
                Entry("great", "synonym", "a", "good.a.02"),
            ),
            "film": (Entry("movie", "synonym", "n", "film.n.01"),),
        }

    def substitutes(self, word: str, relation: LexicalRelation, limit: int) -> Sequence[Entry]:
        return [entry for entry in self.entries.get(word.lower(), ()) if entry.relation == relation][:limit]


def single(masker: SubstitutionMasker | AlterationMasker, name: str) -> Any:
    """The rendering with only the feature ``name`` off."""
    return masker.render(np.array([feature.name != name for feature in masker.features]))


def names(masker: Masker) -> list[str]:
    return [feature.name for feature in masker.features]


def test_substitutions_of_every_relation() -> None:
    text = "A Good film, he said."
    masker = SubstitutionMasker(
        text, lexicon=SmallLexicon(), pairs=[("he", "she")], relations=["synonym", "antonym", "pair"]
    )
    assert isinstance(masker, Masker)
    assert names(masker) == ["Good → Fine", "Good → Great", "Good → Bad", "film → movie", "he → she"]
    first = masker.features[0]
    assert first.group == "Good"
    assert first.place == {"span": [2, 6]}
    assert first.change == {"substitute": "Fine", "relation": "synonym", "pos": "a", "sense": "good.a.01"}
    assert masker.features[4].change == {"substitute": "she", "relation": "pair"}
    assert single(masker, "Good → Bad") == "A Bad film, he said."
    assert masker.render(np.ones(masker.n, dtype=bool)) == text


def test_attribution_by_deletion_and_a_neutral_token() -> None:
    masker = SubstitutionMasker("so good, so", relations=["deletion", "neutral"])
    assert [(feature.group, feature.change["relation"]) for feature in masker.features] == [
        (word, relation) for word in ("so", "good", "so (2)") for relation in ("deletion", "neutral")
    ]
    assert single(masker, "so → (deleted)") == "good, so"
    assert single(masker, "so (2) → _") == "so good, _"
    assert single(SubstitutionMasker("so good", neutral="thing"), "good → thing") == "so thing"


def test_of_several_substitutes_of_one_word_the_first_is_made() -> None:
    masker = SubstitutionMasker("good film", lexicon=SmallLexicon(), relations=["synonym", "antonym"])
    assert masker.render(np.zeros(masker.n, dtype=bool)) == "fine movie"


def test_at_most_so_many_substitutes_per_word() -> None:
    assert names(SubstitutionMasker("good", lexicon=SmallLexicon(), relations=["synonym"], per_word=1)) == [
        "good → fine"
    ]


def test_pairs_go_both_ways_for_whole_words_and_keep_the_case() -> None:
    text = "HE told her that She saw the sheet; Mr. Smith is he"
    masker = SubstitutionMasker(text, pairs=[("he", "she")], relations=["pair"])
    assert names(masker) == ["HE → SHE", "She → He", "he → she"]
    assert masker.render(np.zeros(masker.n, dtype=bool)) == "SHE told her that He saw the sheet; Mr. Smith is she"


def test_a_pair_named_as_it_stands_is_taken_as_it_is() -> None:
    masker = SubstitutionMasker("I and NASA", pairs=[("I", "we"), ("NASA", "Roscosmos")], relations=["pair"])
    assert masker.render(np.zeros(2, dtype=bool)) == "we and Roscosmos"


def test_a_phrase_of_a_pair_is_a_group_of_its_own_and_goes_before_its_words() -> None:
    masker = SubstitutionMasker("New York is new", pairs=[("new york", "Lagos"), ("new", "old")], relations=["pair"])
    assert [(feature.name, feature.group) for feature in masker.features] == [
        ("New → Old", "New"),
        ("New York → Lagos", "New York"),
        ("new → old", "new"),
    ]
    assert single(masker, "New York → Lagos") == "Lagos is new"


def test_equal_substitutes_count_once() -> None:
    masker = SubstitutionMasker("good", lexicon=SmallLexicon(), pairs=[("good", "fine"), ("good", "GOOD")])
    substitutes = [feature.change["substitute"] for feature in masker.features]
    assert len(substitutes) == len(set(substitutes))


def test_settings_hold_what_the_lexicon_offered() -> None:
    masker = SubstitutionMasker("film", lexicon=SmallLexicon(), relations=["synonym"])
    assert masker.settings["substitutions"] == [[0, 4, "movie", "synonym"]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"relations": ["synonyms"]}, "did you mean 'synonym'"),
        ({"relations": "synonym"}, "relations is .synonym.; it must be a list"),
        ({"relations": ["antonym"]}, "need a lexicon"),
        ({"relations": ["pair"]}, "needs pairs"),
        ({"relations": ["pair"], "pairs": [["x", "y"]]}, "nothing in the text"),
        ({"pairs": [["he"]]}, r"pair \['he'\] is not two"),
        ({"pairs": ["he"]}, "pair 'he' is not two"),
        ({"neutral": " "}, "neutral is ' '"),
        ({"per_word": -1}, "per_word is -1"),
    ],
)
def test_substitutions_that_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SubstitutionMasker("good film", **options)


JOBS = ["cook", "cook", "nurse", "pilot", None] * 10
REFERENCE = [{"age": age, "job": job, "rate": age / 10} for age, job in zip(range(20, 70), JOBS, strict=True)]
ROW: dict[str, Any] = {"age": 40, "job": "nurse", "rate": 4.0}


def test_columns_take_the_values_of_the_reference() -> None:
    masker = AlterationMasker(ROW, reference=REFERENCE, points=5)
    assert isinstance(masker, Masker)
    changes = [(feature.group, feature.change["value"]) for feature in masker.features]
    assert [value for column, value in changes if column == "age"] == [20, 32, 45, 57, 69]
    assert [value for column, value in changes if column == "job"] == ["cook", "pilot"]
    assert [value for column, value in changes if column == "rate"] == [2.0, 3.2, 4.5, 5.7, 6.9]
    assert single(masker, "age = 69") == {"age": 69, "job": "nurse", "rate": 4.0}
    assert type(single(masker, "age = 69")["age"]) is int
    assert single(masker, "job = pilot") == {"age": 40, "job": "pilot", "rate": 4.0}
    assert masker.render(np.ones(masker.n, dtype=bool)) == ROW
    assert masker.render(np.zeros(masker.n, dtype=bool)) == {"age": 20, "job": "cook", "rate": 2.0}


def test_columns_with_few_values_take_all_of_them() -> None:
    rows = [{"x": value} for value in (0, 0, 0, 0, 1, 2, 7)]
    assert [feature.change["value"] for feature in AlterationMasker({"x": 1}, reference=rows).features] == [0, 2, 7]


def test_ties_do_not_cost_points() -> None:
    rows = [{"x": float(value)} for value in [0] * 95 + [1, 2, 3, 4, 5]]
    values = [feature.change["value"] for feature in AlterationMasker({"x": 9.0}, reference=rows, points=4).features]
    assert len(values) == 4
    assert {0.0, 5.0} < set(values)


def test_ranges_and_chosen_columns() -> None:
    masker = AlterationMasker(ROW, ranges={"age": {"from": 38, "to": 42}, "job": ["cook", "nurse"]}, points=5)
    assert names(masker) == ["age = 38", "age = 39", "age = 41", "age = 42", "job = cook"]
    masker = AlterationMasker(ROW, reference=REFERENCE, ranges={"age": [18]}, columns=["job", "age"])
    assert names(masker) == ["age = 18", "job = cook", "job = pilot"]
    assert masker.settings == {"masker": "alterations", "ranges": {"age": [18], "job": ["cook", "pilot"]}}


def test_reference_rows_need_only_the_columns_that_are_altered() -> None:
    assert names(AlterationMasker(ROW, reference=[{"age": 3}], columns=["age"])) == ["age = 3"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "needs reference rows or ranges"),
        ({"columns": ["age"]}, "column 'age' needs reference rows or a range"),
        ({"columns": "age"}, "columns is .age.; it must be a list"),
        ({"ranges": {"agee": [1]}}, "did you mean 'age'"),
        ({"ranges": {"age": {"from": 3}}}, "must be {from: low, to: high}"),
        ({"ranges": {"age": {"from": 3, "to": 3}}}, "low below high"),
        ({"ranges": {"job": {"from": 3, "to": 4}}}, "list its values"),
        ({"ranges": {"age": []}}, "unless it is {from: low, to: high}, is"),
        ({"ranges": {"age": ["old"]}}, "int and str cannot"),
        ({"ranges": {"age": [40]}}, "no column of age has another value"),
        ({"reference": REFERENCE, "points": 0}, "points is 0"),
    ],
)
def test_alterations_that_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AlterationMasker(ROW, **options)


@given(st.integers(-9, 9), st.lists(st.integers(-9, 9), min_size=1), st.integers(1, 6))
def test_numeric_points_are_ascending_values_of_the_reference(own: int, seen: list[int], points: int) -> None:
    others = set(seen) - {own}
    if not others:
        return
    masker = AlterationMasker({"x": own}, reference=[{"x": value} for value in seen], points=points)
    values = [feature.change["value"] for feature in masker.features]
    assert values == sorted(set(values))
    assert set(values) <= others
    assert len(values) == min(points, len(others))
    if points > 1:
        assert {min(others), max(others)} <= set(values)
