"""Records that outlive the process: written down when a stream begins and when it ends, and carried to a database."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel

ANSWER: list[sc.Event] = [
    sc.Start("r-1", "our-model"),
    sc.TextDelta(0, "Hello"),
    sc.Usage(input_tokens=7, output_tokens=3),
    sc.Finish("stop"),
]


async def main() -> None:
    """Two streams, and what is in the database after them."""
    with TemporaryDirectory() as folder:
        database = Path(folder, "requests.db")
        async with sc.Ledger(sc.SQLite(database), journal=Path(folder, "journal")) as ledger:
            model = sc.track(ScriptedModel(ANSWER, sc.Failure("overloaded", "busy")), ledger)
            async with model.with_context(feature="greetings").stream("hi") as stream:
                await stream.collect()
            try:
                async with model.stream("hi") as stream:
                    await stream.collect()
            except sc.StreamFailed as error:
                print(f"failed: {error}")
        with sqlite3.connect(database) as rows:
            for row in rows.execute(
                "SELECT status, feature, input_tokens, output_tokens FROM requests ORDER BY tracking_id"
            ):
                print(*row)
        rows.close()


if __name__ == "__main__":
    anyio.run(main)
