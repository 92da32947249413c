r"""JSON that msgspec refuses and that providers send all the same.

JSON strings may hold half a surrogate pair (a provider that cuts text by UTF-16 units sends one half in each delta),
and bodies may hold bytes that are not UTF-8. Such a frame is decoded once more, `mended`: each lone half carried
through as a private-use character and each bad byte as U+FFFD. `unmask` then joins the halves that two deltas of one
block brought, and makes the others U+FFFD.

Where it is not quite right: U+10F800 to U+10FFFF, the last private-use characters, do not survive in such a frame.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from msgspec import structs

from .events import ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from .events import Event

__all__ = ["TEXT_FIELD", "TextEvent", "is_deep", "mended", "unmask", "with_text"]

TextEvent: TypeAlias = TextDelta | ReasoningDelta | RefusalDelta | ToolCallDelta

TEXT_FIELD: Final = {TextDelta: "text", ReasoningDelta: "text", RefusalDelta: "text", ToolCallDelta: "arguments"}
_DEEP: Final = 200  # levels of nesting; CPython's own limit for the whole stack is 1,000, real answers stay under 20

# One escape of a JSON string. Whole pairs and escaped backslashes match first, so a half that remains stands alone.
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_PRIVATE: Final = 0x10F800 - 0xD800  # U+10F800..U+10FFFF, private use, stand for the halves within a mended frame
_HALF: Final = re.compile("[\U0010f800-\U0010ffff]")
_FIRST_LOW: Final = 0xDC00 + _PRIVATE
_NESTING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[{]|[\]}]', re.DOTALL)


def mended(data: bytes) -> bytes:
    """The JSON text as msgspec takes it; the same bytes if it was not this that msgspec refused."""
    return _ESCAPE.sub(_carry, data.decode("utf-8", "replace").encode())


def unmask(event: Event, before: TextEvent | None) -> tuple[Event, bool, TextEvent | None]:
    """An event of a mended frame as it was meant.

    Returns the event, whether the half `before` it is now part of it, and the half at its own end, which must wait.
    """
    if type(event) not in TEXT_FIELD:
        fields = {name: getattr(event, name) for name in event.__struct_fields__}
        lost = {name: _HALF.sub("\ufffd", value) for name, value in fields.items() if isinstance(value, str)}
        return structs.replace(event, **lost), False, None
    delta = cast("TextEvent", event)
    text, joined, after = _text(delta), False, None
    if text and before is not None and type(before) is type(delta) and before.index == delta.index:
        low = ord(text[0])
        if low >= _FIRST_LOW:
            high = ord(_text(before)) - _PRIVATE
            text = chr(0x10000 + ((high - 0xD800) << 10) + (low - _FIRST_LOW)) + text[1:]
            joined = True
    if text and 0xD800 + _PRIVATE <= ord(text[-1]) < _FIRST_LOW:
        after, text = with_text(delta, text[-1]), text[:-1]
    return with_text(delta, _HALF.sub("\ufffd", text)), joined, after


def with_text(delta: TextEvent, text: str) -> TextEvent:
    """The delta with other text."""
    return structs.replace(delta, **{TEXT_FIELD[type(delta)]: text})


def is_deep(data: bytes) -> bool:
    """Whether the JSON is nested so deeply that a RecursionError is its fault."""
    depth = 0
    for token in _NESTING.finditer(data):
        if token[0] in b"[{":
            depth += 1
            if depth >= _DEEP:
                return True
        elif token[0] in b"]}":
            depth -= 1
    return False


def _text(delta: TextEvent) -> str:
    return delta.arguments if isinstance(delta, ToolCallDelta) else delta.text


def _carry(match: re.Match[bytes]) -> bytes:
    half = match[1]
    return match[0] if half is None else chr(int(half, 16) + _PRIVATE).encode()
