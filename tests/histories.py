"""What the tests of stored records share: a store of either kind, and records to fill it with."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal

from msgspec.structs import replace

from ledgers import lost, won
from streamcore.events import Failure, Usage
from streamcore.tracking.history.store import is_address
from streamcore.tracking.record import AttemptRecord, Context, Cost, Marks, Tokens
from streamcore.tracking.sinks.postgres import PostgreSQL
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.upstream import Origin

STORES = ["sqlite", "postgresql"]
KNOWN = Cost(known=Decimal("0.0024"), provenance="derived")


def made(id, day=20, *, user="u-1", model="gpt-4o", feature="chat", record=won, **more):
    """A record of the twentieth of November, or another day of it."""
    tags = more.pop("tags", {})
    context = Context(feature=feature, user=user, conversation_id=f"c-{id}", tags=tags)
    origin = Origin(adapter="openai_chat", model=model, host="api.openai.com")
    return replace(
        record(id, context=context, **more), created_at=datetime(2026, 11, day, 12, tzinfo=UTC), origin=origin
    )


RECORDS = [
    made(1, 19, costs=KNOWN, marks=Marks(first_content=0.25, closed=1.5), tags={"team": "a"}),
    made(2, costs=KNOWN, tags={"team": 'b"%?', "x.y": "1"}),
    made(3, costs=Cost(known=Decimal("0.1"), estimated=Decimal("0.0000005"), provenance="estimated"), user="u-2"),
    replace(made(4, usage=Usage(), model="local"), status="ERROR", outcome=Failure("server", "no")),
    made(5, costs=Cost(known=Decimal(2), provenance="derived", currency="EUR"), user=None),
]


def used(id, *attempts, **more):
    """A record of attempts, each of which says its model and what it took, or None if that is not known."""
    found = []
    for model, usage in attempts:
        sources = {} if usage is None else {"input_tokens": "reported", "output_tokens": "reported"}
        origin = Origin(adapter="openai_chat", model=model, host="api.openai.com")
        tokens = Tokens(usage=usage or Usage(), sources=sources)
        found.append(AttemptRecord(origin=origin, status="SUCCESS", tokens=tokens, chosen=True))
    return made(id, model=attempts[0][0], attempts=tuple(found), **more)


def sink_of(kind, request, tmp_path):
    """Where records are, and a sink that stores them there. Skips where there is no server."""
    where = str(tmp_path / "a file?.db") if kind == "sqlite" else request.getfixturevalue("address")
    return where, sink_at(where)


def sink_at(where):
    """A sink that stores records there."""
    return PostgreSQL(where) if is_address(where) else SQLite(where)


@contextmanager
def filled(kind, request, tmp_path, records=RECORDS):
    """The same, with these records in it."""
    where, sink = sink_of(kind, request, tmp_path)
    sink.write(records)
    try:
        yield where, sink
    finally:
        sink.close()


__all__ = ["KNOWN", "RECORDS", "STORES", "filled", "lost", "made", "sink_at", "sink_of", "used", "won"]
