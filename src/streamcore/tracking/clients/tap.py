"""Listens to one HTTP answer on its way to somebody else's client, and has it recorded like a stream of our own.

Theory of operation. Whoever carries the answer says what happens to it: it was asked for (`opened`), the headers came
(`answered`), more is wanted (`asked`), a chunk came (`came`), and then one of `exhausted`, `broke` and `closed`. The bytes
go through a `Reader` of the format's adapter and are measured by a `Meter`, which is what a `Stream` does with them, so
the records are alike. The outcome is settled and the record written in the very call that says it, before the client
sees the chunk or anything is closed. Nothing here raises: what goes wrong on the side is counted, and costs at most the
truth of one record.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from msgspec import structs

from streamcore.client_errors import failure_of
from streamcore.events import Failure
from streamcore.failures import http_failure, request_id
from streamcore.frames import EVENT_LIMIT
from streamcore.meter import Meter
from streamcore.reader import Reader
from streamcore.upstream import Attempt

from .inflate import unpacker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from streamcore.adapter import Adapter
    from streamcore.events import Event, Finish, Usage
    from streamcore.redaction import Secrets
    from streamcore.tracking.track import Desk, Recorder
    from streamcore.upstream import Origin, Statistics

    from .inflate import Unpacker

__all__ = ["Tap"]

ERROR_BYTES: Final = 64 * 1024  # of the body of an HTTP error
UNPACKED_BYTES: Final = EVENT_LIMIT  # of one chunk: no provider packs an event larger than the largest that is read

_LEFT: Final = Failure("cancelled", "the reader left the stream before its end", detail="closed")
_CANCELLED: Final = Failure("cancelled", "the reader's task was cancelled", detail="task")
_UNSEEN: Final = Failure("protocol", "the answer could not be read on the side", detail="tap")


class Tap:
    """One request and its answer, as they are seen from the side. `secrets` are struck from what the provider says."""

    def __init__(self, desk: Desk, recorder: Recorder, adapter: Adapter, origin: Origin, secrets: Secrets) -> None:
        self._desk = desk
        self._recorder = recorder
        self._reader = Reader(adapter)
        self._meter = Meter(counts=True)
        self._origin = origin
        self._secrets = secrets
        self._asked = 0.0
        self._waited = 0.0  # since events last came
        self._status: int | None = None
        self._headers: Mapping[str, str] = {}
        self._unpacker: Unpacker | None = None
        self._error_body: bytearray | None = None  # of an answer that is no stream
        self._unreadable: Failure | None = None
        self.outcome: Finish | Failure | None = None
        self.request_id: str | None = None

    @property
    def usage(self) -> Usage | None:
        """The last usage the provider reported."""
        return self._reader.usage

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """This one."""
        model = self._reader.model
        attempt = Attempt(
            origin=self._origin,
            outcome=self.outcome,
            usage=self._reader.usage,
            billed=self._reader.billed,
            request_id=self.request_id,
            answered_by=None if model is None else self._secrets.struck(model),
        )
        return self._meter.timed((attempt,))

    def statistics(self) -> Statistics:
        """What it has been like so far."""
        return self._meter.statistics(monotonic(), self._reader.received, self.attempts)

    def opened(self) -> None:
        """The request is about to be sent."""
        self._meter.opened = monotonic()
        self._recorder.opened(self)

    def sent_on(self, host: str) -> None:
        """The answer was a redirect, which is followed to this host."""
        self._origin = structs.replace(self._origin, host=host)

    def unanswered(self, error: BaseException) -> None:
        """There is no answer."""
        self._asked = self._meter.opened
        self._settle(lambda: self._stop(_failure(error, headers=False)))

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The headers of the answer came; their names are in lower case."""
        now = self._asked = monotonic()
        self._status, self._headers = status, headers
        if status == 200:
            self._meter.answered((), now)
            id = request_id(headers)
            self.request_id = None if id is None else self._secrets.struck(id)
        else:
            self._meter.waited = now - self._meter.opened
            self._error_body = bytearray()
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in {"identity", ""}:
            self._unpack(encoding)

    def unpacked(self) -> None:
        """What comes is unpacked already, whatever the headers say."""
        self._unpacker = self._unreadable = None

    def asked(self) -> None:
        """The client waits for more."""
        self._asked = monotonic()

    def came(self, data: bytes) -> None:
        """This came of the body."""
        if self.outcome is not None:
            return
        now = monotonic()
        self._waited += now - self._asked
        self._asked = now
        try:
            self._take(data, now)
        except Exception:  # noqa: BLE001 - an adapter of somebody's own
            self._desk.defect()
            self._unreadable = _UNSEEN

    def exhausted(self) -> None:
        """The body ended."""
        self._settle(lambda: self._end(None))

    def broke(self, error: BaseException) -> None:
        """Waiting for the body raised this."""
        failure = _failure(error, headers=True)
        self._settle(lambda: self._stop(failure) if failure is _CANCELLED else self._end(failure))

    def closed(self) -> None:
        """The client wants no more."""
        self._settle(lambda: self._over(_LEFT))

    def unseen(self) -> None:
        """Nobody will say what becomes of it."""
        self._conclude(_UNSEEN)

    def _unpack(self, encoding: str) -> None:
        missing = "which cannot be unpacked here"
        try:
            self._unpacker = unpacker(encoding)
        except ImportError as error:
            missing = f"and {error.name} is not installed"
        if self._unpacker is None:
            self._cannot_read(f"the body is encoded as {encoding!r}, {missing}")

    def _cannot_read(self, why: str) -> None:
        self._unreadable = Failure("protocol", why, detail="content_encoding", status=self._status)

    def _take(self, data: bytes, now: float) -> None:
        if self._meter.first_byte is None and self._error_body is None and data:
            self._meter.first_byte = now
        if self._unreadable is not None:
            return
        if self._unpacker is None:
            self._feed(data, now)
            return
        for piece in self._pieces(self._unpacker, data):
            self._feed(piece, now)

    def _pieces(self, unpacker: Unpacker, data: bytes) -> Iterator[bytes]:
        size = 0
        try:
            for piece in unpacker.feed(data):
                size += len(piece)
                if size > UNPACKED_BYTES or self.outcome is not None:
                    break
                yield piece
        except Exception as error:  # noqa: BLE001 - each library has its own
            self._cannot_read(f"the body is not what its encoding says ({type(error).__name__})")
        if size > UNPACKED_BYTES:
            self._cannot_read(f"{len(data)} bytes of the body unpack to more than {UNPACKED_BYTES}")

    def _feed(self, data: bytes, now: float) -> None:
        body = self._error_body
        if body is not None:
            body += data[: ERROR_BYTES - len(body)]
            return
        events = self._reader.feed(data)
        if events:
            self._count(events, now)
        if self._reader.outcome is not None:
            self._conclude(self._reader.outcome)

    def _count(self, events: Sequence[Event], now: float) -> None:
        self._meter.came(events, now - self._waited, now)
        self._waited = 0.0

    def _end(self, failure: Failure | None) -> None:
        """The body is over, by itself."""
        if self._error_body is not None or self._unreadable is not None:
            self._over(failure)
            return
        now = monotonic()
        self._waited += now - self._asked
        self._count(self._reader.close(failure), now)
        self._conclude(self._reader.outcome)

    def _stop(self, failure: Failure) -> None:
        """The client's wait ended without anything."""
        self._waited += monotonic() - self._asked
        self._over(failure)

    def _over(self, failure: Failure | None) -> None:
        """Nothing more is read, for whatever reason; what the status or the encoding says comes before it."""
        now = monotonic()
        self._meter.waited += self._waited
        self._meter.ended = now
        if self._error_body is not None:
            failure = self._http_failure(bytes(self._error_body), whole=failure is None)
        elif self._unreadable is not None:
            failure = self._unreadable
        self._reader.close(failure)
        self._conclude(self._reader.outcome)

    def _http_failure(self, body: bytes, *, whole: bool) -> Failure:
        failure = http_failure(self._status or 0, self._headers, body)
        if not body and not whole:
            failure = structs.replace(failure, message=f"HTTP {self._status}; nobody read its body")
        return failure

    def _conclude(self, outcome: Finish | Failure | None) -> None:
        if isinstance(outcome, Failure):
            outcome = self._scrubbed(outcome)
        self.outcome = outcome
        self._meter.concluded = monotonic()
        self._recorder.ended(self)

    def _scrubbed(self, failure: Failure) -> Failure:
        """Without the key, which some providers repeat in their error."""
        return self._secrets.struck_failure(structs.replace(failure, request_id=failure.request_id or self.request_id))

    def _settle(self, how: Callable[[], None]) -> None:
        if self.outcome is not None:
            return
        try:
            how()
        except Exception:  # noqa: BLE001 - as above
            self._desk.defect()
            self.unseen()


def _failure(error: BaseException, *, headers: bool) -> Failure:
    """What an exception means that the client's transport raised."""
    if not isinstance(error, Exception):
        return _CANCELLED
    failure = failure_of(error, headers=headers)
    return failure or Failure("connection", f"the transport raised {type(error).__name__}", detail="transport")
