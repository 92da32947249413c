"""The commands over stored records: what they take, and which records are meant."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from streamcore.tracking.history.queries import Filters

    from .terminal import Terminal

__all__ = ["FIELDS", "STATUSES", "TIMES", "add_options", "instant", "run"]

# Said here as well as where they are from, so that the command is quick to explain itself.
TIMES: Final = ("hour", "day", "month")
FIELDS: Final = {
    "model": "that were asked of this model",
    "answered-by": "that this model says it answered",
    "provider": "that went to this provider",
    "adapter": "that went by this adapter",
    "host": "that went to this host",
    "feature": "for this feature",
    "user": "for this user",
    "conversation": "of this conversation",
    "status": "that ended so: success, error, cancelled, truncated, timeout or lost",
}
STATUSES: Final = ("SUCCESS", "ERROR", "CANCELLED", "TRUNCATED", "TIMEOUT", "LOST")

_GROUPS: Final = (*TIMES, *FIELDS)
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def run(options: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command that was asked for; its exit status.

    Raises:
        LocalError: There is no such store, or it does not answer.
    """
    from streamcore.tracking.history.store import opened  # noqa: PLC0415 - each command imports what it needs

    filters, style = _filters(options), options.style
    with opened(options.store) as store:
        if options.command == "usage":
            from . import usage  # noqa: PLC0415

            return usage.run(terminal, store, filters, by=options.by or ["day"], style=style)
        if options.command == "requests":
            from . import requests  # noqa: PLC0415

            every = options.interval if options.follow else None
            return requests.run(terminal, store, filters, limit=options.limit, style=style, every=every)
        from . import reprice  # noqa: PLC0415

        own = reprice.read(options.prices, options.prices_version)
        return reprice.run(terminal, store, filters, prices=own, style=style, dry_run=options.dry_run)


def _filters(options: argparse.Namespace) -> Filters:
    from streamcore.tracking.history.queries import Filters  # noqa: PLC0415

    given = {name: getattr(options, name.replace("-", "_")) for name in FIELDS}
    values: dict[str, list[str]] = {name: wanted for name, wanted in given.items() if wanted}
    for name, value in options.tag:
        values.setdefault(f"tag:{name}", []).append(value)
    return Filters(since=options.since, until=options.until, values=values)


def add_options(
    usage: argparse.ArgumentParser, requests: argparse.ArgumentParser, reprice: argparse.ArgumentParser
) -> None:
    """Say what the three commands take."""
    for command in (usage, requests, reprice):
        command.add_argument(
            "store", metavar="STORE", help="the file of a SQLite sink, or the address of a database: postgresql://…"
        )
        style = command.add_mutually_exclusive_group()
        for name, what in (("json", "JSON lines"), ("csv", "CSV with a head")):
            style.add_argument(f"--{name}", dest="style", action="store_const", const=name, help=f"print {what}")
        command.set_defaults(style="table")
    usage.add_argument(
        "--by",
        action="append",
        type=_group,
        metavar="WHAT",
        help=f"what to add up by: {', '.join(_GROUPS)} or tag:NAME; day by default; again, by both",
    )
    requests.add_argument("--limit", type=_count, default=20, metavar="N", help="at most so many (%(default)s)")
    requests.add_argument("--follow", action="store_true", help="then each that is stored, until interrupted")
    requests.add_argument(
        "--interval", type=_seconds, default=1.0, metavar="SECONDS", help="how often --follow looks (%(default)g)"
    )
    reprice.add_argument(
        "--prices",
        type=Path,
        metavar="FILE",
        help='own prices of a million tokens, before those of genai-prices: {"model": {"input": 0.15, "output": 0.6}}',
    )
    reprice.add_argument(
        "--prices-version", default="1", metavar="TEXT", help="what the records call those prices (%(default)s)"
    )
    reprice.add_argument("--dry-run", action="store_true", help="show what would change, and write nothing")
    for command in (usage, requests, reprice):
        _add_filters(command)


def _add_filters(command: argparse.ArgumentParser) -> None:
    which = command.add_argument_group(
        "which requests", 'those for which all of this is true, by default all; "" is none, an option again is "or"'
    )
    which.add_argument(
        "--since",
        type=_instant,
        metavar="TIME",
        help="that began then or later: a date or time (UTC, unless it says), or so long ago: 30m, 12h, 7d",
    )
    which.add_argument("--until", type=_instant, metavar="TIME", help="that began before then")
    for name, help in FIELDS.items():
        metavar = name.upper().replace("-", "_")
        if name == "status":
            which.add_argument(
                "--status", action="append", type=str.upper, choices=STATUSES, metavar=metavar, help=help
            )
        else:
            which.add_argument(f"--{name}", action="append", metavar=metavar, help=help)
    which.add_argument("--tag", action="append", type=_tag, default=[], metavar="NAME=VALUE", help="with this tag")


def instant(text: str) -> datetime:
    """A moment: a year, a month, a date, a date and time, or how long ago.

    Raises:
        ValueError, OverflowError: It is none.
    """
    ago = re.fullmatch(r"(\d+)([smhdw])", text, re.ASCII)
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    if re.fullmatch(r"\d{4}(-\d\d)?", text, re.ASCII):
        text += "0000-01-01"[len(text) :]
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _instant(text: str) -> datetime:
    try:
        return instant(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text!r} is no time; such as 2026-11-20, 2026-11-20T18:30 or 7d") from None


def _group(text: str) -> str:
    if text not in _GROUPS and not text.startswith("tag:"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(_GROUPS)} or tag:NAME")
    return text


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0, not {number}")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not (isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return number
