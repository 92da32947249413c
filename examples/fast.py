"""Many streams at once, over the transport that makes little of each: `pip install 'streamcore[fast]'`."""

import anyio

import streamcore as sc
from streamcore.testing import Answer, serve

ANSWER = Answer(
    [
        b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":" again"}}]}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
        b"data: [DONE]\n\n",
    ]
)


async def main(url: str) -> None:
    """Ask the same thing a hundred times; at most fifty questions are open at once, the others wait their turn."""
    answers: list[str] = []
    async with sc.Fast(concurrency=50) as transport:
        model = sc.model("openai:gpt-4o", url=url, key="key", transport=transport)

        async def ask() -> None:
            async with model.stream("Hello?") as stream:
                answers.append((await stream.collect()).text)

        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ask)
    print(f"{len(answers)} answers: {set(answers)}")


if __name__ == "__main__":
    with serve(ANSWER) as server:
        anyio.run(main, server.url)
        print(f"100 requests, no more than 50 connections: {len(server.requests) == 100 and server.connections <= 50}")
