"""The package as a whole: its public names, what importing it costs, what depends on what."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import streamcore

LATER = ["anyio", "httpx", "httpx2", "streamcore_adapters", "importlib.metadata", "asyncio", "email"]


def test_every_public_name_exists_and_is_listed():
    for name in streamcore.__all__:
        assert getattr(streamcore, name) is not None
    assert dir(streamcore) == sorted(streamcore.__all__) == sorted(set(streamcore.__all__))


def test_lazy_names_are_those_of_their_modules():
    for module, names in streamcore._LAZY.items():
        home = importlib.import_module(f"streamcore.{module}")
        for name in names:
            assert getattr(home, name) is getattr(streamcore, name)
            assert name in home.__all__


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = streamcore.nothing


def test_importing_loads_no_client_no_adapter_and_no_event_loop():
    code = f"import sys, streamcore; print([name for name in {LATER} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_reader_needs_no_client_and_no_event_loop():
    code = f"import sys; from streamcore import Reader, Fold; print([name for name in {LATER} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
