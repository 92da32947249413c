"""Streams in plain threads: no `async`, the same events, and the same care for how they end."""

import threading

import streamcore as sc
from streamcore import sync
from streamcore.flow import fallback
from streamcore.testing import Answer, ScriptedModel, serve

SCRIPT: list[sc.Event] = [
    sc.Start("r-1", "scripted"),
    sc.TextDelta(0, "Because air scatters "),
    sc.TextDelta(0, "blue light most."),
    sc.Finish("stop"),
]
BEGINNING = b'data: {"id":"c-1","model":"m","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def main() -> None:
    """The words alone, a composed model, a provider that falls silent, a body that came another way."""
    for word in sync.text(ScriptedModel(SCRIPT), "Why is the sky blue?"):
        print(word, end="", flush=True)
    print()

    model = fallback(ScriptedModel(sc.Failure("overloaded", "busy")), ScriptedModel(SCRIPT))
    with sync.stream(model, "Why?") as stream:
        fold = stream.collect()
    for attempt, number in zip(stream.attempts, ("first", "then"), strict=True):
        print(f"{number}: {attempt.outcome.kind if isinstance(attempt.outcome, sc.Failure) else fold.text}")

    # An endpoint blocks this thread on its socket and nothing else; another thread can end that.
    with serve(Answer([BEGINNING, "hang"])) as server:
        endpoint = sc.model("openai:gpt-4o", url=server.url, key="sk-example")
        try:
            with sync.stream(endpoint, "hi").within(first_token=30, idle=30) as stream:
                for event in stream:
                    if isinstance(event, sc.TextDelta):
                        threading.Thread(target=stream.cancel).start()
        except sc.StreamFailed as error:
            print(error)

    with serve(Answer([BEGINNING, END])) as server, sync.HTTPX(concurrency=4) as transport:  # connections of one's own
        endpoint = sc.model("openai:gpt-4o", url=server.url, key="sk-example", transport=transport)
        print(list(sync.text(endpoint, "hi")))

    with sync.decode(sc.load("openai_chat"), [BEGINNING, END]) as stream:
        print(stream.read()[0])


if __name__ == "__main__":
    main()
