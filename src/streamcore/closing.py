"""Closing what an HTTP client holds, however often the task that does it is cancelled.

On asyncio `Task.cancel` goes through a shielded scope, and both libraries await while they put their pool in order:
interrupted there, httpx2 keeps a dead connection and a request for good, and httpx 0.28 an open socket as well. So a
socket is closed before the first suspension, and the rest is done by a task of its own, which nobody else can cancel; it
takes a turn or two of the event loop.

httpx 0.28 also forgets connections by itself, when a request is cancelled that was about to be sent, or twice while it
waited: they stay in its pool as busy for ever. They are found there by names that are private to it, and where those
are missing nothing is looked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

__all__ = ["apart", "close", "close_iterator", "close_lost", "forgets"]

CLOSE_SECONDS: Final = 2.0  # a polite close; the socket itself is closed first


async def close(stream: Any) -> None:
    """Close a connection of httpcore's. The socket is closed before the first suspension."""
    with anyio.move_on_after(CLOSE_SECONDS, shield=True):
        await stream.aclose()


async def close_iterator(items: object) -> None:
    """Close an iterator, if it is a generator: dropped, it would be closed later, by another task."""
    aclose = getattr(items, "aclose", None)
    if aclose is not None:
        await aclose()


async def apart(act: Callable[[], Coroutine[Any, Any, None]], tasks: set[asyncio.Task[None]]) -> None:
    """Do something to its end, even if this is cancelled. `tasks` holds what is being done: the event loop does not."""
    with anyio.CancelScope(shield=True):
        if anyio.get_cancelled_exc_class().__module__.partition(".")[0] == "trio":  # a shield holds there
            await act()
            return
        import asyncio  # noqa: PLC0415 - a loop of it runs, so it is loaded

        task = asyncio.get_running_loop().create_task(act())
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        await asyncio.shield(task)


def forgets(client: Any) -> bool:
    """Whether it is a client of httpx, which loses connections."""
    return any(kind.__module__.partition(".")[0] == "httpx" for kind in type(client).__mro__)


async def close_lost(client: Any, url: Any) -> None:
    """Close what httpx has forgotten on the way to this URL, and take it out of its pool."""
    for connection in _lost(getattr(client._transport_for_url(url), "_pool", None)):  # noqa: SLF001
        await close(connection)


def _lost(pool: Any) -> list[Any]:
    """Connections that no request has, and that are neither closed nor idle.

    A request may have been given one that is lost a moment later. It looks for another, and this is called at its end.
    """
    connections: list[Any] = getattr(pool, "_connections", [])
    held = {id(request.connection) for request in getattr(pool, "_requests", ())}
    lost = [each for each in connections if id(each) not in held and not (each.is_idle() or each.is_closed())]
    for connection in lost:
        connections.remove(connection)
    return lost
