"""A record as the text that files and databases keep."""

from __future__ import annotations

from typing import Final, cast

import msgspec

from .record import Record

__all__ = ["encoded", "storable"]

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Record).decode


def encoded(record: Record) -> bytes:
    """A record as JSON. Half of a surrogate pair, which is text for Python and for nobody else, becomes a question mark."""
    try:
        return _encode(record)
    except UnicodeEncodeError:
        return _encode(_clean(msgspec.to_builtins(record)))


def storable(record: Record) -> Record:
    """The same record, but for what no store would take of it.

    Raises:
        Exception: It has something that JSON cannot say.
    """
    try:
        _encode(record)
    except UnicodeEncodeError:
        return _decode(encoded(record))
    return record


def _clean(value: object) -> object:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in cast("dict[str, object]", value).items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in cast("list[object]", value)]
    return value
