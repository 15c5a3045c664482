"""Games on texts: features are words, and a word that is not kept is deleted."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

from benchmarks.accuracy.games import Built
from benchmarks.accuracy.mixing import words_kept
from benchmarks.accuracy.truth import Floats
from probe.demo.models.profanity import DEMO_TEXT as PROFANE_TEXT
from probe.demo.models.profanity import Profanity
from probe.demo.models.vader import Vader

_REVIEWS = (
    "The wonderful staff were friendly, but the dirty room was REALLY terrible!",
    "I love this great phone, although its awful battery is barely good",
    "Not a bad film, just incredibly boring and sadly without any charm",
    "Worst service ever: rude, slow, and the tasty food was extremely cold",
    "She sings beautifully; the ugly sound hardly hurt a very happy crowd!",
)
_MESSAGES = (
    PROFANE_TEXT,
    "What the hell is this crap, you stupid idiot, stop it",
    "Thank you for the lovely dinner, your dog is an ass",
    "This game sucks and the damn players are lazy bastards",
    "Shut up, you are a pathetic liar and everybody knows",
)


def vader_words(count: int) -> Iterator[Built]:
    """VADER's compound score: rules for negation, emphasis and "but"."""
    model = Vader.load()
    for text in _REVIEWS[:count]:
        words = text.split()
        yield len(words), words_kept(lambda texts: model.predict(texts)[:, 3], words), None


def profanity_words(count: int) -> Iterator[Built]:
    """The profanity classifier's probability: sigmoids of linear machines on normalised tf-idf."""
    model = Profanity.load()

    def score(texts: Sequence[str]) -> Floats:
        found: Floats = model.classifier.predict_proba(model.vectorizer.transform(texts))[:, 1]
        return found

    for text in _MESSAGES[:count]:
        words = text.split()
        yield len(words), words_kept(score, words), None


def docstring_words(count: int) -> Iterator[Built]:
    """Which of two parts of SciPy a sentence documents: tf-idf of words and pairs of words, and a small network."""
    sentences = [
        (text, label) for label, name in enumerate(("stats", "signal")) for text in _sentences(f"scipy.{name}")
    ]
    order = np.random.default_rng(0).permutation(len(sentences))
    shuffled = [sentences[place] for place in order]
    long = [pair for pair in shuffled if 10 <= len(pair[0].split()) <= 13]
    explained = long[:10]
    learned = [pair for pair in shuffled if pair not in explained]
    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2), MLPClassifier((16,), max_iter=300, random_state=0)
    ).fit([text for text, _ in learned], [label for _, label in learned])

    def score(texts: Sequence[str]) -> Floats:
        found: Floats = model.predict_proba(texts)[:, 1]
        return found

    for text, _ in explained[:count]:
        words = text.split()
        yield len(words), words_kept(score, words), None


def _sentences(module: str) -> list[str]:
    """First sentences of paragraphs in the docstrings of a module's public functions and classes."""
    found: dict[str, None] = {}
    public = importlib.import_module(module)
    for name in sorted(public.__all__):
        for paragraph in re.split(r"\n\s*\n", inspect.getdoc(getattr(public, name)) or ""):
            sentence = " ".join(paragraph.split()).partition(". ")[0]
            if re.fullmatch(r"[A-Z][\w ,;'()-]+\.?", sentence) and len(sentence.split()) >= 5:
                found[sentence.rstrip(".")] = None
    return list(found)
