"""Give any model's answer to a client of Chat Completions: its request read, our events written in its format."""

import anyio

import streamcore as sc
from streamcore.testing import ScriptedModel, check_cuts
from streamcore_adapters import openai_chat
from streamcore_adapters.openai_chat import server

SCRIPT: list[sc.Event] = [sc.Start("r-1", "scripted"), sc.TextDelta(0, "Hi there"), sc.Finish("stop")]
BODY = b'{"model":"any","messages":[{"role":"user","content":"Hi"}],"stream":true}'


async def main(model: sc.Model) -> None:
    """Answer one request; a failure is written too, as the format's own error."""
    call = server.parse(BODY, {})
    encoder = server.Encoder(call)
    written = b""
    try:
        async with model.stream(call.request) as stream:
            async for event in stream:
                written += encoder.feed(event)
    except sc.StreamFailed as error:
        written += encoder.feed(error.failure)
    print(written.decode())
    check_cuts(openai_chat, written)  # what was written reads the same however it is cut


if __name__ == "__main__":
    anyio.run(main, ScriptedModel(SCRIPT))
    anyio.run(main, ScriptedModel(SCRIPT[:2]))
