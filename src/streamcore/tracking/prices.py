"""What tokens cost: by the price list of the package genai-prices, or by prices of one's own.

A price is found by host and model. A host that the list does not know has none, since a model of the same name may cost
anything there: give it your own. Prices are those of the moment at which the stream began.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from msgspec import structs

from streamcore.errors import LocalError

from .record import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from streamcore.adapter import Billed
    from streamcore.events import Usage

    from .record import AttemptRecord, Record

__all__ = ["Kind", "PriceList", "Prices", "together"]

Kind: TypeAlias = Literal[
    "input",
    "output",
    "cache_read",
    "cache_write",
    "reasoning",
    "input_audio",
    "output_audio",
    "input_image",
    "output_image",
]
"""What is priced. A kind without a price of its own is priced as the input or output that it is part of."""

PriceList: TypeAlias = "Mapping[str, Mapping[Kind, Decimal | int | str]]"
"""Prices of one's own: for each model, of a million tokens of each kind."""

MILLION: Final = 1_000_000
_PARTS: Final[Mapping[str, tuple[Kind, ...]]] = {
    "input": ("cache_read", "cache_write", "input_audio", "input_image"),
    "output": ("reasoning", "output_audio", "output_image"),
}
_SURE: Final = frozenset({"reported", "derived"})
_LIBRARY_NAMES: Final[Mapping[str, str]] = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "input_audio_tokens": "input_audio_tokens",
    "output_audio_tokens": "output_audio_tokens",
    "input_image_tokens": "input_image_tokens",
    "output_image_tokens": "output_image_tokens",
}
_BILLED_APART: Final = ("cache_write_1h_tokens", "web_searches")


class Prices:
    """Price lists: `own` ones first, then that of genai-prices if it is installed (the extra `prices`).

    `own` are prices of a million tokens, by model (the one that answered, or else the one asked for) and `Kind`, in US
    dollars; `version` says which they are, in the records. Calling it with a record gives the record with its costs, and
    loads genai-prices the first time, which takes most of a second: so a ledger does it in its own thread.

    Raises:
        LocalError: A price is no number, is negative, or of no kind that is known; or one of input or output is missing.
    """

    def __init__(self, own: PriceList | None = None, *, version: str = "1") -> None:
        self._own = {model: _checked(model, prices) for model, prices in (own or {}).items()}
        self._version = version
        self._library: Any = None
        self.loaded = False

    def load(self) -> None:
        """Load genai-prices now, if it is installed."""
        if not self.loaded:
            with suppress(ImportError):
                library = importlib.import_module("genai_prices")
                with suppress(LookupError):  # it reads its prices with the first question: that is half the time
                    library.calc_price(library.Usage(), "", provider_api_url="")
                self._library = library
            self.loaded = True

    def __call__(self, record: Record, /) -> Record:
        """The record with what each attempt cost, and all together."""
        self.load()
        return self.priced(record)

    def priced(self, record: Record, /) -> Record:
        """As calling it, with the prices that are loaded."""
        attempts = tuple(
            structs.replace(attempt, cost=self._cost(attempt, record.created_at)) if attempt.served else attempt
            for attempt in record.attempts
        )
        costs = together([attempt.cost for attempt in attempts if attempt.served])
        return structs.replace(record, attempts=attempts, costs=costs)

    def _cost(self, attempt: AttemptRecord, when: datetime) -> Cost:
        usage, origin = _as_billed(attempt), attempt.origin
        named = (attempt.answered_by, None if origin is None else origin.model)
        models = [model for model in named if model is not None]
        for model in models:
            if model in self._own:
                return _cost(attempt, _by_kind(usage, self._own[model]), f"own {self._version}")
        if origin is not None and self._library is not None:
            for model in models:
                found = self._look_up(_counts(usage, attempt.billed), model, origin.host, when)
                if found is not None:
                    return _cost(attempt, *found)
        return Cost()

    def _look_up(
        self, counts: dict[str, int], model: str, host: str, when: datetime
    ) -> tuple[dict[str, Decimal], str] | None:
        """By genai-prices; None if it has no price, or cannot tell it from these counts."""
        library = self._library
        try:
            usage = library.Usage(**counts)
            found = library.calc_price(usage, model, provider_api_url=f"https://{host}", genai_request_timestamp=when)
        except (LookupError, ValueError):
            return None
        updated = "" if found.auto_update_timestamp is None else f" of {found.auto_update_timestamp:%Y-%m-%d %H:%M}"
        return _parts(found, usage, counts), f"genai-prices {library.__version__}{updated}"


def _as_billed(attempt: AttemptRecord) -> Usage:
    """The usage that is paid for. What is billed instead of what was counted has no parts that are known."""
    usage, billed = attempt.tokens.usage, attempt.billed
    if billed is None:
        return usage
    changes: dict[str, int | None] = {}
    for whole, kinds in _PARTS.items():
        tokens = getattr(billed, f"{whole}_tokens")
        if tokens is not None:
            changes |= {f"{whole}_tokens": tokens, **dict.fromkeys((f"{kind}_tokens" for kind in kinds), None)}
    return structs.replace(usage, **changes) if changes else usage


def _counts(usage: Usage, billed: Billed | None) -> dict[str, int]:
    """What was counted, by the names of genai-prices."""
    named = {name: getattr(usage, ours) for ours, name in _LIBRARY_NAMES.items()}
    if billed is not None:
        named |= {name: getattr(billed, name) for name in _BILLED_APART}
    return {name: count for name, count in named.items() if count is not None}


def _parts(found: Any, usage: Any, counts: Mapping[str, int]) -> dict[str, Decimal]:
    """What each kind cost, of a price that genai-prices found: its own calculation once more, with all other prices 0.

    So its tiers, and its rules of what is counted within what, hold here as well; the rest is input and output.
    """
    stated = cast("dict[str, Any]", vars(found.model_price))
    prices = {key: price for key, price in stated.items() if price is not None}
    parts: dict[str, Decimal] = {"input": found.input_price, "output": found.output_price}
    requests = found.total_price - found.input_price - found.output_price
    for name, count in counts.items():
        kind = name.removesuffix("_tokens").replace("output_reasoning", "reasoning")
        key = "web_searches_kcount" if kind == "web_searches" else name.replace("_tokens", "_mtok")
        if kind not in parts and key in prices and count:
            only = type(found.model_price)(**(dict.fromkeys(prices, Decimal(0)) | {key: prices[key]}))
            cost = only.calc_price(usage)
            parts[kind] = cost["total_price"]
            parts["input"] -= cost["input_price"]
            parts["output"] -= cost["output_price"]
            requests -= cost["total_price"] - cost["input_price"] - cost["output_price"]
    if requests:
        parts["requests"] = requests
    return parts


def _checked(model: str, prices: Mapping[Kind, Decimal | int | str]) -> dict[Kind, Decimal]:
    kinds = {"input", "output", *_PARTS["input"], *_PARTS["output"]}
    if not {"input", "output"} <= prices.keys() <= kinds:
        raise LocalError(
            f"prices of {model} are of input, output and, if they have their own, their parts: {sorted(kinds)}"
        )
    try:
        checked: dict[Kind, Decimal] = {kind: Decimal(price) for kind, price in prices.items()}
    except (ArithmeticError, TypeError, ValueError) as error:
        raise LocalError(f"a price of {model} is no number") from error
    if not all(price.is_finite() and price >= 0 for price in checked.values()):
        raise LocalError(f"a price of {model} is negative or no number")
    return checked


def _by_kind(usage: Usage, prices: Mapping[Kind, Decimal]) -> dict[str, Decimal]:
    """What each kind cost. What has a price of its own is not also priced as what it is part of."""
    costs: dict[str, Decimal] = {}
    for whole, kinds in _PARTS.items():
        left = getattr(usage, f"{whole}_tokens")
        if left is None:
            continue
        for kind in kinds:
            tokens = min(getattr(usage, f"{kind}_tokens") or 0, left)
            if kind in prices and tokens:
                costs[kind] = prices[kind] * tokens / MILLION
                left -= tokens
        costs[whole] = prices[cast("Kind", whole)] * left / MILLION
    return costs


def _cost(attempt: AttemptRecord, parts: dict[str, Decimal], price_list: str) -> Cost:
    """The parts, told apart by whether the tokens that they follow from are known."""
    sources = attempt.tokens.sources
    known: list[Decimal] = []
    estimated: list[Decimal] = []
    breakdown: dict[str, Decimal] = {}
    for kind, amount in parts.items():
        whole = "output" if kind == "reasoning" or kind.startswith("output") else "input"
        source = sources.get(f"{whole}_tokens")
        if source is not None:
            breakdown[kind] = amount
            (known if source in _SURE else estimated).append(amount)
    if not breakdown:
        return Cost()
    sure = all(sources.get(name) in _SURE for name in ("input_tokens", "output_tokens"))
    return Cost(
        known=_total(known),
        estimated=_total(estimated),
        provenance="derived" if sure else "estimated",
        price_list=price_list,
        breakdown=breakdown,
    )


def _total(amounts: Iterable[Decimal]) -> Decimal | None:
    amounts = list(amounts)
    return sum(amounts[1:], amounts[0]) if amounts else None


def together(costs: list[Cost]) -> Cost:
    """What all attempts cost."""
    if len(costs) == 1:
        return costs[0]
    priced = [cost for cost in costs if cost.provenance != "missing"]
    if not priced:
        return Cost()
    breakdown: dict[str, Decimal] = {}
    for cost in priced:
        for kind, amount in cost.breakdown.items():
            breakdown[kind] = breakdown.get(kind, Decimal(0)) + amount
    return Cost(
        known=_total(cost.known for cost in priced if cost.known is not None),
        estimated=_total(cost.estimated for cost in priced if cost.estimated is not None),
        provenance="derived" if all(cost.provenance == "derived" for cost in costs) else "estimated",
        price_list=", ".join(dict.fromkeys(cost.price_list for cost in priced if cost.price_list is not None)),
        breakdown=breakdown,
    )
