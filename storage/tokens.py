"""Keys to the service: what is stored is their hash, which is of no use to whoever reads it."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa

from storage.errors import NotFound
from storage.schema import token
from storage.store import Store

Scope = Literal["read", "run", "admin"]
#: What each scope allows; a larger one allows all that a smaller one does.
RANKS: Final[Mapping[str, int]] = {"read": 1, "run": 2, "admin": 3}

_PREFIX = "probe"


@dataclass(frozen=True, slots=True)
class Token:
    """A key as it is stored. Times are UTC; ``expires`` ``None``: never."""

    id: str  #: the part of the key that may be shown
    name: str  #: whose, or what for
    scope: Scope
    created: datetime
    expires: datetime | None
    digest: bytes = field(repr=False)  #: SHA-256 of the secret part, which has 256 random bits

    def allows(self, scope: Scope, now: datetime) -> bool:
        """Whether it is still good, and for ``scope``."""
        return (self.expires is None or now < self.expires) and RANKS[self.scope] >= RANKS[scope]


def add(
    store: Store, name: str, scope: Scope, *, now: datetime, lifetime: timedelta | None = None
) -> tuple[Token, str]:
    """Make a key; the second value is the key itself, which nobody can tell again."""
    secret = secrets.token_urlsafe(32)
    made = Token(
        id=secrets.token_hex(4),
        name=name,
        scope=scope,
        created=now,
        expires=None if lifetime is None else now + lifetime,
        digest=_digest(secret),
    )
    row = {name: getattr(made, name) for name in ("id", "name", "scope", "created", "expires", "digest")}
    store.database.write(lambda connection: connection.execute(token.insert().values(row)))
    return made, f"{_PREFIX}_{made.id}_{secret}"


def find(store: Store, key: str) -> Token | None:
    """Whose ``key`` it is; ``None`` if it is nobody's. Whether it has expired is for the caller to see."""
    parts = key.split("_", 2)
    if len(parts) != 3 or parts[0] != _PREFIX or not key.isascii():
        return None
    with store.database.reading() as connection:
        row = connection.execute(sa.select(token).where(token.c.id == parts[1])).mappings().first()
    given = _digest(parts[2])
    # compared even where there is nothing to compare with, so that the time it takes does not tell which ids there are
    same = hmac.compare_digest(given, bytes(32) if row is None else row["digest"])
    return Token(**row) if row is not None and same else None


def get(store: Store, token_id: str) -> Token | None:
    """The key of that id, if it was not taken away."""
    with store.database.reading() as connection:
        row = connection.execute(sa.select(token).where(token.c.id == token_id)).mappings().first()
    return None if row is None else Token(**row)


def listed(store: Store) -> list[Token]:
    """All keys, oldest first."""
    with store.database.reading() as connection:
        found = connection.execute(sa.select(token).order_by(token.c.created, token.c.id)).mappings().all()
    return [Token(**row) for row in found]


def remove(store: Store, token_id: str) -> None:
    """Take a key away, at once. Raises :class:`NotFound`."""

    def work(connection: sa.Connection) -> None:
        if not connection.execute(token.delete().where(token.c.id == token_id)).rowcount:
            raise NotFound(f"{store.url}: no token {token_id!r}; `probe serve token ls` shows them")

    store.database.write(work)


def rotate(store: Store, token_id: str, *, now: datetime, grace: timedelta) -> tuple[Token, str]:
    """A new key with the name, scope and lifetime of an old one, which is good for ``grace`` yet. Raises :class:`NotFound`."""
    old = get(store, token_id)
    if old is None:
        raise NotFound(f"{store.url}: no token {token_id!r}; `probe serve token ls` shows them")
    lifetime = None if old.expires is None else old.expires - old.created
    made = add(store, old.name, old.scope, now=now, lifetime=lifetime)
    end = now + grace if old.expires is None else min(old.expires, now + grace)
    change = token.update().where(token.c.id == token_id).values(expires=end)
    store.database.write(lambda connection: connection.execute(change))
    return made


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
