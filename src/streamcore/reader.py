r"""Bytes of one response body in, events out, the grammar guaranteed.

    stream = Start *(delta | BlockEnd | Usage) (Finish | Failure)

Theory of operation. A framing cuts the bytes into frames, the adapter's decoder turns each frame into events, and
the reader admits these one by one. Almost every event continues the block that the last one continued: that is two
comparisons. All others go through `_admit`, which knows the state of every block and supplies what an adapter may
leave out (`Start` at the beginning, `BlockEnd` before `Finish`). Nothing the other side sends raises: what is
malformed, out of order or cut short becomes the `Failure` that ends the stream, after everything before it.

A frame that msgspec refuses is decoded once more, mended (see `mending`). A half of a surrogate pair that ends a
delta waits for the next event: it becomes part of that, or U+FFFD, or nothing if the stream fails first, so that what
a cut body gives is a beginning of what the whole one gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import DecodeError, structs

from .errors import FramingError
from .events import (
    BlockEnd,
    Citation,
    Event,
    Extension,
    Failure,
    Finish,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    Usage,
)
from .failures import find_error, shown
from .frames import EVENT_LIMIT
from .mending import TEXT_FIELD, is_deep, mended, unmask, with_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from .adapter import Adapter, Billed
    from .frames import Frame, Framing
    from .mending import TextEvent

__all__ = ["Reader"]

# Bytes in a row that may complete no event: the largest frame, and 12 days of keep-alives before it (a comment of 15
# bytes every 15 s). A body that never makes one would pass for alive for ever.
SILENCE_LIMIT: Final = EVENT_LIMIT + 1024 * 1024


class Reader:
    """Reads one response body. `framing` replaces the adapter's own, where a body comes framed otherwise.

    `usage` is the last that the provider reported, `billed` what it bills besides or instead, `model` the one that answers,
    `outcome` how the stream ended; None before.
    `received` is how many bytes were fed. All are only to be read.
    """

    __slots__ = (
        "_billed",
        "_blocks",
        "_decode",
        "_decoder",
        "_event_at",
        "_frames",
        "_framing",
        "_half",
        "_index",
        "_masked",
        "_started",
        "_type",
        "billed",
        "model",
        "outcome",
        "received",
        "usage",
    )

    def __init__(self, adapter: Adapter, *, framing: Framing | None = None) -> None:
        self._framing = adapter.framing() if framing is None else framing
        self._decoder = adapter.Decoder()
        self._decode = self._decoder.feed
        self._billed: Callable[[Extension], Billed | None] | None = getattr(adapter, "billed", None)
        self._type: type[Event] | None = None  # what the last delta was, and of which block: the next is likely both
        self._index = -1
        self._blocks: list[type[Event] | None] = []  # what each block takes, None once it has ended
        self._started = False
        self._masked = False  # whether any frame was mended
        self._half: TextEvent | None = None  # the first half of a surrogate pair, which ended the last delta
        self._frames = 0
        self._event_at = 0  # how many bytes had been received when the last event was made
        self.received = 0
        self.usage: Usage | None = None
        self.billed: Billed | None = None
        self.model: str | None = None
        self.outcome: Finish | Failure | None = None

    def feed(self, data: bytes, /) -> list[Event]:
        """The events that `data` completes; nothing after the last one."""
        if self.outcome is not None:
            return []
        self.received += len(data)
        try:
            frames = self._framing.feed(data)
        except FramingError as error:
            events = self.feed_frames(error.frames)
            self._admit(error.failure, events)
            return events
        events = self._feed_frame(frames[0]) if len(frames) == 1 else self.feed_frames(frames) if frames else []
        if events:
            self._event_at = self.received
        elif self.received - self._event_at > SILENCE_LIMIT:
            silence = self.received - self._event_at
            message = f"{silence} bytes came without an event, after {self._event_at} with some"
            self._admit(Failure("protocol", message, detail="no_progress"), events)
        return events

    def feed_frames(self, frames: list[Frame]) -> list[Event]:
        """The events of frames that were cut elsewhere; nothing after the last one."""
        events: list[Event] = []
        for frame in frames:
            if self.outcome is not None:
                break
            events += self._feed_frame(frame)
        return events

    def _feed_frame(self, frame: Frame) -> list[Event]:
        """The events of one frame: the decoder's own list if they continue the block, each one admitted if not."""
        if not frame.data:
            return []
        self._frames += 1
        try:
            decoded = self._decode(frame)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            return self._feed_refused(frame, error)
        for event in decoded:
            if type(event) is self._type and event.index == self._index:  # type: ignore[union-attr]
                continue
            if type(event) is not Usage or self._type is None:
                break
            self.usage = event
        else:
            return decoded
        events: list[Event] = []
        for event in decoded:
            self._admit(event, events)
        return events

    def _feed_refused(self, frame: Frame, error: DecodeError | UnicodeDecodeError | RecursionError) -> list[Event]:
        """The events of a frame that msgspec refused, or what is wrong with it."""
        events: list[Event] = []
        wrong = self._mend(frame, error, events)
        if wrong is not None:
            self._admit(self._malformed(frame, wrong), events)
        return events

    def close(self, failure: Failure | None = None) -> list[Event]:
        """The body ended: cleanly or unknowably (None), or as `failure` says. The last event is among what it returns.

        A body that was broken is no answer, however much was there. One that this side stopped reading (`timeout`,
        `cancelled`) is, if all that was missing was the provider's goodbye.
        """
        events: list[Event] = []
        if self.outcome is not None:
            return events
        pending = 0
        if failure is None:
            frame = self._framing.close()
            if frame is not None and frame.data:
                pending = self._last_frame(frame, events)
            error = find_error(self._framing.stray)
            if error is not None:
                self._admit(error, events)
        if failure is None or failure.kind in {"timeout", "cancelled"}:
            for event in self._decoder.close():
                self._admit(event, events)
        self._admit(failure or self._cut_off(pending), events)
        return events

    def _last_frame(self, frame: Frame, events: list[Event]) -> int:
        """A frame without its end counts if its JSON is whole: real providers omit the last blank line. Else its size."""
        self._frames += 1
        try:
            decoded = self._decode(frame)
        except (DecodeError, UnicodeDecodeError, RecursionError) as error:
            if self._mend(frame, error, events) is not None:
                self._frames -= 1
                return len(frame.data)
        else:
            for event in decoded:
                self._admit(event, events)
        return 0

    def _cut_off(self, pending: int) -> Failure:
        stray = self._framing.stray
        if not self._frames and stray:
            message = f"the body is not a stream of events; it begins {shown(stray)}"
            return Failure("protocol", message, detail="content_type")
        unfinished = f", {pending} bytes into another" if pending else ""
        message = (
            f"the body ended after {self.received} bytes and {self._frames} frames{unfinished}, before the answer did"
        )
        return Failure("truncated", message)

    def _admit(self, event: Event, events: list[Event]) -> None:
        """Take any event, whatever the state; after the last one, nothing."""
        if self.outcome is not None:
            return
        kind = type(event)
        if self._masked and kind not in TEXT_FIELD:
            event, _, _ = unmask(event, None)  # what a mended frame left with the decoder comes out with a later one
        if self._half is not None:
            half, self._half = self._half, None
            if kind is not Failure:
                self._admit(with_text(half, "\ufffd"), events)
        if not self._started:
            self._started = True
            if isinstance(event, Start):
                self.model = event.model
            else:
                events.append(Start())
        elif kind is Start:
            event = self._breach("a second Start")
        if not isinstance(event, Start | Usage | Finish | Failure) and event.index is not None:
            event = self._place(event, event.index) or event
        if isinstance(event, Usage):
            self.usage = event
        elif isinstance(event, Extension):
            if event.index is None and self._billed is not None:
                self.billed = self._billed(event) or self.billed
        elif isinstance(event, Finish | Failure):
            if isinstance(event, Finish):
                events += [BlockEnd(index) for index, takes in enumerate(self._blocks) if takes is not None]
            self.outcome, self._type = event, None
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
            takes: type[Event] | None = (
                ToolCallDelta if kind is ToolCallStart else TextDelta if kind is Citation else kind
            )
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

    def _malformed(self, frame: Frame, wrong: str) -> Failure:
        data = frame.data
        message = f"frame {self._frames} (event {frame.event!r}, {len(data)} bytes): {wrong}; it begins {shown(data)}"
        return Failure("protocol", message, detail="json")

    def _mend(
        self, frame: Frame, error: DecodeError | UnicodeDecodeError | RecursionError, events: list[Event]
    ) -> str | None:
        """Take a frame that msgspec refused, mended; or say what is wrong with it. A bug in the adapter is raised."""
        if isinstance(error, RecursionError):
            return _too_deep(frame, error)
        try:
            decoded = self._decode(structs.replace(frame, data=mended(frame.data)))
        except DecodeError as again:
            return str(again)
        except RecursionError as again:
            return _too_deep(frame, again)
        self._masked = True
        for event in decoded:
            whole, joined, half = unmask(event, self._half)
            if joined:
                self._half = None
            self._admit(whole, events)
            self._half = half
        self._type = None  # whatever comes next passes `_admit`, for a half that waits
        return None


def _too_deep(frame: Frame, error: RecursionError) -> str:
    if not is_deep(frame.data):
        raise error
    return "JSON nested too deeply"
