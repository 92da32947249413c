"""Helpers to test an adapter, and code that reads streams: every cut of a recording, and every fault on its way."""

from .clock import VirtualTimeLoop, virtual_time
from .faults import FAULTS, Fault, FaultKind, spoiled
from .memory import FaultyTransport
from .recordings import Recording, check_cuts, check_truncation, cuts, read
from .scripted import EVENTS, ScriptedModel, lines
from .server import Answer, Endless, Pause, ReceivedRequest, Server, serve

__all__ = [
    "EVENTS",
    "FAULTS",
    "Answer",
    "Endless",
    "Fault",
    "FaultKind",
    "FaultyTransport",
    "Pause",
    "ReceivedRequest",
    "Recording",
    "ScriptedModel",
    "Server",
    "VirtualTimeLoop",
    "check_cuts",
    "check_truncation",
    "cuts",
    "lines",
    "read",
    "serve",
    "spoiled",
    "virtual_time",
]
