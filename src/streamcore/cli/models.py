"""Which model a command means: `local`, or one of a provider's."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from streamcore.endpoint import Endpoint, model
from streamcore.errors import LocalError

from .client import load_client

if TYPE_CHECKING:
    from collections.abc import Generator

    from streamcore.transport import Transport

    from .terminal import Terminal

__all__ = ["LOCAL", "Choice", "chosen"]

LOCAL = "local"


class Choice(NamedTuple):
    """What the options say. `spec` is `adapter:model`, `local`, or `local:adapter` for another of its wires."""

    spec: str
    url: str | None = None
    key: str | None = None


class Chosen(NamedTuple):
    """An endpoint, the name of its adapter, and a word on what is behind it ("" if that is not known)."""

    endpoint: Endpoint
    adapter: str
    description: str


@contextmanager
def chosen(choice: Choice, terminal: Terminal, *, transport: Transport | None = None) -> Generator[Chosen]:
    """The model that was meant. The local one runs until the `with` is left.

    Raises:
        LocalError: There is no such adapter, or no local model here.
    """
    adapter, _, rest = choice.spec.partition(":")
    if adapter != LOCAL:
        endpoint = model(choice.spec, url=choice.url, key=choice.key, transport=transport)
        load_client()
        yield Chosen(endpoint, adapter, "")
        return
    from . import local  # noqa: PLC0415 - only who needs it

    adapter = rest or local.CHAT.adapter
    with ExitStack() as stack:
        try:
            here = stack.enter_context(local.serve(terminal))
        except local.UnavailableError as error:
            raise LocalError(f"{error}; use --model, such as --model openai:gpt-4o, or: {local.INSTALL}") from error
        yield Chosen(here.endpoint(adapter, transport=transport), adapter, here.description)
