"""What a stream reads from, what it can tell of it, and whom: protocols of an upstream and an observer, and three records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from .adapter import Billed  # noqa: TC001 - msgspec resolves the annotations
from .events import Failure, Finish, Usage  # noqa: TC001 - msgspec resolves the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .deadlines import Deadlines
    from .events import Event
    from .request import RequestWarning
    from .tracking.record import Record

__all__ = ["Attempt", "Observed", "Observer", "Origin", "Statistics", "Upstream"]

T = TypeVar("T")


class Origin(Struct, frozen=True, kw_only=True):
    """Whom a stream asks: the adapter's name, the model asked for, the host (without a scheme, path or user)."""

    adapter: str
    model: str
    host: str


class Attempt(Struct, frozen=True, kw_only=True):
    """One request to one provider, made on the way to an answer: the one that gave it, or one that failed or lost.

    `outcome` and `usage` are None as long as they are unknown, `billed` if it says no more than the usage; `request_id` is the provider's, `answered_by` the model that
    it says it is. `chosen` tells the attempt that gave the answer, or is giving it, from those that failed or lost. The
    times are by the event loop's clock: when it `began`, when the `headers` and the `first_byte` of its answer came, and when
    its outcome was known; None if that did not happen.
    """

    origin: Origin | None = None
    outcome: Finish | Failure | None = None
    usage: Usage | None = None
    billed: Billed | None = None
    request_id: str | None = None
    answered_by: str | None = None
    chosen: bool = True
    began: float | None = None
    headers: float | None = None
    first_byte: float | None = None
    ended: float | None = None


class Statistics(Struct, frozen=True, kw_only=True):
    """What a stream has been like so far. Seconds, by the event loop's clock.

    `bytes` and `events` came. `provider_wait` is the time spent waiting for the provider, `consumer_wait` the time the
    consumer kept the stream waiting between two reads; together they are `elapsed`, since the opening.
    `largest_gap` is the longest single wait after content first came. None where there was none.

    The others are when what happened, after the opening: `sent` when the first request was begun (later than the opening if
    there was a place to wait for), `headers` and `first_byte` when those of the answer came that was chosen,
    `first_content` when it first said something. What needs a look at every event is known of a stream that is
    observed (`Stream.observe`, as a tracked one is) and None of others: `first_text` and `last_content`, and how many
    `characters` it said, in words, reasoning, refusals and arguments.
    """

    bytes: int
    events: int
    elapsed: float
    provider_wait: float
    consumer_wait: float
    first_content: float | None
    largest_gap: float | None
    sent: float | None = None
    headers: float | None = None
    first_byte: float | None = None
    first_text: float | None = None
    last_content: float | None = None
    characters: int | None = None


class Observed(Protocol):
    """What an observer sees of a stream: what `streamcore.Stream` tells of itself, and whatever else passes for one."""

    @property
    def outcome(self) -> Finish | Failure | None:
        """How it ended; None as long as it has not."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported."""
        ...

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request."""
        ...

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The requests made so far, in order."""
        ...

    def statistics(self) -> Statistics:
        """What it has been like so far."""
        ...


class Observer(Protocol):
    """Who is told when a stream is opened and when its outcome is known.

    Both are called in the step of whoever reads the stream: they are quick, do not wait and do not raise.
    """

    @property
    def record(self) -> Record | None:
        """What the stream left behind; None if nothing, or not yet."""
        ...

    def opened(self, stream: Observed, /) -> None:
        """The stream is being opened; nothing is sent yet."""
        ...

    def ended(self, stream: Observed, /) -> None:
        """The outcome is known. Called once for each stream that was opened, before anything is closed."""
        ...


class Upstream(Protocol[T]):
    """What a stream reads from. The stream calls one member at a time, from one task; `close` may come at any time.

    Waiting (`receive`) is apart from understanding (`take`), so that the one await of a read is the network's.
    """

    @property
    def warnings(self) -> tuple[RequestWarning, ...]:
        """What of the request was left out."""
        ...

    @property
    def request_id(self) -> str | None:
        """The provider's id of the request."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The last usage."""
        ...

    @property
    def received(self) -> int:
        """How many bytes came."""
        ...

    @property
    def outcome(self) -> Finish | Failure | None:
        """How it ended, with the batch that ended with it."""
        ...

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """The requests made so far, in order."""
        ...

    async def open(self, deadlines: Deadlines, /) -> list[Event]:
        """Do what it takes to have an answer; the events that are known by then.

        Raises:
            StreamFailed: There is none.
        """
        ...

    @property
    def receive(self) -> Callable[[], Awaitable[T]]:
        """Waits for more, once it is open; asked for once. Raises StreamFailed if there can be none."""
        ...

    def take(self, received: T, /) -> list[Event]:
        """The events in what was received; [] for nothing yet. A `Finish` or `Failure` is the last one, of the last batch."""
        ...

    def fail(self, failure: Failure, /) -> list[Event]:
        """It is over, and failed like this unless what came proves that the answer is whole: the last events.

        [] if it had ended before.
        """
        ...

    async def close(self, *, drain: bool) -> None:
        """Let go of everything, politely if there is time to `drain`. May be called again; never raises."""
        ...
