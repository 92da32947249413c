r"""JSON that is still being written, as a value: the arguments of tool calls, and structured output.

Theory of operation. `ijson` reads the JSON piece by piece and says what has come whole; a small builder puts that into
dicts and lists. A string that has not ended no library shows in linear time: parsers that accept cut JSON (jiter) begin
again at the first byte with each piece, and ijson's lexer reads an unfinished string again from its quote (5 s for 400 KB
in pieces of four bytes). So a regular expression follows the quotes; a string that is open at the end of a piece is held
back until it ends, and shown meanwhile as far as it came. Every byte is given to the parser once.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast

from .errors import LocalError
from .events import BlockEnd, TextDelta, ToolCallDelta, ToolCallStart

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

    from .events import Event

__all__ = ["Partial", "Partials"]

# Characters of a string that can be decoded by themselves: both halves of a surrogate pair, or one that has no other.
_CHARACTERS: Final = (
    r'(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u(?:(?![dD][89abAB])[0-9a-fA-F]{4}|'
    r"[dD][89abAB][0-9a-fA-F]{2}(?:\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?=[^\\]|\\[^u]|\\u(?:[^dD]|[dD][^c-fC-F])))))*+"
)
_INSIDE: Final = re.compile(_CHARACTERS)
_HALF_ESCAPE: Final = re.compile(
    r"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?"
)
LONGEST: Final = 4300  # characters of a number. Python reads no more digits; ijson 3.6 crashes instead of saying so
_WORD: Final = "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_OUTSIDE: Final = re.compile(
    rf'(?:[^"+\-.0-9a-zA-Z]++|[+\-.0-9a-zA-Z]{{1,{LONGEST}}}+(?![+\-.0-9a-zA-Z])|"{_CHARACTERS}")*+'
)
_LONE: Final = re.compile("[\ud800-\udfff]")
_NOTHING: Final = object()


class _Builder:
    """Dicts and lists of what ijson says. `open` are those not ended, from the outside in."""

    def __init__(self) -> None:
        self.root: Any = _NOTHING
        self.open: list[dict[str, Any] | list[Any]] = []
        self.keys: list[str | None] = []  # for each open dict the key whose value comes or is written
        self.pieces: list[str] | None = None  # of a string that is being written
        self._shown = False  # it lies in its list already

    def send(self, event: tuple[str, Any]) -> None:
        """What ijson calls for each thing that has come whole."""
        name, value = event
        if name == "map_key":
            self.keys[-1] = value
        elif name in ("end_map", "end_array"):
            self.open.pop()
            self.keys.pop()
            self._placed()
        elif name in ("start_map", "start_array"):
            container: dict[str, Any] | list[Any] = {} if name == "start_map" else []
            self._place(container)
            self.open.append(container)
            self.keys.append(None)
        else:
            self._place(float(value) if isinstance(value, Decimal) else value)
            self.pieces, self._shown = None, False
            self._placed()

    def _place(self, value: object) -> None:
        if not self.open:
            self.root = value
            return
        container = self.open[-1]
        if isinstance(container, dict):
            key = self.keys[-1]
            assert key is not None
            container[key] = value
        elif self._shown:
            container[-1] = value
        else:
            container.append(value)

    def _placed(self) -> None:
        """The value of the last key is whole."""
        if self.keys:
            self.keys[-1] = None

    def begin_string(self) -> None:
        """A string begins that will not end yet. A key is not shown, nor what has no place."""
        if not self.open:
            has_place = self.root is _NOTHING
        else:
            has_place = isinstance(self.open[-1], list) or self.keys[-1] is not None
        if has_place:
            self.pieces = []

    def value(self) -> Any:
        """All that has come."""
        if self.pieces is not None:
            self.pieces = ["".join(self.pieces)]
            self._place(self.pieces[0])
            self._shown = True
        return None if self.root is _NOTHING else self.root

    def is_whole(self, path: tuple[str | int, ...]) -> bool:
        """Whether there is a value at the path, and it has ended."""
        value = self.root
        for step in path:
            if not isinstance(value, dict | list):
                return False
            inside = cast("dict[Any, Any]", value)  # or a list, which takes a step as well
            try:
                value = inside[step]
            except (KeyError, IndexError, TypeError):
                return False
            if self.pieces is not None and inside is self.open[-1] and self._is_written(inside, step):
                return False
        return value is not _NOTHING and all(value is not item for item in self.open) and bool(path or not self.pieces)

    def _is_written(self, inside: dict[Any, Any] | list[Any], step: str | int) -> bool:
        """Whether the string that is being written is this one."""
        if isinstance(inside, dict):
            return step == self.keys[-1]
        return self._shown and step in {len(inside) - 1, -1}


class Partial:
    """One JSON document that is being written: the arguments of a tool call, or a text of the answer.

    A view, not a copy: it grows while the stream is read, and so do the dicts and lists in its `value`. `index` is its
    block's; `id` and `name` are the call's, None for a text.
    """

    def __init__(self, index: int, id: str | None = None, name: str | None = None) -> None:
        self.index = index
        self.id = id
        self.name = name
        self.complete = False
        """Whether the block has ended and is JSON from its first character to its last: nothing will change."""
        self.broken: str | None = None
        """What is wrong with the JSON; None as long as it may be right. `value` is what came before, `text` all."""
        self._builder = _Builder()
        self._library = library = _ijson()
        self._parser = library.basic_parse_coro(self._builder)
        self._text: list[str] = []
        self._string: list[str] = []  # a string that has not ended, from its quote: held back
        self._held = ""  # an escape at its end that is not whole, or else a number or word that may go on

    def __repr__(self) -> str:
        state = "complete" if self.complete else f"broken: {self.broken}" if self.broken else "growing"
        return f"Partial({self.index}, id={self.id!r}, name={self.name!r}, {state}, value={self.value!r})"

    @property
    def text(self) -> str:
        """All the JSON text that came, right or wrong."""
        self._text = ["".join(self._text)]
        return self._text[0]

    @property
    def value(self) -> Any:
        """What has come, as `json.loads` would give it; None before there is anything.

        Containers hold what they have so far. A string is there from its quote on and grows; numbers, words and keys
        come when they are whole, a key with the beginning of its value.
        """
        return self._builder.value()

    def is_complete(self, *path: str | int) -> bool:
        """Whether the value at this path of keys and indices is there and will not change; of no path, `complete`.

        What is complete stays so, unless the model writes the same key of an object twice.
        """
        return self._builder.is_whole(path) if path else self.complete

    def feed(self, text: str, /) -> None:
        """More of the text."""
        self._text.append(text)
        if self._string:
            text = self._feed_inside(text)
        if self._string or self.broken is not None:
            return
        text, self._held = self._held + text, ""
        end = _at(_OUTSIDE, text)
        if end == len(text):
            whole = text.rstrip(_WORD)
            self._held = text[len(whole) :]
            self._parse(whole)
            return
        self._parse(text[:end])
        if self.broken is not None:
            return
        if text[end] != '"':
            self.broken = f"a number of more than {LONGEST} characters"
        else:
            self._builder.begin_string()
            self._string = ['"']
            self._feed_inside(text[end + 1 :])

    def _feed_inside(self, text: str) -> str:
        """More of a string that is open; what comes after it."""
        text, self._held = self._held + text, ""
        end = _at(_INSIDE, text)
        rest = text[end:]
        if rest.startswith('"'):
            self._parse("".join([*self._string, text[: end + 1]]))
            self._string = []
            return rest[1:]
        if rest and not _HALF_ESCAPE.fullmatch(rest):  # it is no JSON: the parser shall say why
            self._parse("".join([*self._string, text]))
            self._string = []
        else:
            self._string.append(text[:end])
            self._held = rest
            if self._builder.pieces is not None:
                self._builder.pieces.append(_decoded(text[:end]))
        return ""

    def close(self) -> None:
        """The block has ended."""
        if self.name is not None and not self.text.strip():
            self._parse("{}")  # a call without arguments
        if self._string and self.broken is None:
            self.broken = "the text ended inside a string"
        self._parse(self._held)
        self._parse(None)
        self.complete = self.broken is None

    def _parse(self, text: str | None) -> None:
        """Give the parser more; None for the end."""
        if self.broken is not None or text == "":
            return
        try:
            if text is None:
                self._parser.close()
            else:
                self._parser.send(text.encode("utf-8", "replace"))
        except (self._library.common.JSONError, ValueError, ArithmeticError) as error:
            # of strings that are no UTF-8 when two first halves of surrogate pairs are unescaped; of endless exponents
            self.broken = str(error).partition("\n")[0]


def _at(pattern: re.Pattern[str], text: str) -> int:
    """Where it stops to match; it matches the empty text, too."""
    found = pattern.match(text)
    assert found is not None
    return found.end()


def _decoded(text: str) -> str:
    """Characters of a JSON string. Half a surrogate pair is a question mark, as the parser has it."""
    return _LONE.sub("?", json.loads(f'"{text}"')) if "\\" in text else text


def _ijson() -> ModuleType:
    """The backend in C: the one in Python takes `+1` and `nan` for JSON."""
    try:
        return import_module("ijson.backends.yajl2_c")  # an extra, and 20 ms
    except ImportError as error:
        raise LocalError("partial values need ijson and its C extension: install streamcore[partial]") from error


class Partials:
    """The JSON documents of one stream's events, however their blocks interleave. Does no I/O."""

    def __init__(self) -> None:
        self._documents: dict[int, Partial] = {}

    def feed(self, events: Iterable[Event]) -> list[Partial]:
        """Add events, in order; the documents that they changed, each once, the last changed last.

        Raises:
            LocalError: ijson is not installed.
        """
        changed: dict[int, Partial] = {}
        for event in events:
            if isinstance(event, ToolCallStart):
                document = self._documents[event.index] = Partial(event.index, event.id, event.name)
            elif isinstance(event, ToolCallDelta):
                document = self._documents[event.index]
                document.feed(event.arguments)
            elif isinstance(event, TextDelta):
                document = self._documents.get(event.index) or self._documents.setdefault(
                    event.index, Partial(event.index)
                )
                document.feed(event.text)
            elif isinstance(event, BlockEnd) and event.index in self._documents:
                document = self._documents.pop(event.index)
                document.close()
            else:
                continue
            changed.pop(document.index, None)
            changed[document.index] = document
        return list(changed.values())
