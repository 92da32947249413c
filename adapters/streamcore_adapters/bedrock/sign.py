"""Signs requests to Bedrock with AWS credentials (Signature Version 4), by botocore: the optional extra `bedrock`.

    streamcore.model("bedrock:…", sign=sigv4())

botocore finds the credentials as every AWS tool does: environment, profiles, SSO, containers, instances. They are
looked for once, when `sigv4` is called, and renewed when a request is signed and they are about to expire. Both may
read files and ask the network, so an endpoint signs in a thread.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from msgspec import structs

from streamcore.errors import LocalError, StreamFailed
from streamcore.events import Failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamcore.request import HTTPRequest

__all__ = ["Credentials", "sigv4"]

_SERVICE: Final = "bedrock"
_REGION: Final = re.compile(r"(?:^|\.)bedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


class Credentials(Protocol):
    """AWS credentials, as botocore and boto3 have them."""

    def get_frozen_credentials(self) -> Any:
        """The access key, secret key and token of this moment; renewed first if need be."""
        ...


def sigv4(
    region: str | None = None, *, profile: str | None = None, credentials: Credentials | None = None
) -> Callable[[HTTPRequest], HTTPRequest]:
    """What signs a request: returns a copy with `authorization` and `x-amz-*` headers.

    `region` is by default the one in the address that a request goes to. `profile` names one of the AWS configuration
    instead of the default; `credentials` are used as they are. The signature is good for five minutes.

    Raises:
        LocalError: botocore is not installed, or there are no credentials.
    """
    try:
        auth, awsrequest, errors, session = (
            import_module(f"botocore.{name}") for name in ("auth", "awsrequest", "exceptions", "session")
        )
    except ImportError as error:
        raise LocalError("signing needs botocore: install streamcore[bedrock]") from error
    if credentials is None:
        try:
            credentials = session.Session(profile=profile).get_credentials()
        except errors.BotoCoreError as error:
            raise LocalError(f"the AWS credentials cannot be read: {error}") from error
    if credentials is None:
        raise LocalError("there are no AWS credentials: not in the environment, a profile, or where this runs")
    found: Credentials = credentials

    def sign(request: HTTPRequest) -> HTTPRequest:
        """The request, signed.

        Raises:
            LocalError: The address names no region, and none was given.
            StreamFailed: The credentials could not be renewed; a `Failure` of kind auth.
        """
        try:
            frozen = found.get_frozen_credentials()
        except (errors.BotoCoreError, errors.ClientError) as error:
            failure = Failure("auth", f"the AWS credentials could not be renewed: {error}", detail="credentials")
            raise StreamFailed(failure) from error
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        # AWS wants these signed. Of the others, some may change on their way: a proxy's right, and no forgery.
        signed = {name: value for name, value in headers.items() if name == "content-type" or name.startswith("x-amz-")}
        message = awsrequest.AWSRequest(request.method, request.url, headers=signed, data=request.body)
        auth.SigV4Auth(frozen, _SERVICE, region or _region_of(request.url)).add_auth(message)
        headers |= {name.lower(): value for name, value in message.headers.items()}
        return structs.replace(request, headers=headers)

    return sign


def _region_of(url: str) -> str:
    host = urlsplit(url).hostname or ""
    found = _REGION.search(host)
    if found is None:
        raise LocalError(f"the address {host!r} names no AWS region: give one to sigv4")
    return found[1]
