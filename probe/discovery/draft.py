"""Drafts as commented YAML. Values are written by YAML's own dumper; comments are one line of printable characters each, so
that nothing a server publishes can become structure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import yaml

from adapters.show import printable
from probe.discovery.base import Draft

_WIDTH: Final = 100  #: characters of a value that still stands on one line
_FLAT: Final = 1_000_000
_FOR_LATER: Final = ("auth", "limits", "price")


class Unfit(Exception):
    """Why drafts cannot be added to a config, in words for its user."""


class _Dumper(yaml.SafeDumper):
    """Without anchors and aliases: what stands twice is written twice."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - yaml's signature
        return True


def document(drafts: Sequence[Draft], *, source: str, url: str) -> str:
    """A whole config: the drafted endpoints, and a first probe of the first of them."""
    first = drafts[0]
    lines = [
        f"# A draft, made by `probe discover` from what {_comment(source)} publishes at {_comment(url)}.",
        f"# Nothing was predicted yet. Look it over, then: probe check-endpoint {first.name}",
        "endpoints:",
        *entries(drafts, indent=2),
        "",
        "probes:",
        *_indented(_probe(first), 2),
    ]
    return "\n".join(lines) + "\n"


def entries(drafts: Iterable[Draft], *, indent: int) -> Iterator[str]:
    """The lines of ``drafts`` under ``endpoints``."""
    for draft in drafts:
        yield from _indented([f"{_flat(draft.name)}:", *_indented(_body(draft), 2)], indent)


def added_to(text: str, drafts: Sequence[Draft]) -> str:
    """``text`` (a config) with ``drafts`` as its first endpoints; not a character of the rest changes.

    Raises:
        Unfit: it has no block of endpoints to add to, or has one of these names already.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unfit(f"not valid YAML: {printable(error)}") from None
    pairs = root.value if isinstance(root, yaml.MappingNode) and not root.flow_style else []
    key, node = next(((key, node) for key, node in pairs if key.value == "endpoints"), (None, None))
    if key is None or not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise Unfit("it has no endpoints: with one entry a line, to which a draft could be added; use --out instead")
    taken = {name.value for name, _ in node.value}
    for draft in drafts:
        if draft.name in taken:
            raise Unfit(f"it has an endpoint {draft.name!r} already; give the new one another name with --name")
    indent = node.value[0][0].start_mark.column
    lines = text.splitlines(keepends=True)
    after = key.end_mark.line + 1
    if indent == 0 or node.value[0][0].start_mark.line < after:
        raise Unfit("its endpoints do not stand on lines of their own below endpoints:; use --out instead")
    end = "\r\n" if "\r\n" in text else "\n"
    new = [line + end for line in entries(drafts, indent=indent)]
    result = "".join([*lines[:after], *new, *lines[after:]])
    before, now = yaml.safe_load(text), yaml.safe_load(result)
    fresh = {draft.name: yaml.safe_load(yaml.dump(dict(draft.entry), Dumper=_Dumper)) for draft in drafts}
    if now != {**before, "endpoints": {**fresh, **before["endpoints"]}}:
        raise Unfit("it is written so that nothing can be added safely; use --out instead")
    return result


def _body(draft: Draft) -> Iterator[str]:
    """The keys of one entry, each below its comments."""
    left = dict(draft.notes)
    for key, value in draft.entry.items():
        yield from (f"# {_comment(note)}" for note in left.pop(key, ()))
        yield from _pair(key, value)
    for notes in left.values():
        yield from (f"# {_comment(note)}" for note in notes)
    missing = [key for key in _FOR_LATER if key not in draft.entry and key not in draft.notes]
    if missing:
        yield f"# not published: {', '.join(missing)}"


def _probe(draft: Draft) -> Iterator[str]:
    yield "first-look:"
    wanted: dict[str, Any] = {"kind": draft.kind, "inputs": {"inline": [draft.example]}}
    notes = {"inputs": "TODO inputs: what you want explained, here or in files: inputs/*.txt, {csv: rows.csv}"}
    if draft.kind == "image":
        wanted["inputs"] = "inputs/*.png"
        notes["inputs"] = "TODO inputs: one or more pictures"
    wanted |= {"endpoints": [draft.name], "methods": ["occlusion"], "budget": 100}
    if isinstance(draft.example, Mapping):
        background = {name: _other(value) for name, value in draft.example.items()}
        wanted["masker"] = {"background": [background]}
        notes["masker"] = "TODO background: a row, or several, whose values stand in for those of the inputs"
    for key, value in wanted.items():
        if key in notes:
            yield f"  # {notes[key]}"
        yield from _indented(_pair(key, value), 2)


def _other(value: Any) -> Any:
    """Something else in place of ``value``, of its type, so that there is something to see."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return type(value)(0 if value else 1)


def _pair(key: str, value: Any) -> list[str]:
    """``key: value`` on one line if it fits, else as a block."""
    flat = f"{_flat(key)}: {_flat(value)}"
    if len(flat) <= _WIDTH or not isinstance(value, Mapping | list):
        return [flat]
    return _dumped({key: value}, flow=None, width=_WIDTH).splitlines()


def _flat(value: Any) -> str:
    text = _dumped(value, flow=True, width=_FLAT).strip()
    return text.removesuffix("\n...").strip()


def _dumped(value: Any, *, flow: bool | None, width: int) -> str:
    """YAML of ``value``, in ASCII if it holds what is not printable."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, default_flow_style=flow, width=width, sort_keys=False, allow_unicode=True
    )
    if all(line.isprintable() for line in text.split("\n")):
        return text
    return yaml.dump(value, Dumper=_Dumper, default_flow_style=flow, width=width, sort_keys=False)


def _indented(lines: Iterable[str], by: int) -> Iterator[str]:
    return (" " * by + line if line else line for line in lines)


def _comment(text: str) -> str:
    """``text`` as it may stand in a comment: one line, printable."""
    return printable(text, 300)
