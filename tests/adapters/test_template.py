"""Request trees: typed values, text, batches, pictures, and every way to write one wrongly."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from adapters import SpecError
from adapters.template import Binary, Template, dump_json

PICTURE = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


def rendered(tree: Any, *batch: Any) -> Any:
    return json.loads(dump_json(Template(tree, "json").render(batch), "json"))


@given(st.text())
def test_any_text_arrives_as_it_is_in_every_position(text: str) -> None:
    tree = {"a": "{{ x }}", "b": ["say: {{ x }}!", {"c": "{{x}}{{ x | json }}"}], "d": [{"$each": "{{ x }}"}]}
    each = tree.pop("d")
    assert rendered(tree, text) == {"a": text, "b": [f"say: {text}!", {"c": text + dump_json(text, "")}]}
    assert rendered({"d": each}, text) == {"d": [text]}


def test_no_second_rendering() -> None:
    text = 'a "great" movie\nline2 \\ { } {{x}} {{ x | b64 }} ${KEY}'
    assert rendered({"t": "{{ x }}", "u": "<{{ x }}>"}, text) == {"t": text, "u": f"<{text}>"}


def test_values_keep_their_type() -> None:
    row = {"age": np.float64(3.5), "n": np.int64(2), "ok": np.bool_(True), "name": "a", "gone": None}
    plain = {"age": 3.5, "n": 2, "ok": True, "name": "a", "gone": None}
    assert rendered({"r": "{{ x }}"}, row) == {"r": plain}
    assert rendered({"r": "{{ x | list }}"}, row) == {"r": list(plain.values())}
    assert rendered(["{{ x.age }}", '{{ x["name"] }}', "n={{ x.n }}"], row) == [3.5, "a", "n=2"]
    assert rendered(["{{ x[1] }}", "{{ x | json }}", "{{ x[0] | str }}"], [1.5, 2]) == [2, "[1.5,2]", "1.5"]


def test_each_stands_for_one_element_per_input() -> None:
    tree = {"n": "{{ n }}", "rows": [0, {"$each": {"id": "{{ i | str }}", "text": "{{ x }}"}}, 9]}
    expected = [0, {"id": "0", "text": "a"}, {"id": "1", "text": "b"}, 9]
    assert rendered(tree, "a", "b") == {"n": 2, "rows": expected}
    assert rendered(tree, "a") == {"n": 1, "rows": [0, {"id": "0", "text": "a"}, 9]}


def test_pictures_become_png_unless_told_otherwise() -> None:
    encoded = rendered(["{{ x | b64 }}", "{{ x | png | b64 }}", "{{ x | jpeg(95) | b64 }}"], PICTURE)
    png, again, jpeg = (Image.open(io.BytesIO(base64.b64decode(text))) for text in encoded)
    assert (png.format, again.format, jpeg.format) == ("PNG", "PNG", "JPEG")
    np.testing.assert_array_equal(np.asarray(png), PICTURE)
    assert np.asarray(jpeg).shape == PICTURE.shape
    urls = rendered(["{{ x | data_url }}", "{{ x | jpeg | data_url }}"], PICTURE)
    assert [url[:23] for url in urls] == ["data:image/png;base64,i", "data:image/jpeg;base64,"]
    assert rendered("{{ x | list }}", PICTURE) == PICTURE.tolist()


def test_grey_pictures_and_raw_bytes() -> None:
    raw = Template("{{ x | png }}", "body").render([PICTURE[:, :, 0]])
    assert isinstance(raw, Binary)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(raw.content))), PICTURE[:, :, 0])


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ("{{ y }}", "json: unknown name 'y'"),
        ("{{ x | b65 }}", "json: unknown pipe 'b65', did you mean 'b64'?"),
        ("{{ x | jpeg(0) }}", "json: jpeg quality is 1 to 100"),
        ("{{ x", "json: {{ without }}"),
        ("{{ x.__class__.y }}", "json: cannot read"),
        ("{{ i.a }}", "json: i is a number"),
        ("{{ }}", "json: cannot read"),
        ({"a": ["{{ x }}", {"$each": "{{ x }}"}]}, "json.a[0]: the input is used outside of the $each"),
        ({"$each": "{{ x }}"}, "json: {$each: …} stands alone"),
        ([{"$each": "{{ x }}", "b": 1}], "json[0]: {$each: …} stands alone"),
        ([{"$each": [{"$each": "{{ x }}"}]}], "json[0].$each[0]: a $each cannot stand inside another one"),
        ({"a": {"{{ x }}": 1}}, "json.a: keys are fixed"),
        ({"a": {1: "{{ x }}"}}, "json.a: the key 1 is not text"),
        ({"k": "${KEY}"}, "json.k: ${NAME} is only for auth"),
        ({"a": float("nan")}, "json.a: JSON has no nan"),
        ({"a": {1, 2}}, "json.a: {1, 2} cannot be written as JSON"),
    ],
)
def test_mistakes_are_found_when_the_tree_is_read(tree: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        Template(tree, "json")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("tree", "value", "message"),
    [
        ({"a": "{{ x }}"}, PICTURE, "a picture cannot go into JSON as it is"),
        ({"a": "see {{ x }}"}, PICTURE, "text does not apply to a picture"),
        ("{{ x | png }}", "text", "png and jpeg does not apply to text"),
        ("{{ x | b64 }}", {"a": 1}, "b64 and data_url does not apply to a table row"),
        ("{{ x | list }}", "text", "list does not apply to text"),
        ("{{ x.b }}", {"a": 1}, "the input has no 'b'; it has a"),
        ("{{ x[3] }}", [1], "the input has no 3; it has 1 values"),
        ("{{ x.b }}", [1], "x.b does not apply to a table row"),
        ("{{ x }}", {"a": float("nan")}, "the input holds NaN or infinity"),
        ("{{ x | png }}", PICTURE.astype(np.float64), "a picture is (H, W) or (H, W, 3) uint8, got (4, 5, 3) float64"),
        ("{{ x | png }}", PICTURE[:, :, :2], "a picture is (H, W) or (H, W, 3) uint8, got (4, 5, 2) uint8"),
    ],
)
def test_inputs_that_do_not_fit_their_place(tree: Any, value: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        rendered(tree, value)
    assert message in str(caught.value)


def test_half_a_surrogate_pair_is_escaped_in_json_and_refused_elsewhere() -> None:
    assert rendered({"t": "{{ x }}"}, "\ud800 ü") == {"t": "\ud800 ü"}
    with pytest.raises(SpecError, match="half a surrogate pair"):
        rendered("{{ x | b64 }}", "\ud800")
