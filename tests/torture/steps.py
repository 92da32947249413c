"""Something done at the k-th suspension of a task, for any k: how a life is cut off at each of its awaits."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any


class Stepped(Coroutine):
    """A coroutine for asyncio that counts how often it was suspended, and does what `at` says when it is."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at):
        self._coroutine = coroutine
        self._at = at
        self.suspended = 0

    def send(self, value):
        return self._step(self._coroutine.send, value)

    def throw(self, *error):
        return self._step(self._coroutine.throw, *error)

    def _step(self, step, *values):
        waited_for = step(*values)
        self.suspended += 1
        self._at.get(self.suspended, nothing)()
        return waited_for

    def close(self):
        self._coroutine.close()

    def __await__(self):
        return self

    def __getattr__(self, name):
        return getattr(self._coroutine, name)  # anyio asks in which state it is


class Steps:
    """An instrument for trio that does the same for one task."""

    def __init__(self, at):
        self._at = at
        self.task = None
        self.suspended = 0

    def after_task_step(self, task):
        if task is self.task:
            self.suspended += 1
            self._at.get(self.suspended, nothing)()


def nothing():
    """At all other suspensions."""
