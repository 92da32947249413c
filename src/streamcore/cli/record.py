"""`streamcore record`: one answer as it came over the wire, into a file that tests can read."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import anyio
import msgspec

from streamcore.adapter import load
from streamcore.errors import LocalError
from streamcore.request import prompt as prompt_request
from streamcore.testing import Recording
from streamcore.transport import HTTPX

from .asking import Answer, ask, close
from .models import chosen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from streamcore.endpoint import Endpoint
    from streamcore.request import HTTPRequest, Request
    from streamcore.transport import Response, Transport

    from .models import Choice
    from .terminal import Terminal

__all__ = ["Tap", "run"]


class Tap:
    """A transport that keeps what passes through another. One request, without its headers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._request: HTTPRequest | None = None
        self._response: Response | None = None
        self._chunks: list[bytes] = []

    async def open(self, request: HTTPRequest, /, *, connect: float | None = None) -> Response:
        """Send the request through the other transport, and keep the answer."""
        self._request = request
        self._response = await self._transport.open(request, connect=connect)
        return _Tapped(self._response, self._chunks)

    def recording(self, adapter: str, *, note: str = "", keys: Iterable[str] = ()) -> Recording | None:
        """What came; None if nothing did. Where the provider repeats a key, asterisks of the same length stand for it."""
        if self._request is None or self._response is None:
            return None
        body = b"".join(self._chunks)
        for key in keys:
            body = body.replace(key.encode(), b"*" * len(key.encode()))
        try:
            text, base64 = body.decode(), ""
        except UnicodeDecodeError:
            text, base64 = "", b64encode(body).decode()
        return Recording(
            adapter=adapter,
            note=note,
            url=_path(self._request.url),
            request=msgspec.json.decode(self._request.body, type=dict[str, Any]),
            status=self._response.status,
            content_type=self._response.headers.get("content-type", ""),
            body=text,
            body_base64=base64,
            chunks=[len(chunk) for chunk in self._chunks],
        )


class _Tapped:
    def __init__(self, response: Response, chunks: list[bytes]) -> None:
        self._response = response
        self._chunks = chunks
        self.status = response.status
        self.headers = response.headers

    async def read(self) -> bytes:
        data = await self._response.read()
        if data:
            self._chunks.append(data)
        return data

    async def close(self) -> None:
        await self._response.close()


def run(
    terminal: Terminal, choice: Choice, *, prompt: str, out: Path, note: str = "", max_tokens: int | None = None
) -> int:
    """Ask, show and record; the exit status is the answer's.

    Raises:
        LocalError: There is no such model, it cannot be asked this, or the file cannot be written.
    """
    request = prompt_request(prompt, max_tokens=max_tokens)
    if not out.parent.is_dir():
        raise LocalError(f"there is no directory {str(out.parent)!r}")
    transport = HTTPX()
    tap = Tap(transport)
    with chosen(choice, terminal, transport=tap) as (endpoint, adapter, description):
        keys = [choice.key, *(os.environ.get(name) for name in load(adapter).key_variables)]
        return _conclude(
            anyio.run(_answer, transport, endpoint, request, terminal),
            tap.recording(adapter, note=note or description, keys=filter(None, keys)),
            out,
            terminal,
        )


def _conclude(answer: Answer, recording: Recording | None, out: Path, terminal: Terminal) -> int:
    """End the answer and write what came of it; the exit status."""
    status = close(answer, terminal)
    if recording is not None:
        try:
            recording.save(out)
        except OSError as error:
            raise LocalError(f"cannot write {str(out)!r}: {error.strerror}") from error
        terminal.message(f"{sum(recording.chunks)} bytes in {len(recording.chunks)} reads → {out}")
    return status


async def _answer(transport: HTTPX, endpoint: Endpoint, request: Request, terminal: Terminal) -> Answer:
    async with transport:
        return await ask(endpoint, request, terminal)


def _path(url: str) -> str:
    """The path and the query of an address, without a key in it."""
    parts = urlsplit(url)
    query = urlencode([(name, value) for name, value in parse_qsl(parts.query) if name != "key"])
    return f"{parts.path}?{query}" if query else parts.path
