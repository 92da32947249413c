"""Ids that sort by time and know their process, and the trace that a stream is opened in."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AsyncExitStack
from types import SimpleNamespace
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN, use_span

import streamcore as sc
from streamcore import sync
from streamcore.testing import ScriptedModel
from streamcore.tracking import identity
from streamcore.tracking.identity import begun_here, traceparent, tracking_id

ANSWER = [sc.Start("r", "m"), sc.TextDelta(0, "Hi"), sc.Finish("stop")]
tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")


def test_an_id_is_a_uuid_of_version_7():
    assert (UUID(tracking_id()).version, UUID(tracking_id()).variant) == (7, "specified in RFC 4122")


def test_ids_of_a_process_differ_and_are_its_own():
    ids = {tracking_id() for _ in range(20_000)}
    assert len(ids) == 20_000
    assert all(map(begun_here, ids))


def test_an_id_of_another_process_is_not_ours():
    code = "from streamcore.tracking.identity import tracking_id; print(tracking_id())"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not begun_here(ran.stdout.strip())


@pytest.mark.parametrize("later", [1, 2, 1000, 4_194_304])
def test_an_id_of_the_process_that_this_was_forked_from_is_not_ours(monkeypatch, later):
    parents, pid = tracking_id(), os.getpid()
    monkeypatch.setattr(identity.os, "getpid", lambda: pid + later)
    assert not begun_here(parents)
    assert begun_here(tracking_id())


def test_what_is_no_id_of_ours_is_taken_for_this_processs_own():
    assert begun_here("chatcmpl-1")


def test_without_opentelemetry_there_is_no_trace_and_it_is_not_loaded():
    code = "import sys; from streamcore.tracking.identity import traceparent; print(traceparent(), 'opentelemetry' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "None False\n"


def test_outside_of_a_span_there_is_no_trace():
    assert traceparent() is None
    with use_span(INVALID_SPAN):
        assert traceparent() is None


def test_inside_of_a_span_it_is_the_spans():
    with tracer.start_as_current_span("request") as span:
        context = span.get_span_context()
        flags = f"{int(context.trace_flags):02x}"
        assert traceparent() == f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags}"


@pytest.mark.parametrize("broken", [SimpleNamespace(), SimpleNamespace(get_current_span=lambda: None)])
def test_a_broken_opentelemetry_is_none(monkeypatch, broken):
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", broken)
    assert traceparent() is None


@pytest.mark.anyio
async def test_a_record_knows_the_trace_that_its_stream_was_opened_in():
    async with AsyncExitStack() as stack:
        with tracer.start_as_current_span("request"):
            expected = traceparent()
            stream = await stack.enter_async_context(sc.track(ScriptedModel(ANSWER)).stream("hi"))
        await stream.collect()
    assert (stream.record.traceparent, stream.record.status) == (expected, "SUCCESS")


def test_in_plain_threads_too():
    with tracer.start_as_current_span("request"):
        expected = traceparent()
        with sync.stream(sc.track(ScriptedModel(ANSWER)), "hi") as stream:
            stream.collect()
    assert stream.record.traceparent == expected


@pytest.mark.anyio
async def test_a_stream_outside_of_a_trace_has_none():
    async with sc.track(ScriptedModel(ANSWER)).stream("hi") as stream:
        await stream.collect()
    assert stream.record.traceparent is None
