"""Azure: access tokens of Microsoft Entra by azure-identity's default chain of credentials."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from adapters.auth_renewal import Clock, Lease, Renewed, not_installed, told
from adapters.base import Secrets
from adapters.errors import NoCredentials, NotSent

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

_HOW: Final = "run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"


class AzureSigner:
    """Adds an access token for ``scope``. A :class:`~adapters.auth_renewal.Signer`.

    ``source``: default azure-identity's ``DefaultAzureCredential`` (environment, workload and managed identities, the
    command lines), which reads the environment of this process. Raises :class:`SpecError` if azure-identity is not installed.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        scope: str,
        source: TokenCredential | None = None,
        secrets: Secrets | None = None,
        clock: Clock = time.time,
    ) -> None:
        try:
            import azure.identity
        except ImportError:
            raise not_installed(endpoint, "azure", "azure") from None
        # without a handler of its own the library's account of every source it tried would go to the terminal
        logging.getLogger("azure").addHandler(logging.NullHandler())
        self._source: TokenCredential = source or azure.identity.DefaultAzureCredential()
        self._endpoint = endpoint
        self._scope = scope
        self._token = Renewed(self._fetch, clock=clock, secrets=secrets or Secrets())

    @property
    def secrets(self) -> Secrets:
        return self._token.secrets

    async def sign(
        self,
        method: str,  # noqa: ARG002 - a token does not depend on the request
        url: str,  # noqa: ARG002
        headers: Sequence[tuple[str, str]],  # noqa: ARG002
        body: bytes,  # noqa: ARG002
    ) -> Sequence[tuple[str, str]]:
        return (("authorization", f"Bearer {await self._token.get()}"),)

    async def aclose(self) -> None:
        await self._token.aclose()
        close = getattr(self._source, "close", None)
        if callable(close):
            close()

    def _fetch(self) -> Lease[str]:
        """In a worker thread."""
        from azure.core.exceptions import AzureError, ClientAuthenticationError

        start = f"endpoint {self._endpoint!r}: Azure credentials:"
        try:
            token = self._source.get_token(self._scope)
        except ClientAuthenticationError as error:
            words = self.secrets.redact(told(error))
            raise NoCredentials(f"{start} {words}: {_HOW}; nothing was sent") from None
        except AzureError as error:
            words = self.secrets.redact(told(error))
            raise NotSent(f"{start} {words}; nothing was sent") from None
        return Lease(token.token, (token.token,), float(token.expires_on))
