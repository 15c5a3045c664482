from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from probe.report import Shown, Unexplained, explanation_fragment, render_report
from storage.records import Attribution
from tests.unit.report import samples

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\x1b[31m\u202eevil{{7*7}}\ud800"
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice on <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def everything() -> list[Shown]:
    return [make() for make in samples.SAMPLES.values()]


def check(page: Page) -> None:
    """Nothing runs, nothing is loaded, every reference leads to something on the page."""
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "link", "form", "base", "foreignobject", "animate", "set"}
    identifiers = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(identifiers.values(), default=1) == 1
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "action", "formaction", "xlink:href", "srcset")
            if name == "href" and tag == "image":
                assert re.fullmatch(r"data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", value or "")
            elif name == "href":
                assert value is not None
                assert value.startswith("#")
                assert value[1:] in identifiers
            if name == "style":
                assert re.fullmatch(r"left:-?\d+\.\d+%", value or "")


def test_a_report_of_everything_is_one_inert_file() -> None:
    html = render_report(samples.make_run(), everything())
    assert html.startswith("<!DOCTYPE html>")
    page = Page(html)
    check(page)
    policy = next(a for a in page.named("meta") if a.get("http-equiv") == "Content-Security-Policy")["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "url(" not in html.replace("url(#", "")
    assert "@import" not in html


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_every_kind_and_method_is_drawn(name: str) -> None:
    shown = samples.SAMPLES[name]()
    for html in (render_report(samples.make_run(), [shown]), explanation_fragment(shown)):
        page = Page(html)
        check(page)
        assert shown.instance.name in page.text
        assert shown.probe.target in page.text
        assert shown.probe.id in page.text
        assert "240 coalitions" in page.text


def test_the_same_input_gives_the_same_bytes() -> None:
    first = render_report(samples.make_run(), everything())
    assert first == render_report(samples.make_run(), everything())
    assert explanation_fragment(samples.photo()) == explanation_fragment(samples.photo())


def test_a_picture_is_in_the_file_once_however_often_it_is_shown() -> None:
    page = Page(render_report(samples.make_run(), [samples.photo(), samples.windows(), samples.photo(id="again")]))
    uris = [a["href"] for a in page.named("image")]
    assert len(uris) == 2 + 3  # the picture in colour and in grey, and three heat maps
    assert len([a for a in page.named("use") if a["href"] == "#i1"]) == 2 * 3


def hostile(make: samples.Make) -> Shown:
    """``make()`` with hostile text wherever text can come from outside."""
    plain = make()
    probe = plain.probe
    features = []
    for number, feature in enumerate(probe.features):
        relation = feature["change"].get("relation", HOSTILE)
        change = {**feature["change"], "substitute": HOSTILE, "relation": relation}
        features.append({**feature, "name": HOSTILE + str(number), "change": change})
    changes: dict[str, Any] = {
        "name": HOSTILE,
        "method": HOSTILE,
        "target": HOSTILE,
        "id": HOSTILE,
        "params": {HOSTILE: {HOSTILE: HOSTILE}},
        "trust": {HOSTILE: 1.0},
        "findings": ({"code": HOSTILE, "message": HOSTILE},),
        "features": tuple(features),
        "attributions": tuple(
            Attribution(HOSTILE + str(k), a.value, a.std_error) for k, a in enumerate(probe.attributions)
        ),
    }
    if "curves" in probe.details:
        changes["details"] = {"curves": {HOSTILE: {"values": [HOSTILE, "b"], "scores": [0.1, 0.2]}}}
    endpoint = replace(
        plain.endpoint, name=HOSTILE, model=HOSTILE + "m", provider=HOSTILE, url="javascript:alert(1)//" + HOSTILE
    )
    instance = replace(plain.instance, name=HOSTILE)
    if instance.kind == "text":
        instance = replace(instance, content=HOSTILE.encode("utf-8", "replace"))
    return Shown(replace(probe, **changes), instance, endpoint, plain.segments)


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_hostile_strings_are_only_ever_text(name: str) -> None:
    shown = hostile(samples.SAMPLES[name])
    run = samples.make_run(id=HOSTILE, name=HOSTILE, config=HOSTILE, code_version=HOSTILE, totals={HOSTILE: 3})
    html = render_report(run, [shown], unexplained=[Unexplained(HOSTILE, HOSTILE)])
    for text in (html, explanation_fragment(shown)):
        page = Page(text)
        check(page)
        assert "<script>alert(1)</script>" in page.text  # shown, not run
        assert "{{7*7}}" in page.text
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert page.named("img") == []
        text.encode("utf-8")


def test_hostile_and_plain_input_make_the_same_elements() -> None:
    tags = [
        [tag for tag, _ in Page(explanation_fragment(s)).elements] for s in (samples.table(), hostile(samples.table))
    ]
    # the hostile one has another method (no waterfall), settings and trust figures; the table of bars is the same
    assert [t.count("rect") for t in tags][1] == 14


@pytest.mark.parametrize("name", samples.SAMPLES)
def test_missing_figures_are_dashes_not_crashes(name: str) -> None:
    plain = samples.SAMPLES[name]()
    bad = (math.nan, None, math.inf)
    attributions = tuple(
        Attribution(a.feature, math.nan if k % 4 == 0 else a.value, bad[k % 3])
        for k, a in enumerate(plain.probe.attributions)
    )
    shown = samples.SAMPLES[name](
        attributions=attributions,
        base_value=None,
        full_value=None,
        trust={"r2": math.nan, "half_split_spread": math.inf},
    )
    page = Page(explanation_fragment(shown))
    check(page)
    assert "nan" not in page.text.replace("finance", "").lower().split()
    assert not [a for _, a in page.elements for v in a.values() if v in ("nan", "inf", "None")]
    assert "None" not in page.text


def test_all_zero_and_single_feature_explanations_are_drawn() -> None:
    zero = samples.table()
    flat = tuple(Attribution(a.feature, 0.0, 0.0) for a in zero.probe.attributions)
    page = Page(render_report(samples.make_run(), [samples.table(attributions=flat, base_value=0.5, full_value=0.5)]))
    check(page)
    assert "none apart from zero" in page.text
    check(Page(explanation_fragment(samples.text(content="refund"))))


def test_failures_are_listed_with_their_reason() -> None:
    failed = samples.text(attributions=(), status="failed", error="the endpoint answered 403: check the credentials")
    page = Page(
        render_report(samples.make_run(), [failed], unexplained=[Unexplained("empty.txt", "the file is empty")])
    )
    assert "No probe of this run has an explanation" in page.text
    assert "the endpoint answered 403: check the credentials" in page.text
    assert "the file is empty" in page.text
    assert "the endpoint answered 403" in Page(explanation_fragment(failed)).text


def test_words_are_shaded_where_they_stand() -> None:
    html = explanation_fragment(samples.text())
    text = re.search(r'<p class="text" dir="auto">(.*?)</p>', html, re.DOTALL)
    assert text is not None
    assert '<mark class="p10" title="+0.410 ' in text[1]
    assert re.sub(r"<[^>]+>", "", text[1]) == samples.TEXT
    assert re.search(r'<mark class="n5"[^>]*>slow</mark>!', text[1])


def test_substitutions_are_grouped_by_what_they_test() -> None:
    page = Page(explanation_fragment(samples.substitution()))
    headings = [
        page.text.index(h) for h in ("Synonyms", "Antonyms", "Paired words", "Words deleted", "Words made neutral")
    ]
    assert headings == sorted(headings)
    assert "wrong way" in page.text
    rows = re.sub(r"\s+", " ", page.text)
    assert "refund → charge as expected −0.574" in rows  # the attribution is +0.574: the substitute lowers the score
    assert "refund → (nothing) −0.410" in rows


def test_pairs_are_listed_strongest_first_with_their_intervals() -> None:
    page = Page(explanation_fragment(samples.interactions(trust={})))
    rows = re.sub(r"\s+", " ", page.text)
    assert "What pairs add beyond their parts" in rows
    assert rows.index("charged × twice +0.240 [0.220, 0.260]") < rows.index("twice × me −0.060 [−0.099, −0.021]")


@pytest.mark.parametrize("pairs", ["2", 7, [[2, 3]], [[0, 99, 1.0, 0.1]], [["a", "b", 1.0, 0.1]], [None]])
def test_stored_pairs_that_make_no_sense_are_left_out(pairs: object) -> None:
    page = Page(explanation_fragment(samples.interactions(details={"pairs": pairs})))
    check(page)
    assert "What pairs add" not in page.text


def test_bars_stand_at_their_values() -> None:
    page = Page(explanation_fragment(samples.table(errors=[0.02] * 14)))
    rects = [a for a in page.named("rect") if a.get("class") in ("pos", "neg")]
    widths = [float(a["width"] or 0) for a in rects[:3]]
    assert widths[1] / widths[0] == pytest.approx(0.72, abs=0.01)
    assert widths[2] / widths[0] == pytest.approx(0.72**2, abs=0.01)
    assert [a["class"] for a in rects[:3]] == ["pos", "pos", "neg"]
    zero = float(rects[0]["x"] or 0)
    assert float(rects[2]["x"] or 0) + widths[2] == pytest.approx(zero, abs=0.2)


def test_curves_mark_the_row_as_it_is() -> None:
    page = Page(explanation_fragment(samples.alteration()))
    rings = [a for a in page.named("circle") if a.get("class") == "now"]
    assert len(rings) == 6
    labels = [a["aria-label"] for a in page.named("svg") if (a.get("aria-label") or "").startswith("region")]
    assert labels == ["region: score from 0.310 for east to 0.680 for west"]


def test_the_card_names_what_is_shared_what_stopped_it_and_what_to_do() -> None:
    shared = {"shared": {"lead": {"method": "shapley"}, "with": ["lime", "shapley"]}, "repeats": 2}
    html = explanation_fragment(
        samples.text(
            method="lime",
            params=shared,
            details={"stop": {"looks": 4, "reason": "the widest interval is ±0.02, within ±0.03"}},
            trust={
                "agreement": 0.3,
                "agreement_by_chance": 0.4,
                "insertion": 0.7,
                "deletion": 0.2,
                "single_share": 0.001,
            },
            findings=({"code": "P221", "message": "no better than chance"},),
        )
    )
    for said in (
        "shares the evaluations of shapley",
        "within ±0.03",
        "random values reach 0.40",
        "insertion 0.70, deletion 0.20",
        "saturated, only combinations tell",
        "repeats of every request agree",
        "do not act on the ranking; use fewer and larger features",
    ):
        assert said in html, said
    lead = explanation_fragment(samples.text(method="shapley", params=shared))
    assert "serves lime as well" in lead


def test_the_card_says_what_it_cost_and_how_far_to_trust_it() -> None:
    text = re.sub(
        r"\s+",
        " ",
        Page(
            explanation_fragment(samples.text(method="lime", trust={"r2_held_out": 0.41, "half_split_spread": 0.7}))
        ).text,
    )
    assert "240 coalitions 112 answers already in the ledger" in text
    assert "16 requests $0.03" in text
    assert "0.41 the score is not a sum of these features" in text
    assert "140 % of the values' size: raise the budget" in text
    assert "4 of 14 features separable from 0" in text


def test_pictures_and_tables_have_names_for_those_who_do_not_see_them() -> None:
    page = Page(render_report(samples.make_run(), everything()))
    for attributes in page.named("svg"):
        assert attributes.get("aria-hidden") == "true" or (
            attributes.get("role") == "img" and attributes.get("aria-label")
        )
    assert all("scope" in attributes for attributes in page.named("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_two_fragments_on_one_page_do_not_share_ids() -> None:
    check(Page(explanation_fragment(samples.photo()) + explanation_fragment(samples.windows())))
