"""Writes an assistant's turn: what the model said goes back as the items it came in.

Blocks whose `opaque` is the same are one message again; an item that came whole goes whole. Two rules of the API do not
show in its types. Reasoning must be followed by what it led to, so at the end of a turn it is left out. And what had
reasoning before it is refused without, so where that has to be left out, the items after it go without their ids, as
if they had been written by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Raw, Struct

from streamcore.errors import LocalError
from streamcore.request import ExtensionPart, Image, Part, ReasoningPart, RefusalPart, Text, ToolCall
from streamcore.wire import opaque

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamcore.wire import Warnings

__all__ = ["Replay", "carried", "plain"]

_Object: TypeAlias = dict[str, Any]

_ANNOTATIONS: Final = frozenset({"url_citation", "file_citation", "container_file_citation", "file_path"})


class _Typed(Struct, gc=False):
    type: str = ""


class _Annotation(Struct, gc=False):
    type: str = ""
    url: str | None = None  # Chat Completions has it one level deeper
    file_id: str | None = None


class _Turn:
    """A turn under way. `last` is the opaque text of the message that is being put together."""

    __slots__ = ("items", "last", "nameless", "waiting")

    def __init__(self) -> None:
        self.items: list[_Object] = []
        self.last: str | None = ""
        self.nameless = False  # whether reasoning has been left out
        self.waiting: list[str] = []  # the paths of the reasoning that nothing has followed yet

    def add(self, item: _Object) -> None:
        """One more item."""
        self.items.append(item)
        self.last, self.waiting = "", []


class Replay:
    """Writes the assistant's turns. `custom` are the calls of custom tools so far: their results have another type.

    `stored` says that the provider has the items of earlier answers.
    """

    def __init__(self, warnings: Warnings, *, stored: bool) -> None:
        self._warn = warnings.add
        self._stored = stored
        self.custom: set[str] = set()

    def items(self, parts: Iterable[tuple[Part, str]]) -> list[_Object]:
        """One turn; each part with its path in the request."""
        turn = _Turn()
        for part, path in parts:
            if part.cache:
                self._warn(f"{path}.cache", "not supported here by this provider")
            match part:
                case Text() | RefusalPart():
                    self._message(turn, part, path)
                case ReasoningPart():
                    self._reasoning(turn, part, path)
                case ToolCall():
                    turn.add(self._call(turn, part, path))
                case ExtensionPart():
                    turn.add(carried(part, path))
                case Image() if _members(part.opaque, "image_generation_call"):
                    pass  # its item follows
                case _:
                    self._warn(path, f"{type(part).__name__} cannot stand in a turn of role assistant")
        for path in turn.waiting:
            self._warn(path, "left out: reasoning that led to nothing is refused")
            turn.items.pop()
        for item in turn.items:
            if item.keys() == {"role", "content"}:
                item["content"] = plain(item["content"])
        return turn.items

    def _message(self, turn: _Turn, part: Text | RefusalPart, path: str) -> None:
        own = self._own(part, path, "message")
        if isinstance(part, RefusalPart):
            block: _Object = {"type": "refusal", "refusal": part.text}
        else:
            block = {"type": "output_text", "text": part.text}
            citations = self._citations(part, path)
            if citations or (own and not turn.nameless):
                block["annotations"] = citations
        key = part.opaque if own else None
        if turn.last != key:
            kept = {name: own[name] for name in own if name == "phase" or not turn.nameless}
            turn.add({**kept, "role": "assistant", "content": []})
            turn.last = key
        turn.items[-1]["content"].append(block)

    def _reasoning(self, turn: _Turn, part: ReasoningPart, path: str) -> None:
        own = _members(part.opaque, "reasoning")
        if not own:
            why = "it is not this provider's"
        elif self._stored or "encrypted_content" in own or bytes(own.get("content", b"[]")) != b"[]":
            waiting = [*turn.waiting, path]
            turn.add({"summary": [], **own})
            # OpenRouter says whose reasoning it is; that of others may be last.
            turn.waiting = waiting if b"openai" in bytes(own.get("format", b"openai")) else []
            return
        else:
            why = "it came without its encrypted content, and nothing is stored"
        self._warn(path, f"left out: {why}")
        turn.nameless = True

    def _call(self, turn: _Turn, part: ToolCall, path: str) -> _Object:
        own = self._own(part, path, "function_call", "custom_tool_call")
        custom = bool(_members(part.opaque, "custom_tool_call"))
        if turn.nameless:
            own.pop("id", None)
        call = {"type": "function_call", **own, "call_id": part.id, "name": part.name}
        if custom:
            self.custom.add(part.id)
            return {**call, "input": part.arguments}
        return {**call, "arguments": part.arguments or "{}"}

    def _citations(self, part: Text, path: str) -> list[Raw]:
        citations: list[Raw] = []
        for number, text in enumerate(part.citations):
            known = opaque(text, _Annotation) or _Annotation()
            if known.type in _ANNOTATIONS and (known.url or known.file_id):
                citations.append(Raw(text.encode()))
            else:
                self._warn(f"{path}.citations[{number}]", "not a citation of this provider's")
        return citations

    def _own(self, part: Part, path: str, *types: str) -> _Object:
        own = _members(part.opaque, *types)
        if part.opaque is not None and not own:
            self._warn(f"{path}.opaque", "left out: not what this provider would take back")
        return own


def carried(part: ExtensionPart, path: str) -> _Object:
    """An item that was carried along, as it came.

    Raises:
        LocalError: It is no JSON object.
    """
    item: _Object | None = opaque(part.raw, dict[str, Raw])
    if item is None:
        raise LocalError(f"{path}: the raw text of {part.name} is not a JSON object")
    return item


def plain(blocks: list[_Object]) -> object:
    """Content as a string if that says it all: there are servers that take nothing else."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"]
    return blocks


def _members(text: str | None, *types: str) -> _Object:
    """The members in the opaque text of a block, if it came with an item of one of these types; else none."""
    known = opaque(text, _Typed)
    return (opaque(text, dict[str, Raw]) or {}) if known is not None and known.type in types else {}
