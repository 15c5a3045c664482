from __future__ import annotations

from dataclasses import replace

import pytest
from rich.cells import cell_len

from probe.report import Unexplained, terminal_summary
from storage.records import Attribution
from tests.unit.report import samples


def test_the_summary_says_what_was_found_and_what_it_cost() -> None:
    run = samples.make_run()
    lines = terminal_summary(run, [samples.text()], width=120, color=False).splitlines()
    assert lines[0] == "texts · mail-17.txt · vendor-a · shapley → refund 0.702"
    assert lines[1].split() == ["refund", "+0.410", "█" * 16, "[0.328,", "0.492]"]
    assert lines[2].split()[:2] == ["slow", "−0.220"]
    assert lines[6] == "  9 more · 10 features not separable from 0"
    assert lines[-1] == (
        "run 7f3a · seed 1 · sent 193 · from ledger 112 · retried 3 · maybe billed 0 · unsure 0 · $0.44 · probe show 7f3a"
    )


def test_the_strongest_pair_is_named() -> None:
    said = terminal_summary(samples.make_run(), [samples.interactions(trust={})], width=100, color=False)
    assert "  strongest pair charged × twice +0.240 [0.220, 0.260]\n" in said
    assert "strongest pair" not in terminal_summary(samples.make_run(), [samples.text()], width=100, color=False)


def test_many_explanations_get_a_line_each() -> None:
    found = terminal_summary(samples.make_run(), [samples.text()] * 9, width=120, color=False)
    assert "█" not in found
    assert found.count("“refund” +0.41 [0.33, 0.49] · “slow” −0.22 [−0.30, −0.14]") == 9


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("name", samples.SAMPLES)
def test_no_line_is_wider_than_the_terminal(name: str, width: int) -> None:
    for many in (1, 9):
        found = terminal_summary(samples.make_run(), [samples.SAMPLES[name]()] * many, width=width, color=False)
        assert max(cell_len(line) for line in found.splitlines()) <= width
        assert "\x1b" not in found


def test_wide_characters_keep_the_columns() -> None:
    plain = samples.text()
    attributions = (Attribution("東京大阪", 0.5, 0.01), Attribution("a", 0.25, 0.01))
    shown = replace(plain, probe=replace(plain.probe, attributions=attributions))
    _, first, second, *_ = terminal_summary(samples.make_run(), [shown], width=80, color=False).splitlines()
    assert cell_len(first[: first.index("+")]) == cell_len(second[: second.index("+")])


def test_model_output_cannot_talk_to_the_terminal() -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J[bold red]x[/]\u202e:boom:\r\nnext"
    plain = samples.text(target=hostile, findings=({"code": hostile, "message": hostile},), name=hostile)
    probe = replace(plain.probe, attributions=(Attribution(hostile, 0.5, 0.1),))
    shown = replace(plain, probe=probe, instance=replace(plain.instance, name=hostile))
    failed = samples.text(attributions=(), status="failed", error=hostile)
    found = terminal_summary(
        samples.make_run(id=hostile),
        [shown, failed],
        width=160,
        color=False,
        unexplained=[Unexplained(hostile, hostile)],
    )
    assert not set(found) & {"\x1b", "\x07", "\r", "\u202e"}
    assert "[bold red]x[/]:boom: next" in found  # as it is: no markup, no emoji, one line


def test_colour_only_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")  # the caller has decided already: the environment is not asked again
    assert "\x1b[" in terminal_summary(samples.make_run(), [samples.text()], width=80, color=True)
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" not in terminal_summary(samples.make_run(), [samples.text()], width=80, color=False)


def test_failures_and_partial_results_are_said() -> None:
    failed = samples.text(attributions=(), status="failed", error="the endpoint answered 403: check the credentials")
    found = terminal_summary(
        samples.make_run(status="partial"), [failed, samples.text(status="partial")], width=140, color=False
    )
    assert "  not explained: the endpoint answered 403: check the credentials" in found
    assert "→ refund 0.702 · partial" in found
    assert "· partial · probe show 7f3a" in found
