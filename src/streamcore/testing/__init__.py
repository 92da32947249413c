"""Helpers to test an adapter, and code that reads streams: every cut of a recording, and a server that misbehaves."""

from .recordings import Recording, check_cuts, check_truncation, cuts, read
from .scripted import EVENTS, ScriptedModel, lines
from .server import Answer, Pause, ReceivedRequest, Server, serve

__all__ = [
    "EVENTS",
    "Answer",
    "Pause",
    "ReceivedRequest",
    "Recording",
    "ScriptedModel",
    "Server",
    "check_cuts",
    "check_truncation",
    "cuts",
    "lines",
    "read",
    "serve",
]
