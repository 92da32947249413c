"""What an import costs, over what Python costs that imports nothing."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from importlib.util import find_spec

import pytest


def children():
    """Processor time, in seconds, of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


pytestmark = pytest.mark.benchmark(group="import", timer=children)

PEERS = ("httpx", "openai", "anthropic")


def start(statement):
    """Run a statement in a Python of its own."""
    subprocess.run([sys.executable, "-c", statement], check=True)


def test_import(race):
    statements = {
        "streamcore": "import streamcore",
        "streamcore with a model to ask": "import streamcore; streamcore.model('openai:model', key='key')",
        **{peer: f"import {peer}" for peer in PEERS if find_spec(peer)},
        "nothing": "pass",
    }
    race(
        "import",
        {name: partial(start, statement) for name, statement in statements.items()},
        at_most={"httpx": 0.5},
        per="process",
        over="nothing",
        warm=False,
    )
