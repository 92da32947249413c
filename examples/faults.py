"""Everything that can go wrong on the way, at one byte of one answer, in memory and in virtual time."""

import anyio

import streamcore as sc
from streamcore.testing import FAULTS, Answer, Fault, FaultyTransport, Pause, serve, spoiled, virtual_time

WORDS = [b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % word for word in (b"To be", b", or not")]
END = [b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"]
ANSWER = Answer([WORDS[0], Pause(2), WORDS[1], *END])  # it takes two seconds
DEADLINES = sc.Deadlines(first_token=30, idle=20)


async def told(model: sc.Model) -> str:
    """What a reader has in the end."""
    fold = sc.Fold()
    stream = model.stream(sc.prompt("hi"))
    try:
        async with stream:
            await stream.collect(fold)
    except sc.StreamFailed as error:
        return f"{fold.text!r}, then {error}"
    return f"{fold.text!r}, {len(stream.attempts)} attempt(s)"


async def main() -> None:
    """Each fault after the first word; one that a retry makes good."""
    for kind in FAULTS:
        transport = FaultyTransport(ANSWER, Fault(kind, at=len(WORDS[0]), size=1024, seconds=60))
        model = sc.model("openai:gpt-4o", key="sk-example", transport=transport, deadlines=DEADLINES)
        print(f"{kind}: {await told(model)}")

    flaky = FaultyTransport(ANSWER, Fault("headers_reset"), Fault("rate_limit", seconds=45), None)
    again = sc.retry(sc.model("openai:gpt-4o", key="sk-example", transport=flaky), backoff=0)
    begun = anyio.current_time()
    print(f"made good: {await told(again)}, {anyio.current_time() - begun:.0f} s later")


async def over_a_socket() -> None:
    """The same faults from a server on the loopback, in real time."""
    with serve(spoiled(ANSWER, Fault("close", at=len(WORDS[0])))) as server:
        async with sc.model("openai:gpt-4o", key="sk-example", url=server.url) as model:
            print(f"over a socket: {await told(model)}")


if __name__ == "__main__":
    backend, options = virtual_time("asyncio")
    anyio.run(main, backend=backend, backend_options=options)
    anyio.run(over_a_socket)
