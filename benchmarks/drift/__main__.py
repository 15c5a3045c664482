"""Questions until a changed model is noticed, and false alarms, beside Fisher's test on random inputs."""

from __future__ import annotations

import math
import sys

from benchmarks.common import Line, finish, options
from benchmarks.drift.live import live
from benchmarks.drift.models import CHANGES, NOISES, TASKS, Noise, task
from benchmarks.drift.simulate import Found, bound, fisher, run, shown

#: a change that moves margins by less than this many standard deviations of noise is left to the band, within 300 questions
_LARGE = 4.0
#: below this nobody could do it in 300 answers: at a point where both labels are equally likely a shift of s standard
#: deviations moves their shares by 0.4 s, which takes (2.33 + 1.28)² / (4 · 0.16 s²) answers at 1 % with power 0.9
_BEYOND = 0.26


def main() -> int:
    """Exit code 1 if a goal is missed."""
    chosen = options(__doc__ or "")
    baselines, days, trials = (2, 25, 5) if chosen.quick else (8, 60, 25)
    lines: list[Line] = []
    false = runs = 0
    for name in TASKS:
        for noise in NOISES:
            usual = fisher(task(name), noise, trials=60 if chosen.quick else 200)
            for repeats in (10, 40):
                found = run(task(name), noise, repeats=repeats, baselines=baselines, days=days, trials=trials)
                false += sum(found.false.values())
                runs += found.null
                lines += [_line(name, noise, repeats, change, found, usual[change]) for change in CHANGES]
                lines.append(_false(f"{name}, {noise.name}, {repeats} repeats", found))
                print(*(f"{line.what}: {line.value} {line.ratio}" for line in lines[-8:]), sep="\n", file=sys.stderr)
    rate = bound(false, runs)
    value = f"{false} of {runs}, ≤ {100 * rate:.2f} %"
    lines.append(Line("false alarms, all", value, "", "≤ 1 %, bound ≤ 1.5 %", false / runs <= 0.01 and rate <= 0.015))
    lines += _over_http(quick=chosen.quick)
    return finish("drift: questions until nine of ten alarms", lines, json_file=chosen.json, packages=("scikit-learn",))


def _line(name: str, noise: Noise, repeats: int, change: str, found: Found, usual: float) -> Line:
    n90, size = found.n90(change), found.size(change)
    most = _goal(noise, repeats, size)
    told = "" if math.isinf(size) else f", {size:.2g} σ"
    holds = None if most is None else n90 <= most
    goal = "" if most is None else f"≤ {most}"
    what = f"{name}, {noise.name}, {repeats} repeats: {change}{told}"
    return Line(what, shown(n90), f"Fisher {shown(usual)}", goal, holds)


def _goal(noise: Noise, repeats: int, size: float) -> int | None:
    """Questions allowed; ``None`` where no test could do it in 300."""
    if not noise.flips and not noise.logit:
        return 8 if repeats == 10 else 6
    if size >= _LARGE:
        return 15
    return 300 if size >= _BEYOND else None


def _false(what: str, found: Found) -> Line:
    total = sum(found.false.values())
    by = ", ".join(f"{channel} {count}" for channel, count in found.false.items())
    value = f"{total} of {found.null}{f' ({by})' if by else ''}"
    return Line(f"{what}: false alarms; baseline of {max(found.built)} questions", value)


def _over_http(*, quick: bool) -> list[Line]:
    lines = []
    for name in TASKS:
        for noise in NOISES[:1] if quick else NOISES[:3]:
            changes = CHANGES if not noise.logit else ("other seed", "forest")
            found = live(task(name), noise, changes, repeats=10, days=2 if quick else 10)
            most = 8 if noise is NOISES[0] else 15
            lines += [
                Line(f"over HTTP: {name}, {noise.name}: {change}", shown(n), "", f"≤ {most}", n <= most)
                for change, n in found.questions.items()
            ]
            lines.append(
                Line(
                    f"over HTTP: {name}, {noise.name}: false alarms",
                    f"{found.false} of {found.null}",
                    "",
                    "0",
                    not found.false,
                )
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
