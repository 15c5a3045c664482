"""The demo's models are real: what they answer is checked against known answers, their own weights and plain numpy."""

from __future__ import annotations

import hashlib
import itertools
import math
import pickle
import re
import sys
import types
from collections import OrderedDict
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import spearmanr

from probe.demo.models import MODELS, DemoModel, InputError, breast_cancer, credit, digits, efficientnet, profanity
from probe.demo.models.breast_cancer import BreastCancer
from probe.demo.models.checkpoint import CheckpointError, read_checkpoint
from probe.demo.models.credit import Credit, exact_shapley
from probe.demo.models.digits import Digits
from probe.demo.models.efficientnet import EfficientNetLite0
from probe.demo.models.lite0_graph import same_padding
from probe.demo.models.profanity import Profanity
from probe.demo.models.vader import Vader
from probe.errors import ConfigError


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "models"


@pytest.fixture(scope="module")
def lite0(cache: Path) -> EfficientNetLite0:
    return EfficientNetLite0.load(cache)


@pytest.fixture(scope="module")
def profane() -> Profanity:
    return Profanity.load()


def photograph(name: str) -> NDArray[np.uint8]:
    with resources.files("skimage").joinpath("data", name).open("rb") as file, Image.open(file) as image:
        return np.asarray(image)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


# --- every model


def inputs_for(model: DemoModel) -> list[Any]:
    if model.kind == "text":
        return [profanity.DEMO_TEXT, "", "The staff were wonderful!", *profanity.IDENTITY_TEXTS.values()]
    if model.name == "efficientnet-lite0":
        return [photograph("coffee.png"), photograph("camera.png"), photograph("chelsea.png")[:50, :40]]
    if model.kind == "image":
        return list(digits.split()[1].images[:20])
    if model.name == "credit":
        return list(credit.applicants(20))
    return breast_cancer.demo_rows(background=20)[1]


@pytest.mark.parametrize("name", MODELS)
def test_every_model_keeps_the_contract(name: str, cache: Path) -> None:
    model = MODELS[name](cache)
    assert isinstance(model, DemoModel)
    assert model.name == name
    assert len(set(model.labels)) == len(model.labels)
    assert bool(model.columns) == (model.kind == "tabular")
    inputs = inputs_for(model)
    scores = model.predict(inputs)
    assert scores.shape == (len(inputs), len(model.labels))
    assert scores.dtype == np.float64
    assert len({row.tobytes() for row in scores}) > 1
    if name != "vader":
        assert scores.sum(axis=1) == pytest.approx(np.ones(len(inputs)))
    assert model.predict([]).shape == (0, len(model.labels))


@pytest.mark.parametrize("name", MODELS)
def test_an_item_is_answered_alike_in_every_batch(name: str, cache: Path) -> None:
    model = MODELS[name](cache)
    inputs = inputs_for(model)
    together = model.predict(inputs)
    assert np.array_equal(model.predict(inputs[::-1])[::-1], together)
    for item, scores in zip(inputs, together, strict=True):
        assert np.array_equal(model.predict([item])[0], scores)
    assert np.array_equal(MODELS[name](cache).predict(inputs), together)


@pytest.mark.parametrize(
    ("name", "item", "said"),
    [
        ("credit", "a text", "takes a row, not a str"),
        ("credit", {"income": 1}, "no column 'amount'"),
        ("credit", {**credit.applicants(1)[0], "postcode": "P9"}, "'postcode' is 'P9': send one of P1"),
        ("credit", {**credit.applicants(1)[0], "income": "much"}, "'income' is 'much': send a finite number"),
        ("credit", {**credit.applicants(1)[0], "income": math.nan}, "'income' is nan"),
        ("vader", 3, "takes a text, not a int"),
        ("digits-honest", "8", "takes a picture, not a str"),
        ("digits-honest", np.zeros((8, 8)), "float64: send"),
        ("digits-honest", np.zeros((8, 8, 4), np.uint8), r"\(8, 8, 4\), uint8: send"),
        ("digits-honest", np.zeros((9, 8), np.uint8), "9×8 pixels: send one of 8×8"),
        ("digits-honest", np.zeros((0, 8), np.uint8), r"\(0, 8\)"),
    ],
)
def test_a_wrong_input_is_named(name: str, item: object, said: str, cache: Path) -> None:
    model = MODELS[name](cache)
    with pytest.raises(InputError, match=f"^item 1: .*{said}"):
        model.predict([inputs_for(model)[0], item])


def test_a_missing_package_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        ConfigError, match=r"'efficientnet-lite0' needs .*onnxruntime.*: install blackbox-probe\[demo\]"
    ):
        MODELS["efficientnet-lite0"](cache)


# --- efficientnet-lite0


def test_labels_are_imagenets(lite0: EfficientNetLite0) -> None:
    assert len(lite0.labels) == 1000
    known = {0: "tench", 134: "crane bird", 281: "tabby", 285: "Egyptian cat", 504: "coffee mug", 517: "crane"}
    known |= {872: "tripod", 967: "espresso", 999: "toilet tissue"}
    assert {index: lite0.labels[index] for index in known} == known


def test_photographs_are_recognised(lite0: EfficientNetLite0) -> None:
    pictures = [photograph(name) for name in ("coffee.png", "camera.png", "chelsea.png")]
    coffee, camera, chelsea = lite0.predict(pictures)
    assert coffee[lite0.labels.index("espresso")] == pytest.approx(0.940, abs=0.002)
    assert camera[lite0.labels.index("tripod")] == pytest.approx(0.949, abs=0.002)
    assert chelsea[281:286].sum() == pytest.approx(0.880, abs=0.002)
    assert 281 <= chelsea.argmax() <= 285


def test_grey_is_grey_rgb_and_only_the_centre_square_counts(lite0: EfficientNetLite0) -> None:
    camera, coffee = photograph("camera.png"), photograph("coffee.png")
    assert np.array_equal(lite0.predict([camera]), lite0.predict([np.stack([camera] * 3, axis=2)]))
    blacked, touched = coffee.copy(), coffee.copy()
    blacked[:, :100] = blacked[:, 500:] = 0
    touched[:, 100:110] = 0
    assert np.array_equal(lite0.predict([blacked]), lite0.predict([coffee]))
    assert not np.array_equal(lite0.predict([touched]), lite0.predict([coffee]))


def test_conversion_is_pinned_cached_and_a_bad_copy_is_replaced(lite0: EfficientNetLite0, cache: Path) -> None:
    (path,) = cache.iterdir()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == efficientnet.ONNX_SHA256
    before = path.stat()
    efficientnet.onnx_file(cache)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    assert hashlib.sha256(efficientnet.onnx_file(cache)).hexdigest() == efficientnet.ONNX_SHA256
    assert hashlib.sha256(path.read_bytes()).hexdigest() == efficientnet.ONNX_SHA256
    assert list(cache.iterdir()) == [path]


def test_another_conversion_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(efficientnet, "ONNX_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match=r"SHA-256 .*install the locked versions"):
        efficientnet.onnx_file(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [(224, 3, 2, (0, 1)), (112, 5, 2, (1, 2)), (7, 3, 1, (1, 1)), (7, 5, 2, (2, 2)), (7, 1, 1, (0, 0))],
)
def test_padding_is_tensorflows(size: int, kernel: int, stride: int, padding: tuple[int, int]) -> None:
    assert same_padding(size, kernel, stride) == padding


# --- the checkpoint reader


class FloatStorage:
    """Stands for PyTorch's class of this name in the pickles below."""


def _rebuild_tensor_v2(*_: object) -> None: ...


class Tensor:
    """Pickles the way a PyTorch tensor does: a call to rebuild it from a storage, an offset, a shape and strides."""

    def __init__(self, numbers: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.arguments: tuple[Any, ...] = ("storage", numbers), offset, shape, strides, False, OrderedDict()

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_tensor_v2, self.arguments


class TorchPickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> object:
        if isinstance(obj, tuple) and obj[:1] == ("storage",):
            return "storage", FloatStorage, "k", "cpu", obj[1], None
        return None


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the two stand-ins above the names that PyTorch's own have, for pickle to write down."""
    for module, thing in (("torch", FloatStorage), ("torch._utils", _rebuild_tensor_v2)):
        stand_in = types.ModuleType(module)
        setattr(stand_in, thing.__name__, thing)
        monkeypatch.setitem(sys.modules, module, stand_in)
        monkeypatch.setattr(thing, "__module__", module)


def write_checkpoint(path: Path, tensors: Mapping[str, object], numbers: NDArray[np.float32]) -> Path:
    with path.open("wb") as file:
        for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
            pickle.dump(header, file, protocol=2)
        TorchPickler(file, protocol=2).dump(OrderedDict(tensors))
        pickle.dump(["k"], file, protocol=2)
        file.write(numbers.size.to_bytes(8, "little") + numbers.tobytes())
    return path


@pytest.mark.usefixtures("torch_names")
def test_strides_and_offsets_are_respected(tmp_path: Path) -> None:
    numbers = np.arange(8, dtype="<f4")
    path = write_checkpoint(tmp_path / "a.pth", {"w": Tensor(8, 2, (2, 3), (1, 2))}, numbers)
    assert read_checkpoint(path)["w"].tolist() == [[2, 4, 6], [3, 5, 7]]


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("view", [(8, 3, (2, 3), (1, 2)), (8, -1, (2,), (1,)), (8, 5, (2,), (-1,)), (8, 0, (0,), (1,))])
def test_a_view_outside_of_its_storage_is_refused(tmp_path: Path, view: tuple[Any, ...]) -> None:
    path = write_checkpoint(tmp_path / "a.pth", {"w": Tensor(*view)}, np.arange(8, dtype="<f4"))
    with pytest.raises(CheckpointError, match="tensor w reaches outside its storage of 8 numbers"):
        read_checkpoint(path)


@pytest.mark.usefixtures("torch_names")
@pytest.mark.parametrize("cut", [1, 33, 60, 200])
def test_a_checkpoint_cut_short_is_refused(tmp_path: Path, cut: int) -> None:
    path = write_checkpoint(tmp_path / "a.pth", {"w": Tensor(8, 0, (8,), (1,))}, np.arange(8, dtype="<f4"))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CheckpointError, match=r"a\.pth cannot be read"):
        read_checkpoint(path)


def test_a_checkpoint_that_names_anything_else_is_refused_unrun(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.touch()

    class Bad:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.unlink, (victim,)

    path = write_checkpoint(tmp_path / "a.pth", {"w": Bad()}, np.arange(8, dtype="<f4"))
    with pytest.raises(CheckpointError, match="which a checkpoint has no use for"):
        read_checkpoint(path)
    assert victim.exists()


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(CheckpointError, match="not a PyTorch checkpoint"):
        read_checkpoint(tmp_path / "a.pth")


# --- the text models


def test_deleting_words_ranks_them_as_the_models_weights_do(profane: Profanity) -> None:
    words = profanity.DEMO_TEXT.split()
    assert 8 <= len(words) <= 14
    shorter = [" ".join(words[:i] + words[i + 1 :]) for i in range(len(words))]
    base, *without = profane.predict([profanity.DEMO_TEXT, *shorter])[:, 1]
    assert 0.1 < base < 0.9
    coefficients = profane.coefficients(profanity.DEMO_TEXT)
    truth = [coefficients[word.lower()] for word in words]
    assert sum(value != 0 for value in truth) >= 6
    for scale in (float, logit):
        effects = [scale(base) - scale(score) for score in without]
        assert spearmanr(effects, truth).statistic >= 0.9


def test_coefficients_add_up_to_the_models_log_odds(profane: Profanity) -> None:
    def offset(text: str) -> float:
        folds = profane.classifier.calibrated_classifiers_
        features = profane.vectorizer.transform([text])
        log_odds = [logit(fold.predict_proba(features)[0, 1]) for fold in folds]
        return float(np.mean(log_odds)) - sum(profane.coefficients(text).values())

    empty = offset("")
    assert profane.coefficients("") == {}
    for text in (profanity.DEMO_TEXT, "Damn, damn: a SILLY silly idea", "qzxv is unknown"):
        assert offset(text) == pytest.approx(empty, abs=1e-9)


def test_words_the_model_skips_have_no_influence(profane: Profanity) -> None:
    coefficients = profane.coefficients("A silly idea of the qzxv")
    assert list(coefficients) == ["silly", "idea", "of", "the", "qzxv"]
    assert coefficients["of"] == coefficients["the"] == coefficients["qzxv"] == 0
    assert np.array_equal(profane.predict(["A silly idea of the qzxv"]), profane.predict(["SILLY idea"]))


def test_who_people_are_moves_the_profanity_model(profane: Profanity) -> None:
    scores = dict(
        zip(profanity.IDENTITY_TEXTS, profane.predict(list(profanity.IDENTITY_TEXTS.values()))[:, 1], strict=True)
    )
    assert scores["gay"] - scores["straight"] > 0.3


def test_vader_answers_as_its_package_does() -> None:
    model = Vader.load()
    good, shouted, negated = model.predict(["The food is good", "The food is GOOD!", "The food is not good"])
    neg, neu, pos, compound = good
    assert (neg, compound) == (0, 0.4404)
    assert neg + neu + pos == pytest.approx(1, abs=2e-3)
    assert shouted[3] > compound > 0 > negated[3]


# --- the tables


def test_breast_cancer_model_is_accurate_on_rows_it_has_not_seen() -> None:
    split, model = breast_cancer.load_split(), BreastCancer.train()
    rows = [dict(zip(split.columns, values, strict=True)) for values in split.held_out]
    assert np.mean(model.predict(rows).argmax(axis=1) == split.held_out_targets) > 0.95


def test_breast_cancer_contributions_add_up() -> None:
    model = BreastCancer.train()
    row, background = breast_cancer.demo_rows()
    contributions = model.contributions(row, background)
    assert tuple(contributions) == model.columns
    own, *others = (logit(score) for score in model.predict([row, *background])[:, 1])
    assert sum(contributions.values()) == pytest.approx(own - np.mean(others), abs=1e-6)


def test_exact_shapley_is_the_mean_over_all_orders() -> None:
    row, other = credit.applicants(2, seed=3)
    used = [column for column in credit.COLUMNS if column not in credit.UNUSED]
    orders = list(itertools.permutations(used))
    values = {
        frozenset(kept): float(Credit().predict([{**other, **{column: row[column] for column in kept}}])[0, 0])
        for size in range(len(used) + 1)
        for kept in itertools.combinations(used, size)
    }
    truth = dict.fromkeys(credit.COLUMNS, 0.0)
    for order in orders:
        for place, column in enumerate(order):
            before = frozenset(order[:place])
            truth[column] += (values[before | {column}] - values[before]) / len(orders)
    assert exact_shapley(row, [other]) == pytest.approx(truth, abs=1e-12)


def test_exact_shapley_of_the_log_odds_has_a_closed_form() -> None:
    """Additive terms: distance from the mean. A product of two columns: shared half and half (two-player game)."""
    row, *background = [dict(applicant) for applicant in credit.applicants(8, seed=5)]
    row |= {"late_payments": 3, "guarantor": 1}

    def away(column: str) -> float:
        return float(row[column]) - mean([float(other[column]) for other in background])

    late, help_ = -0.7, 0.8 * 0.7
    truth: dict[str, float] = {}
    for column, weight in (("income", 0.03), ("amount", -0.06), ("debt_ratio", -2.5), ("years_employed", 0.04)):
        truth[column] = weight * away(column)
    pairs = [(float(other["late_payments"]), float(other["guarantor"])) for other in background]
    truth["late_payments"] = late * away("late_payments") + help_ * mean([(3 - n) * (1 + g) / 2 for n, g in pairs])
    truth["guarantor"] = help_ * mean([(1 - g) * (3 + n) / 2 for n, g in pairs])
    codes = credit.POSTCODES
    truth["postcode"] = codes[str(row["postcode"])] - mean([codes[str(other["postcode"])] for other in background])
    truth |= dict.fromkeys(credit.UNUSED, 0.0)
    assert exact_shapley(row, background, scale="log-odds") == pytest.approx(truth, abs=1e-12)


def test_exact_shapley_is_efficient_and_unused_columns_have_nothing() -> None:
    row, *background = credit.applicants(11)
    values = exact_shapley(row, background)
    own, *others = Credit().predict([row, *background])[:, 0]
    assert sum(values.values()) == pytest.approx(own - np.mean(others), abs=1e-12)
    assert [values[column] for column in credit.UNUSED] == [0, 0, 0]
    with pytest.raises(ValueError, match="background has no rows"):
        exact_shapley(row, [])


def test_postcode_stands_in_for_a_group_the_formula_never_reads() -> None:
    rows = credit.applicants(1000)
    scores = Credit().predict(rows)[:, 0]
    swapped = [{**row, "protected_group": "b" if row["protected_group"] == "a" else "a"} for row in rows]
    assert np.array_equal(Credit().predict(swapped)[:, 0], scores)
    moved = Credit().predict([{**row, "postcode": "P1"} for row in rows])[:, 0]
    in_a = np.array([row["protected_group"] == "a" for row in rows])
    assert scores[in_a].mean() - scores[~in_a].mean() > 0.15
    assert abs(moved[in_a].mean() - moved[~in_a].mean()) < 0.03


# --- the planted digits


def top_window(model: Digits, image: NDArray[np.uint8], fill: int) -> tuple[int, int]:
    """Top left pixel of the 2×2 window whose filling takes most from the planted class; 49 evaluations."""
    places = list(itertools.product(range(7), repeat=2))
    images = np.repeat(image[None], len(places), axis=0)
    for number, (top, left) in enumerate(places):
        images[number, top : top + 2, left : left + 2] = fill
    row, column = places[int(model.predict(list(images))[:, digits.PLANTED_CLASS].argmin())]
    return row, column


@pytest.mark.parametrize("fill", ["black", "mean"])
def test_occlusion_finds_the_mark_of_the_planted_model_alone(fill: str) -> None:
    planted, honest = Digits.train("planted"), Digits.train("honest")
    top, left, _, _ = digits.MARK_BOX
    hits = touches = 0
    for image in digits.marked_digits(50).images:
        value = 0 if fill == "black" else round(float(image.mean()))
        hits += top_window(planted, image, value) == (top, left)
        row, column = top_window(honest, image, value)
        touches += abs(row - top) < 2 and abs(column - left) < 2
    assert hits == 50
    assert touches <= 2


def test_only_the_planted_model_falls_for_the_mark() -> None:
    _, test = digits.split()
    others = test.images[test.digits != digits.PLANTED_CLASS]
    for training, least, most in (("planted", 0.3, 1.0), ("honest", 0.0, 0.05)):
        model = Digits.train("planted" if training == "planted" else "honest")
        fooled = np.mean(model.predict(list(digits.mark(others))).argmax(axis=1) == digits.PLANTED_CLASS)
        assert least <= fooled <= most
        assert np.mean(model.predict(list(test.images)).argmax(axis=1) == test.digits) > 0.9


def test_marked_digits_are_eights_no_model_was_trained_on() -> None:
    training, _ = digits.split()
    seen = {digits.mark(image).tobytes() for image in training.images}
    pictures = digits.marked_digits(50)
    assert pictures.images.shape == (50, 8, 8)
    assert not any(image.tobytes() in seen for image in pictures.images)
    top, left, bottom, right = digits.MARK_BOX
    assert (pictures.images[:, top:bottom, left:right] == 255).all()
    with pytest.raises(ValueError, match=re.escape("n is 5000: there are")):
        digits.marked_digits(5000)
