"""One stream for several readers, each a stream of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, get_args

import anyio

from streamcore.errors import LocalError

from .pump import LEFT, Policy, Pump

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from anyio.abc import TaskGroup

    from streamcore.stream import Stream

__all__ = ["Policy", "Tee", "tee"]

BUFFER: Final = 256  # events: seconds of a fast model, and kilobytes of text


class Tee:
    """Readers of one stream. Get it from `tee`; hold it with `async with`, which opens the stream and gives the readers."""

    def __init__(self, source: Stream, policies: Sequence[Policy], *, buffer: int, replay: int) -> None:
        self._source = source
        self._policies = policies
        self._buffer = buffer
        self._replay = replay
        self._pump: Pump | None = None
        self._group: TaskGroup

    async def __aenter__(self) -> tuple[Stream, ...]:
        """Open the stream, and begin to read it.

        Raises:
            StreamFailed: It cannot be opened.
            LocalError: It was opened before.
        """
        await self._source.__aenter__()
        self._pump = pump = Pump(self._source, self._buffer, self._replay)
        self._group = await anyio.create_task_group().__aenter__()
        self._group.start_soon(pump.run)
        return tuple(pump.add(policy) for policy in self._policies)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        pump, self._pump = self._pump, None
        assert pump is not None
        pump.stop(LEFT)
        try:
            if error is None:
                await (
                    pump.closed.wait()
                )  # there may be some more to read after a `Finish`; a cancellation cuts that short
        finally:
            pump.scope.cancel()
            try:
                await self._group.__aexit__(None, None, None)
            finally:
                await self._source.aclose(drain=False)  # a task cancelled before its first step has closed nothing
        if error is None and not pump.raised:
            pump.check()

    def reader(self, policy: Policy = "wait") -> Stream:
        """One more reader, which begins here.

        With a `replay` its first events are the last ones of the stream so far, so many. Whatever came before those is
        left out as for a reader that drops: `Start`, the beginning and end of each block and the last usage stay, with a
        gap where others were. Of a stream that has ended it gets at least the end.

        Raises:
            LocalError: There is no such policy, or the tee is not open.
        """
        _check(policy)
        if self._pump is None:
            raise LocalError("the tee is not open: ask for readers inside its `async with`")
        return self._pump.add(policy)


def _check(policy: Policy) -> None:
    if policy not in get_args(Policy):
        raise LocalError(f"a reader can wait, drop or leave, not {policy!r}")


def tee(
    stream: Stream, n: int = 2, *, buffer: int = BUFFER, policy: Policy | Sequence[Policy] = "wait", replay: int = 0
) -> Tee:
    """Give one stream to `n` readers, each of which is a stream that gives all of its events.

        async with sc.tee(model.stream(request), 2) as (left, right): ...

    `async with` opens the stream; leaving it closes the stream, as does the last of the readers when it leaves. One that
    leaves early is forgotten, and the others go on; one that is never opened still counts as there.

    A reader is behind when more than `buffer` events wait for it. What then happens is its `policy`, one for all or one
    for each: `wait` (from `buffer` events on the source is not read, so the slowest reader sets the pace, down to TCP),
    `drop` (it loses the oldest, and gets an `Extension` named `streamcore:gap` where they were; `Start`, the first event
    and the end of each block, the last usage and the outcome are never lost) or `leave` (it ends in a `Failure` of kind
    `cancelled` and detail `slow`). One read of the source may bring more than `buffer`. `replay` is how many of the last
    events are kept for `Tee.reader`.

    Raises:
        LocalError: There is no reader, no such policy, no room, or not one policy for each reader.
    """
    policies: Sequence[Policy] = (policy,) * n if isinstance(policy, str) else policy
    if n < 1 or buffer < 1 or replay < 0 or len(policies) != n:
        raise LocalError(
            f"a tee has readers, a buffer, and a policy for each, not {n=}, {buffer=}, {replay=}, {policy=}"
        )
    for each in policies:
        _check(each)
    return Tee(stream, policies, buffer=buffer, replay=replay)
