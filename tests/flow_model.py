"""What models made of models promise, written down: small, slow, and without a task, a lock or a wait.

A nesting is data: a `Leaf` is asked, the others are made of nestings. `course` says how one request through a nesting
goes if its reader takes everything at once; `read` says what is seen of that by a reader who reads in some `Way`. Times
are sums of seconds, and what happens at the same time by chance, so that nobody promises an order, is a `TieError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from math import inf
from typing import TypeAlias

from streamcore import Failure, Finish, Start
from streamcore.events import Event, is_content

TRUNCATED = Failure("truncated", "")


class TieError(Exception):
    """Two things happen at the same time."""


def before(one: float, other: float) -> bool:
    if abs(one - other) < 1e-6:
        raise TieError
    return one < other


# --- Nestings ---


@dataclass(frozen=True)
class Answer:
    """Seconds until there is a response, then its refusal or its steps: events, and seconds in between.

    After the last step the body ends, unless it breaks.
    """

    opening: float
    refusal: Failure | None = None
    steps: tuple[Event | float, ...] = ()
    breaks: Failure | None = None


@dataclass(frozen=True)
class Leaf:
    """Gives its answers in order, the last one again and again."""

    name: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Plain:
    """A user's own model, which passes on what the other gives."""

    model: Nesting


@dataclass(frozen=True)
class Within:
    model: Nesting
    deadlines: dict[str, float]


@dataclass(frozen=True)
class Retry:
    model: Nesting
    attempts: int
    seconds: float | None
    backoff: float


@dataclass(frozen=True)
class Fallback:
    models: tuple[Nesting, ...]
    kinds: frozenset[str] | None
    """Those that fall through; None for all."""
    deadlines: dict[str, float]


@dataclass(frozen=True)
class Hedge:
    models: tuple[Nesting, ...]
    after: float


@dataclass(frozen=True)
class Limit:
    model: Nesting
    concurrency: int
    waiting: int | None = 0
    """By default nobody may wait: then whoever would have to came upon a place that was lost."""


Nesting: TypeAlias = Leaf | Plain | Within | Retry | Fallback | Hedge | Limit


# --- The promises ---


@dataclass(frozen=True)
class Asked:
    """One request at one leaf: when it began, when it was closed, how it ended; None if somebody else ended it."""

    leaf: str
    begun: float
    ended: float
    outcome: Finish | Failure | None


@dataclass(frozen=True)
class Course:
    """How a request goes: what each read gives, and when.

    The very last event is a `Finish` or a `Failure`. The first `held` of the batches are there when `async with` returns,
    at `opened`; None if it raises that last event, the only one then.
    """

    opened: float | None
    batches: tuple[tuple[float, tuple[Event, ...]], ...]
    asked: tuple[Asked, ...]
    held: int = 0

    @property
    def ended(self) -> float:
        return self.batches[-1][0]

    @property
    def outcome(self) -> Event:
        return self.batches[-1][1][-1]

    def content(self) -> int | None:
        """The batch that makes this the answer: the first with content, or the end of an answer without. Or it fails."""
        for number, (_, events) in enumerate(self.batches):
            if any(map(is_content, events)) or isinstance(events[-1], Finish):
                return number
        return None

    def cut(self, now: float, failure: Failure) -> Course:
        """The same if this failure ends it from outside: whatever is open is closed now, and nothing more is asked."""
        asked = tuple(
            each if before(each.ended, now) else replace(each, ended=now, outcome=None)
            for each in self.asked
            if before(each.begun, now)
        )
        if self.opened is None or before(now, self.opened):
            return failed(now, failure, asked)
        batches = tuple(batch for batch in self.batches if before(batch[0], now))
        last = (failure,) if batches else (Start(), failure)
        return replace(self, batches=(*batches, (now, last)), asked=asked)


def failed(now: float, failure: Event, asked: tuple[Asked, ...]) -> Course:
    return Course(None, ((now, (failure,)),), asked)


def chosen(course: Course, asked: tuple[Asked, ...]) -> Course:
    """This is the answer: what came up to its content is there at once; the answers before it are as if never given."""
    number = course.content()
    assert number is not None
    now = course.batches[number][0]
    first = tuple(event for _, events in course.batches[: number + 1] for event in events)
    return Course(now, ((now, first), *course.batches[number + 1 :]), asked + course.asked, held=1)


def course(nesting: Nesting, asked: tuple[Asked, ...], now: float, deadlines: dict[str, float] | None = None) -> Course:
    """How a request goes that is made now, after all that were `asked` before, with these deadlines for its stream."""
    deadlines = deadlines or {}
    match nesting:
        case Plain(model):
            return course(model, asked, now, deadlines)
        case Within(model, own):
            return course(model, asked, now, {**own, **deadlines})
        case Leaf():
            raw = leaf(nesting, asked, now)
        case Retry():
            raw = retried(nesting, asked, now)
        case Fallback():
            raw = fallen(nesting, asked, now)
        case Hedge():
            raw = hedged(nesting, asked, now)
        case Limit(model):
            raw = course(model, asked, now)  # nobody else is there
    return timed(raw, deadlines, now)


def leaf(nesting: Leaf, asked: tuple[Asked, ...], now: float) -> Course:
    number = sum(each.leaf == nesting.name for each in asked)
    answer = nesting.answers[min(number, len(nesting.answers) - 1)]
    ask = partial(Asked, nesting.name, now)
    opened = now = now + answer.opening
    if answer.refusal is not None:
        return failed(now, answer.refusal, (ask(now, answer.refusal),))
    batches: list[tuple[float, tuple[Event, ...]]] = []
    for step in answer.steps:
        if isinstance(step, float):
            now += step
        else:
            batches.append((now, (step,)))
    if not batches or not isinstance(batches[-1][1][-1], Finish | Failure):
        batches.append((now, (answer.breaks or TRUNCATED,)))
    at, first = batches[0]
    if not isinstance(first[0], Start):  # every stream begins with one
        batches[0] = (at, (Start(), *first))
    result = Course(opened, tuple(batches), ())
    return replace(result, asked=(ask(result.ended, result.outcome),))


def timed(raw: Course, deadlines: dict[str, float], now: float) -> Course:
    """Until the first content `first_token` counts, or else `idle`, which counts from each content; `total` always."""
    end, silent = now + deadlines.get("total", inf), now
    name = "first_token" if "first_token" in deadlines else "idle"
    for happens, events in raw.batches:
        due = silent + deadlines.get(name, inf)
        if min(due, end) < inf and before(min(due, end), happens):
            return raw.cut(min(due, end), Failure("timeout", "", detail="total" if before(end, due) else name))
        if any(map(is_content, events)):
            silent, name = happens, "idle"
    return raw


def retried(nesting: Retry, asked: tuple[Asked, ...], now: float) -> Course:
    """The same again after a failure before content, if that may help, there is an attempt left, and time to begin it."""
    mine: tuple[Asked, ...] = ()
    give_up = inf if nesting.seconds is None else now + nesting.seconds
    for attempt in range(nesting.attempts):
        one = course(nesting.model, asked + mine, now)
        if one.content() is not None:
            return chosen(one, mine)
        mine += one.asked
        failure = one.outcome
        wait = min(nesting.backoff * 2**attempt, 60.0)
        now = one.ended + min(failure.retry_after or 0.0, 60.0) + wait
        if not failure.retryable or (give_up < inf and before(give_up, now)):
            break
    return failed(one.ended, failure, mine)


def fallen(nesting: Fallback, asked: tuple[Asked, ...], now: float) -> Course:
    """The next one after a failure before content, if it is of a kind that falls through."""
    mine: tuple[Asked, ...] = ()
    for model in nesting.models:
        one = course(model, asked + mine, now, nesting.deadlines)
        if one.content() is not None:
            return chosen(one, mine)
        mine += one.asked
        now = one.ended
        if nesting.kinds is not None and one.outcome.kind not in nesting.kinds:
            break
    return failed(one.ended, one.outcome, mine)


def hedged(nesting: Hedge, asked: tuple[Asked, ...], now: float) -> Course:
    """One more each time that `after` has passed since the last was asked, or that one has failed, until one has content."""
    racing: list[Course] = []
    won = inf
    for model in nesting.models:
        if won < inf and before(won, now):
            break
        one = course(model, asked, now)
        racing.append(one)
        number = one.content()
        if number is not None:
            won = min(won, one.batches[number][0])
        lost = [each.ended for each in racing if each.content() is None and each.ended > now]
        now = min([now + nesting.after, *lost])
    if won == inf:
        last = max(racing, key=lambda each: each.ended)
        return failed(last.ended, last.outcome, tuple(each for one in racing for each in one.asked))
    winner = next(one for one in racing if (at := one.content()) is not None and one.batches[at][0] == won)
    result = chosen(winner, ())
    lost = Failure("cancelled", "")
    asked = tuple(each for one in racing for each in (one if one is winner else one.cut(won, lost)).asked)
    return replace(result, asked=asked)


# --- Readers ---


@dataclass(frozen=True)
class Way:
    """How somebody reads, with what deadlines.

    To the `end`, in one of several manners; `break` or `raise` after `count` events; until the task is `cancelled`, or
    the stream `stopped` by another task, after so many `seconds`.
    """

    how: str = "end"
    manner: str = "iterate"
    count: int = 0
    seconds: float = 0.0
    deadlines: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    """What a reader sees: the events, the failure that was raised, the outcome, when it was over, and who was asked."""

    events: list[Event]
    raised: Failure | None
    outcome: Event
    ended: float
    asked: tuple[Asked, ...]


def read(one: Course, way: Way, now: float) -> Seen:
    if way.how in {"break", "raise"} and one.opened is not None:
        return leave(one, way.count, "closed" if way.how == "break" else "exception")
    cut = way.how in {"cancelled", "stopped"} and before(now + way.seconds, one.ended)
    if cut:
        reading = one.opened is not None and before(one.opened, now + way.seconds)
        detail = "cancel" if way.how == "stopped" else "read" if reading else "task"
        one = one.cut(now + way.seconds, Failure("cancelled", "", detail=detail))
    gone = cut and way.how == "cancelled"  # reads no more
    batches = one.batches[:-1] if gone else one.batches
    events = [event for _, events in batches for event in events if not isinstance(event, Failure)]
    raised = one.outcome if isinstance(one.outcome, Failure) and not gone else None
    return Seen(events, raised, one.outcome, one.ended, one.asked)


def leave(one: Course, count: int, detail: str) -> Seen:
    """The reader goes after so many events, and everything with it, then. What was read may prove that it had ended."""
    assert one.opened is not None
    events: list[Event] = []
    now, taken = one.opened, 0
    while len(events) < count and taken < len(one.batches):
        now, batch = one.batches[taken]
        events += batch
        taken += 1
    taken = max(taken, one.held)
    if taken == len(one.batches):
        given = [event for event in events if not isinstance(event, Failure)]
        raised = one.outcome if isinstance(one.outcome, Failure) and len(given) < count else None
        return Seen(given[:count], raised, one.outcome, now, one.asked)
    asked = tuple(
        replace(each, ended=now, outcome=None) if each.ended >= now else each for each in one.asked if each.begun <= now
    )
    return Seen(events[:count], None, Failure("cancelled", "", detail=detail), now, asked)


def crowd(nesting: Limit, arrivals: list[tuple[float, Way]]) -> list[Seen]:
    """What they see who come to a limit at these times, in order. Who waits longest gets the next place.

    No leaf may care how often it was asked, and there may be no other limit in it: what happens to one must not depend on
    those who came later.
    """
    seen: list[Seen] = []
    free = [-inf] * nesting.concurrency
    begins: list[float] = []
    for now, way in arrivals:
        free.sort()
        begin = now if before(free[0], now) else free[0]
        waiting = sum(before(now, min(at, one.ended)) for at, one in zip(begins, seen, strict=True) if at != -inf)
        if begin > now and nesting.waiting is not None and waiting >= nesting.waiting:
            one = failed(now, Failure("overloaded", "", detail="limit"), ())
            begin = -inf
        else:
            one = timed(course(nesting.model, (), begin), way.deadlines, now)
        seen.append(read(one, way, now))
        begins.append(begin)
        if seen[-1].ended > begin != -inf:
            free[0] = seen[-1].ended
    return seen
