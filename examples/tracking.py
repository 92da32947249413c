"""What every stream cost, and for whom: one record for each, however it ends."""

from collections.abc import Sequence

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

ANSWER: list[sc.Event] = [
    sc.Start("r-1", "our-model"),
    sc.TextDelta(0, "Because air scatters"),
    sc.TextDelta(0, " blue light most."),
    sc.Usage(input_tokens=7, output_tokens=3),
    sc.Finish("stop"),
]
BUSY = sc.Failure("overloaded", "busy", status=503)
PRICES = sc.Prices({"our-model": {"input": 1, "output": 10}})  # dollars for a million tokens


class Kept:
    """A sink is one method."""

    def __init__(self) -> None:
        self.records: list[sc.Record] = []

    def write(self, records: Sequence[sc.Record], /) -> None:
        """Called in a thread of the ledger's: it may take its time."""
        self.records += records


def line(record: sc.Record | None) -> str:
    """As a bill would have it."""
    assert record is not None
    more = f", {len(record.attempts)} attempts" if len(record.attempts) > 1 else ""
    who = f"{record.context.feature} for {record.context.user}"
    return f"{record.status}: {who}, {record.cost} {record.costs.currency}, {record.costs.provenance}{more}"


async def ask(model: sc.Tracked, user: str, *, whole: bool = True) -> None:
    """Nothing in here knows that the stream is tracked, but the last line."""
    async with model.with_context(user=user).stream("Why is the sky blue?") as stream:
        async for event in stream:
            if isinstance(event, sc.TextDelta) and not whole:
                break
    print(line(stream.record))


async def main() -> None:
    """One who reads to the end, one who leaves, and one whose first attempt fails."""
    sink = Kept()
    model = sc.retry(ScriptedModel(ANSWER, ANSWER, BUSY, ANSWER), backoff=0.01)
    tracked = sc.track(model, sink, prices=PRICES)
    with sc.context(feature="chat"):
        await ask(tracked, "u-1")
        await ask(tracked, "u-2", whole=False)
        await ask(tracked, "u-3")
    assert tracked.ledger is not None
    await anyio.to_thread.run_sync(tracked.ledger.close)
    print(f"{len(sink.records)} records")


if __name__ == "__main__":
    anyio.run(main)
