"""Google: access tokens by google-auth, from application default credentials or from a service account's key file."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import UTC
from typing import Any, Final

from adapters.auth_renewal import Clock, Lease, Renewed, not_installed, told
from adapters.base import Secrets
from adapters.errors import NoCredentials, NotSent
from adapters.show import printable

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_HOW: Final = "run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS to a key file"


class GoogleSigner:
    """Adds an access token for ``scopes``, and the project to bill if the credentials name one.

    A :class:`~adapters.auth_renewal.Signer`. ``file``: a service account's key; default the application default credentials,
    which read the environment of this process. Raises :class:`SpecError` if google-auth is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        scopes: Sequence[str] = (SCOPE,),
        file: str | None = None,
        secrets: Secrets | None = None,
        clock: Clock = time.time,
    ) -> None:
        try:
            import google.auth
            import google.auth.transport.requests  # noqa: F401 - loaded here, or a token would come too late to say so
        except ImportError:
            raise not_installed(endpoint, "google", "gcp") from None
        self._endpoint = endpoint
        self._scopes = list(scopes)
        self._file = file
        self._clock = clock
        self._source: Any = None
        self._headers = Renewed(self._fetch, clock=clock, secrets=secrets or Secrets())

    @property
    def secrets(self) -> Secrets:
        return self._headers.secrets

    async def sign(
        self,
        method: str,  # noqa: ARG002 - a token does not depend on the request
        url: str,  # noqa: ARG002
        headers: Sequence[tuple[str, str]],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
    ) -> Sequence[tuple[str, str]]:
        return await self._headers.get()

    async def aclose(self) -> None:
        await self._headers.aclose()

    def _fetch(self) -> Lease[tuple[tuple[str, str], ...]]:
        """In a worker thread."""
        from google.auth import exceptions
        from google.auth.transport.requests import Request

        start = f"endpoint {self._endpoint!r}: Google credentials:"
        try:
            if self._source is None:
                self._source = self._find()
            self._source.refresh(Request())
        except exceptions.GoogleAuthError as error:
            passing = isinstance(error, exceptions.TransportError) or error.retryable
            words = self.secrets.redact(told(error.args[0] if error.args else error))
            if passing:
                raise NotSent(f"{start} {words}; nothing was sent") from None
            raise NoCredentials(f"{start} {words}: {self._how}; nothing was sent") from None
        except (OSError, ValueError) as error:
            words = told(getattr(error, "strerror", None) or error)
            raise NoCredentials(f"{start} {words}: {self._how}; nothing was sent") from None
        headers: dict[str, str] = {}
        self._source.apply(headers)
        expiry = self._source.expiry  # UTC without saying so
        expires = math.inf if expiry is None else expiry.replace(tzinfo=UTC).timestamp()
        return Lease(tuple(headers.items()), (self._source.token,), expires)

    def _find(self) -> Any:
        import google.auth
        from google.oauth2 import service_account

        if self._file is None:
            return google.auth.default(scopes=self._scopes)[0]
        from_file: Any = service_account.Credentials.from_service_account_file
        return from_file(self._file, scopes=self._scopes)

    @property
    def _how(self) -> str:
        return _HOW if self._file is None else f"check the key file {printable(self._file)}"
