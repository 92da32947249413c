r"""Bytes of one response body in, events out, the grammar guaranteed.

    stream = Start *(delta | BlockEnd | Usage) (Finish | Failure)

Theory of operation. A framing cuts the bytes into frames, the adapter's decoder turns each frame into events, and
the reader admits these one by one. Almost every event continues the block that the last one continued: that is two
comparisons. All others go through `_admit`, which knows the state of every block and supplies what an adapter may
leave out (`Start` at the beginning, `BlockEnd` before `Finish`). Nothing the other side sends raises: what is
malformed, out of order or cut short becomes the `Failure` that ends the stream, after everything before it.

Mending. JSON strings may hold half a surrogate pair (a provider that cuts text by UTF-16 units sends one half in each
delta), and bodies may hold bytes that are not UTF-8. msgspec refuses both. Such a frame is decoded once more, with
each lone half carried through as a private-use character and each bad byte as U+FFFD; a high half at the end of a
delta waits for the next delta of its block and joins a low half there, else it becomes U+FFFD.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from msgspec import DecodeError, structs

from .errors import FramingError
from .events import (
    Attachment,
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    Finish,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from .failures import find_error, shown

if TYPE_CHECKING:
    from .adapter import Adapter
    from .frames import Frame, Framing

__all__ = ["Reader"]

_DEEP: Final = 200  # levels of nesting; CPython's own limit for the whole stack is 1,000, real answers stay under 20
_TEXT_FIELD: Final = {TextDelta: "text", ReasoningDelta: "text", RefusalDelta: "text", ToolCallDelta: "arguments"}
_TextEvent: TypeAlias = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta

# One escape of a JSON string. Whole pairs and escaped backslashes match first, so a half that remains stands alone.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_PRIVATE: Final = 0x10F800 - 0xD800  # U+10F800..U+10FFFF, private use, stand for the halves within a mended frame
_HALF: Final = re.compile("[\U0010f800-\U0010ffff]")
_FIRST_LOW: Final = 0xDC00 + _PRIVATE
_NESTING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', re.DOTALL)


class Reader:
    """Reads one response body. `framing` replaces the adapter's own, where a body comes framed otherwise."""

    __slots__ = (
        "_blocks",
        "_bytes",
        "_decode",
        "_decoder",
        "_frames",
        "_framing",
        "_half",
        "_index",
        "_outcome",
        "_started",
        "_type",
        "_usage",
    )

    def __init__(self, adapter: Adapter, *, framing: Framing | None = None) -> None:
        self._framing = adapter.framing() if framing is None else framing
        self._decoder = adapter.Decoder()
        self._decode = self._decoder.feed
        self._type: type[Event] | None = None  # what the last delta was, and of which block: the next is likely both
        self._index = -1
        self._blocks: list[type[Event] | None] = []  # what each block takes, None once it has ended
        self._started = False
        self._half: _TextEvent | None = None  # the first half of a surrogate pair, which ended the last delta
        self._frames = 0
        self._bytes = 0
        self._usage: Usage | None = None
        self._outcome: Finish | Failure | None = None

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported."""
        return self._usage

    @property
    def outcome(self) -> Finish | Failure | None:
        """How the stream ended; None while it goes on."""
        return self._outcome

    def feed(self, data: bytes, /) -> list[Event]:
        """The events that `data` completes; nothing after the last one."""
        if self._outcome is not None:
            return []
        self._bytes += len(data)
        try:
            frames = self._framing.feed(data)
        except FramingError as error:
            events = self.feed_frames(error.frames)
            self._admit(error.failure, events)
            return events
        return self.feed_frames(frames) if frames else []

    def feed_frames(self, frames: list[Frame]) -> list[Event]:
        """The events of frames that were cut elsewhere."""
        events: list[Event] = []
        for frame in frames:
            if not frame.data:
                continue
            self._frames += 1
            try:
                decoded = self._decode(frame)
            except (DecodeError, UnicodeDecodeError, RecursionError) as error:
                self._mend(frame, error, events)
                continue
            for event in decoded:
                if type(event) is self._type and event.index == self._index:  # type: ignore[union-attr]
                    events.append(event)
                else:
                    self._admit(event, events)
        return events

    def close(self, failure: Failure | None = None) -> list[Event]:
        """The body ended: cleanly or unknowably (None), or as `failure` says. The last event is among what it returns.

        A body that was broken is no answer, however much was there. One that this side stopped reading (`timeout`,
        `cancelled`) is, if all that was missing was the provider's goodbye.
        """
        events: list[Event] = []
        if self._outcome is not None:
            return events
        pending = 0
        if failure is None:
            frame = self._framing.close()
            if frame is not None and frame.data:
                pending = len(frame.data)
                self._last_frame(frame, events)
        if failure is None and (error := find_error(self._framing.stray)) is not None:
            self._admit(error, events)
        if failure is None or failure.kind in ("timeout", "cancelled"):
            for event in self._decoder.close():
                self._admit(event, events)
        self._admit(failure or self._cut_off(pending), events)
        return events

    def _last_frame(self, frame: Frame, events: list[Event]) -> None:
        """A frame without its end counts if its JSON is whole: real providers omit the last blank line."""
        try:
            decoded = self._decode(frame)
        except (DecodeError, UnicodeDecodeError, RecursionError):
            return
        self._frames += 1
        for event in decoded:
            self._admit(event, events)

    def _cut_off(self, pending: int) -> Failure:
        stray = self._framing.stray
        if not self._frames and stray:
            message = f"the body is not a stream of events; it begins {shown(stray)}"
            return Failure("protocol", message, detail="content_type")
        unfinished = f", {pending} bytes into another" if pending else ""
        message = f"the body ended after {self._bytes} bytes and {self._frames} frames{unfinished}, before the answer did"
        return Failure("truncated", message)

    def _admit(self, event: Event, events: list[Event]) -> None:
        """Take any event, whatever the state; after the last one, nothing."""
        if self._outcome is not None:
            return
        if self._half is not None:
            half, self._half = self._half, None
            self._admit(_with_text(half, "\ufffd"), events)
        kind = type(event)
        if not self._started:
            self._started = True
            if kind is not Start:
                events.append(Start())
        elif kind is Start:
            event = self._breach("a second Start")
        if isinstance(event, Finish | Failure):
            if isinstance(event, Finish):
                events += [BlockEnd(index) for index, takes in enumerate(self._blocks) if takes is not None]
            self._outcome = event
        elif isinstance(event, Usage):
            self._usage = event
        elif not isinstance(event, Start) and event.index is not None:
            breach = self._place(event, event.index)
            if breach is not None:
                event = self._outcome = breach
        events.append(event)

    def _place(self, event: Event, index: int) -> Failure | None:
        """Put a block's event where it belongs, or say why it belongs nowhere."""
        kind = type(event)
        blocks = self._blocks
        if not 0 <= index <= len(blocks):
            return self._breach(f"{kind.__name__} for block {index}, but the next block is {len(blocks)}")
        if index == len(blocks):
            if kind is BlockEnd or kind is ToolCallDelta:
                return self._breach(f"{kind.__name__} for block {index}, which has not begun")
            takes = ToolCallDelta if kind is ToolCallStart else TextDelta if kind is Citation else kind
            blocks.append(takes)
            self._type, self._index = takes, index
            return None
        takes = blocks[index]
        if takes is None:
            return self._breach(f"{kind.__name__} for block {index}, which has ended")
        if kind is BlockEnd:
            blocks[index] = self._type = None
        elif kind is takes:
            self._type, self._index = kind, index
        elif kind is not Citation and kind is not Extension:
            return self._breach(f"{kind.__name__} for block {index}, which takes {takes.__name__}")
        return None

    def _breach(self, what: str) -> Failure:
        return Failure("protocol", f"events out of order at frame {self._frames}: {what}", detail="grammar")

    def _mend(self, frame: Frame, error: DecodeError | UnicodeDecodeError | RecursionError, events: list[Event]) -> None:
        """A frame that msgspec refused: mended if it can be, else the end of the stream; a bug in the adapter is raised."""
        data = frame.data
        reason: Exception = error
        if isinstance(error, RecursionError):
            if _depth(data) < _DEEP:
                raise error
        else:
            mended = _ESCAPE.sub(_carry, data.decode("utf-8", "replace").encode())
            if mended != data:
                try:
                    decoded = self._decode(structs.replace(frame, data=mended))
                except (DecodeError, RecursionError) as again:
                    reason = again
                else:
                    for event in decoded:
                        whole, half = self._unmask(event)
                        self._admit(whole, events)
                        self._half = half
                    if self._half is not None:
                        self._type = None  # whatever comes next passes `_admit`
                    return
            elif isinstance(error, UnicodeDecodeError):
                raise error
        what = "JSON nested too deeply" if isinstance(reason, RecursionError) else str(reason)
        message = f"frame {self._frames} (event {frame.event!r}, {len(data)} bytes): {what}; it begins {shown(data)}"
        self._admit(Failure("protocol", message, detail="json"), events)

    def _unmask(self, event: Event) -> tuple[Event, _TextEvent | None]:
        """A mended event with the half before it joined on, and the half at its end."""
        if type(event) not in _TEXT_FIELD:
            fields = {name: getattr(event, name) for name in event.__struct_fields__}
            masked = {name: _HALF.sub("\ufffd", value) for name, value in fields.items() if isinstance(value, str)}
            return structs.replace(event, **masked), None
        delta = cast("_TextEvent", event)
        text, before, after = _text(delta), self._half, None
        if text and before is not None and type(before) is type(delta) and before.index == delta.index:
            low = ord(text[0])
            if low >= _FIRST_LOW:
                high = ord(_text(before)) - _PRIVATE
                text = chr(0x10000 + ((high - 0xD800) << 10) + (low - _FIRST_LOW)) + text[1:]
                self._half = None
        if text and 0xD800 + _PRIVATE <= ord(text[-1]) < _FIRST_LOW:
            after, text = _with_text(delta, text[-1]), text[:-1]
        return _with_text(delta, _HALF.sub("\ufffd", text)), after


def _text(delta: _TextEvent) -> str:
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def _with_text(delta: _TextEvent, text: str) -> _TextEvent:
    return structs.replace(delta, **{_TEXT_FIELD[type(delta)]: text})


def _carry(match: re.Match[bytes]) -> bytes:
    half = match[1]
    return match[0] if half is None else chr(int(half, 16) + _PRIVATE).encode()


def _depth(data: bytes) -> int:
    """How deeply the JSON is nested, counted no further than is too deep."""
    deepest = depth = 0
    for token in _NESTING.finditer(data):
        if token[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth >= _DEEP:
                break
        elif token[0] in b"]}":
            depth -= 1
    return deepest
