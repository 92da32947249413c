"""From a stream to a row: what a tracked model leaves in the store, by way of the journal."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress

import anyio
import msgspec
import pytest

import streamcore as sc
from ledgers import lost
from streamcore.testing import Answer, ScriptedModel, serve
from streamcore.tracking.ledger import Ledger
from streamcore.tracking.record import Record
from streamcore.tracking.sinks.lines import JSONLines
from streamcore.tracking.sinks.sqlite import SQLite
from streamcore.tracking.track import track
from streamcore.transport import close_clients

pytestmark = pytest.mark.anyio

WHOLE = [sc.Start("r", "m"), sc.TextDelta(0, "Hi"), sc.Usage(input_tokens=7, output_tokens=3), sc.Finish("stop")]
CUT = [sc.Start("r", "m"), sc.TextDelta(0, "Hi"), sc.Failure("truncated", "gone")]
KEY = "sk-a-key-that-nobody-may-see"


async def read(model, *, whole=True):
    """The record of one stream."""
    stream = model.stream("Why?")
    with suppress(sc.StreamFailed):
        async with stream:
            async for _ in stream:
                if not whole:
                    break
    return stream.record


async def test_the_record_of_each_stream_is_the_row_of_each_stream(tmp_path):
    async with Ledger(SQLite(tmp_path / "requests.db"), journal=tmp_path / "journal") as ledger:
        model = track(ScriptedModel(WHOLE, CUT, WHOLE), ledger)
        records = [await read(model), await read(model), await read(model, whole=False)]
    with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        rows = database.execute("SELECT record FROM requests ORDER BY tracking_id").fetchall()
    assert [msgspec.json.decode(text, type=Record) for (text,) in rows] == records
    assert [record.status for record in records] == ["SUCCESS", "TRUNCATED", "CANCELLED"]
    assert not [*(tmp_path / "journal").iterdir()]


async def test_a_stream_that_goes_on_when_the_ledger_closes_is_lost_until_its_end_is_known(tmp_path):
    ledger = Ledger(journal=tmp_path / "journal")
    async with track(ScriptedModel(WHOLE), ledger).stream("Why?"):
        await anyio.to_thread.run_sync(ledger.close)
        async with Ledger(SQLite(tmp_path / "requests.db"), journal=tmp_path / "journal") as following:
            assert await anyio.to_thread.run_sync(following.flush, 30)
    with closing(sqlite3.connect(tmp_path / "requests.db")) as database:
        assert database.execute("SELECT status FROM requests").fetchall() == [("LOST",)]


async def test_no_file_has_the_key_the_question_or_the_answer(tmp_path):
    with serve(Answer([b'{"error": {"message": "wrong ' + KEY.encode() + b'"}}'], status=500)) as server:
        model = sc.model("openai:m", key=KEY, url=server.url)
        async with Ledger(
            SQLite(tmp_path / "requests.db"), JSONLines(tmp_path / "lines"), journal=tmp_path / "journal"
        ) as ledger:
            ledger.begin(lost("x"))  # so that the journal is not emptied before it is looked into
            record = await read(track(model, ledger))
            assert record.status == "ERROR"
            assert await anyio.to_thread.run_sync(ledger.flush, 30)
            await close_clients()
            written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert record.tracking_id.encode() in written
    assert KEY.encode() not in written
    assert b"Why?" not in written
