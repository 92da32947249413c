"""What a stream was like: whose time it took, who was asked, and what each was asked for."""

import anyio

import streamcore as sc
from streamcore.testing import Answer, Pause, serve

TEXT = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def times(statistics: sc.Statistics) -> str:
    """Whose time it was, the provider's or ours."""
    whose = "the provider" if statistics.provider_wait > statistics.consumer_wait else "the consumer"
    return f"{statistics.bytes} bytes, {statistics.events} events; most of the time was spent waiting for {whose}"


def line(attempt: sc.Attempt) -> str:
    """One request, as a log would have it."""
    origin = attempt.origin or sc.Origin(adapter="?", model="?", host="?")
    return f"{origin.adapter}:{origin.model} at {origin.host}, request {attempt.request_id}: {attempt.outcome}"


async def main() -> None:
    """A server that thinks before it answers."""
    headers = {"content-type": "text/event-stream", "x-request-id": "r-1"}
    with serve(Answer([Pause(0.2), TEXT, Pause(0.1), END], headers=headers)) as server:
        async with sc.model("openai:gpt-4o", url=server.url, key="sk-example") as model:
            async with model.stream("hi") as stream:
                await stream.collect()
            print(times(stream.statistics()))
            for attempt in stream.attempts:
                print(line(attempt))


if __name__ == "__main__":
    anyio.run(main)
