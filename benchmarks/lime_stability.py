"""LIME on texts of at most 17 words, beside lime and shap: does another seed name the same words, and how good is the fit?

Every text is scored on all 2ⁿ deletions of its words by a real model, so the limit that LIME tends to is known exactly.
*Top five*: mean Jaccard index of the five words of largest weight over all pairs of seeds, averaged over the texts.
*R² short*: R² of the linear model nearest to the score under lime's law and kernel, less that of the explanation, both over
all 2ⁿ coalitions; mean over seeds and texts.
"""

from __future__ import annotations

import itertools
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import Line, finish, options
from probe.maskers.base import Feature
from probe.maskers.text import TextMasker
from probe.methods.base import CoalitionTable
from probe.methods.design import enumerate_all
from probe.methods.lime import Lime
from probe.methods.limit import linear_limit

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Score: TypeAlias = Callable[[Sequence[str]], Floats]

#: evaluations → the least Jaccard index
_GOALS: Mapping[int, float] = {100: 0.90, 500: 0.97}
_SHORT = 0.01
_TOP = 5

_REVIEWS = (
    "The staff were wonderful, but the room was not clean and the noise was really terrible!",
    "A brilliant cast cannot save this dull, confused and badly written film",
    "I love the screen, hate the battery, and the price is a joke",
    "Great value, friendly service and a very good breakfast, although parking was awful",
    "Not the worst hotel, but the shower was broken and nobody seemed to care",
)
_RUDE = (
    "My silly neighbour left his damn car in front of our garden gate again",
    "This stupid phone is a piece of crap and the shop will not take it back",
    "You are an idiot and your damn dog ruined my lovely garden",
    "What the hell is wrong with this awful train service today",
    "Shut up you silly fool and give me my money back",
)
_QUICK_WORDS = 12


@dataclass(frozen=True, slots=True)
class Game:
    """A text, and its model's score on every coalition of its words: the key of a row is its bits as a number."""

    name: str
    features: tuple[Feature, ...]
    scores: Floats
    limit: Floats  #: intercept and weights of the linear limit
    rows: Bools
    weights: Floats  #: law × kernel of each row

    def score(self, rows: Bools) -> Floats:
        return self.scores[rows @ (1 << np.arange(len(self.features)))]

    def r2_short(self, coefficients: Floats) -> float:
        """How much R² over all coalitions the linear model with these ``coefficients`` lacks."""
        values = self.score(self.rows)
        mean = self.weights @ values / self.weights.sum()
        variation = float(self.weights @ (values - mean) ** 2)
        left = [
            float(self.weights @ (values - one[0] - self.rows @ one[1:]) ** 2) for one in (coefficients, self.limit)
        ]
        return (left[0] - left[1]) / variation


def models() -> dict[str, Score]:
    """VADER's rules, profanity-check's machines over words, and logistic regression over letter n-grams of VADER's words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from probe.demo.models.profanity import Profanity
    from probe.demo.models.vader import Vader

    profanity, vader = Profanity.load(), Vader.load()
    lexicon: Mapping[str, float] = vader.analyzer.lexicon
    words = [word for word in lexicon if word.isalpha()]
    letters = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=300),
    ).fit(words, [lexicon[word] > 0 for word in words])

    def rude(texts: Sequence[str]) -> Floats:
        found: Floats = profanity.classifier.predict_proba(profanity.vectorizer.transform(texts))[:, 1]
        return found

    def positive(texts: Sequence[str]) -> Floats:
        found: Floats = letters.predict_proba(texts)[:, 1]
        return found

    def compound(texts: Sequence[str]) -> Floats:
        return np.array([vader.analyzer.polarity_scores(text)["compound"] for text in texts])

    return {"profanity": rude, "vader": compound, "letters": positive}


def games(*, most: int) -> Iterator[Game]:
    """Every model on its texts of at most ``most`` words, enumerated."""
    scorers = models()
    for model, texts in (("profanity", _RUDE), ("vader", _REVIEWS), ("letters", _REVIEWS)):
        for text in texts:
            masker = TextMasker(text)
            if masker.n > most:
                continue
            rows = enumerate_all(masker.n)
            found = np.concatenate(
                [
                    scorers[model]([masker.render(row) for row in rows[at : at + 4096]])
                    for at in range(0, len(rows), 4096)
                ]
            )
            scores = np.empty(len(rows))
            scores[rows @ (1 << np.arange(masker.n))] = found
            masses = Lime().law_and_kernel(masker.features)
            sizes = rows.sum(axis=1)
            weights = masses[sizes] / np.bincount(sizes)[sizes]
            limit = linear_limit(CoalitionTable.of(rows, found), masses).coefficients
            yield Game(f"{model}: {text}", masker.features, scores, limit, rows, weights)


@dataclass(frozen=True, slots=True)
class Found:
    """What one client says with one seed: the words it names, and its coefficients (n + 1,)."""

    top: frozenset[int]
    coefficients: Floats


def ours(game: Game, budget: int, seed: int) -> Found:
    """This package's LIME, through ``ask`` and ``explain`` as the engine calls them."""
    method = Lime()
    rows = method.ask(game.features, CoalitionTable.empty(len(game.features)), budget, np.random.default_rng(seed))
    explanation = method.explain(game.features, CoalitionTable.of(rows, game.score(rows)))
    return Found(
        largest(explanation.values), np.array([explanation.details["intercept"], *explanation.values.tolist()])
    )


def lime(game: Game, budget: int, seed: int) -> Found:
    """``lime_text`` with its defaults: five features for the words it names, all of them for the fit."""
    from lime.lime_text import LimeTextExplainer

    n = len(game.features)

    def predict(texts: Sequence[str]) -> Floats:
        rows = np.array([[f"w{k}" in set(text.split()) for k in range(n)] for text in texts])
        scores = game.score(rows)
        return np.column_stack([1 - scores, scores])

    def explained(features: int) -> Any:
        return LimeTextExplainer(random_state=seed).explain_instance(
            " ".join(f"w{k}" for k in range(n)), predict, num_features=features, num_samples=budget
        )

    fit = explained(n)
    coefficients = np.zeros(n + 1)
    coefficients[0] = fit.intercept[1]
    for k, weight in fit.as_map()[1]:
        coefficients[1 + k] = weight
    return Found(frozenset(int(k) for k, _ in explained(_TOP).as_map()[1]), coefficients)


def shap(game: Game, budget: int, seed: int) -> Found:
    """``shap.KernelExplainer`` with its defaults; it fits another law, so only the words it names are compared."""
    import shap as package

    n = len(game.features)
    np.random.seed(seed)  # noqa: NPY002 - where it takes its randomness from
    explainer = package.KernelExplainer(lambda rows: game.score(rows > 0.5), np.zeros((1, n)))
    values = np.asarray(explainer.shap_values(np.ones((1, n)), nsamples=budget, silent=True)).reshape(n)
    return Found(largest(values), np.concatenate([[0.0], values]))


def largest(values: Floats) -> frozenset[int]:
    """The five of largest size; of equal ones the first."""
    return frozenset(np.argsort(-np.abs(values), kind="stable")[:_TOP].tolist())


def jaccard(found: Sequence[Found]) -> float:
    """Mean over all pairs of seeds: words that both name over words that either names."""
    return float(np.mean([len(a.top & b.top) / len(a.top | b.top) for a, b in itertools.combinations(found, 2)]))


def same_bits(game: Game) -> bool:
    """Whether the same seed gives the same coalitions and figures to the bit."""
    first, second = (ours(game, 100, 3) for _ in range(2))
    return first.coefficients.tobytes() == second.coefficients.tobytes()


def clear_cut(game: Game) -> bool:
    """Whether there is a top five: the fifth weight is ahead of the sixth by at least 1 % of the largest."""
    sizes = np.sort(np.abs(game.limit[1:]))[::-1]
    return bool(sizes[_TOP - 1] - sizes[_TOP] >= 0.01 * sizes[0])


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    warnings.filterwarnings("ignore", module="lime|shap|sklearn")
    played = list(games(most=_QUICK_WORDS if chosen.quick else 17))
    seeds = range(4 if chosen.quick else 10)
    lines = []
    for budget, goal in _GOALS.items():
        found = {
            client.__name__: [[client(game, budget, seed) for seed in seeds] for game in played]
            for client in (ours, lime, shap)
        }
        stable = {name: [jaccard(each) for each in texts] for name, texts in found.items()}
        mean = {name: float(np.mean(values)) for name, values in stable.items()}
        clear = [value for value, game in zip(stable["ours"], played, strict=True) if clear_cut(game)]
        ratio = f"distance {(1 - mean['ours']) / (1 - mean['lime']):.2f}"
        named = f"top five, {budget} evaluations"
        lines.append(Line(f"{named}: probe", f"{mean['ours']:.3f}", ratio, f"≥ {goal:.2f}", mean["ours"] >= goal))
        lines.append(Line(f"{named}: probe, {len(clear)} texts with a clear fifth", f"{np.mean(clear):.3f}"))
        lines += [Line(f"{named}: {name}", f"{mean[name]:.3f}") for name in ("lime", "shap")]
        for name in ("ours", "lime"):
            short = float(
                np.mean(
                    [
                        game.r2_short(one.coefficients)
                        for game, each in zip(played, found[name], strict=True)
                        for one in each
                    ]
                )
            )
            who = "probe" if name == "ours" else name
            goals = (f"≤ {_SHORT}", short <= _SHORT) if name == "ours" else ("", None)
            lines.append(Line(f"R² short of the linear limit, {budget} evaluations: {who}", f"{short:.4f}", "", *goals))
    equal = all(same_bits(game) for game in played)
    lines.append(Line("same seed, same bits", "yes" if equal else "no", "", "yes", equal))
    title = f"LIME over {len(seeds)} seeds on {len(played)} texts"
    return finish(title, lines, json_file=chosen.json, packages=("lime", "shap", "scikit-learn", "numpy"))


if __name__ == "__main__":
    sys.exit(main())
