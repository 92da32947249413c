"""The items of an answer and the blocks they become: what they start with, what is added to them, what they end as.

A block gets its index with its first event. Each part of a message is a block of its own; reasoning is one block, its
parts apart by an empty line; a call is one; every other item is one, when it is done.

An item is found by its id, or by its index where a gateway gives it a new id with every event. What has been said of a
part, by deltas or as a whole, is not said again when its text is repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from streamcore.events import (
    Attachment,
    BlockEnd,
    Event,
    Extension,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
)
from streamcore.wire import unique

from .chunk import CALLS, Call, Message, Other, Reasoning, sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .chunk import Event as WireEvent
    from .chunk import Item, Source
    from .chunk import Text as WireText

__all__ = ["Items", "TextEvent"]

TextEvent: TypeAlias = TextDelta | RefusalDelta | ReasoningDelta | ToolCallDelta
"""What adds text to a block."""

# A part of an item: what it says, its summary index, its content index.
_Key: TypeAlias = tuple[type[TextEvent], int | None, int | None]

_PARTS: Final[Mapping[str | None, type[TextEvent]]] = {"output_text": TextDelta, "refusal": RefusalDelta}
_WHOLE_CALL: Final[_Key] = (ToolCallDelta, None, None)
_SEARCHES_OF_X: Final = frozenset({"x_keyword_search", "x_semantic_search", "x_user_search", "x_thread_fetch"})
_FOR_CALLER: Final = frozenset(  # what the caller is to do, unless the answer itself has the output
    {
        "apply_patch_call",
        "computer_call",
        "local_shell_call",
        "mcp_approval_request",
        "shell_call",
        "tool_search_call",
    }
)


class _Item:
    """An item under way. Its blocks are known by their parts, or by None where there is only one."""

    __slots__ = ("added", "blocks", "call", "cited", "done", "heard", "last", "pending", "raw", "type")

    def __init__(self, type: str) -> None:
        self.type = type
        self.added = self.done = False
        self.blocks: dict[_Key | None, int] = {}
        self.heard: set[_Key] = set()  # the parts whose text has been said, and the one that was said last
        self.last: _Key | None = None
        self.cited: dict[int, int] = {}  # how many sources each block has
        self.call = Call()
        self.pending: list[str] = []  # arguments that came before the name
        self.raw = ""  # of an item that is carried along


class Items:
    """The items of one answer. `calls`, `refused` and `waiting` say what its end will mean; `done` is how many ended."""

    __slots__ = ("_by_key", "_count", "_ids", "_latest", "_open", "done", "refused", "waiting")

    def __init__(self) -> None:
        self._count = 0  # our indexes given out so far
        self._open: dict[_Item, None] = {}
        self._by_key: dict[str | int, _Item] = {}  # by id and by index
        self._latest: _Item | None = None
        self._ids: set[str] = set()  # of calls
        self.done = 0
        self.refused = False
        self.waiting: set[str] = set()  # what the caller is to do, besides calls

    @property
    def calls(self) -> bool:
        """Whether the model called tools of the caller's."""
        return bool(self._ids)

    def add(self, index: int | None, item: Item) -> list[Event]:
        """An item begins. It may hold arguments already, which count if no others come."""
        known = self._by_key.get(item.id)
        if known is not None and known.added:
            return []
        state = self._find(item.type, item.id, index)
        if state.added:  # another item has this index
            state = self._begin(item.type, item.id, index)
        state.added = True
        if isinstance(item.body, Call) and not _is_hosted(item):
            return self._call(state, item.body)
        if isinstance(item.body, Call | Other):
            state.raw = item.raw
        return []

    def say(self, make: type[TextEvent], type: str, event: WireText, text: str, *, whole: bool) -> TextEvent | None:
        """Text is added to a part; or its `whole` text is repeated, which counts if none of it came before."""
        if not text:
            return None
        state = self._find(type, event.item_id or "", event.output_index)
        key = _WHOLE_CALL if make is ToolCallDelta else (make, event.summary_index, event.content_index)
        if key is _WHOLE_CALL and None not in state.blocks:
            if not (whole and state.pending):
                state.pending.append(text)
            return None
        return None if whole and key in state.heard else self._text(state, key, text)

    def cite(self, event: WireEvent, source: Source) -> list[Event]:
        """A passage of the text has a source."""
        state = self._find("message", event.item_id or "", event.output_index)
        index = self._block(state, (TextDelta, None, event.content_index))
        state.cited[index] = state.cited.get(index, 0) + 1
        return [source.cited(index)]

    def end(self, index: int | None, item: Item) -> list[Event]:
        """An item is complete, with all that it holds."""
        known = self._by_key.get(item.id)
        if known is not None and known.done and known.type == item.type:
            return []
        state, body = self._find(item.type, item.id, index), item.body
        if isinstance(body, Message):
            events = self._message(state, body)
        elif isinstance(body, Reasoning):
            events = [] if state.heard else [self._text(state, (ReasoningDelta, None, None), "\n\n".join(body.texts))]
        elif isinstance(body, Call) and not _is_hosted(item):
            events = self._call(state, body, last=True)
        else:
            return self._extension(state, item)
        return events + self._close(state, item.opaque)

    def end_all(self, output: list[Item]) -> list[Event]:
        """The answer is complete. `output` repeats its items, if some of them were not said to be done."""
        events: list[Event] = []
        for index, item in enumerate(output):
            known = self._by_key.get(item.id) or self._by_key.get(index)
            if known is None or not known.done or known.type != item.type:
                events += self.end(index, item)
        for state in list(self._open):
            if state.raw:
                events.append(Extension(f"openai_responses:{state.type}", state.raw, self._block(state, None)))
            elif state.type in CALLS:
                events += self._call(state, Call(), last=True)
            events += self._close(state, None)
        return events

    def _find(self, type: str, id: str, index: int | None) -> _Item:
        """The item that an event belongs to; a new one if none of this type is under way."""
        for state in (self._by_key.get(id), self._latest if index is None else self._by_key.get(index)):
            if state is not None and state.type == type and not state.done:
                return state
        return self._begin(type, id, index)

    def _begin(self, type: str, id: str, index: int | None) -> _Item:
        state = self._latest = _Item(type)
        self._open[state] = None
        if id:
            self._by_key[id] = state
        if index is not None:
            self._by_key[index] = state
        return state

    def _close(self, state: _Item, opaque: str | None) -> list[Event]:
        state.done = True
        del self._open[state]
        self.done += 1
        return [BlockEnd(index, opaque) for index in state.blocks.values()]

    def _block(self, state: _Item, key: _Key | None) -> int:
        """Our index of a block, a new one if need be."""
        index = state.blocks.get(key, -1)
        if index < 0:
            index = state.blocks[key] = self._count
            self._count += 1
        return index

    def _text(self, state: _Item, key: _Key, text: str) -> TextEvent:
        make = key[0]
        if make is ReasoningDelta and state.heard and key != state.last:
            text = f"\n\n{text}"
        state.heard.add(key)
        state.last = key
        self.refused = self.refused or make is RefusalDelta
        return make(self._block(state, key if make in _PARTS.values() else None), text)

    def _message(self, state: _Item, message: Message) -> list[Event]:
        """What of a finished message has not been said. An empty part is a block too: its id must go back."""
        events: list[Event] = []
        makes = [_PARTS.get(piece.part.type) for piece in message.pieces]
        begun: dict[type[TextEvent], Iterator[_Key]] = {}  # if all parts came, in their order: not all count from 0
        for kind in _PARTS.values():
            keys = [key for key in state.blocks if key and key[0] is kind]
            if len(keys) >= makes.count(kind):
                begun[kind] = iter(keys)
        for at, (make, piece) in enumerate(zip(makes, message.pieces, strict=True)):
            if make is None:
                events.append(Extension(f"openai_responses:{piece.part.type or 'part'}", piece.raw))
                continue
            key = next(begun[make]) if make in begun else (make, None, at)
            text = piece.part.text or piece.part.refusal or ""
            if key not in state.heard and (text or key not in state.blocks):
                events.append(self._text(state, key, text))
            index = state.blocks[key]
            events += (source.cited(index) for source in piece.sources[state.cited.get(index, 0) :])
            logprobs = sent(piece.part.logprobs)
            if logprobs:
                events.append(Extension("openai_responses:logprobs", logprobs))
        return events

    def _call(self, state: _Item, call: Call, *, last: bool = False) -> list[Event]:
        """What is known of a call: it begins with its name, or at the `last` moment without."""
        known = state.call
        call = state.call = Call(call.call_id or known.call_id, call.name or known.name, call.given or known.given)
        events: list[Event] = []
        if None not in state.blocks and (call.name or last):
            index = self._block(state, None)
            events.append(ToolCallStart(index, unique(call.call_id or f"call_{index}", index, self._ids), call.name))
        text = "".join(state.pending) or (call.given if last else "")
        if text and None in state.blocks and _WHOLE_CALL not in state.heard:
            events.append(self._text(state, _WHOLE_CALL, text))
        return events

    def _extension(self, state: _Item, item: Item) -> list[Event]:
        """An item that is carried along, behind the image that it brings."""
        events: list[Event] = []
        index = self._block(state, None)
        body = item.body
        if isinstance(body, Other):
            if item.image:
                events.append(Attachment(index, item.media_type, item.image))
            if item.type in _FOR_CALLER and body.execution != "server":
                self.waiting.add(str(body.call_id or item.id))
            elif item.type.endswith("_output"):
                self.waiting.discard(str(body.call_id))
        events.append(Extension(f"openai_responses:{item.type}", item.raw, index))
        return events + self._close(state, item.opaque if item.image else None)


def _is_hosted(item: Item) -> bool:
    """Whether xAI runs this custom tool itself."""
    return isinstance(item.body, Call) and item.type == "custom_tool_call" and item.body.name in _SEARCHES_OF_X
