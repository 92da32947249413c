"""A record for every stream that somebody else's client reads, such as the one inside an official SDK.

`openai.AsyncOpenAI(http_client=sc.tracked_client(sink))` is all that it takes there. Here the client speaks for itself,
to a server that plays OpenAI.
"""

import json
from collections.abc import Sequence

import anyio
import httpx

import streamcore as sc
from streamcore.testing import Answer, serve

QUESTION = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
ANSWER = [
    b'data: {"model":"gpt-4o-2024-08-06","choices":[{"index":0,"delta":{"content":"Because air scatters"}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":" blue light most."},"finish_reason":"stop"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9}}\n\ndata: [DONE]\n\n',
]


class Printed:
    """A sink is one method."""

    def write(self, records: Sequence[sc.Record], /) -> None:
        """Called in a thread of the ledger's."""
        for record in records:
            tokens = f"{record.usage.output_tokens} {record.usage_sources['output_tokens']}"
            who = f"{record.context.feature} for {record.context.user}"
            print(f"{record.status}: {who}, {tokens}, {record.origin and record.origin.model}")


async def ask(client: httpx.AsyncClient, url: str, user: str, *, whole: bool) -> None:
    """What an SDK does: it never hears of records. The header does not leave the house."""
    headers = {"x-streamcore-user": user}
    async with client.stream("POST", f"{url}/v1/chat/completions", json=QUESTION, headers=headers) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: {"):
                print(json.loads(line[6:])["choices"])
                if not whole:
                    break


async def main() -> None:
    """One who reads to the end, and one who leaves."""
    async with sc.Ledger(Printed()) as ledger:
        with serve(Answer(ANSWER)) as server, sc.context(feature="chat"):
            async with sc.tracked_client(ledger, client=httpx.AsyncClient()) as client:
                await ask(client, server.url, "u-1", whole=True)
                await ask(client, server.url, "u-2", whole=False)
            sent = {name for request in server.requests for name in request.headers if "streamcore" in name}
    print(f"headers of ours that were sent: {len(sent)}")


if __name__ == "__main__":
    anyio.run(main)
