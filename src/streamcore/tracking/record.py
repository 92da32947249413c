"""What one stream leaves behind: who asked whom for what, how it ended, how fast it was, what it cost.

Every number says where it comes from (`Provenance`): `reported` by the provider, `derived` from what it reported,
`estimated` here, or `missing`. What is unknown is None, never 0. A record holds no prompt, no answer, no header and no key.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec resolves the annotations
from decimal import Decimal  # noqa: TC003
from typing import Literal, TypeAlias

from msgspec import Struct

from streamcore.adapter import Billed  # noqa: TC001
from streamcore.events import Failure, Finish, Usage
from streamcore.upstream import Origin  # noqa: TC001

from .providers import provider_of

__all__ = ["AttemptRecord", "Context", "Cost", "Marks", "Provenance", "Record", "Status", "Tokens", "status_of"]

Provenance: TypeAlias = Literal["reported", "derived", "estimated", "missing"]

Status: TypeAlias = Literal["SUCCESS", "ERROR", "CANCELLED", "TRUNCATED", "TIMEOUT", "LOST"]
"""How a stream ended, in a word. `LOST`: the process died before it did, which only its journal knows."""

_STATUSES: dict[str, Status] = {"truncated": "TRUNCATED", "cancelled": "CANCELLED", "timeout": "TIMEOUT"}


def status_of(outcome: Finish | Failure | None) -> Status:
    """The word for an outcome; None is a stream whose process died."""
    if outcome is None:
        return "LOST"
    return "SUCCESS" if isinstance(outcome, Finish) else _STATUSES.get(outcome.kind, "ERROR")


class Context(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a stream is for: set around it, and the same for every attempt. `tags` are the caller's own words."""

    feature: str | None = None
    user: str | None = None
    conversation_id: str | None = None
    tags: dict[str, str] = {}


class Tokens(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Usage, and for each of its fields that is known or estimated where it comes from; those not named are missing."""

    usage: Usage = Usage()
    sources: dict[str, Provenance] = {}


class Cost(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Money, in units of `currency`.

    `known` is the part that follows from what the provider reported, `estimated` the part that follows from our
    estimates; None where there is none. `breakdown` are both, by kind of token as far as the price list tells.
    `price_list` names the prices and their version. `provenance` of the whole: `derived` if every part is known,
    `estimated` if any is not, `missing` without a price or without usage.
    """

    known: Decimal | None = None
    estimated: Decimal | None = None
    provenance: Provenance = "missing"
    currency: str = "USD"
    price_list: str | None = None
    breakdown: dict[str, Decimal] = {}

    @property
    def amount(self) -> Decimal | None:
        """The whole, estimates included; None if nothing is known of it."""
        parts = [part for part in (self.known, self.estimated) if part is not None]
        return sum(parts[1:], parts[0]) if parts else None


class Marks(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """When what happened, in seconds after the stream was asked for, by the monotonic clock. None: it did not happen.

    `sent` is the request's first attempt, after any wait for a place; `content` is text, reasoning, a call and the like,
    `text` only the answer's words; `closed` is when the outcome was known.
    """

    sent: float | None = None
    headers: float | None = None
    first_byte: float | None = None
    first_content: float | None = None
    first_text: float | None = None
    last_content: float | None = None
    closed: float | None = None


class AttemptRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request to one provider on the way to the answer, with its own usage and cost.

    `chosen` tells the one that gave the answer; `served` whether the provider may have worked on it: not if it refused
    the request or was never reached, and then there are no tokens and nothing to pay. Its `marks` are `sent`, `headers`,
    `first_byte` and `closed`, after the stream was asked for like all marks.
    """

    origin: Origin | None = None
    answered_by: str | None = None
    status: Status = "LOST"
    outcome: Finish | Failure | None = None
    request_id: str | None = None
    chosen: bool = False
    served: bool = True
    tokens: Tokens = Tokens()
    billed: Billed | None = None
    cost: Cost = Cost()
    marks: Marks = Marks()

    @property
    def provider(self) -> str | None:
        """Whom it asked, by the name that OpenTelemetry has for it, or else the adapter's."""
        return provider_of(self.origin)


class Record(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of one stream. `tracking_id` is unique, and sorts by time of creation (UUID version 7).

    `origin` is whom the stream that answered asked, `answered_by` the model that it says it is. `usage` and its
    `usage_sources`, and the `cost`, are of all attempts together, since all of them are paid for; `attempts` has them
    apart. `characters` is how many the answer said, in words, reasoning, refusals and arguments. `largest_gap`,
    `provider_wait` and `consumer_wait` are seconds. `traceparent` is OpenTelemetry's span around the opening, in W3C's
    form; None without one.
    """

    tracking_id: str
    created_at: datetime
    status: Status
    context: Context = Context()
    outcome: Finish | Failure | None = None
    origin: Origin | None = None
    answered_by: str | None = None
    request_id: str | None = None
    usage: Usage = Usage()
    usage_sources: dict[str, Provenance] = {}
    characters: int = 0
    costs: Cost = Cost()
    marks: Marks = Marks()
    largest_gap: float | None = None
    provider_wait: float | None = None
    consumer_wait: float | None = None
    bytes: int = 0
    events: int = 0
    attempts: tuple[AttemptRecord, ...] = ()
    traceparent: str | None = None

    @property
    def provider(self) -> str | None:
        """Whose answer it is, by the name that OpenTelemetry has for it (`aws.bedrock`), or else the adapter's."""
        return provider_of(self.origin)

    @property
    def cost(self) -> Decimal | None:
        """What it cost, estimates included; None if unknown. `costs` says how sure that is."""
        return self.costs.amount

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds from asking to the first content; None if there was none."""
        first = self.marks.first_content
        return None if first is None else first * 1000

    @property
    def streaming_duration_ms(self) -> float | None:
        """Milliseconds from the first content to the last; None if there was none."""
        first, last = self.marks.first_content, self.marks.last_content
        return None if first is None or last is None else (last - first) * 1000

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of output over the time from the first content to the last; None if either is unknown or 0."""
        duration, tokens = self.streaming_duration_ms, self.usage.output_tokens
        return tokens * 1000 / duration if duration and tokens else None
