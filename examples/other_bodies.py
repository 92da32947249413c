"""Bodies that come another way: any async iterable of bytes, events cut by httpx_sse, a client of your own."""

from collections.abc import AsyncIterator

import anyio
import httpx
from httpx_sse import aconnect_sse

import streamcore as sc
from streamcore.testing import Answer, serve

BODY = [
    b'data: {"id":"c-1","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
]


async def from_memory() -> AsyncIterator[bytes]:
    """A queue, a file, a websocket: whatever gives bytes."""
    for piece in BODY:
        yield piece


async def main() -> None:
    """Read the same answer three ways."""
    adapter = sc.load("openai_chat")
    async with sc.decode(adapter, from_memory()) as stream:
        print([words async for words in stream.text()])

    with serve(Answer(BODY)) as server:
        async with httpx.AsyncClient() as client:
            async with (
                aconnect_sse(client, "POST", server.url) as source,
                sc.decode(adapter, source.aiter_sse()) as stream,
            ):
                print((await stream.collect()).text)

            model = sc.model("openai:m", url=server.url, key="sk-example", transport=sc.HTTPX(client, concurrency=10))
            async with model.stream("hi") as stream:
                while events := await stream.read():  # what one read of the network completed
                    print(events)


if __name__ == "__main__":
    anyio.run(main)
