"""Credentials that expire: fetched off the event loop, kept, renewed before they end. No provider is known here."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

from adapters.base import Secrets
from adapters.errors import SpecError, TransportError
from adapters.show import printable

#: seconds before their end at which credentials are renewed, if they live twice as long
MARGIN: Final = 300.0
#: seconds until the next try when a renewal failed and the old ones still hold
PAUSE: Final = 10.0
#: earlier values that are still redacted: requests that carried them may be under way
_REMEMBERED: Final = 4

Clock: TypeAlias = Callable[[], float]  #: seconds since the epoch

T = TypeVar("T")


class Signer(Protocol):
    """What adds credentials to a request that is otherwise complete."""

    @property
    def secrets(self) -> Secrets:
        """What must be redacted, the credentials in use included."""

    async def sign(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Sequence[tuple[str, str]]:
        """Headers to add to the request as it will be sent.

        Raises :class:`NoCredentials` if there are none or they are refused, :class:`NotSent` if their issuer cannot be
        reached.
        """

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Lease(Generic[T]):
    """What a request needs, and until when it holds."""

    value: T = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    expires: float = math.inf  #: seconds since the epoch


class Renewed(Generic[T]):
    """The value of the current lease of ``fetch``, which runs in a worker thread, once however many wait for it.

    A lease is renewed :data:`MARGIN` seconds before its end, or after half of its life if that is later. If that fails while
    it still holds, it is used on and the next try comes :data:`PAUSE` seconds later. ``fetch`` raises
    :class:`TransportError`. Belongs to one event loop.
    """

    def __init__(self, fetch: Callable[[], Lease[T]], *, clock: Clock, secrets: Secrets) -> None:
        self._fetch = fetch
        self._clock = clock
        self._fixed = secrets.values
        self._lease: Lease[T] | None = None
        self._due = -math.inf
        self._under_way: asyncio.Task[TransportError | None] | None = None
        self._recent: tuple[str, ...] = ()
        self.secrets = secrets

    async def get(self) -> T:
        """Raises what ``fetch`` raises, if there is no lease that holds."""
        if self._lease is None or self._clock() >= self._due:
            if self._under_way is None:
                self._under_way = asyncio.get_running_loop().create_task(self._renew())
            refused = await asyncio.shield(self._under_way)  # one that gives up waiting leaves it to the others
            if refused is not None:
                raise type(refused)(str(refused))
        if self._lease is None:
            raise AssertionError("a renewal leaves a lease or says why not")
        return self._lease.value

    async def aclose(self) -> None:
        """Wait for nothing any more."""
        if self._under_way is not None:
            self._under_way.cancel()

    async def _renew(self) -> TransportError | None:
        try:
            lease = await asyncio.to_thread(self._fetch)
        except TransportError as error:
            now = self._clock()
            if self._lease is None or now >= self._lease.expires:
                return error
            self._due = min(now + PAUSE, self._lease.expires)
            return None
        finally:
            self._under_way = None
        now = self._clock()
        self._lease = lease
        left = lease.expires - now
        # none left of a new one: our clock is ahead of the issuer's, which knows better than we how long it holds
        self._due = lease.expires - min(MARGIN, left / 2) if left > 0 else now + PAUSE
        new = tuple(value for value in lease.secrets if value not in self._recent)
        if new:
            self._recent = (*new, *self._recent)[: _REMEMBERED * len(lease.secrets)]
            self.secrets = Secrets((*self._fixed, *self._recent))
        return None


def told(reason: object) -> str:
    """A library's words as part of our one line."""
    return printable(reason).rstrip(" .:")


def not_installed(endpoint: str, kind: str, extra: str) -> SpecError:
    """For a provider's library that is not there."""
    return SpecError(
        f"endpoint {endpoint!r}: auth: {kind} needs more than is installed: install blackbox-probe[{extra}]"
    )
