"""Spans of records: one for each, and below it one for each request where several were made.

They are made when all is over, with the times of the record. What went wrong is said by kind and detail, which are words
of ours: what a provider says of it may quote anything, and goes on a span only if `messages` asks for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, get_tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streamcore.events import Failure, Finish

from .conventions import OTHER
from .figures import error_type, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.trace import Span, TracerProvider

    from streamcore.tracking.record import AttemptRecord, Cost, Record

    from .conventions import Convention

__all__ = ["Attributes", "Spans"]

Attributes: TypeAlias = "dict[str, str | bool | int | float | Sequence[str]]"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_MARKS: Final = ("sent", "headers", "first_byte", "first_content", "first_text", "last_content")
_MEASURES: Final = ("largest_gap", "provider_wait", "consumer_wait", "tokens_per_second")
_TRACES: Final = TraceContextTextMapPropagator()


class Spans:
    """Makes the spans of records, by some conventions."""

    def __init__(
        self,
        provider: TracerProvider | None,
        version: str,
        schema: str | None,
        conventions: Sequence[Convention],
        *,
        messages: bool,
    ) -> None:
        self._tracer = get_tracer("streamcore", version, provider, schema)
        self._conventions = conventions
        self._messages = messages

    def make(self, record: Record) -> Context:
        """Make those of a record; the context in which the outermost of them is the current one."""
        start = (record.created_at - _EPOCH) // _MICROSECOND * 1000
        length = record.marks.closed
        if length is None:  # it is lost: until when it was there, as far as is known
            length = max([0.0, *_marks(record).values()])
        outer = Context()
        if record.traceparent is not None:
            outer = _TRACES.extract({"traceparent": record.traceparent}, outer)
        name = "chat" if record.origin is None else f"chat {shown(record.origin.model)}"
        known = self._attributes(record)
        span = self._tracer.start_span(name, outer, SpanKind.CLIENT, known, start_time=start)
        self._end(span, record, start + _nanoseconds(length))
        inside = set_span_in_context(span, outer)
        if len(record.attempts) > 1:
            for number, attempt in enumerate(record.attempts, 1):
                self._attempt(attempt, number, start, length, inside)
        return inside

    def _attempt(self, attempt: AttemptRecord, number: int, start: int, length: float, outer: Context) -> None:
        began = attempt.marks.sent or 0.0
        ended = length if attempt.marks.closed is None else attempt.marks.closed
        name = "attempt" if attempt.origin is None else f"attempt {shown(attempt.origin.model)}"
        known: Attributes = {
            "streamcore.attempt.number": number,
            "streamcore.attempt.chosen": attempt.chosen,
            "streamcore.attempt.served": attempt.served,
            **_asked(attempt, self._conventions),
            **self._ended(attempt),
            **_cost(attempt.cost, "streamcore.attempt.cost"),
        }
        for field, source in attempt.tokens.sources.items():
            known[f"streamcore.attempt.{field}"] = getattr(attempt.tokens.usage, field)
            known[f"streamcore.provenance.{field}"] = source
        at = start + _nanoseconds(began)
        span = self._tracer.start_span(name, outer, SpanKind.CLIENT, known, start_time=at)
        self._end(span, attempt, start + _nanoseconds(max(began, ended)))

    def _attributes(self, record: Record) -> Attributes:
        context = record.context
        known: Attributes = {
            "gen_ai.operation.name": "chat",
            **_asked(record, self._conventions),
            **self._ended(record),
            "streamcore.tracking_id": record.tracking_id,
            "streamcore.attempts": len(record.attempts),
            **{f"streamcore.marks.{name}": mark for name, mark in _marks(record).items()},
            **_cost(record.costs, "streamcore.cost"),
        }
        for convention in self._conventions:
            for field, name in convention.usage.items():
                tokens: int | None = getattr(record.usage, field)
                if tokens is not None:
                    known[name] = tokens
                    known[f"streamcore.provenance.{field}"] = record.usage_sources.get(field, "missing")
            known |= _streaming(record, convention)
        for measure in _MEASURES:
            value: float | None = getattr(record, measure)
            if value is not None:
                known[f"streamcore.{measure}"] = value
        said = {
            "gen_ai.conversation.id": context.conversation_id,
            "user.id": context.user,
            "streamcore.feature": context.feature,
            **{f"streamcore.tag.{shown(name)}": value for name, value in context.tags.items()},
        }
        return known | {name: shown(value) for name, value in said.items() if value is not None}

    def _ended(self, what: Record | AttemptRecord) -> Attributes:
        """How it ended, and by which request of the provider's."""
        known: Attributes = {"streamcore.status": what.status}
        outcome = what.outcome
        if what.request_id is not None:
            known["streamcore.request_id"] = shown(what.request_id)
        failed = error_type(outcome, what.status)
        if failed is not None:
            known["error.type"] = failed
        if isinstance(outcome, Failure):
            more = {"kind": outcome.kind, "detail": outcome.detail}
            if self._messages:
                more |= {"code": outcome.code, "message": outcome.message}
            known |= {f"streamcore.failure.{name}": shown(value) for name, value in more.items() if value is not None}
            if outcome.status is not None:
                known["http.response.status_code"] = outcome.status
        return known

    def _end(self, span: Span, what: Record | AttemptRecord, at: int) -> None:
        failed = error_type(what.outcome, what.status)
        if failed is not None:
            detail = what.outcome.detail if isinstance(what.outcome, Failure) else None
            span.set_status(Status(StatusCode.ERROR, failed if detail is None else f"{failed} ({shown(detail)})"))
        span.end(at)


def _asked(what: Record | AttemptRecord, conventions: Sequence[Convention]) -> Attributes:
    """Who was asked, and who answered."""
    known: Attributes = {}
    for convention in conventions:
        provider = what.provider or OTHER
        known[convention.provider] = convention.providers.get(provider, provider)
    if what.origin is not None:
        known["gen_ai.request.model"] = shown(what.origin.model)
        if what.origin.host:
            known["server.address"] = shown(what.origin.host)
    if what.answered_by is not None:
        known["gen_ai.response.model"] = shown(what.answered_by)
    return known


def _streaming(record: Record, convention: Convention) -> Attributes:
    known: Attributes = {}
    if isinstance(record.outcome, Finish):
        known["gen_ai.response.finish_reasons"] = [record.outcome.reason]
    elif convention.error_reason:
        known["gen_ai.response.finish_reasons"] = ["error"]
    if convention.streaming:
        known["gen_ai.request.stream"] = True
        if record.marks.first_content is not None:
            known["gen_ai.response.time_to_first_chunk"] = record.marks.first_content
    return known


def _marks(record: Record) -> dict[str, float]:
    marks: Iterator[tuple[str, float | None]] = ((name, getattr(record.marks, name)) for name in _MARKS)
    return {name: mark for name, mark in marks if mark is not None}


def _cost(cost: Cost, prefix: str) -> Attributes:
    if cost.provenance == "missing":
        return {}
    known: Attributes = {f"{prefix}.provenance": cost.provenance, f"{prefix}.currency": shown(cost.currency)}
    for name, amount in (("known", cost.known), ("estimated", cost.estimated)):
        if amount is not None:
            known[f"{prefix}.{name}"] = float(amount)
    if cost.price_list is not None:
        known[f"{prefix}.price_list"] = shown(cost.price_list)
    return known


def _nanoseconds(time: float) -> int:
    return round(time * 1e9)
