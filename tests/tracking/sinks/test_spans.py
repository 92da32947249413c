"""One span for each record, with its times, in the trace in which the stream was opened."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec import structs
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode

from streamcore.events import Failure, Finish, Usage
from streamcore.tracking.record import Context, Cost, Marks
from telemetry import ANSWERED, AT_NANOSECONDS, BUSY, CLAUDE, GUESSED, Telemetry, ended, whole

SECRET = "sk-a-key-that-an-error-quotes"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = 1_000_000_000


def the_span(record, **options):
    (span,) = Telemetry(**options).write(record).spans
    return span


def attributes(record, **options):
    return dict(the_span(record, **options).attributes)


def test_a_record_is_a_span_with_all_that_is_known_of_it():
    record = whole()
    span = the_span(record)
    assert (span.name, span.kind, span.status.status_code) == ("chat gpt-4o", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.model": "gpt-4o-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.5,
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.conversation.id": "c-9",
        "server.address": "api.openai.com",
        "user.id": "u-1",
        "streamcore.feature": "chat",
        "streamcore.tag.team": "ü",
        "streamcore.tracking_id": record.tracking_id,
        "streamcore.request_id": "req_1",
        "streamcore.status": "SUCCESS",
        "streamcore.attempts": 1,
        "streamcore.provenance.input_tokens": "reported",
        "streamcore.provenance.output_tokens": "reported",
        "streamcore.provenance.cache_read_tokens": "reported",
        "streamcore.cost.known": 0.0024,
        "streamcore.cost.provenance": "derived",
        "streamcore.cost.currency": "USD",
        "streamcore.cost.price_list": "own 1",
        "streamcore.marks.sent": 0.125,
        "streamcore.marks.headers": 0.375,
        "streamcore.marks.first_byte": 0.375,
        "streamcore.marks.first_content": 0.5,
        "streamcore.marks.last_content": 2.25,
        "streamcore.largest_gap": 0.75,
        "streamcore.provider_wait": 2.0,
        "streamcore.consumer_wait": 0.5,
        "streamcore.tokens_per_second": 20 / 1.75,
    }


def test_its_times_are_the_records_to_the_nanosecond():
    span = the_span(whole())
    assert (span.start_time, span.end_time) == (AT_NANOSECONDS, AT_NANOSECONDS + 5 * SECOND // 2)


def test_a_lost_one_ends_with_the_last_that_is_known_of_it():
    span = the_span(ended(None, "LOST", marks=Marks(sent=0.125, first_content=3.0)))
    assert span.end_time == AT_NANOSECONDS + 3 * SECOND


def test_of_a_stream_that_said_nothing_nothing_is_said():
    record = whole(
        origin=None,
        answered_by=None,
        request_id=None,
        usage=Usage(),
        costs=Cost(),
        marks=Marks(closed=1.0),
        largest_gap=None,
        provider_wait=None,
        consumer_wait=None,
        context=Context(),
        attempts=(),
    )
    span = the_span(record)
    assert span.name == "chat"
    assert dict(span.attributes) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "_OTHER",
        "gen_ai.request.stream": True,
        "gen_ai.response.finish_reasons": ("stop",),
        "streamcore.tracking_id": record.tracking_id,
        "streamcore.status": "SUCCESS",
        "streamcore.attempts": 0,
    }


@pytest.mark.parametrize(
    ("outcome", "status", "error", "described"),
    [
        (Finish("stop"), "SUCCESS", None, None),
        (Finish("length"), "SUCCESS", None, None),
        (Failure("rate_limit", SECRET, status=429), "ERROR", "rate_limit", "rate_limit"),
        (Failure("connection", SECRET, detail="reset"), "ERROR", "connection", "connection (reset)"),
        (Failure("timeout", SECRET, detail="idle"), "TIMEOUT", "timeout", "timeout (idle)"),
        (Failure("truncated", SECRET), "TRUNCATED", "truncated", "truncated"),
        (Failure("cancelled", SECRET, detail="closed"), "CANCELLED", None, None),
        (Failure("cancelled", SECRET, status=499), "CANCELLED", "cancelled", "cancelled"),
        (None, "LOST", "lost", "lost"),
    ],
)
def test_each_way_to_end_is_told_apart(outcome, status, error, described):
    span = the_span(ended(outcome, status))
    known = span.attributes
    assert (known["streamcore.status"], known.get("error.type"), span.status.description) == (status, error, described)
    assert span.status.status_code is (StatusCode.ERROR if error else StatusCode.UNSET)


def test_a_failure_is_said_by_kind_detail_and_status_and_never_by_its_message():
    failure = Failure("server", f"your key {SECRET}", detail="http", status=500, code=SECRET)
    span = the_span(ended(failure, "ERROR"))
    known = {name: value for name, value in span.attributes.items() if "failure" in name or "http" in name}
    assert known == {
        "streamcore.failure.kind": "server",
        "streamcore.failure.detail": "http",
        "http.response.status_code": 500,
    }
    assert SECRET not in span.to_json()


def test_its_message_is_there_if_asked_for():
    known = attributes(ended(Failure("server", "so bad", code="E1"), "ERROR"), messages=True)
    assert (known["streamcore.failure.message"], known["streamcore.failure.code"]) == ("so bad", "E1")


def test_several_attempts_have_a_span_each_below_it():
    outer, *below = Telemetry().write(whole(BUSY, GUESSED)).spans
    assert [(span.name, span.parent.span_id, span.context.trace_id) for span in below] == [
        (f"attempt {model}", outer.context.span_id, outer.context.trace_id)
        for model in ("claude-9", "claude-9", "gpt-4o")
    ]
    assert [(span.start_time - AT_NANOSECONDS, span.end_time - AT_NANOSECONDS) for span in below] == [
        (SECOND // 8, SECOND // 4),
        (SECOND, 5 * SECOND // 2),
        (SECOND // 4, 5 * SECOND // 2),
    ]


def test_an_attempt_says_whom_it_asked_what_it_took_and_how_it_ended():
    _, busy, guessed, answered = (dict(span.attributes) for span in Telemetry().write(whole(BUSY, GUESSED)).spans)
    assert busy == {
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-9",
        "server.address": "api.anthropic.com",
        "error.type": "overloaded",
        "http.response.status_code": 529,
        "streamcore.status": "ERROR",
        "streamcore.failure.kind": "overloaded",
        "streamcore.attempt.number": 1,
        "streamcore.attempt.chosen": False,
        "streamcore.attempt.served": False,
    }
    assert guessed["streamcore.provenance.input_tokens"] == "estimated"
    assert (guessed["streamcore.attempt.input_tokens"], guessed["streamcore.attempt.cost.estimated"]) == (90, 0.5)
    assert (answered["streamcore.attempt.number"], answered["streamcore.request_id"]) == (3, "req_1")
    assert answered["streamcore.attempt.cost.known"] == 0.0024


def test_sums_over_all_spans_have_everything_once():
    spans = Telemetry().write(whole(BUSY, GUESSED)).spans
    summed = [
        name for span in spans for name in span.attributes if name.startswith(("gen_ai.usage", "streamcore.cost"))
    ]
    assert len(summed) == len(set(summed)) == 7


def test_an_attempt_without_times_and_without_an_address_is_as_long_as_the_whole():
    _, bare, _ = Telemetry().write(whole(structs.replace(BUSY, origin=None, marks=Marks()))).spans
    assert (bare.name, bare.start_time - AT_NANOSECONDS, bare.end_time - AT_NANOSECONDS) == (
        "attempt",
        0,
        5 * SECOND // 2,
    )


def test_an_attempt_never_ends_before_it_begins():
    late = structs.replace(GUESSED, marks=Marks(sent=9.0))
    span = Telemetry().write(whole(late)).spans[1]
    assert span.start_time == span.end_time == AT_NANOSECONDS + 9 * SECOND


def test_what_is_estimated_is_called_so():
    known = attributes(
        whole(
            usage=Usage(100, 20),
            usage_sources={"input_tokens": "reported", "output_tokens": "estimated"},
            costs=Cost(known=Decimal(1), estimated=Decimal(2), provenance="estimated"),
        )
    )
    assert known["streamcore.provenance.output_tokens"] == "estimated"
    assert (known["streamcore.cost.known"], known["streamcore.cost.estimated"]) == (1.0, 2.0)
    assert known["streamcore.cost.provenance"] == "estimated"
    assert "streamcore.cost.price_list" not in known


def test_it_is_in_the_trace_in_which_the_stream_was_opened():
    span = the_span(whole(traceparent=PARENT))
    assert f"{span.context.trace_id:032x}" == PARENT[3:35]
    assert (f"{span.parent.span_id:016x}", span.parent.is_remote) == (PARENT[36:52], True)


@pytest.mark.parametrize("parent", [None, "", "nonsense", "00-" + 32 * "0" + "-b7ad6b7169203331-01"])
def test_without_one_it_is_a_trace_of_its_own_wherever_it_is_made(parent):
    telemetry = Telemetry()
    with telemetry.tracers.get_tracer("ledger").start_as_current_span("elsewhere"):
        telemetry.write(whole(traceparent=parent))
    assert {span.parent for span in telemetry.spans} == {None}


def test_the_sampler_has_what_it_may_decide_by():
    seen = {}

    class Sampler(TraceIdRatioBased):
        def should_sample(self, *positional, **named):
            seen.update(positional[4] if len(positional) > 4 else named["attributes"])
            return super().should_sample(*positional, **named)

    Telemetry(sampler=Sampler(1.0)).write(whole())
    names = {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address"}
    assert names <= seen.keys()


def test_a_trace_that_is_not_sampled_has_no_span_of_it():
    telemetry = Telemetry(sampler=ParentBased(TraceIdRatioBased(1.0)))
    telemetry.write(whole(BUSY, traceparent=PARENT[:-1] + "0"))
    assert telemetry.spans == []
    assert telemetry.points("streamcore.attempts")


def test_of_the_older_names_there_are_no_others():
    known = attributes(whole(origin=structs.replace(CLAUDE, adapter="xai")), names="older")
    assert {name: value for name, value in known.items() if name.startswith("gen_ai")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "xai",
        "gen_ai.request.model": "claude-9",
        "gen_ai.response.model": "gpt-4o-2026",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.conversation.id": "c-9",
    }


def test_both_names_are_both():
    latest, older, both = (attributes(whole(tracking_id="same"), names=names) for names in ("latest", "older", "both"))
    assert both == latest | older


def test_the_next_names_tell_more_of_tokens_and_of_a_missing_reason():
    usage = Usage(100, 20, 40, 30, 10, 5, 4, 3, 2)
    record = ended(Failure("truncated", ""), "TRUNCATED", usage=usage)
    known = attributes(record, names="next")
    assert known["gen_ai.response.finish_reasons"] == ("error",)
    assert {name[13:]: value for name, value in known.items() if name.startswith("gen_ai.usage.")} == {
        "input_tokens": 100,
        "output_tokens": 20,
        "cache_read.input_tokens": 40,
        "cache_write.input_tokens": 30,
        "reasoning.output_tokens": 10,
        "audio.input_tokens": 5,
        "audio.output_tokens": 4,
        "image.input_tokens": 3,
        "image.output_tokens": 2,
    }


def test_the_latest_names_say_nothing_of_a_reason_that_did_not_come():
    assert "gen_ai.response.finish_reasons" not in attributes(ended(Failure("truncated", ""), "TRUNCATED"))


def test_of_a_model_without_a_host_there_is_no_address():
    assert "server.address" not in attributes(whole(origin=structs.replace(CLAUDE, host="")))


def test_text_that_no_exporter_could_write_is_mended():
    context = Context(feature="a\ud800b", tags={"\udfff": "x" * 500})
    known = attributes(whole(context=context, attempts=(ANSWERED,)))
    assert (known["streamcore.feature"], known["streamcore.tag.?"]) == ("a?b", "x" * 128)
