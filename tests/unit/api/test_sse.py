"""Answers on their way: status or event for errors, pauses, cancels, bounds, keep-alive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock

from swarmnode.api.site import make_site
from swarmnode.api.sse import KEEPALIVE_SECONDS, MAX_UNSENT_BYTES
from swarmnode.testing.fake_core import FAKE_KEY, FakeCore, FakeGeneration, FakeKeys, FakeNode
from swarmnode.testing.memory_http import MemoryConnection
from swarmnode.values.errors import LocalFault, PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import ChoiceFinished, Failed, Finished, Started, TextDelta, Timings, Usage
from swarmnode.values.settings import ApiSettings

STARTED = Started("m", 1, 0, 1234, "p")
FINISHED = (ChoiceFinished(0, "stop"), Finished(Usage(1, 2), Timings(1.0, 2.5, None)))
LOST = LocalFault("The worker ended", code="worker_lost", hint="Send it again.")


class Request:
    """A chat request whose events the test sends."""

    def __init__(self, page: Path, stream: bool, core: FakeCore | None = None, **body: Any) -> None:
        self.clock = Clock()
        self.core = core or FakeCore(None)
        registry = CollectorRegistry()
        site = make_site(self.core, FakeNode(), FakeKeys(), registry, ApiSettings(), self.clock, page)
        self.core.connection = self.connection = MemoryConnection(site)  # type: ignore[attr-defined]
        whole = {"model": "echo", "messages": [{"role": "user", "content": "x"}], "stream": stream} | body
        headers = [("Authorization", f"Bearer {FAKE_KEY}")]
        self.connection.request("POST", "/v1/chat/completions", json.dumps(whole).encode(), headers)

    @property
    def generation(self) -> FakeGeneration:
        return self.core.generations[0]

    @property
    def channel(self) -> Any:
        return self.connection.channel

    def contents(self) -> list[Any]:
        chunks = [json.loads(data) for data in self.connection.answer().events() if data != "[DONE]"]
        return [chunk["choices"][0]["delta"].get("content") for chunk in chunks]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("page", "utf-8")
    return tmp_path


@pytest.fixture
def stream(page: Path) -> Request:
    return Request(page, stream=True)


@pytest.fixture
def whole(page: Path) -> Request:
    return Request(page, stream=False)


# In order.


def test_each_event_is_on_its_way_when_it_comes(stream: Request) -> None:
    assert stream.connection.raw() == b"", "nothing is promised before the generation has begun"
    stream.generation.send(STARTED)
    answer = stream.connection.answer()
    assert (answer.status, stream.contents()) == (200, [""])
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.headers["x-swarm-route"], answer.headers["x-swarm-seed"]) == ("local", "1234")
    for number, word in enumerate(("a", "b", "c"), 2):
        stream.generation.send(TextDelta(0, word))
        assert len(stream.contents()) == number
    stream.generation.send(*FINISHED)
    assert stream.connection.answer().events()[-1] == "[DONE]"
    assert stream.connection.raw().endswith(b"0\r\n\r\n")
    assert stream.clock.getDelayedCalls() == [
        c for c in stream.clock.getDelayedCalls() if "timedOut" in str(c)
    ]


def test_one_event_a_token(stream: Request) -> None:
    stream.generation.send(STARTED, *[TextDelta(0, "x")] * 50, *FINISHED)
    assert stream.contents().count("x") == 50


def test_a_whole_answer_has_its_times_in_a_header(whole: Request) -> None:
    whole.generation.send(STARTED, TextDelta(0, "a"), *FINISHED)
    answer = whole.connection.answer()
    assert answer.json()["choices"][0]["message"]["content"] == "a"
    assert answer.headers["server-timing"] == "queue;dur=1.0, prefill;dur=2.5"
    assert (answer.headers["x-swarm-route"], answer.headers["x-swarm-seed"]) == ("local", "1234")


def test_the_connection_serves_again_after_a_stream(stream: Request) -> None:
    stream.generation.send(STARTED, *FINISHED)
    stream.connection.transport.clear()
    stream.connection.request("GET", "/health")
    assert stream.connection.answer().status == 200


def test_events_may_come_before_submit_returns(page: Path) -> None:
    request = Request(page, stream=True, core=FakeCore())
    assert request.contents() == ["", "x", None]
    assert Request(page, stream=False, core=FakeCore()).connection.answer().status == 200


# Errors.

ERRORS: list[tuple[SwarmnodeError, int, str]] = [
    (Refused("x", code="context_length_exceeded", param="messages"), 400, "invalid_request_error"),
    (Refused("x", code="model_not_found", param="model"), 404, "not_found_error"),
    (Unavailable("x", code="queue_full"), 503, "service_unavailable"),
    (Unavailable("x", code="anything"), 503, "service_unavailable"),
    (PeerFault("x", code="anything"), 502, "upstream_error"),
    (LOST, 500, "server_error"),
]


@pytest.mark.parametrize(("error", "status", "kind"), ERRORS)
@pytest.mark.parametrize("streamed", [True, False])
def test_before_the_first_event_an_error_is_a_status(
    page: Path, error: SwarmnodeError, status: int, kind: str, streamed: bool
) -> None:
    request = Request(page, streamed)
    request.generation.send(Failed(error))
    answer = request.connection.answer()
    expected = {"message": error.message, "type": kind, "param": error.param, "code": error.code}
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": expected | {"hint": error.hint or None}}
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("streamed", [True, False])
@pytest.mark.parametrize("named", ["messages", "prompt"])
@pytest.mark.parametrize("field", ["messages", "prompt"])
def test_an_error_about_the_prompt_names_the_field_of_the_dialect(
    page: Path, field: str, named: str, streamed: bool
) -> None:
    request = Request(page, streamed)
    request.generation.send(Failed(LOST))
    request.connection.transport.clear()
    prompt: Any = "x" if field == "prompt" else [{"role": "user", "content": "x"}]
    path = "/v1/completions" if field == "prompt" else "/v1/chat/completions"
    body = json.dumps({"model": "echo", field: prompt, "stream": streamed}).encode()
    request.connection.request("POST", path, body, [("x-api-key", FAKE_KEY)])
    error = Refused("too long", code="context_length_exceeded", param=named)
    request.core.generations[1].send(Failed(error))
    assert request.connection.answer().json()["error"]["param"] == field


def test_after_it_an_error_is_an_event_and_nothing_follows(stream: Request) -> None:
    stream.generation.send(STARTED, TextDelta(0, "a"), Failed(LOST))
    events = stream.connection.answer().events()
    assert json.loads(events[-1])["error"]["code"] == "worker_lost"
    assert "[DONE]" not in events
    assert stream.connection.raw().endswith(b"0\r\n\r\n")


def test_a_whole_answer_that_fails_late_is_an_error_and_not_a_part(whole: Request) -> None:
    whole.generation.send(STARTED, TextDelta(0, "a"), Failed(LOST))
    assert whole.connection.answer().status == 500


def test_a_refused_body_never_reaches_the_core(page: Path) -> None:
    request = Request(page, stream=True, temperature="hot")
    assert request.connection.answer().json()["error"]["param"] == "temperature"
    assert request.core.generations == []


# The client is gone.


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_goes_before_the_first_event_cancels(page: Path, streamed: bool) -> None:
    request = Request(page, streamed)
    request.connection.lose()
    assert request.generation.calls == ["cancel"]


def test_a_client_that_goes_in_the_middle_cancels_at_once(stream: Request) -> None:
    stream.generation.send(STARTED, TextDelta(0, "a"))
    stream.connection.lose()
    assert stream.generation.calls == ["cancel"]
    stream.generation.sink.event(TextDelta(0, "b"))
    stream.generation.sink.event(Finished(Usage()))
    assert stream.clock.getDelayedCalls() == []


def test_a_client_that_goes_after_the_end_cancels_nothing(stream: Request) -> None:
    stream.generation.send(STARTED, *FINISHED)
    stream.connection.lose()
    assert stream.generation.calls == []


# A slow reader.


def test_a_slow_reader_pauses_its_own_generation(stream: Request) -> None:
    stream.generation.send(STARTED)
    stream.channel.pauseProducing()
    assert stream.generation.paused
    stream.generation.send(TextDelta(0, "on its way"))
    stream.channel.resumeProducing()
    assert not stream.generation.paused
    stream.generation.send(*FINISHED)
    assert stream.contents() == ["", "on its way", None]


def test_a_pause_before_the_generation_is_known_is_passed_on(page: Path) -> None:
    class Early(FakeCore):
        connection: MemoryConnection

        def submit(self, request: Any, sink: Any) -> FakeGeneration:
            sink.event(STARTED)
            self.connection.channel.pauseProducing()
            return super().submit(request, sink)

    assert Request(page, stream=True, core=Early(None)).generation.paused


def test_a_reader_who_is_slow_already_is_known_to_be(stream: Request) -> None:
    stream.channel.pauseProducing()
    stream.generation.send(STARTED)
    assert stream.generation.paused
    stream.channel.resumeProducing()
    assert not stream.generation.paused


def test_what_is_written_during_a_pause_is_bounded(stream: Request) -> None:
    stream.generation.send(STARTED)
    stream.channel.pauseProducing()
    piece = TextDelta(0, "x" * (MAX_UNSENT_BYTES // 8))
    stream.generation.send(*[piece] * 7)
    assert not stream.generation.cancelled
    stream.channel.pauseProducing()  # As transports do with every write above their mark.
    assert stream.generation.calls == ["pause"]
    stream.generation.send(*[piece] * 100)
    assert stream.generation.cancelled
    assert stream.connection.closing
    assert len(stream.connection.raw()) < 2 * MAX_UNSENT_BYTES


def test_the_bound_is_for_one_pause(stream: Request) -> None:
    stream.generation.send(STARTED)
    piece = TextDelta(0, "x" * (MAX_UNSENT_BYTES * 5 // 8))
    for _ in range(3):
        stream.channel.pauseProducing()
        stream.generation.send(piece)
        stream.channel.resumeProducing()
    assert not stream.generation.cancelled


def test_a_reader_that_reads_nothing_is_given_up(stream: Request) -> None:
    stream.generation.send(STARTED)
    stream.channel.pauseProducing()
    stream.clock.advance(299)
    assert not stream.generation.cancelled
    stream.clock.advance(1)
    assert stream.generation.cancelled
    assert stream.connection.closing


def test_a_reader_that_reads_again_is_kept(stream: Request) -> None:
    stream.generation.send(STARTED)
    for _ in range(3):
        stream.channel.pauseProducing()
        stream.clock.advance(200)
        stream.channel.resumeProducing()
    assert not stream.generation.cancelled


# A slow model.


def test_silence_is_filled_with_comments(stream: Request) -> None:
    stream.generation.send(STARTED)
    stream.clock.pump([KEEPALIVE_SECONDS] * 3)
    assert stream.connection.raw().count(b": still working\n\n") == 3
    stream.generation.send(*FINISHED)
    assert stream.contents() == ["", None]


def test_there_are_no_comments_among_tokens_nor_for_who_does_not_read(stream: Request) -> None:
    stream.generation.send(STARTED)
    for _ in range(10):
        stream.clock.advance(KEEPALIVE_SECONDS - 1)
        stream.generation.send(TextDelta(0, "x"))
    stream.channel.pauseProducing()
    stream.clock.pump([KEEPALIVE_SECONDS] * 3)
    assert b"still working" not in stream.connection.raw()


def test_a_long_stream_is_not_cut(stream: Request) -> None:
    stream.generation.send(STARTED)
    for _ in range(100):
        stream.clock.advance(60)
        stream.generation.send(TextDelta(0, "x"))
    assert not stream.connection.closing
    stream.generation.send(*FINISHED)
    assert stream.contents().count("x") == 100
