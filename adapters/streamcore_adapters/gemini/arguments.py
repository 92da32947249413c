"""Arguments of a function call that Vertex AI streams as paths and values, written out as JSON text on the way.

    {"jsonPath": "$.dish.parts[0].name", "stringValue": "Pasta", "willContinue": true}  →  {"dish":{"parts":[{"name":"Pasta
    {"jsonPath": "$.dish.parts[0].name", "stringValue": " sheets"}                      →   sheets
    {"jsonPath": "$.dish.parts[1].grams", "numberValue": 450}                           →  "},{"grams":450
    the end of the call                                                                 →  }]}}

The values come in the order of the document, so what a path has left is closed for good. A string stays open until
another path comes, or the end: more of it may follow, whatever `willContinue` says. A path without a value is an empty
object, and `$.parts[]` an empty array; where something has been written into them, it says that they are complete.

Where it is not quite right: a path that goes back into what was closed opens it again, as a second member of the same
name. Array elements are written in the order in which they come, whatever their index.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Raw

from streamcore.wire import json_text

if TYPE_CHECKING:
    from .chunk import PartialArgument

__all__ = ["Arguments"]

_STEP: Final = re.compile(r"""\.([^.\[]+)|\['([^']*)'\]|\["([^"]*)"\]|\[([0-9]{0,9})\]""")  # of RFC 9535, what is sent
_Step: TypeAlias = str | int
_END_OF_ARRAY: Final = -1
_NULL: Final = Raw(b"null")


class Arguments:
    """The JSON text of one call's arguments, in fragments that concatenate to a valid object."""

    __slots__ = ("_closers", "_empty", "_string", "_within")

    def __init__(self) -> None:
        self._closers: list[str] = []  # of the containers that are open, the object itself first
        self._within: list[_Step] = []  # where each but the first of these lies in the one before
        self._empty = True  # whether the innermost has no member yet
        self._string: list[_Step] | None = None  # the path of the string that is open

    def feed(self, argument: PartialArgument) -> str:
        """What this value adds to the text."""
        path = [_step(match) for match in _STEP.finditer(argument.json_path or "")]
        string, value = argument.string_value, _value(argument)
        if string is not None and path == self._string:
            return json_text(string)[1:-1]
        if value is None and path and path[-1] == _END_OF_ARRAY:
            path.pop()
            value = "[]"
        complete = path in (self._string, self._within[: len(path)])
        if not path or (complete and value in {None, "[]"}):
            return ""
        moved = self._move_to(path)
        if string is not None:
            self._string = path
        return moved + (value or "{}")

    def close(self) -> str:
        """What makes the text whole."""
        return self._leave(0) if self._closers else "{}"

    def _move_to(self, path: list[_Step]) -> str:
        """Close what `path` does not lie in, open what it does, and name its last step."""
        common = 0
        while common < min(len(self._within), len(path) - 1) and self._within[common] == path[common]:
            common += 1
        text = [self._leave(common + 1)]
        for depth in range(len(self._closers), len(path)):
            if depth:
                text.append(self._name(path[depth - 1]))
                self._within.append(path[depth - 1])
            array = depth > 0 and isinstance(path[depth], int)  # arguments are an object in any case
            text.append("[" if array else "{")
            self._closers.append("]" if array else "}")
            self._empty = True
        text.append(self._name(path[-1]))
        return "".join(text)

    def _leave(self, depth: int) -> str:
        """Close the open string, and all containers but the first `depth`."""
        quote = "" if self._string is None else '"'
        closers = self._closers[depth:]
        self._string, self._empty = None, self._empty and not closers
        del self._closers[depth:], self._within[max(depth - 1, 0) :]
        return quote + "".join(reversed(closers))

    def _name(self, step: _Step) -> str:
        """The comma and the name before a member."""
        comma, self._empty = "" if self._empty else ",", False
        return comma if self._closers[-1] == "]" else f"{comma}{json_text(str(step))}:"


def _step(match: re.Match[str]) -> _Step:
    name, single, double, index = match.groups()
    if index is not None:
        return int(index) if index else _END_OF_ARRAY
    return next(step for step in (name, single, double) if step is not None)


def _value(argument: PartialArgument) -> str | None:
    """The value as JSON text, a string without its last quote; None if there is none."""
    if argument.string_value is not None:
        return json_text(argument.string_value)[:-1]
    if argument.number_value and argument.number_value != _NULL:
        return bytes(argument.number_value).decode("utf-8", "replace")
    if argument.bool_value is not None:
        return "true" if argument.bool_value else "false"
    return "null" if argument.null_value else None
