"""What packages register by a name: entry points, each of which leads to a module or an object with certain members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import LocalError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["find", "registered"]


def find(group: str, name: str, *, kind: str, members: Sequence[str]) -> object:
    """What is registered under this name in this group of entry points. Imports it, and nothing else of the group.

    `kind` is what the messages call it, `members` what it must have. Whatever importing it raises goes through.

    Raises:
        LocalError: Nothing has this name (the message lists the names there are), or what has it lacks a member.
    """
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms, and who imports what he serves needs no names

    for entry_point in entry_points(group=group, name=name):
        found: object = entry_point.load()
        missing = [member for member in members if not hasattr(found, member)]
        if missing:
            raise LocalError(f"{entry_point.value} is no {kind}: it has no {', '.join(missing)}")
        return found
    raise LocalError(f"no {kind} is called {name!r}; there are {', '.join(registered(group))}")


def registered(group: str) -> list[str]:
    """The names in this group of entry points, sorted. Imports none of what they lead to."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - as above

    return sorted({entry_point.name for entry_point in entry_points(group=group)})
