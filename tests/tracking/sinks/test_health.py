"""How a ledger does, in numbers."""

from __future__ import annotations

from ledgers import Kept, run
from streamcore.tracking.carrier import SinkState
from streamcore.tracking.ledger import JournalState, Ledger
from streamcore.tracking.sinks.health import JOURNAL, SINK, numbers


def test_every_field_of_both_states_is_a_number():
    assert [*SINK] == [name for name in SinkState.__struct_fields__ if name != "name"]
    assert [*JOURNAL] == [*JournalState.__struct_fields__]


def test_each_sink_has_its_own(tmp_path):
    with Ledger(Kept(), Kept(OSError()), journal=tmp_path) as ledger:
        run(ledger, 1)
        assert ledger.flush(10)
        found = {(name, sink): value for name, sink, value in numbers(ledger)}
        assert len(found) == 2 * len(SINK) + len(JOURNAL)
        assert [found["sink.failures", sink] for sink in ("Kept", "Kept-2")] == [0, 1]
        assert [found["sink.records_written", sink] for sink in ("Kept", "Kept-2")] == [1, 1]
        assert found["journal.bytes", None] == ledger.state.size


def test_an_error_is_one_and_none_is_nought(tmp_path):
    with Ledger(journal=tmp_path) as ledger:
        ledger._failed(OSError())
        assert ("journal.broken", None, 1) in numbers(ledger)
        run(ledger, 1)
        assert ("journal.broken", None, 0) in numbers(ledger)


def test_without_a_journal_nothing_is_said_of_it():
    with Ledger(Kept()) as ledger:
        assert {sink for _, sink, _ in numbers(ledger)} == {"Kept"}
