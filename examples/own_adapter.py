"""A provider of your own, whole: its wire format in one adapter, proved against every cut, then streamed over HTTP.

The imaginary Parrot API takes `{"say": …}` and answers with server-sent events: `{"word": …}` for each word,
`{"heard": n, "said": n}` for the tokens, and `{"done": "why"}` as the proof that the answer is whole.
"""

import anyio
from msgspec import Struct
from msgspec.json import Decoder as JSONDecoder

import streamcore as sc
from streamcore import sse
from streamcore.events import Event
from streamcore.failures import read_error
from streamcore.frames import Frame
from streamcore.request import HTTPRequest, Target
from streamcore.testing import Answer, check_cuts, check_truncation, serve
from streamcore.wire import Warnings, post

# --- the adapter: these five names would be a module of your own, registered as an entry point `streamcore.adapters`


class Chunk(Struct):
    """The fields that are used, and no others: the rest is not even parsed."""

    word: str | None = None
    heard: int | None = None
    said: int | None = None
    done: str | None = None
    error: object = None


class Decoder:
    """One for each response. What it forgets (`Start`, `BlockEnd`) the reader supplies."""

    _decode = JSONDecoder(Chunk).decode

    def feed(self, frame: Frame, /) -> list[Event]:
        """The events of one frame."""
        chunk = self._decode(frame.data)
        if chunk.word is not None:
            return [sc.TextDelta(0, chunk.word)]
        if chunk.said is not None:
            return [sc.Usage(input_tokens=chunk.heard, output_tokens=chunk.said)]
        if chunk.done is not None:
            return [sc.Finish("length" if chunk.done == "breathless" else "stop", chunk.done)]
        failure = read_error(frame.data)
        return [] if failure is None else [failure]

    def close(self) -> list[Event]:
        """The body ended: nothing was held back."""
        return []


class Parrot:
    """The wire format in both directions."""

    def __init__(self) -> None:
        self.url = "https://parrot.example/v1"
        self.key_variables = ("PARROT_KEY",)
        self.framing = sse.Parser
        self.Decoder = Decoder

    def encode(self, request: sc.Request, target: Target) -> HTTPRequest:
        """Write the request; say what is left out."""
        warnings = Warnings()
        warnings.unsupported(request, ["tools", "temperature", "seed", "stop"])
        words = [part.text for message in request.messages for part in message.parts if isinstance(part, sc.Text)]
        headers = {"authorization": f"Bearer {target.key.reveal()}"} if target.key else {}
        return post(
            f"{target.url}/repeat",
            {"say": " ".join(words)},
            target=target,
            request=request,
            headers=headers,
            warnings=warnings,
        )


PARROT: sc.Adapter = Parrot()

# --- using it

BODY = [
    b'data: {"word":"Hello "}\n\n',
    b'data: {"word":"sailor"}\n\n',
    b'data: {"heard":2,"said":2}\n\ndata: {"done":"said it all"}\n\n',
]


async def main() -> None:
    """Prove the adapter, then ask a parrot on the loopback."""
    check_cuts(PARROT, b"".join(BODY))  # the same events, however the bytes are cut
    check_truncation(PARROT, b"".join(BODY))  # ended early at any byte, it is a failure
    with serve(Answer(BODY)) as server:
        async with (
            sc.Endpoint(PARROT, "grey", url=server.url, key="polly") as parrot,
            parrot.stream("Hello sailor") as stream,
        ):
            fold = await stream.collect()
    print(fold.text, fold.usage, fold.outcome)


if __name__ == "__main__":
    anyio.run(main)
