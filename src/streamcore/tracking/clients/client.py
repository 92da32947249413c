"""Clients of httpx and httpx2 whose streams leave records: for those who call a model by its provider's own SDK.

Each transport of the client is put inside one of ours (`carrying`). What it asks `watch` to listen to is heard by a `Tap`.

A client shows its transports only by the names `_transport` and `_mounts`, which are private, though they have been the
same in all versions of httpx since 0.15 and in httpx2, and other instrumentation stands on them as well. A client without
them is refused.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar, overload

from streamcore.errors import LocalError
from streamcore.tracking.counting import Characters
from streamcore.tracking.prices import Prices
from streamcore.tracking.track import Desk, ledger_of

from .carrying import is_ours, kinds
from .watch import Watch
from .wires import WIRES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx
    import httpx2

    from streamcore.tracking.counting import TokenCounter
    from streamcore.tracking.ledger import Ledger, Sink
    from streamcore.tracking.prices import PriceList

    from .wires import Wire

    C = TypeVar("C", bound=httpx.Client | httpx.AsyncClient | httpx2.Client | httpx2.AsyncClient)

__all__ = ["tracked_client"]

CONNECTIONS: Final = 1000  # as many as the SDKs of OpenAI and Anthropic allow themselves
KEPT_CONNECTIONS: Final = 100


@overload
def tracked_client(
    *to: Sink | Ledger,
    client: None = None,
    wires: Sequence[Wire] = (),
    prices: Prices | PriceList | None = None,
    counter: TokenCounter | None = None,
) -> httpx2.AsyncClient: ...


@overload
def tracked_client(
    *to: Sink | Ledger,
    client: C,
    wires: Sequence[Wire] = (),
    prices: Prices | PriceList | None = None,
    counter: TokenCounter | None = None,
) -> C: ...


def tracked_client(
    *to: Sink | Ledger,
    client: Any = None,
    wires: Sequence[Wire] = (),
    prices: Prices | PriceList | None = None,
    counter: TokenCounter | None = None,
) -> Any:
    """This client, whose requests for streams leave a `Record` each: to these sinks, or to a ledger.

    `client` is any of httpx or httpx2, sync or async, new or in use; it comes back itself. Without one it is a new
    `httpx2.AsyncClient` (of httpx, where httpx2 is not installed) that follows redirects and has the library's own timeouts,
    which the SDKs take as a sign to use theirs. Closing it closes no ledger: close the one that you gave; one that is
    made here for sinks is closed when Python exits. `wires` are formats of your own, before those that are known.
    `prices` and `counter` are as for `track`.

    Raises:
        LocalError: It is no such client, or tracked already; there is no sink and no ledger; or as for `track`.
    """
    found = prices if isinstance(prices, Prices) else Prices(prices)
    client = _new_client() if client is None else client
    library = _library(client)
    mounts: dict[Any, Any] | None = getattr(client, "_mounts", None)
    inner: object = getattr(client, "_transport", None)
    if inner is None or mounts is None:
        raise LocalError(
            f"this version of {library.__name__} does not show its transports: the client cannot be tracked"
        )
    if is_ours(inner):
        raise LocalError("the client is tracked already")
    ledger = ledger_of(to, found)
    if ledger is None:
        raise LocalError("a tracked client needs a sink or a ledger for its records")
    desk = Desk(ledger, found, counter or Characters())
    watch = Watch(client, library, desk, (*wires, *WIRES))
    wrap = kinds(library.__name__)[isinstance(client, library.AsyncClient)]
    client._transport = wrap(inner, watch)  # noqa: SLF001 - see above
    client._mounts = {  # noqa: SLF001
        pattern: None if transport is None else wrap(transport, watch) for pattern, transport in mounts.items()
    }
    return client


def _new_client() -> Any:
    try:
        library: Any = import_module("httpx2")
    except ImportError:
        library = import_module("httpx")
    limits = library.Limits(max_connections=CONNECTIONS, max_keepalive_connections=KEPT_CONNECTIONS)
    return library.AsyncClient(limits=limits, follow_redirects=True)


def _library(client: object) -> Any:
    """Whichever of httpx and httpx2 made the client."""
    for kind in type(client).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in {"httpx", "httpx2"} and kind.__name__ in {"Client", "AsyncClient"}:
            return import_module(name)
    raise LocalError(f"a client of httpx or httpx2 can be tracked, not {type(client).__name__}")
