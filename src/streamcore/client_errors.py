"""What the exceptions of HTTP clients mean.

httpx and httpx2 name theirs alike, so they are told apart by name: neither need be installed.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final, cast

from .events import Failure

__all__ = ["failure_of"]

_TIMEOUTS: Final = {
    "ConnectTimeout": "connect",
    "ReadTimeout": "idle",
    "WriteTimeout": "idle",
    "PoolTimeout": "connect",
}


def failure_of(error: Exception, *, headers: bool) -> Failure | None:
    """What a client's exception means; None for one that is not about the network. `headers`: they had come."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if names[0] in _TIMEOUTS:
        clock = _TIMEOUTS[names[0]] if headers or names[0] != "ReadTimeout" else "first_token"
        return Failure("timeout", f"{names[0]} of the HTTP client", detail=clock)
    if "RemoteProtocolError" in names:
        return _protocol_failure(error, headers=headers)
    if "ConnectError" in names or "ProxyError" in names:
        detail = _why_not_connected(error)
        return Failure(
            "connection", f"cannot connect: {error}", detail=detail, should_retry=None if detail != "tls" else False
        )
    if "NetworkError" in names or "OSError" in names:
        return Failure("connection", f"the connection broke: {error or names[0]}", detail="reset")
    if "LocalProtocolError" in names or "UnsupportedProtocol" in names or "InvalidURL" in names:
        return Failure("invalid", f"the request cannot be sent: {error}", detail="http")
    return None


def _protocol_failure(error: Exception, *, headers: bool) -> Failure:
    """A peer that went away says so in h11's words, the same class as one that sends garbage."""
    gone = not headers and not any(type(cause).__module__.startswith("h11") for cause in _causes(error))
    if gone:
        return Failure("connection", f"the server closed the connection without an answer: {error}", detail="closed")
    if headers and "peer closed connection" in str(error):
        return Failure("truncated", f"the body ended before its announced end: {error}", detail="incomplete")
    return Failure("protocol", f"the answer is not HTTP: {error}", detail="http")


def _why_not_connected(error: BaseException) -> str:
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return "dns"
        if isinstance(cause, ssl.SSLError):
            return "tls"
        if isinstance(cause, ConnectionRefusedError):
            return "refused"
    return "unreachable"


def _causes(error: BaseException) -> list[BaseException]:
    """The exception and all that led to it, also inside groups."""
    found: list[BaseException] = [error]
    for cause in found:
        if isinstance(cause, BaseExceptionGroup):
            found += cast("BaseExceptionGroup[BaseException]", cause).exceptions
        following = cause.__cause__ or cause.__context__
        if following is not None and following not in found:
            found.append(following)
    return found
