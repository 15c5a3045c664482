"""Checks of settings that several maskers share. All raise ``ValueError`` with what was seen and what would do."""

from __future__ import annotations


def whole(value: object, name: str, *, least: int) -> int:
    """``value`` if it is a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return value
