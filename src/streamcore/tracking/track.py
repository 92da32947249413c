"""A model whose streams leave records.

Theory of operation. The stream tells of its opening and of its outcome (`Stream.observe`), in its reader's own step, so
there is no way to leave it that is not seen. At the opening the ledger gets a record that says `LOST`, which stands if
the process dies; at the outcome the whole one. In between nothing happens but that the stream counts characters. Prices
are the ledger's business, in its own thread. Whatever goes wrong here is counted, logged once, and never the stream's.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from msgspec import structs

from streamcore.errors import LocalError
from streamcore.events import Failure, Finish
from streamcore.request import prompt
from streamcore.upstream import Attempt

from .context import current, merged
from .counting import Characters, served, summed, tokens_of
from .discretion import discreet
from .identity import traceparent, tracking_id
from .prices import Prices
from .record import AttemptRecord, Context, Marks, Record, Tokens, status_of

if TYPE_CHECKING:
    from streamcore.endpoint import Model
    from streamcore.request import Request
    from streamcore.stream import Stream
    from streamcore.upstream import Observed, Statistics

    from .counting import TokenCounter
    from .ledger import Entry, Ledger, Sink
    from .prices import PriceList

__all__ = ["Desk", "Recorder", "Tracked", "ledger_of", "track", "tracking_id"]

_log: Final = logging.getLogger("streamcore.tracking")


class Desk:
    """What all streams of a tracked model, or client, share."""

    def __init__(self, ledger: Ledger | None, prices: Prices, counter: TokenCounter) -> None:
        self.ledger = ledger
        self.prices = prices
        self.counter = counter
        self.defects = 0

    def defect(self) -> None:
        """Something went wrong that must not be the stream's: called where it is caught."""
        self.defects += 1
        if self.defects == 1:
            _log.exception("a stream could not be tracked; what else goes wrong is only counted")


class Recorder:
    """Writes the record of one stream. Where what was asked is not known (None), nothing is guessed or learnt from it."""

    def __init__(self, desk: Desk, request: Request | None, context: Context) -> None:
        self._desk = desk
        self._request = request
        self._context = context
        self._begun: Record | None = None
        self._entry: Entry | None = None
        self._record: Record | None = None
        self._priced = False

    @property
    def record(self) -> Record | None:
        """The record of a stream whose outcome is known, with costs if its prices are loaded by now."""
        prices = self._desk.prices
        if self._record is not None and not self._priced:
            loaded = prices.loaded
            try:
                self._record = prices.priced(self._record)
            except Exception:  # noqa: BLE001 - whatever a price list does
                self._desk.defect()
            self._priced = loaded
        return self._record

    def opened(self, stream: Observed, /) -> None:
        """Have it known that there is a stream, whatever happens next."""
        try:
            self._begun = begun = self._beginning(stream)
            if self._desk.ledger is not None:
                self._entry = self._desk.ledger.begin(begun)
        except Exception:  # noqa: BLE001 - a counter or a ledger of somebody's own
            self._desk.defect()

    def _beginning(self, stream: Observed) -> Record:
        record = Record(tracking_id=tracking_id(), created_at=datetime.now(UTC), status="LOST", context=self._context)
        attempts = [self._attempt(attempt, 0, None) for attempt in stream.attempts]
        return structs.replace(
            record,
            origin=attempts[0].origin if attempts else None,
            attempts=tuple(attempts),
            traceparent=traceparent(),
            **_totals(attempts),
        )

    def ended(self, stream: Observed, /) -> None:
        """Write down how it was."""
        try:
            begun = self._begun
            if begun is not None:
                self._record = record = self._whole(begun, stream)
                if self._desk.ledger is not None and self._entry is not None:
                    self._desk.ledger.end(self._entry, record)
                self._learn(record)
        except Exception:  # noqa: BLE001 - a counter or a ledger of somebody's own
            self._desk.defect()

    def _whole(self, begun: Record, stream: Observed) -> Record:
        statistics = stream.statistics()
        characters = statistics.characters or 0
        asked = stream.attempts
        opened = None
        if asked and asked[0].began is not None and statistics.sent is not None:
            opened = asked[0].began - statistics.sent
        if not asked and stream.usage is not None:  # from an upstream of somebody's own, that asks nobody we know of
            asked = (Attempt(outcome=stream.outcome, usage=stream.usage),)
        asked = _timed_out(asked, stream.outcome)
        attempts = [self._attempt(attempt, characters if attempt.chosen else 0, opened) for attempt in asked]
        answer = next((attempt for attempt in attempts if attempt.chosen), None)
        return structs.replace(
            begun,
            status=status_of(stream.outcome),
            outcome=discreet(stream.outcome, self._request),
            origin=begun.origin if answer is None else answer.origin,
            answered_by=None if answer is None else answer.answered_by,
            request_id=stream.request_id,
            characters=characters,
            marks=_marks(statistics),
            largest_gap=statistics.largest_gap,
            provider_wait=statistics.provider_wait,
            consumer_wait=statistics.consumer_wait,
            bytes=statistics.bytes,
            events=statistics.events,
            attempts=tuple(attempts),
            **_totals(attempts),
        )

    def _attempt(self, attempt: Attempt, characters: int, opened: float | None) -> AttemptRecord:
        def since(time: float | None) -> float | None:
            return None if time is None or opened is None else time - opened

        worked = served(attempt)
        return AttemptRecord(
            origin=attempt.origin,
            answered_by=attempt.answered_by,
            status=status_of(attempt.outcome),
            outcome=discreet(attempt.outcome, self._request),
            request_id=attempt.request_id,
            chosen=attempt.chosen,
            served=worked,
            tokens=tokens_of(attempt, self._request, characters, self._desk.counter) if worked else Tokens(),
            billed=attempt.billed if worked else None,
            marks=Marks(
                sent=since(attempt.began),
                headers=since(attempt.headers),
                first_byte=since(attempt.first_byte),
                closed=since(attempt.ended),
            ),
        )

    def _learn(self, record: Record) -> None:
        if self._request is None:
            return
        for attempt in record.attempts:
            if attempt.chosen and isinstance(attempt.outcome, Finish):
                reported = {
                    name: getattr(attempt.tokens.usage, name)
                    for name, source in attempt.tokens.sources.items()
                    if source == "reported"
                }
                usage = type(attempt.tokens.usage)(**reported)
                model = attempt.answered_by or (attempt.origin.model if attempt.origin else "")
                self._desk.counter.learn(self._request, record.characters, usage, model)


def _timed_out(asked: tuple[Attempt, ...], outcome: Finish | Failure | None) -> tuple[Attempt, ...]:
    """The attempts; one knows only that it was cancelled, where what it was made for knows that time ran out."""
    if not isinstance(outcome, Failure) or outcome.kind != "timeout":
        return asked
    return tuple(
        structs.replace(attempt, outcome=outcome) if _cancelled(attempt.outcome) else attempt for attempt in asked
    )


def _cancelled(outcome: Finish | Failure | None) -> bool:
    return isinstance(outcome, Failure) and outcome.kind == "cancelled" and outcome.detail in {"task", "read"}


def _totals(attempts: list[AttemptRecord]) -> dict[str, object]:
    """What all of them took together."""
    tokens = summed([attempt.tokens for attempt in attempts if attempt.served])
    return {"usage": tokens.usage, "usage_sources": tokens.sources}


def _marks(statistics: Statistics) -> Marks:
    return Marks(
        sent=statistics.sent,
        headers=statistics.headers,
        first_byte=statistics.first_byte,
        first_content=statistics.first_content,
        first_text=statistics.first_text,
        last_content=statistics.last_content,
        closed=statistics.elapsed,
    )


class Tracked:
    """A model whose streams leave records. Get it from `track`."""

    def __init__(self, model: Model, desk: Desk, context: Context) -> None:
        self._model = model
        self._desk = desk
        self._context = context

    @property
    def ledger(self) -> Ledger | None:
        """Where the records go: to be closed, or flushed, when the last of them is to be out."""
        return self._desk.ledger

    @property
    def defects(self) -> int:
        """How often something went wrong in tracking; the streams did not notice."""
        return self._desk.defects

    def with_context(
        self, *, feature: str | None = None, user: str | None = None, conversation_id: str | None = None, **tags: str
    ) -> Tracked:
        """The same model for this purpose. Adds to what is said so far, here and around it (`context`), and wins."""
        inner = Context(feature=feature, user=user, conversation_id=conversation_id, tags=tags)
        return Tracked(self._model, self._desk, merged(self._context, inner))

    def stream(self, request: Request | str, /) -> Stream:
        """The model's own stream, which leaves one record if it is opened, however it ends (`Stream.record`)."""
        if isinstance(request, str):
            request = prompt(request)
        context = merged(current(), self._context)
        return self._model.stream(request).observe(Recorder(self._desk, request, context))


def track(
    model: Model,
    *to: Sink | Ledger,
    prices: Prices | PriceList | None = None,
    counter: TokenCounter | None = None,
) -> Tracked:
    """A model that answers as `model` does, and leaves a `Record` of each stream: to these sinks, or to a ledger.

    `prices` are your own, before those of genai-prices (the extra `prices`); a ledger that is given prices records only
    if it was made with `prepare=` the same `Prices`. `counter` guesses tokens where the provider said nothing, by default
    `Characters`. Around other models (`retry`, `hedge`, …) it leaves one record for all attempts; inside, one for each.

    Raises:
        LocalError: There is a ledger and something else besides, or a price is none.
    """
    found = prices if isinstance(prices, Prices) else Prices(prices)
    return Tracked(model, Desk(ledger_of(to, found), found, counter or Characters()), Context())


def ledger_of(to: tuple[Sink | Ledger, ...], prices: Prices) -> Ledger | None:
    """The ledger given, or one of the sinks given; None if nothing was.

    Raises:
        LocalError: There is a ledger and something else besides.
    """
    if not to:
        return None
    from .ledger import Ledger  # noqa: PLC0415 - threads and files, for those who have a sink

    ledgers = [each for each in to if isinstance(each, Ledger)]
    if not ledgers:
        return Ledger(*[each for each in to if not isinstance(each, Ledger)], prepare=prices)
    if len(to) > 1:
        raise LocalError("records go to one ledger, which has its sinks, or to sinks")
    return ledgers[0]
