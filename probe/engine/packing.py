"""How many inputs go into one request where its bytes are limited: as many as of the largest seen lately would fit."""

from __future__ import annotations

from collections import deque

from adapters import HttpRequest, Request, RequestTooLarge

_RECENT = 8  #: requests


class Packing:
    """The size of the next batch. Before a request was rendered nothing is known, and it is ``most``."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._recent: deque[int] = deque(maxlen=_RECENT)

    @property
    def size(self) -> int:
        """Inputs, at least one."""
        return max(1, min([self._most, *self._recent]))

    def heed(self, rendered: Request | RequestTooLarge) -> None:
        """Learn from a request that was rendered, or was too large to be."""
        fits = rendered.fits if isinstance(rendered, HttpRequest | RequestTooLarge) else None
        if fits is not None:
            self._recent.append(fits)
