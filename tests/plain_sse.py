"""The standard's algorithm for server-sent events, restated over a whole body that is decoded first (WHATWG, §9.2.6).

Slow, plain and written apart from `streamcore.sse`, to be compared with it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

FIELDS = {"data", "event", "id", "retry"}


class Event(NamedTuple):
    type: str
    data: str
    id: str


class Plain(NamedTuple):
    events: list[Event]
    last_event_id: str
    retry: int | None


def parse(body: bytes, last_event_id: str = "") -> Plain:
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    events: list[Event] = []
    data = event_type = ""
    event_id, retry = last_event_id, None
    lines = re.split("\r\n|\n|\r", text)
    for line in lines[:-1]:  # what comes after the last end of line is no line
        if line == "":
            last_event_id = event_id
            if data != "":
                events.append(Event(event_type or "message", data.removesuffix("\n"), event_id))
            data = event_type = ""
            continue
        if line.startswith(":"):
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            event_id = value
        elif field == "retry" and value.isascii() and value.isdigit() and len(value) <= 640:
            retry = int(value)
    return Plain(events, last_event_id, retry)


def fits(body: bytes, limit: int) -> bool:
    """Whether no event holds more than `limit` bytes: the data it has collected and the field under way."""
    collected = 0
    *lines, rest = re.split(b"\r\n|\n|\r", body.removeprefix("\ufeff".encode()))
    for line in lines:
        name, _, value = line.partition(b":")
        if not line:
            collected = 0
        elif name.decode("latin-1") in FIELDS:
            if collected + len(line) > limit:
                return False
            if name == b"data":
                collected += len(value.removeprefix(b" ")) + 1
    known = re.match(rb"(?:data|event|id|retry):", rest) is not None and len(rest) >= 6
    return not known or collected + len(rest) <= limit
