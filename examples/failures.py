"""What a failure looks like, and that nothing which came before it is lost."""

import anyio

import streamcore as sc
from streamcore.testing import Answer, ScriptedModel, serve


async def main() -> None:
    """A cut answer, a refused request, an answer the reader leaves."""
    fold = sc.Fold()
    try:
        async with ScriptedModel([sc.Start(), sc.TextDelta(0, "To be, or")]).stream(sc.prompt("hi")) as stream:
            await stream.collect(fold)
    except sc.StreamFailed as error:
        print(f"after {fold.text!r}: {error} (retryable: {error.failure.retryable})")

    busy = Answer(
        [b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'],
        status=429,
        headers={"content-type": "application/json", "retry-after": "3"},
    )
    with serve(busy) as server:
        async with sc.model("openai:gpt-4o", url=server.url, key="sk-example") as model:
            try:
                async with model.stream("hi"):
                    pass
            except sc.StreamFailed as error:
                print(f"{error}; again in {error.failure.retry_after} s")

    async with ScriptedModel([sc.Start(), sc.TextDelta(0, "To be, or")]).stream(sc.prompt("hi")) as stream:
        async for _ in stream:
            break
    print(stream.outcome)

    try:
        sc.model("openai:gpt-4o").stream("")
    except sc.LocalError as error:
        print(f"not sent: {error}")


if __name__ == "__main__":
    anyio.run(main)
