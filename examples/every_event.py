"""Every event there is, told apart exhaustively: a new one would break the type check, not the service."""

import json
from typing import assert_never

import msgspec

import streamcore as sc

ANSWER: list[sc.Event] = [
    sc.Start("r-1", "some-model"),
    sc.ReasoningDelta(0, "Let me see."),
    sc.BlockEnd(0, opaque='{"signature":"c2lnbmVk"}'),
    sc.TextDelta(1, "Water boils at 100 °C."),
    sc.Citation(1, url="https://example.com/water", title="Water", text="boils at 100"),
    sc.BlockEnd(1),
    sc.ToolCallStart(2, "call-1", "thermometer"),
    sc.ToolCallDelta(2, '{"unit":"C"}'),
    sc.BlockEnd(2),
    sc.Attachment(3, "image/png", data=b"\x89PNG"),
    sc.BlockEnd(3),
    sc.Extension("some:search_block", '{"query":"water"}', index=4),
    sc.BlockEnd(4),
    sc.RefusalDelta(5, "I will not say how to burn it."),
    sc.BlockEnd(5),
    sc.Usage(input_tokens=12, output_tokens=34, reasoning_tokens=5),
    sc.Finish("tool_calls", "tool_use"),
]


def is_content(event: sc.Event) -> bool:
    """Whether an event carries content, in contrast to frame and bookkeeping."""
    return isinstance(event, sc.Delta)


def describe(event: sc.Event) -> str:
    """One line for any event."""
    match event:
        case sc.Start(id=name, model=model):
            return f"{model} answers ({name})"
        case sc.TextDelta(text=text) | sc.ReasoningDelta(text=text) | sc.RefusalDelta(text=text):
            return f"{type(event).__name__}: {text}"
        case sc.ToolCallStart(name=name):
            return f"call of {name}"
        case sc.ToolCallDelta(arguments=arguments):
            return f"  {arguments}"
        case sc.Citation(url=url, title=title):
            return f"[{title}] {url}"
        case sc.Attachment(media_type=media_type):
            return f"a generated {media_type}"
        case sc.Extension(name=name):
            return f"what only this provider has: {name}"
        case sc.BlockEnd(index=index, opaque=opaque):
            return f"block {index} is complete" + (", and has something to return" if opaque else "")
        case sc.Usage():
            return f"{event.total_tokens} tokens so far"
        case sc.Finish(reason=reason, raw=raw):
            return f"finished: {reason} ({raw})"
        case sc.Failure(kind=kind, message=message):
            return f"failed: {kind}: {message}"
        case _:
            assert_never(event)


def main() -> None:
    """Describe them, store them as JSON lines, read them back, and add them up for the next request."""
    lines = [msgspec.json.encode(event) for event in ANSWER]
    for line in lines:
        print(describe(msgspec.json.decode(line, type=sc.Event)))
    print(f"{sum(map(is_content, ANSWER))} of {len(ANSWER)} carry content")
    fold = sc.Fold(ANSWER)
    for part in fold.message.parts:
        print(f"  goes back: {type(part).__name__}")
        assert not isinstance(part, sc.ExtensionPart) or json.loads(part.raw)
    try:
        raise sc.StreamFailed(sc.Failure("overloaded", "busy", retry_after=2.0))
    except sc.Error as error:
        print(error)


if __name__ == "__main__":
    main()
