"""Renews the table of presets in ``docs/providers.md`` from their data: ``python -m tools.provider_table``."""

from __future__ import annotations

from pathlib import Path

from adapters.presets import COLUMNS, Preset, presets

DOCUMENT = Path(__file__).parents[1] / "docs" / "providers.md"
BEGIN, END = "<!-- made by tools/provider_table.py: begin -->\n", "<!-- end -->\n"


def table() -> str:
    """One row for each preset."""
    heads = ("adapter", "parameters", *COLUMNS)
    lines = [heads, tuple("---" for _ in heads)]
    lines += [
        (f"`{preset.name}`", _parameters(preset), *(str(preset.about[column]) for column in COLUMNS))
        for preset in presets().values()
    ]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _parameters(preset: Preset) -> str:
    names = [f"**{each.name}**" if each.required else each.name for each in preset.parameters.values()]
    return ", ".join(names) or "none"


def renewed(text: str) -> str:
    """The document ``text`` with the table as it is now."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(renewed(DOCUMENT.read_text("utf-8")), "utf-8")
