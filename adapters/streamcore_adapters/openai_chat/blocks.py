"""The blocks of a Chat Completions answer that have to be put together: calls, reasoning to be sent back, images."""

from __future__ import annotations

import binascii
from hashlib import blake2s
from typing import TYPE_CHECKING

from streamcore.events import Attachment, BlockEnd, Event, ToolCallDelta, ToolCallStart
from streamcore.wire import json_text

from .chunk import Function, ToolCall, sent

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Calls", "ReasoningDetails", "attachment"]


class _Call:
    """A tool call under way. It has no block until its name is known."""

    __slots__ = ("ended", "extra", "id", "index", "pending")

    def __init__(self, id: str) -> None:
        self.id = id  # as the wire gave it, "" for none
        self.index = -1
        self.pending: list[str] = []
        self.extra = ""
        self.ended = False


class Calls:
    """The tool calls of one answer, from their fragments. `indexes` gives the number of the next block."""

    __slots__ = ("_by_key", "_ids", "_indexes", "_open")

    def __init__(self, indexes: Iterator[int]) -> None:
        self._indexes = indexes
        self._by_key: dict[int | str, _Call] = {}  # by index, or by id where there is no index
        self._open: list[_Call] = []
        self._ids: set[str] = set()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._ids)

    def add(self, piece: ToolCall, answer: str, events: list[Event]) -> None:
        """Take a fragment in; `answer` is the id of the response."""
        function = piece.function or Function()
        name, arguments = function.name or "", function.arguments or ""
        if isinstance(arguments, dict):
            arguments = json_text(arguments)
        id = "" if piece.id in (None, "null") else piece.id  # the SDK of Mistral writes "null" for none
        call = self._find(piece.index, id, name, arguments)
        call.extra = sent(piece.extra_content) or call.extra
        if call.index >= 0:
            if arguments:
                events.append(ToolCallDelta(call.index, arguments))
            return
        call.id = call.id or id
        call.pending.append(arguments)
        if name:
            self._begin(call, name, answer, events)

    def end(self, answer: str, events: list[Event]) -> None:
        """All calls so far are complete."""
        for call in self._open:
            if call.index < 0 and (call.id or any(call.pending)):
                self._begin(call, "", answer, events)
            if call.index >= 0:
                events.append(BlockEnd(call.index, f'{{"extra_content":{call.extra}}}' if call.extra else None))
            call.ended = True
        self._open = []

    def _find(self, index: int | None, id: str, name: str, arguments: str) -> _Call:
        """The call that a fragment belongs to: by its index, else its id, else the last; or a new one.

        An index is used again for another call if a new id comes with a name and the beginning of an object.
        """
        if index is None and not id and not name and self._open:
            return self._open[-1]
        key = id if index is None else index
        call = self._by_key.get(key) if key != "" else None
        if call is not None:
            other = id != call.id if id and call.id else call.ended
            if not (other and name and arguments[:1] in ("", "{")):
                return call
        call = self._by_key[key] = _Call(id)
        self._open.append(call)
        return call

    def _begin(self, call: _Call, name: str, answer: str, events: list[Event]) -> None:
        call.index = next(self._indexes)
        id = call.id
        while not id or id in self._ids:
            # None was given, or one that another call has. Nine letters and digits: Mistral takes no others back.
            id = blake2s(f"{answer} {call.index} {id}".encode()).hexdigest()[:9]
        self._ids.add(id)
        events.append(ToolCallStart(call.index, id, name))
        arguments = "".join(call.pending)
        if arguments:
            events.append(ToolCallDelta(call.index, arguments))


class ReasoningDetails:
    """The items of `reasoning_details`, put together from their pieces to be sent back.

    Pieces of text with one index and type are one item, which ends with its signature; an encrypted item comes whole.
    """

    __slots__ = ("_items", "_latest")

    def __init__(self) -> None:
        self._items: list[tuple[dict[str, object], dict[str, list[str]]]] = []
        self._latest: dict[tuple[object, object], int] = {}

    def add(self, pieces: list[dict[str, object]]) -> str:
        """Take these pieces in; the text they add."""
        added: list[str] = []
        for piece in pieces:
            fields, texts = self._item(piece)
            for name, value in piece.items():
                if name in ("text", "summary") and isinstance(value, str):
                    texts.setdefault(name, []).append(value)  # joined once
                    added.append(value)
                elif value not in (None, "") or name not in fields:
                    fields[name] = value
        return "".join(added)

    def _item(self, piece: dict[str, object]) -> tuple[dict[str, object], dict[str, list[str]]]:
        """The item that a piece continues, or a new one."""
        index, id = piece.get("index"), piece.get("id")
        key = (str(index), str(piece.get("type")))
        at = self._latest.get(key, -1)
        if at >= 0 and "data" not in piece and (index is not None or at == len(self._items) - 1):
            fields = self._items[at][0]
            if not fields.get("signature") and (id is None or fields.get("id") in (None, id)):
                return self._items[at]
        self._latest[key] = len(self._items)
        self._items.append(({}, {}))
        return self._items[-1]

    def fields(self) -> dict[str, object]:
        """The field to send back, if there is any."""
        items = [{**fields, **{name: "".join(text) for name, text in texts.items()}} for fields, texts in self._items]
        return {"reasoning_details": items} if items else {}


def attachment(index: int, address: str) -> Attachment:
    """An image at an address, or its bytes if the address is a `data:` URL."""
    head, comma, text = address.partition(",")
    if comma and head[:5] == "data:" and head[-7:] == ";base64":
        try:
            return Attachment(index, head[5:-7], binascii.a2b_base64(text, strict_mode=True))
        except binascii.Error:
            pass
    return Attachment(index, "image/*", url=address)
