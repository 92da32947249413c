"""Hypothesis strategies for nestings of models, and for how they are read."""

from __future__ import annotations

from math import isqrt

from hypothesis import strategies as st

from flow_model import Answer, Fallback, Hedge, Leaf, Limit, Plain, Retry, Way, Within
from strategies import streams
from streamcore.events import BlockEnd, Extension, Failure, FailureKind, Finish, Start, TextDelta, ToolCallStart, Usage

KINDS = FailureKind.__args__

# The parts of seconds that no two durations share, nor sums of theirs: the square roots of primes.
PARTS = [n**0.5 % 1 for n in range(2, 1000) if all(n % divisor for divisor in range(2, isqrt(n) + 1))]

QUIET = [Usage(input_tokens=3), TextDelta(0, ""), Extension("made-up:ping", "{}")]
LOUD = [TextDelta(0, "word"), TextDelta(0, "words"), Usage(output_tokens=7)]


HOWS = ["end", "break", "raise", "cancelled", "stopped"]
SHAPES = ["retry", "fallback", "hedge", "limit", "within", "plain"]


class Maker:
    """Draws nestings of leaves with names of their own."""

    def __init__(self, draw, *, shapes=SHAPES, answers=3):
        self.draw = draw
        self.shapes = shapes
        self.answers = answers
        self.leaves = self.durations = 0

    def one_of(self, *values):
        return self.draw(st.sampled_from(values))

    def seconds(self, most=6):
        self.durations += 1
        return self.draw(st.integers(0, most)) + PARTS[self.durations % len(PARTS)]

    def failure(self):
        retry_after = self.one_of(None, None, None, 0.0, 1000.0, self.seconds())
        kind, should = self.draw(st.sampled_from(KINDS)), self.one_of(None, None, True, False)
        return Failure(kind, "scripted", detail="scripted", retry_after=retry_after, should_retry=should)

    def answer(self):
        opening = self.seconds()
        if self.one_of(False, False, True, False, True):
            return Answer(opening, self.failure())
        steps, breaks = self.events(), None
        match self.one_of("finish", "finish", "fail", "break", "cut"):
            case "finish":
                steps += [*ends(steps), Finish("stop")]
            case "fail":
                steps.append(self.failure())
            case "break":
                breaks = self.failure()
        for _ in range(self.one_of(1, 2, 3, 0)):
            steps.insert(self.draw(st.integers(0, len(steps))), self.seconds())
        last = next((number for number, step in enumerate(steps) if isinstance(step, Finish | Failure)), len(steps))
        return Answer(opening, None, tuple(steps[: last + 1]), breaks)

    def events(self):
        """The events of a stream up to its end: without content, with some, or any."""
        steps = [Start("id", "model"), *self.draw(st.lists(st.sampled_from(QUIET), max_size=2))]
        shape = self.one_of("none", "words", "words", "call", "any", "nothing")
        if shape == "nothing":
            return []
        if shape == "any":
            return self.draw(streams())[:-1]
        if shape == "call":
            return [Start(), ToolCallStart(0, "id", "name")]
        if shape == "words":
            steps += [LOUD[0], *self.draw(st.lists(st.sampled_from(LOUD), max_size=2))]
        return steps

    def deadlines(self):
        names = self.draw(st.sets(st.sampled_from(["first_token", "idle", "total"]), max_size=2))
        return {name: self.seconds(4 if name == "idle" else 16) for name in sorted(names)}

    def models(self, depth):
        return tuple(self.nesting(depth) for _ in range(self.one_of(2, 1, 3)))

    def nesting(self, depth, shape=None):
        match shape or (self.one_of("leaf", *self.shapes) if depth else "leaf"):
            case "leaf":
                self.leaves += 1
                return Leaf(
                    f"m{self.leaves}", tuple(self.answer() for _ in range(self.draw(st.integers(1, self.answers))))
                )
            case "retry":
                seconds = self.one_of(None, None, self.seconds(20))
                return Retry(self.nesting(depth - 1), self.one_of(3, 2, 1), seconds, self.one_of(0.0, self.seconds(3)))
            case "fallback":
                kinds = self.one_of(None, frozenset(KINDS[5:]))
                return Fallback(self.models(depth - 1), kinds, self.deadlines())
            case "hedge":
                return Hedge(self.models(depth - 1), self.seconds(2))
            case "limit":
                return Limit(self.nesting(depth - 1), self.one_of(1, 2))
            case "within":
                return Within(self.nesting(depth - 1), self.deadlines())
            case _:
                return Plain(self.nesting(depth - 1))

    def way(self, how=None):
        how = how or self.one_of(*HOWS)
        manner = self.one_of("iterate", "read", "pull", "collect", "tee")
        return Way(how, manner, self.draw(st.integers(0, 6)), self.seconds(16), self.one_of({}, self.deadlines()))


@st.composite
def situations(draw, shape, how):
    """A nesting, outermost of this shape, and how it is read: the first time like this."""
    maker = Maker(draw)
    return maker.nesting(maker.one_of(2, 1, 3, 4), shape), (maker.way(how), maker.way())


@st.composite
def crowds(draw):
    """A limit, and several who come to it; at last, when those are gone, as many at once as there are places."""
    maker = Maker(draw, shapes=[shape for shape in SHAPES if shape != "limit"], answers=1)
    nesting = maker.nesting(draw(st.integers(0, 2)))
    arrivals, now = [], 0.0
    for _ in range(draw(st.integers(1, 6))):
        now += maker.seconds(3)
        arrivals.append((now, maker.way()))
    places = draw(st.integers(1, 3))
    arrivals += [(1000 + part / 1000, Way()) for part in PARTS[:places]]
    return Limit(nesting, places, maker.one_of(None, None, 0, 1, 2)), sorted(arrivals, key=lambda arrival: arrival[0])


def ends(steps):
    """The ends of the blocks that are open."""
    blocks = {step.index for step in steps if getattr(step, "index", None) is not None}
    return [BlockEnd(index) for index in sorted(blocks - {step.index for step in steps if type(step) is BlockEnd})]
