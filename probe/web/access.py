"""Who may do what: tokens with a scope, sessions of browsers, and a brake for those who guess."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request
from fastapi.security import HTTPBearer

from probe.clock import Clock
from storage import Store, tokens
from storage.tokens import RANKS, Scope

COOKIE: Final = "probe_session"
SESSION_SECONDS: Final = 12 * 3600
_MOST_SESSIONS: Final = 10_000
_MOST_FAILURES: Final = 10  #: from one address within a minute
_MINUTE: Final = 60.0
_MOST_ADDRESSES: Final = 10_000

_bearer = HTTPBearer(auto_error=False, description="A key that `probe serve token add` made")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. ``session``: of a browser that signed in."""

    id: str
    scope: Scope
    session: str = ""

    def may(self, scope: Scope) -> bool:
        """Whether that is allowed."""
        return RANKS[self.scope] >= RANKS[scope]


LOCAL: Final = Caller("local", "admin")  #: whoever is on this machine, where no tokens are asked for


class Access:
    """Knows callers. ``needed``: whether they must have a token."""

    def __init__(self, store: Store, *, needed: bool, clock: Clock) -> None:
        self.needed = needed
        self._store = store
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._sessions: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._failures: OrderedDict[str, list[float]] = OrderedDict()
        self._lock = threading.Lock()

    def caller(self, request: Request) -> Caller | None:
        """Who asks; ``None`` if that is not known. Raises :class:`HTTPException` for a wrong token."""
        if not self.needed:
            return LOCAL
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme:
            if scheme.lower() != "bearer":
                raise _unknown("write `Authorization: Bearer KEY`")
            return self._of_key(key.strip(), _address(request))
        return self._of_session(request.cookies.get(COOKIE, ""))

    def sign_in(self, key: str, address: str) -> str:
        """A session for a browser. Raises :class:`HTTPException` if ``key`` is wrong."""
        caller = self._of_key(key.strip(), address)
        session = secrets.token_urlsafe(32)
        with self._lock:
            self._sessions[session] = (caller.id, self._clock.monotonic() + SESSION_SECONDS)
            while len(self._sessions) > _MOST_SESSIONS:
                self._sessions.popitem(last=False)
        return session

    def sign_out(self, session: str) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def form_key(self, caller: Caller) -> str:
        """What a form of ours carries and a page of another site cannot know."""
        return hmac.new(self._secret, caller.session.encode(), hashlib.sha256).hexdigest()

    def check_form(self, caller: Caller, given: str) -> None:
        """Raises :class:`HTTPException` unless ``given`` is :meth:`form_key`."""
        if not hmac.compare_digest(self.form_key(caller).encode(), given.encode("utf-8", "replace")):
            raise HTTPException(403, "this form is out of date; load the page again")

    def now(self) -> datetime:
        """The time that tokens expire by."""
        return self._clock.now()

    def _of_key(self, key: str, address: str) -> Caller:
        wait = self._braked(address)
        if wait > 0:
            raise HTTPException(
                429, "too many wrong tokens from this address; wait", headers={"Retry-After": str(int(wait) + 1)}
            )
        token = tokens.find(self._store, key)
        if token is None or not token.allows("read", self.now()):
            with self._lock:
                self._failures.setdefault(address, []).append(self._clock.monotonic())
                self._failures.move_to_end(address)
                while len(self._failures) > _MOST_ADDRESSES:
                    self._failures.popitem(last=False)
            raise _unknown("this token is not known, or has expired")
        return Caller(token.id, token.scope)

    def _of_session(self, session: str) -> Caller | None:
        with self._lock:
            token_id, until = self._sessions.get(session, ("", 0.0))
        if until <= self._clock.monotonic():
            return None
        token = tokens.get(self._store, token_id)  # each time: a token that was taken away ends its sessions
        if token is None or not token.allows("read", self.now()):
            return None
        return Caller(token.id, token.scope, session)

    def _braked(self, address: str) -> float:
        """Seconds for which ``address`` is not listened to."""
        now = self._clock.monotonic()
        with self._lock:
            recent = [each for each in self._failures.get(address, ()) if now - each < _MINUTE]
            if recent:
                self._failures[address] = recent
            else:
                self._failures.pop(address, None)
        return recent[-_MOST_FAILURES] + _MINUTE - now if len(recent) >= _MOST_FAILURES else 0.0


def needs(scope: Scope) -> Callable[..., Caller]:
    """A dependency: the caller, who has ``scope``. Raises 401 for nobody, 403 for too little."""

    def check(request: Request, _documented: Annotated[object, Depends(_bearer)]) -> Caller:
        access: Access = request.app.state.service.access
        caller = access.caller(request)
        if caller is None:
            raise _unknown("a token is needed: write `Authorization: Bearer KEY`, or sign in at /login")
        if not caller.may(scope):
            raise HTTPException(403, f"this token's scope is {caller.scope!r}; {scope!r} is needed")
        return caller

    check.scope = scope  # type: ignore[attr-defined] # for the test that goes through all routes
    return check


def _unknown(words: str) -> HTTPException:
    return HTTPException(401, words, headers={"WWW-Authenticate": "Bearer"})


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""
