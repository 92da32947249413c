"""The command line: what it takes, and what becomes of it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streamcore import __version__
from streamcore.errors import LocalError

from . import tracked
from .terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .models import Choice

__all__ = ["parser", "run"]

_COMMANDS: Final = {
    "demo": "ask a real model on this machine over every wire it speaks; needs no key",
    "chat": "one answer, or a conversation if there is no prompt",
    "record": "write one answer to a file as it came over the wire, for tests",
    "models": "list what --model can name, and whether its key is set",
    "usage": "what tracked requests come to, by day, model, feature, user, conversation and more",
    "requests": "list the last tracked requests, and follow those that come",
    "reprice": "find anew what tracked requests cost",
}
_TRACKED: Final = ("usage", "requests", "reprice")


def run(arguments: Sequence[str] | None) -> int:
    """Run the command; its exit status.

    Raises:
        KeyboardInterrupt: It was interrupted; the terminal is at the beginning of a line.
    """
    options = parser().parse_args(arguments)
    terminal = Terminal(sys.stdout, sys.stderr, os.environ)
    try:
        return _run(options, terminal)
    except LocalError as error:
        terminal.error(str(error))
        return 2
    except KeyboardInterrupt:
        terminal.interrupted()
        raise
    except BrokenPipeError:
        # Who read the answer has gone. Without this, Python would complain when it flushes stdout at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Run what was asked for. Each command is imported when it is."""
    if options.command == "demo":
        from . import demo  # noqa: PLC0415

        return demo.run(terminal, prompt=options.prompt, max_tokens=options.max_tokens, as_json=options.json)
    if options.command == "chat":
        from . import chat  # noqa: PLC0415

        return chat.run(
            terminal, _choice(options), prompt=options.prompt, system=options.system, max_tokens=options.max_tokens
        )
    if options.command == "models":
        from . import listing  # noqa: PLC0415

        return listing.run(terminal, os.environ, as_json=options.json)
    if options.command in _TRACKED:
        return tracked.run(options, terminal)
    from . import record  # noqa: PLC0415

    return record.run(
        terminal,
        _choice(options),
        prompt=options.prompt,
        out=options.out,
        note=options.note,
        max_tokens=options.max_tokens,
    )


def _choice(options: argparse.Namespace) -> Choice:
    from .models import LOCAL, Choice  # noqa: PLC0415

    if options.model is None and (options.url or options.key):
        raise LocalError("--url and --key are for a provider's model: name it with --model adapter:model")
    return Choice(options.model or LOCAL, options.url, options.key)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    whole = argparse.ArgumentParser(prog="streamcore", description="Streamed answers of any LLM provider, in one form.")
    whole.add_argument("--version", action="version", version=f"streamcore {__version__}")
    subparsers = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands = {
        name: subparsers.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}.")
        for name, what in _COMMANDS.items()
    }

    demo = commands["demo"]
    demo.add_argument(
        "--prompt",
        default="Why is the sky blue? Answer in one short sentence.",
        metavar="TEXT",
        help="what to ask, by default why the sky is blue",
    )
    demo.add_argument(
        "--max-tokens", type=_positive, default=64, metavar="N", help="at most so many tokens an answer (%(default)s)"
    )
    demo.add_argument("--json", action="store_true", help="print JSON lines and nothing else")

    chat = commands["chat"]
    _model_options(chat)
    chat.add_argument("--system", metavar="TEXT", help="the system message")
    chat.add_argument("--max-tokens", type=_positive, metavar="N", help="at most so many tokens an answer")
    chat.add_argument("prompt", nargs="?", metavar="PROMPT", help='what to ask; "-" reads it from stdin')

    record = commands["record"]
    _model_options(record)
    record.add_argument("--out", type=Path, required=True, metavar="FILE", help="the file to write")
    record.add_argument("--note", default="", metavar="TEXT", help="what the recording shows, or where it is from")
    record.add_argument("--max-tokens", type=_positive, metavar="N", help="at most so many tokens")
    record.add_argument("prompt", metavar="PROMPT", help="what to ask")

    commands["models"].add_argument("--json", action="store_true", help="print JSON lines and nothing else")
    tracked.add_options(*(commands[name] for name in _TRACKED))
    return whole


def _model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--model",
        metavar="SPEC",
        help='adapter:model, such as openai:gpt-4o; by default "local", a small model on this machine',
    )
    command.add_argument("--url", metavar="URL", help="where the API begins; by default the provider's own address")
    command.add_argument("--key", metavar="KEY", help="by default what the provider's usual environment variable holds")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number
