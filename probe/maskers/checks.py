"""Checks of settings that several maskers share. All raise ``ValueError`` with what was seen and what would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def whole(value: object, name: str, *, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return value


def listed(value: object, name: str) -> list[object]:
    """``value`` as a list if it is one (or a tuple), with something in it."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{name} is {value!r}; it must be a list with at least one entry")
    return list(value)


def mapped(value: object, name: str) -> dict[str, object]:
    """``value`` as a dict if it maps names to something."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} is {value!r}; it must map names to values")  # noqa: TRY004 - a user's input
    return {str(key): entry for key, entry in value.items()}
