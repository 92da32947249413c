"""What the command's tests share: answers in Anthropic's words, and the command in a process of its own."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from contextlib import contextmanager

import pytest

from streamcore import sse
from streamcore.testing import Answer

PATIENCE = 60
NO_TERMINALS = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")

# Ctrl-C must work also where the tests run in the background, whose children a shell makes deaf to it.
_LAUNCH = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if os.isatty(0):
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def event(type, **fields):
    return sse.encode(json.dumps({"type": type, **fields}).encode(), event=type)


def begin(model="tiny"):
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": []}
    return event("message_start", message={**message, "usage": {"input_tokens": 7, "output_tokens": 1}})


def block(index, start, *deltas):
    return [
        event("content_block_start", index=index, content_block=start),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def text(index, *words):
    return block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": word} for word in words))


def thinking(index, *words):
    deltas = ({"type": "thinking_delta", "thinking": word} for word in words)
    return block(index, {"type": "thinking", "thinking": ""}, *deltas)


def call(index, name, *pieces):
    start = {"type": "tool_use", "id": f"toolu_{index}", "name": name, "input": {}}
    return block(index, start, *({"type": "input_json_delta", "partial_json": piece} for piece in pieces))


def end(reason="end_turn", output=3):
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [event("message_delta", delta=delta, usage={"output_tokens": output}), event("message_stop")]


def say(*words):
    """A whole answer of these words."""
    return [begin(), *text(0, *words), *end(output=len(words))]


def refuse(status=529, type="overloaded_error", message="busy"):
    body = json.dumps({"type": "error", "error": {"type": type, "message": message}}).encode()
    return Answer([body], status=status, headers={"content-type": "application/json"}, framing="length")


def to(server):
    """The options that point the command at a server."""
    return ["--model", "anthropic:tiny", "--url", f"{server.url}/v1", "--key", "sk-canary"]


def environment(**more):
    known = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    return {**known, "TERM": "xterm", **more}


def spawn(*arguments, **options):
    """The command in a process and a session of its own."""
    command = [sys.executable, "-c", _LAUNCH, "-m", "streamcore", *arguments]
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    return subprocess.Popen(command, start_new_session=True, env=options.pop("env", environment()), **options)


class Screen:
    """A terminal with a command in it."""

    def __init__(self, process, master):
        self.process = process
        self.file = master
        self.shown = ""
        self._seen = 0

    def read(self):
        """More of what the command shows; False once it has ended."""
        assert select.select([self.file], [], [], PATIENCE)[0], f"nothing more after {self.shown!r}"
        try:
            data = os.read(self.file, 65536)
        except OSError:  # how Linux says that nobody has the other side any more
            return False
        self.shown += data.decode()
        return bool(data)

    def read_until(self, text):
        """Read until the text is shown (again, if it was waited for before)."""
        while (at := self.shown.find(text, self._seen)) < 0:
            assert self.read(), f"ended before {text!r}: {self.shown!r}"
        self._seen = at + len(text)

    def type(self, text):
        os.write(self.file, text.encode())

    def interrupt(self):
        """Press Ctrl-C until something comes of it: CPython's `input` misses one between its prompt and its waiting."""
        self.type("\x03")
        for _ in range(PATIENCE):
            if select.select([self.file], [], [], 1)[0]:
                return
            self.type("\x03")

    def finish(self):
        """Read to the end; the exit status."""
        while self.read():
            pass
        return self.process.wait(PATIENCE)


@contextmanager
def screen(*arguments, out=None, **more):
    """The command in a terminal; with `out` its stdout goes there instead."""
    import pty  # not on Windows

    master, slave = pty.openpty()
    process = spawn(*arguments, stdin=slave, stdout=out or slave, stderr=slave, env=environment(**more))
    os.close(slave)
    try:
        yield Screen(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)
