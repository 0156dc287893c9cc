"""What must hold before a request is complete: sizes, times, malformed heads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock

from swarmnode.api import channel as channel_module
from swarmnode.api.channel import MAX_DRAINED_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_KEYLESS_BODY
from swarmnode.api.site import ApiSite, make_site
from swarmnode.testing.fake_core import FAKE_KEY, FakeCore, FakeKeys, FakeNode
from swarmnode.testing.memory_http import MemoryConnection
from swarmnode.values.settings import ApiSettings

KEY = f"x-api-key: {FAKE_KEY}\r\n".encode()
HEAD = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:8800\r\n"
CAP = 1 << 20
PIECE = b"x" * (1 << 16)


class Harness:
    def __init__(self, page: Path) -> None:
        self.clock = Clock()
        settings = ApiSettings(max_body_bytes=CAP)
        registry = CollectorRegistry()
        self.site: ApiSite = make_site(
            FakeCore(), FakeNode(), FakeKeys(), registry, settings, self.clock, page
        )

    def connect(self, data: bytes = b"") -> MemoryConnection:
        connection = MemoryConnection(self.site)
        connection.send(data)
        return connection


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text("page", "utf-8")
    return tmp_path


@pytest.fixture
def server(page: Path) -> Harness:
    return Harness(page)


def refusal(connection: MemoryConnection) -> tuple[int, str]:
    answer = connection.answer()
    assert answer.headers["content-security-policy"]
    return answer.status, answer.json()["error"]["code"]


# Bodies.


def test_the_default_cap_is_32_mib() -> None:
    assert ApiSettings().max_body_bytes == 32 * 1024 * 1024


def test_a_body_at_the_cap_is_read(server: Harness) -> None:
    body = b'{"model":"echo","prompt":"x"}'.ljust(CAP)
    connection = server.connect(HEAD + KEY + b"Content-Length: %d\r\n\r\n" % CAP + body)
    assert connection.answer().status == 200
    assert server.site.bodies.held == 0


def test_a_declared_body_over_the_cap_is_refused_before_it_comes(server: Harness) -> None:
    connection = server.connect(HEAD + KEY + b"Content-Length: %d\r\n\r\n" % (CAP + 1))
    assert refusal(connection) == (413, "request_too_large")
    assert server.site.bodies.held == 0
    assert not connection.closing, "the client may finish sending, so that it reads the answer"
    connection.send(b"x" * (CAP + 1))
    assert connection.closing


def test_a_chunked_body_over_the_cap_is_refused_when_it_gets_there(server: Harness) -> None:
    connection = server.connect(HEAD + KEY + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(CAP // len(PIECE)):
        connection.send(b"%x\r\n" % len(PIECE) + PIECE + b"\r\n")
    assert connection.raw() == b""
    assert server.site.bodies.held == CAP
    connection.send(b"1\r\nx\r\n")
    assert refusal(connection) == (413, "request_too_large")
    assert server.site.bodies.held == 0
    connection.send(b"0\r\n\r\n")
    assert connection.closing


@pytest.mark.parametrize("length", [b"9" * 21, b"9" * 5000, b"-1", b"+5", b"5_0", b"0x5", b"5,5"])
def test_a_length_that_is_none_is_refused(server: Harness, length: bytes) -> None:
    assert refusal(server.connect(HEAD + KEY + b"Content-Length: " + length + b"\r\n\r\n")) == (
        400,
        "bad_http",
    )


def test_who_sends_on_after_a_refusal_is_cut_off(server: Harness) -> None:
    connection = server.connect(HEAD + KEY + b"Content-Length: %d\r\n\r\n" % (1 << 40))
    for _ in range(MAX_DRAINED_BYTES // len(PIECE)):
        connection.send(PIECE)
    assert not connection.aborted
    connection.send(b"x")
    assert connection.aborted


def test_without_the_key_a_body_may_be_small_only(server: Harness) -> None:
    small = server.connect(HEAD + b"Content-Length: %d\r\n\r\n" % MAX_KEYLESS_BODY)
    assert small.raw() == b""
    large = server.connect(HEAD + b"Content-Length: %d\r\n\r\n" % (MAX_KEYLESS_BODY + 1))
    assert refusal(large) == (401, "missing_api_key")
    wrong = server.connect(HEAD + b"x-api-key: x\r\nContent-Length: %d\r\n\r\n" % (MAX_KEYLESS_BODY + 1))
    assert refusal(wrong) == (401, "invalid_api_key")


def test_all_bodies_together_are_bounded(server: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_BODIES_BYTES", 2 * CAP)
    length = b"Content-Length: %d\r\n\r\n" % CAP
    held = [server.connect(HEAD + KEY + length) for _ in range(2)]
    assert refusal(server.connect(HEAD + KEY + length)) == (503, "queue_full")
    held[0].lose()
    assert server.connect(HEAD + KEY + length).raw() == b""


def test_a_client_that_waits_to_be_asked_for_the_body_is_told(server: Harness) -> None:
    expect = b"Expect: 100-continue\r\nContent-Length: "
    fits = server.connect(HEAD + KEY + expect + b"5\r\n\r\n")
    assert fits.raw() == b"HTTP/1.1 100 Continue\r\n\r\n"
    large = server.connect(HEAD + KEY + expect + b"%d\r\n\r\n" % (CAP + 1))
    assert large.raw().startswith(b"HTTP/1.1 413 ")
    assert b"100 Continue" not in large.raw()


def test_bodies_never_touch_the_disk(server: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(*_: Any, **__: Any) -> Any:
        raise AssertionError("a temporary file was asked for")

    monkeypatch.setattr("tempfile.TemporaryFile", no_file)
    monkeypatch.setattr("twisted.web.http.tempfile.TemporaryFile", no_file)
    body = b'{"model":"echo","prompt":"x"}'.ljust(CAP)
    assert server.connect(HEAD + KEY + b"Content-Length: %d\r\n\r\n" % CAP + body).answer().status == 200


def test_form_bodies_are_read_as_json_all_the_same(server: Harness) -> None:
    body = b'{"model":"echo","prompt":"x"}'
    form = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n" % len(body)
    assert server.connect(HEAD + KEY + form + body).answer().status == 200


# Heads.


def test_too_many_headers(server: Harness) -> None:
    assert refusal(server.connect(HEAD + b"a: b\r\n" * MAX_HEADERS + b"\r\n")) == (431, "headers_too_large")
    assert refusal(server.connect(HEAD + b"a: b\r\n" * (MAX_HEADERS - 1) + b"\r\n"))[0] != 431


def test_too_large_heads(server: Harness) -> None:
    long = server.connect(HEAD + b"a: " + b"b" * MAX_HEADER_BYTES + b"\r\n\r\n")
    assert refusal(long) == (431, "headers_too_large")
    assert long.closing
    endless = server.connect(b"GET /" + b"a" * (2 * MAX_HEADER_BYTES))
    assert endless.closing
    assert refusal(endless) == (431, "headers_too_large")


MALFORMED = [
    b"nonsense\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
]


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_requests_are_refused_in_the_envelope(server: Harness, data: bytes) -> None:
    connection = server.connect(data)
    assert refusal(connection) == (400, "bad_http")
    assert connection.raw().count(b"HTTP/1.1 ") == 1
    assert connection.closing


# Times.


def test_a_request_that_dribbles_is_cut_at_five_minutes(server: Harness) -> None:
    connection = server.connect(HEAD[:1])
    for at in range(1, 30):
        server.clock.advance(10)
        connection.send(HEAD[at : at + 1])
    assert not connection.closing
    server.clock.advance(10)
    assert connection.closing


def test_a_body_that_dribbles_is_cut_too(server: Harness) -> None:
    connection = server.connect(HEAD + KEY + b"Content-Length: 1000\r\n\r\n")
    for _ in range(30):
        server.clock.advance(10)
        connection.send(b"x")
    assert connection.closing


def test_an_idle_connection_is_cut_and_a_used_one_is_not(server: Harness) -> None:
    idle, used = server.connect(), server.connect()
    for _ in range(10):
        server.clock.advance(60)
        used.request("GET", "/health")
    assert idle.closing
    assert not used.closing


def test_the_time_of_the_next_request_runs_from_its_first_byte(server: Harness) -> None:
    connection = server.connect()
    connection.request("GET", "/health")
    server.clock.advance(200)
    connection.send(HEAD)
    server.clock.advance(299)
    assert not connection.closing
    server.clock.advance(1)
    assert connection.closing


def test_pipelined_requests_are_answered_in_order(server: Harness) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:8800\r\n\r\n"
    connection = server.connect(one * 3)
    assert connection.raw().count(b'{"status":"ok"}') == 3
