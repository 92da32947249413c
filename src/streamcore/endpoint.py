"""A model at a provider: an adapter, an address, a key and a transport."""

from __future__ import annotations

import copy
import os
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import urlsplit

from .adapter import Adapter, load
from .body import Body
from .errors import LocalError
from .redaction import Secrets, secrets_in, shown_url
from .request import Request, Secret, Target, prompt
from .stream import Stream
from .transport import HTTPX
from .upstream import Origin
from .waiting import in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .deadlines import Deadlines
    from .request import HTTPRequest
    from .transport import Response, Transport

__all__ = ["Endpoint", "Model", "model"]


class Model(Protocol):
    """Anything that answers a request with a stream. What wraps a model is a model."""

    def stream(self, request: Request, /) -> Stream:
        """The stream that will answer, not yet opened: `async with` opens it."""
        ...


class Endpoint:
    """One model of one provider.

    `adapter` is the name of one or the adapter itself; `url` its address up to the API's root, by default the
    provider's own; `key` by default what the provider's usual environment variable holds. `headers` are sent besides
    the adapter's own and win over them. `strict` refuses a request that the provider cannot take in full. `transport`
    stays the caller's to close; without one, `aclose` (or `async with`) closes the endpoint's own. `sign` makes of each
    request the one that is sent, just before it is: in a thread, since it may have to fetch credentials first, which
    goes on there by itself if the stream is left meanwhile. `deadlines` are those of each stream; `Stream.within` sets
    others for one.

    Raises:
        LocalError: There is no such adapter.
    """

    def __init__(
        self,
        adapter: str | Adapter,
        model: str,
        *,
        url: str | None = None,
        key: str | Secret | None = None,
        headers: Mapping[str, str] | None = None,
        strict: bool = False,
        transport: Transport | None = None,
        sign: Callable[[HTTPRequest], HTTPRequest] | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._adapter = load(adapter) if isinstance(adapter, str) else adapter
        self._name = adapter if isinstance(adapter, str) else getattr(adapter, "__name__", repr(adapter))
        self._strict = strict
        self._sign = sign
        self._deadlines = deadlines
        self._own: HTTPX | None = None
        if transport is None:
            transport = self._own = HTTPX()
        self._transport: Transport = transport
        self._target = Target(
            url=(url or self._adapter.url).rstrip("/"),
            model=model,
            key=_key(self._adapter, key),
            headers=dict(headers or {}),
        )
        keys = [] if self._target.key is None else [self._target.key.reveal()]
        self._secrets = Secrets([*keys, *secrets_in(self._target.headers, self._target.url)])

    def __repr__(self) -> str:
        return f"Endpoint({self._name!r}, {self._target.model!r}, url={shown_url(self._target.url)!r})"

    @property
    def transport(self) -> Transport | None:
        """The transport that was given; None for the endpoint's own."""
        return self._transport if self._own is None else None

    def over(self, transport: Transport) -> Endpoint:
        """The same endpoint over another transport, which stays the caller's to close."""
        other = copy.copy(self)
        other._transport, other._own = transport, None  # noqa: SLF001 - of this class
        return other

    def stream(self, request: Request | str, /, *, strict: bool | None = None) -> Stream:
        """The stream that will answer; nothing is sent before `async with`. A string is one user message.

        Raises:
            LocalError: The request cannot be written for this provider, or, if strict, not in full.
        """
        if isinstance(request, str):
            request = prompt(request)
        message = self._adapter.encode(request, self._target)
        if message.warnings and (self._strict if strict is None else strict):
            what = "; ".join(f"{warning.field}: {warning.message}" for warning in message.warnings)
            raise LocalError(f"the provider cannot take the request in full: {what}")

        async def open(connect: float | None) -> Response:
            signed = message
            if self._sign is not None:
                signed = await in_thread(self._sign, message)
                body.secrets = self._secrets.with_those(secrets_in(signed.headers))
            return await self._transport.open(signed, connect=connect)

        host = urlsplit(message.url).hostname or ""
        origin = Origin(adapter=self._name, model=self._target.model, host=host)
        body = Body(self._adapter, open, origin=origin, warnings=message.warnings, secrets=self._secrets)
        return Stream(body, deadlines=self._deadlines)

    async def aclose(self) -> None:
        """Close the connections of the endpoint's own transport; one that was given stays open."""
        if self._own is not None:
            await self._own.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def model(
    name: str,
    *,
    url: str | None = None,
    key: str | Secret | None = None,
    headers: Mapping[str, str] | None = None,
    strict: bool = False,
    transport: Transport | None = None,
    sign: Callable[[HTTPRequest], HTTPRequest] | None = None,
    deadlines: Deadlines | None = None,
) -> Endpoint:
    """The endpoint for `"<adapter>:<model>"`, such as `"openai:gpt-4o"`. The rest is as for `Endpoint`.

    Raises:
        LocalError: The name has no colon, or no adapter is called so.
    """
    adapter, colon, rest = name.partition(":")
    if not colon or not rest:
        raise LocalError(f"a model is named '<adapter>:<model>', such as 'openai:gpt-4o', not {name!r}")
    return Endpoint(
        adapter,
        rest,
        url=url,
        key=key,
        headers=headers,
        strict=strict,
        transport=transport,
        sign=sign,
        deadlines=deadlines,
    )


def _key(adapter: Adapter, key: str | Secret | None) -> Secret | None:
    if isinstance(key, Secret):
        return key
    if key is None:
        key = next((value for name in adapter.key_variables if (value := os.environ.get(name))), None)
    return Secret(key) if key else None
