"""The head of a request, as bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, urlsplit

from streamcore import __version__
from streamcore.errors import StreamFailed
from streamcore.events import Failure

if TYPE_CHECKING:
    from streamcore.request import HTTPRequest

__all__ = ["Address", "written"]

# RFC 9110 sections 5.1 and 5.5: what a name may hold, and what no value may. Whoever writes headers from data is safe.
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_HEAD: Final = re.compile(_TOKEN + rb" [^\0-\x20]+ HTTP/1\.1\r\n(?:" + _TOKEN + rb": [^\0\r\n]*\r\n)+\r\n")
_PORTS: Final = {"http": 80, "https": 443}
_SAFE: Final = "/?:@!$&'()*+,;=%"  # besides letters, digits and -._~: RFC 3986 section 3.3, and what is quoted already


class Address(NamedTuple):
    """What a connection is made to, and may be used again for."""

    tls: bool
    host: str
    port: int


def written(request: HTTPRequest) -> tuple[Address, bytes]:
    """Where a request goes to, and its head.

    Raises:
        StreamFailed: It cannot be sent; a `Failure` of kind invalid.
    """
    try:
        url = urlsplit(request.url)
        usual = _PORTS[url.scheme]
        host = (url.hostname or "").encode("idna").decode()
        port = url.port or usual
        authority = (f"[{host}]" if ":" in host else host) + ("" if port == usual else f":{port}")
        target = quote(url.path or "/", safe=_SAFE) + (f"?{quote(url.query, safe=_SAFE)}" if url.query else "")
        headers = {"host": authority, "accept": "*/*", "user-agent": f"streamcore/{__version__}"}
        if request.body or request.method != "GET":
            headers["content-length"] = str(len(request.body))
        headers |= {name.lower(): value for name, value in request.headers.items()}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{request.method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1")
    except KeyError as error:
        raise _invalid(f"its address begins with {error}, not with http: or https:") from None
    except ValueError as error:  # a port that is no number, a header that is not Latin-1
        raise _invalid(error) from None  # it has the whole head in it, and so the key
    if not host or _HEAD.fullmatch(head) is None or head.count(b"\n") != len(headers) + 2:  # or more headers than that
        raise _invalid("it has no host, or a character in its head that cannot be there")
    return Address(url.scheme == "https", host, port), head


def _invalid(why: object) -> StreamFailed:
    return StreamFailed(Failure("invalid", f"the request cannot be sent: {why}", detail="http"))
