"""`streamcore demo`: one prompt to a real model on this machine, over every wire it speaks."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from streamcore.errors import StreamFailed
from streamcore.events import Failure
from streamcore.request import prompt as prompt_request

from . import local, scripted
from .asking import Answer, ask
from .terminal import BOLD, DIM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamcore.request import Request

    from .terminal import Terminal

__all__ = ["Row", "run", "table"]

_HEADS: Final = ("wire", "outcome", "input", "output", "first token", "duration", "tokens/s")


class Row(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one wire brought; a line of `--json`. Times in milliseconds, None for what is not known."""

    wire: str
    adapter: str
    model: str | None
    text: str
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    first_token_ms: float | None
    duration_ms: float
    tokens_per_second: float | None
    failure: Failure | None = None


def run(terminal: Terminal, *, prompt: str, max_tokens: int, as_json: bool) -> int:
    """Show the answers and a table of them, or JSON lines; 0 if every wire finished, else 1.

    Raises:
        LocalError: The prompt is empty.
    """
    request = prompt_request(prompt, max_tokens=max_tokens)
    with ExitStack() as stack:
        try:
            model = stack.enter_context(local.serve(terminal, reuse=False))  # the second wire would look faster
        except local.UnavailableError as error:
            terminal.message(f"{error}; a scripted one answers instead. For the real one: {local.INSTALL}")
            model = stack.enter_context(scripted.serve())
        if not as_json:
            terminal.line(f"{prompt}\n", DIM)
        return _report(anyio.run(_ask_over_all, model, request, terminal, as_json), terminal, as_json=as_json)


async def _ask_over_all(model: local.Local, request: Request, terminal: Terminal, as_json: bool) -> list[Row]:  # noqa: FBT001 - anyio.run passes by position
    await _ask(model, model.wires[0], prompt_request("Hello", max_tokens=1), terminal, quiet=True)  # loads what is lazy
    rows: list[Row] = []
    for wire in model.wires:
        if not as_json:
            terminal.line(wire.title, BOLD)
        rows.append(_row(wire, await _ask(model, wire, request, terminal, quiet=as_json)))
        terminal.line(msgspec.json.encode(rows[-1]).decode() if as_json else "")
    return rows


async def _ask(model: local.Local, wire: local.Wire, request: Request, terminal: Terminal, *, quiet: bool) -> Answer:
    """Ask over one wire, and over a connection of its own: llama.cpp closes them after a stream, although it says not."""
    async with model.endpoint(wire.adapter) as endpoint:
        return await ask(endpoint, request, terminal, quiet=quiet)


def _report(rows: list[Row], terminal: Terminal, *, as_json: bool) -> int:
    """The table, unless the rows have been shown as JSON; the exit status."""
    if not as_json:
        head, *lines = table(rows)
        terminal.line(head, BOLD)
        for line in lines:
            terminal.line(line)
    failures = [(row.wire, row.failure) for row in rows if row.failure is not None]
    for wire, failure in failures:
        terminal.error(f"{wire}: {StreamFailed(failure)}")
    return 1 if failures else 0


def _row(wire: local.Wire, answer: Answer) -> Row:
    outcome, usage = answer.outcome, answer.usage
    output = None if usage is None else usage.output_tokens
    return Row(
        wire.title,
        wire.adapter,
        answer.fold.model,
        answer.fold.text,
        outcome.kind if isinstance(outcome, Failure) else outcome.reason,
        None if usage is None else usage.input_tokens,
        output,
        None if answer.first is None else round(answer.first * 1000, 1),
        round(answer.seconds * 1000, 1),
        None if output is None else round(output / answer.seconds, 1),
        outcome if isinstance(outcome, Failure) else None,
    )


def table(rows: list[Row]) -> list[str]:
    """The rows under their heads, words to the left, numbers to the right."""
    cells = [_HEADS, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_HEADS))]
    return ["  ".join(_aligned(line, widths)).rstrip() for line in cells]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.wire,
        row.outcome,
        _number(row.input_tokens),
        _number(row.output_tokens),
        _number(row.first_token_ms, ".0f", " ms"),
        _number(row.duration_ms / 1000, ".2f", " s"),
        _number(row.tokens_per_second, ".0f"),
    )


def _number(value: float | None, form: str = "", unit: str = "") -> str:
    return "?" if value is None else f"{value:{form}}{unit}"


def _aligned(line: tuple[str, ...], widths: list[int]) -> Iterator[str]:
    for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
        yield cell.ljust(width) if column < 2 else cell.rjust(width)
