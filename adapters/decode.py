"""Answers decompressed piece by piece under a cap, so that a small body cannot become a large one in memory."""

from __future__ import annotations

import zlib

_PIECE = 1 << 16


class TooLarge(ValueError):
    """More bytes than allowed."""


class Undecodable(ValueError):
    """Not what ``Content-Encoding`` says."""


class BoundedDecoder:
    """Collects a body of at most ``limit`` bytes, on the wire and after decompression.

    ``encoding``: the value of ``Content-Encoding``; gzip, deflate and identity are known. Raises :class:`Undecodable`.
    """

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._length = 0
        self._pieces: list[bytes] = []
        name = encoding.strip().lower()
        if name not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise Undecodable(f"content encoding {name[:40]!r} was not asked for")
        self._inflate = None if name in ("", "identity") else zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._raw_possible = name == "deflate"

    def feed(self, data: bytes) -> None:
        """Take in the next bytes from the wire. Raises :class:`TooLarge`, :class:`Undecodable`."""
        self._received += len(data)
        if self._received > self._limit:
            raise TooLarge
        if self._inflate is None:
            self._keep(data)
            return
        while data:
            if self._inflate.eof:  # gzip bodies may consist of several members
                self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
            data = self._inflated(data)

    def finish(self) -> bytes:
        """The whole body. Raises :class:`Undecodable` if the compressed stream has no end."""
        if self._inflate is not None and self._received and not self._inflate.eof:
            raise Undecodable("the compressed body is cut off")
        return b"".join(self._pieces)

    def _inflated(self, data: bytes) -> bytes:
        """Decompress one piece of ``data``; returns what is left of it."""
        if self._inflate is None:
            raise AssertionError("only called for compressed bodies")
        try:
            self._keep(self._inflate.decompress(data, _PIECE))
        except zlib.error as error:
            if not (self._raw_possible and self._length == 0):
                raise Undecodable(f"the compressed body is damaged ({error})") from None
            self._raw_possible = False  # some servers send raw deflate without the zlib header
            self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            return data
        self._raw_possible = False
        return self._inflate.unconsumed_tail or self._inflate.unused_data

    def _keep(self, piece: bytes) -> None:
        self._length += len(piece)
        if self._length > self._limit:
            raise TooLarge
        if piece:
            self._pieces.append(piece)
