"""No network, no event loop: bytes in, events out, and what they amount to. For threads, proxies, files and fuzzers."""

import streamcore as sc
from streamcore import ndjson, sse

BODY = (
    b'data: {"id":"c-1","model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":"Hel"}}]}\n\n'
    b'data: {"id":"c-1","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"}]}\n\n'
    b"data: [DONE]\n\n"
)


def main() -> None:
    """Read a body in two pieces, then one that was cut off."""
    reader = sc.Reader(sc.load("openai_chat"))
    fold = sc.Fold(reader.feed(BODY[:150]))
    fold.feed(reader.feed(BODY[150:]))
    fold.feed(reader.close())
    print(fold.text, fold.outcome)

    cut = sc.Reader(sc.load("openai_chat"))
    for event in [*cut.feed(BODY[:150]), *cut.close()]:
        print(event)

    # The framings work alone, in both directions.
    (frame,) = sse.Parser().feed(sse.encode(b"two\nlines", event="note", id="7"))
    print(frame, sse.Parser().feed(sse.comment("keep-alive")))
    print(ndjson.Parser().feed(ndjson.encode(b'{"a":1}')))


if __name__ == "__main__":
    main()
