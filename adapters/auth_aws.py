"""AWS: signature version 4, by botocore's signer, with whatever botocore's credential chain finds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Final

from adapters.auth_renewal import Clock, Lease, Renewed, not_installed, told
from adapters.base import Secrets
from adapters.errors import NoCredentials, NotSent

#: seconds for which credentials that renew themselves are used without asking; botocore renews them 15 minutes before
#: they end, so that asking in time is enough
_KEPT: Final = 60.0
_HOW: Final = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or log in with the AWS command line"


class AwsSigner:
    """Signs the final URL, headers and body of each request. A :class:`~adapters.auth_renewal.Signer`.

    ``profile``: of the shared configuration, default what ``AWS_PROFILE`` says. The chain (environment, profiles, SSO,
    processes, roles, containers, instances) is botocore's own and reads the environment of this process.
    Raises :class:`SpecError` if botocore is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        service: str,
        region: str,
        profile: str | None = None,
        secrets: Secrets | None = None,
        clock: Clock = time.time,
    ) -> None:
        try:
            import botocore.auth
            import botocore.awsrequest
            import botocore.session
        except ImportError:
            raise not_installed(endpoint, "aws_sigv4", "aws") from None
        self._auth: Any = botocore.auth.SigV4Auth
        self._request: Any = botocore.awsrequest.AWSRequest
        self._session: Any = botocore.session.Session(profile=profile)
        self._endpoint = endpoint
        self._service = service
        self._region = region
        self._profile = profile
        self._clock = clock
        self._source: Any = None
        self._credentials = Renewed(self._fetch, clock=clock, secrets=secrets or Secrets())

    @property
    def secrets(self) -> Secrets:
        return self._credentials.secrets

    async def sign(
        self, method: str, url: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> Sequence[tuple[str, str]]:
        signed = self._request(method=method, url=url, data=body, headers=dict(headers))
        self._auth(await self._credentials.get(), self._service, self._region).add_auth(signed)
        given = {name.lower() for name, _ in headers}
        return [(name.lower(), value) for name, value in signed.headers.items() if name.lower() not in given]

    async def aclose(self) -> None:
        await self._credentials.aclose()

    def _fetch(self) -> Lease[Any]:
        """In a worker thread: finding credentials reads files, runs programs and asks servers."""
        from botocore.credentials import RefreshableCredentials
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

        try:
            if self._source is None:
                self._source = self._session.get_credentials()
            if self._source is None:
                raise NoCredentials(f"{self._start} none found: {_HOW}; nothing was sent")
            found = self._source.get_frozen_credentials()
        except HTTPClientError as error:
            raise NotSent(f"{self._start} {self._words(error)}; nothing was sent") from None
        except (BotoCoreError, ClientError, OSError, ValueError) as error:
            raise NoCredentials(f"{self._start} {self._words(error)}: {_HOW}; nothing was sent") from None
        renewing = isinstance(self._source, RefreshableCredentials)
        secrets = tuple(filter(None, (found.secret_key, found.token)))
        return Lease(found, secrets, self._clock() + _KEPT if renewing else math.inf)

    @property
    def _start(self) -> str:
        whose = f" of profile {self._profile!r}" if self._profile else ""
        return f"endpoint {self._endpoint!r}: AWS credentials{whose}:"

    def _words(self, error: Exception) -> str:
        return self._credentials.secrets.redact(told(error))
