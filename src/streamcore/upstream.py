"""What a stream reads from, and what it can tell of it: the protocol of an upstream, and three records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec import Struct

from .events import Failure, Finish, Usage  # noqa: TC001 - msgspec resolves the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .deadlines import Deadlines
    from .events import Event
    from .request import RequestWarning

__all__ = ["Attempt", "Origin", "Statistics", "Upstream"]

T = TypeVar("T")


class Origin(Struct, frozen=True, kw_only=True):
    """Whom a stream asks: the adapter's name, the model asked for, the host (without a scheme, path or user)."""

    adapter: str
    model: str
    host: str


class Attempt(Struct, frozen=True, kw_only=True):
    """One request to one provider, made on the way to an answer: the one that gave it, or one that failed or lost.

    `outcome` and `usage` are None as long as they are unknown; `request_id` is the provider's.
    """

    origin: Origin | None = None
    outcome: Finish | Failure | None = None
    usage: Usage | None = None
    request_id: str | None = None


class Statistics(Struct, frozen=True, kw_only=True):
    """What a stream has been like so far. Seconds, by the event loop's clock.

    `bytes` and `events` came. `provider_wait` is the time spent waiting for the provider, `consumer_wait` the time the
    consumer kept the stream waiting between two reads; together they are `elapsed`, since the opening.
    `first_content` is when content first came, after the opening; `largest_gap` the longest single wait after that.
    None where there was none.
    """

    bytes: int
    events: int
    elapsed: float
    provider_wait: float
    consumer_wait: float
    first_content: float | None
    largest_gap: float | None


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
