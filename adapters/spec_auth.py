"""How an endpoint knows us: what may stand under its ``auth``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from adapters.checks import REFERENCE, PlainText, ReferenceText, SecretText, fault
from adapters.spec_base import Strict, exactly_one


class NameValue(Strict):
    """A named secret."""

    name: Annotated[str, Field(pattern=r"^[^\s{}$:=&?#]+$")]
    value: SecretText


class Basic(Strict):
    """User name and password."""

    username: ReferenceText
    password: SecretText


class AwsSigV4(Strict):
    """Requests signed for AWS, with the credentials that the AWS command line would use."""

    service: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]  #: the name it signs by: comprehend, sagemaker
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$")]
    profile: PlainText | None = None


def _check_file(text: str) -> str:
    if not REFERENCE.fullmatch(text):
        raise fault("write ${NAME}, and set NAME to the path of the key file")
    return text


KeyFile = Annotated[str, AfterValidator(_check_file)]


class Google(Strict):
    """Access tokens of Google: application default credentials, or a service account's key file."""

    scopes: Annotated[tuple[PlainText, ...], Field(min_length=1)] = ("https://www.googleapis.com/auth/cloud-platform",)
    file: KeyFile | None = None  #: ${NAME}, where NAME holds the path of the key file


class Azure(Strict):
    """Access tokens of Microsoft Entra, with the credentials that the Azure command line would use."""

    scope: PlainText


class Auth(Strict):
    """How the endpoint knows us: ``none`` or exactly one of these."""

    bearer: SecretText | None = None
    header: NameValue | None = None
    query: NameValue | None = None
    basic: Basic | None = None
    aws_sigv4: AwsSigV4 | None = None
    google: Google | None = None
    azure: Azure | None = None

    @model_validator(mode="before")
    @classmethod
    def _short(cls, data: Any) -> Any:
        if data in (None, "none"):
            return {}
        if isinstance(data, str):
            raise fault(f"write none, or one of {', '.join(f'{{{kind}: …}}' for kind in cls.model_fields)}")
        if isinstance(data, Mapping):
            data = dict(data)
            if "google" in data and data["google"] is None:  # nothing has to be said about it
                data["google"] = {}
            for place in ("header", "query"):
                if isinstance(data.get(place), str):
                    data[place] = {"name": data[place], "value": data.pop("value", None)}
        return data

    @model_validator(mode="after")
    def _one(self) -> Auth:
        if self.model_fields_set:
            exactly_one(self, tuple(type(self).model_fields))
            [kind] = self.model_fields_set
            if getattr(self, kind) is None:  # or nothing would be sent, and nothing said
                raise fault(f"{kind} says nothing: write {{{kind}: …}}, or none")
        return self
