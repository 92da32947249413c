"""`streamcore chat`: one answer, or a conversation."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING

import anyio

from streamcore.events import Finish
from streamcore.request import Message, Request
from streamcore.request import prompt as prompt_request

from .asking import Answer, ask, close
from .models import chosen

if TYPE_CHECKING:
    from streamcore.endpoint import Endpoint

    from .models import Choice
    from .terminal import Terminal

__all__ = ["run"]


def run(terminal: Terminal, choice: Choice, *, prompt: str | None, system: str | None, max_tokens: int | None) -> int:
    """One answer to `prompt` ("-" is all of stdin), or a conversation if it is None; the exit status.

    Raises:
        LocalError: There is no such model, or it cannot be asked this.
    """
    if prompt == "-":
        prompt = sys.stdin.read()
    request = None if prompt is None else prompt_request(prompt, system=system, max_tokens=max_tokens)
    with chosen(choice, terminal) as (endpoint, _, _):
        if request is None:
            return _converse(terminal, endpoint, system=system, max_tokens=max_tokens)
        return close(anyio.run(_answer, endpoint, request, terminal), terminal)


def _converse(terminal: Terminal, endpoint: Endpoint, *, system: str | None, max_tokens: int | None) -> int:
    """Answer line after line; the exit status is that of the last answer."""
    interactive = sys.stdin.isatty()
    with suppress(ImportError):
        import_module("readline")  # gives `input` its editing and history, where there is one
    if interactive:
        terminal.message("Ctrl-D ends the conversation.")
    said: tuple[Message, ...] = () if system is None else (Message("system", system),)
    status = 0
    while (line := _line(terminal, interactive=interactive)) is not None:
        if line.strip():
            request = Request(messages=(*said, Message("user", line)), max_tokens=max_tokens)
            status, said = _conclude(anyio.run(_answer, endpoint, request, terminal), request, said, terminal)
    return status


def _line(terminal: Terminal, *, interactive: bool) -> str | None:
    try:
        return terminal.ask("> ", interactive=interactive)
    except EOFError:
        terminal.end()
        return None


def _conclude(
    answer: Answer, request: Request, said: tuple[Message, ...], terminal: Terminal
) -> tuple[int, tuple[Message, ...]]:
    """End a turn: its exit status, and what has been said so far. A question without an answer is forgotten."""
    status = close(answer, terminal)
    message = answer.fold.message
    if isinstance(answer.outcome, Finish) and message.content:
        said = (*request.messages, message)
    return status, said


async def _answer(endpoint: Endpoint, request: Request, terminal: Terminal) -> Answer:
    """One event loop for each answer: nothing runs, and no signal is held back, while the user thinks."""
    async with endpoint:
        return await ask(endpoint, request, terminal)
