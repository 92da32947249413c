"""Tells which requests of a client are for streams, and has a tap for each of those.

Nothing here raises, and nothing is changed but two things: headers of ours are taken off a request, and the stream of a
response that is listened to is put inside another.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from streamcore import dialect
from streamcore.errors import LocalError
from streamcore.redaction import Secrets, secrets_in
from streamcore.tracking.context import PREFIX, current, from_headers, merged
from streamcore.tracking.record import Context
from streamcore.tracking.track import Recorder
from streamcore.upstream import Origin

from .tap import Tap
from .wires import find

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamcore.request import Request
    from streamcore.tracking.track import Desk

    from .wires import Wire

__all__ = ["Watch"]

READ_BYTES: Final = 1024 * 1024  # of a request's body, for the sake of an estimate: 2 ms; more is not worth the wait
ADDRESSES: Final = 256  # that are remembered: with each of them the name of a model or a file may come

_CONTEXT: Final = "streamcore.context"  # extensions of a request, which one that follows a redirect inherits
_TAP: Final = "streamcore.tap"
_NOTHING: Final = Context()
_PREFIX: Final = PREFIX.encode()


class _Said(msgspec.Struct):
    """What a body says, whatever its format."""

    model: object = None
    stream: object = None


_decode: Final = msgspec.json.Decoder(_Said).decode


class Watch:
    """What the transports of one client share: tells which requests are for streams, and has them recorded."""

    def __init__(self, client: Any, library: Any, desk: Desk, wires: Sequence[Wire]) -> None:
        self._client = client
        self._library = library
        self._desk = desk
        self._find = lru_cache(ADDRESSES)(partial(find, wires))

    def begin(self, request: Any) -> Tap | None:
        """A tap for a request that is about to be sent, if it is for a stream. Takes off it what is ours."""
        try:
            context = _context(request)
            url = request.url
            tap: Tap | None = request.extensions.pop(_TAP, None)
            if tap is not None:
                tap.sent_on(url.host)
            elif request.method == "POST":
                tap = self._tap(request, url, context)
        except Exception:  # noqa: BLE001 - the call goes on, whatever is wrong here
            self._desk.defect()
            return None
        return tap

    def _tap(self, request: Any, url: Any, context: Context) -> Tap | None:
        path: str = url.raw_path.partition(b"?")[0].decode("ascii")
        found = self._find(url.host, url.port, path)
        if found is None:
            return None
        wire, named = found
        body = self._body(request)
        said = _said(body)
        model = named.get("model") or said.model
        if not isinstance(model, str) or not (wire.streams if said.stream is None else said.stream is True):
            return None
        origin = Origin(adapter=wire.name, model=model, host=url.host)
        recorder = Recorder(self._desk, self._read(wire, body, {"model": model}), merged(current(), context))
        secrets = Secrets(secrets_in(dict(request.headers.items()), str(url)))
        tap = Tap(self._desk, recorder, wire.load(), origin, secrets)
        tap.opened()
        return tap

    def _body(self, request: Any) -> bytes:
        """The request's body; b"" for one that is only made while it is sent."""
        try:
            body: bytes = request.content
        except self._library.RequestNotRead:
            return b""
        return body

    def _read(self, wire: Wire, body: bytes, named: Mapping[str, str]) -> Request | None:
        """The request in our terms; None if that is not to be had."""
        if wire.dialect is None or not 0 < len(body) <= READ_BYTES:
            return None
        try:
            return dialect.load(wire.dialect).parse(body, named).request
        except LocalError:
            return None
        except Exception:  # noqa: BLE001 - a dialect of somebody's own
            self._desk.defect()
            return None

    def listen(self, tap: Tap, request: Any, response: Any, stream: Callable[[Any, Tap], Any]) -> None:
        """Have the tap told of what comes of a response; `stream` puts a stream inside one that tells."""
        try:
            if response.has_redirect_location and self._client.follow_redirects:
                request.extensions[_TAP] = tap  # the request that follows is the same one
                return
            tap.answered(response.status_code, dict(response.headers.items()))
            if response.is_closed:  # it never was on its way: its body is in memory
                tap.unpacked()
                tap.came(response.content)
                tap.exhausted()
            else:
                response.stream = stream(response.stream, tap)
        except Exception:  # noqa: BLE001 - as above
            self._desk.defect()
            tap.unseen()


def _context(request: Any) -> Context:
    """What the request's headers say it is for. They are taken off."""
    headers = request.headers
    if any(name[: len(_PREFIX)].lower() == _PREFIX for name, _ in headers.raw):
        ours = {name: value for name, value in headers.items() if name.startswith(PREFIX)}
        for name in ours:
            del headers[name]
        request.extensions[_CONTEXT] = from_headers(ours)
    said: Context = request.extensions.get(_CONTEXT, _NOTHING)
    return said


def _said(body: bytes) -> _Said:
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Said()
