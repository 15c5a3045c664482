from __future__ import annotations

import pytest

from adapters import Prediction
from probe.errors import ConfigError
from probe.targets import Target, TargetSpec

ANSWER = Prediction({"cat": 0.5, "dog": 0.3, "tiger cat": 0.2})


def test_top1_is_the_best_label_whatever_the_order() -> None:
    assert TargetSpec().resolve(ANSWER, where="p") == Target("cat", ("cat",))
    for scores in ({"b": 0.5, "a": 0.5}, {"a": 0.5, "b": 0.5}):
        assert TargetSpec().resolve(Prediction(scores), where="p").name == "a"


def test_a_group_is_summed() -> None:
    target = TargetSpec("any cat", ("cat", "tiger cat")).resolve(ANSWER, where="p")
    assert target.value(ANSWER) == 0.7
    assert target.name == "any cat"


def test_a_label_of_an_open_space_counts_with_its_bound() -> None:
    target = Target("cow", ("cow",))
    zero = Prediction({"cat": 0.9}, floor=0.0)
    cut = Prediction({"cat": 0.9, "dog": 0.1}, floor=0.1, censored=True)
    assert TargetSpec("cow", ("cow",)).resolve(zero, where="p") == target
    assert (target.value(zero), target.is_censored(zero)) == (0.0, False)
    assert (target.value(cut), target.is_censored(cut)) == (0.1, True)
    assert not Target("cat", ("cat",)).is_censored(cut)


def test_a_missing_label_is_never_a_silent_zero() -> None:
    with pytest.raises(LookupError, match="label 'cow' is not in the answer; it has 'cat', 'dog'"):
        Target("cow", ("cow",)).value(ANSWER)


def test_unknown_labels_are_named_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"^p: target 'catt' is not among the endpoint's labels; did you mean 'cat'\?"
    ):
        TargetSpec("catt", ("catt",)).resolve(ANSWER, where="p")
    with pytest.raises(
        ConfigError, match=r"^p: target 'x' is not a label of this endpoint; it has 'l0', .* \(99 in all\)"
    ):
        TargetSpec("x", ("x",)).check([f"l{k}" for k in range(99)], where="p")
    TargetSpec("x", ("x",)).check(None, where="p")
    TargetSpec("cat", ("cat",)).check(["cat"], where="p")


def test_an_answer_without_labels_has_no_top1() -> None:
    with pytest.raises(ConfigError, match="there is no top1"):
        TargetSpec().resolve(Prediction({}, floor=0.0), where="p")
