"""What answers where the local model cannot run: words written here, over the same wires and a real socket."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from streamcore import sse
from streamcore.testing import Answer, Pause
from streamcore.testing import serve as serve_answers

from .local import CHAT, MESSAGES, Local

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from streamcore.testing import ReceivedRequest

__all__ = ["NAME", "WORDS", "serve"]

NAME: Final = "scripted"
WORDS: Final = (
    (
        "This answer was written in advance , because no model runs here . It still comes word by word over a socket , "
        "in the format of the provider , and it is read as any other would be ."
    )
    .replace(" ,", ",")
    .replace(" .", ".")
    .split(" ")
)
_PACE: Final = Pause(0.02)  # between words, about the speed of a model


class _Asked(msgspec.Struct):
    """What is read of a request; both wires call it the same."""

    messages: list[msgspec.Raw] = []
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


@contextmanager
def serve() -> Generator[Local]:
    """A scripted model on a free port of 127.0.0.1, until the `with` is left. A word is a token."""
    with serve_answers(_answer) as server:
        yield Local(server.url, key=NAME, name=NAME, description="a scripted model", wires=[CHAT, MESSAGES])


def _answer(request: ReceivedRequest) -> Answer:
    asked = msgspec.json.decode(request.body or b"{}", type=_Asked)
    limit = asked.max_tokens or asked.max_completion_tokens or len(WORDS)
    read = sum(len(bytes(message).split()) for message in asked.messages)
    if request.path == "/v1/chat/completions":
        events = _chat(WORDS[:limit], read)
    elif request.path == "/v1/messages":
        events = _messages(WORDS[:limit], read)
    else:
        return Answer([b'{"error":{"message":"no such path","type":"not_found_error"}}'], status=404, framing="length")
    return Answer([step for event in events for step in (event, _PACE)])


def _chat(words: Sequence[str], read: int) -> Iterator[bytes]:
    """OpenAI Chat Completions."""

    def chunk(choices: list[object], **more: object) -> bytes:
        head = {"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "model": NAME}
        return sse.encode(msgspec.json.encode({**head, "choices": choices, **more}))

    for number, word in enumerate(words):
        yield chunk([{"index": 0, "delta": {"content": f" {word}" if number else word}, "finish_reason": None}])
    reason = "stop" if len(words) == len(WORDS) else "length"
    yield chunk([{"index": 0, "delta": {}, "finish_reason": reason}])
    yield chunk([], usage={"prompt_tokens": read, "completion_tokens": len(words), "total_tokens": read + len(words)})
    yield sse.encode(b"[DONE]")


def _messages(words: Sequence[str], read: int) -> Iterator[bytes]:
    """Anthropic Messages."""

    def event(type: str, **fields: object) -> bytes:
        return sse.encode(msgspec.json.encode({"type": type, **fields}), event=type)

    usage = {"input_tokens": read, "output_tokens": 1}
    message: dict[str, object] = {"id": "msg_scripted", "type": "message", "role": "assistant", "model": NAME}
    yield event("message_start", message={**message, "content": (), "usage": usage})
    yield event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    for number, word in enumerate(words):
        delta = {"type": "text_delta", "text": f" {word}" if number else word}
        yield event("content_block_delta", index=0, delta=delta)
    yield event("content_block_stop", index=0)
    reason = "end_turn" if len(words) == len(WORDS) else "max_tokens"
    yield event(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={"output_tokens": len(words)}
    )
    yield event("message_stop")
