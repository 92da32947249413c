"""The process in which the local model runs: llama.cpp's own HTTP server, on a free port of 127.0.0.1.

The first line of its stdin says how (`Options`), its first line on stdout is the address. It runs until its stdin ends,
which it does however the parent ends.

A process of its own, because loading holds the GIL from beginning to end (0.3 to 6 seconds: no Ctrl-C, no event loop),
because llama.cpp writes to the file descriptors 1 and 2 behind Python's back, and because the server cannot be stopped
otherwise: xllamacpp's destructor waits for a thread that misses the word to stop if it has only just begun.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
from importlib import import_module
from typing import Any, Final

import msgspec

__all__ = ["Options", "main"]

LOAD_SECONDS: Final = 120.0
_SILENT: Final = -1
_PROMPT_THREADS: Final = -1  # llama.cpp's own choice


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the server is started with. `context` is in tokens; `reuse` keeps a prompt for one that begins alike."""

    weights: str
    name: str
    key: str
    context: int = 4096
    reuse: bool = True
    template: str = ""


def main() -> None:
    """Serve until stdin ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides what it means
    faulthandler.dump_traceback_later(LOAD_SECONDS, exit=True)  # needs no GIL, unlike any timer of Python's
    server = _start(msgspec.json.decode(sys.stdin.buffer.readline(), type=Options))
    faulthandler.cancel_dump_traceback_later()
    print(server.listening_address, flush=True)
    sys.stdin.buffer.read()
    os._exit(0)  # not `return`, which would run that destructor


def _start(options: Options) -> Any:
    """Load the model and listen. The one place that knows xllamacpp, which has no types."""
    xllamacpp: Any = import_module("xllamacpp")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = options.weights
    parameters.model_alias = {options.name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.api_keys = [options.key]  # or every page in every browser on this machine could use it
    parameters.ui = False
    parameters.use_jinja = True
    parameters.chat_template = options.template
    parameters.verbosity = _SILENT
    parameters.n_ctx = options.context
    parameters.n_parallel = 1
    parameters.cache_prompt = options.reuse
    # For a model this small one thread is 10 % slower than two on an idle machine, and four times faster on a busy one.
    parameters.cpuparams.n_threads = 1
    parameters.cpuparams_batch.n_threads = _PROMPT_THREADS
    parameters.sampling.seed = 1  # the same question gets the same answer over every wire
    parameters.sampling.temp = 0.2  # its makers' advice
    parameters.sampling.top_p = 0.9
    return xllamacpp.Server(parameters)
