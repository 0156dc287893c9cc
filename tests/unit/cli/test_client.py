"""The HTTP client of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.cli.client import client_for
from swarmnode.config import Override, Surroundings, load_config
from swarmnode.storage.data_dir import hold_data_dir
from swarmnode.testing.canned_http import CannedNode
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError, Unavailable

ENVELOPE = {
    "error": {"message": "There is no such model", "type": "t", "param": "model", "code": "c", "hint": "h"}
}


@pytest.fixture
def node() -> CannedNode:
    return CannedNode()


def test_a_get_sends_the_key_unless_told_not_to(node: CannedNode) -> None:
    node.answer_json({"a": 1})
    node.answer_json({"b": 2}, status=503)
    assert node.client().fetch("/v1/models") == {"a": 1}
    assert node.client().get("/health/ready", with_key=False) == (503, {"b": 2})
    assert node.requests[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer secret\r\n" in node.requests[0]
    assert b"Authorization" not in node.requests[1]
    assert node.closed == 2


def test_a_post_sends_json(node: CannedNode) -> None:
    node.answer_json({"ok": True})
    assert node.client().post("/v1/completions", {"prompt": "é"}) == {"ok": True}
    head, _, body = node.requests[0].partition(b"\r\n\r\n")
    assert b"\r\nContent-Type: application/json" in head
    assert body == b'{"prompt": "\\u00e9"}'


def test_a_stream_gives_each_event_up_to_the_end_mark(node: CannedNode) -> None:
    node.answer_events('{"n": 1}', '{"text": "é 🙂"}', "[DONE]")
    assert list(node.client().stream("/x", {})) == [{"n": 1}, {"text": "é 🙂"}]
    assert node.closed == 1


def test_a_stream_that_is_given_up_closes_its_connection(node: CannedNode) -> None:
    node.answer_events('{"n": 1}', '{"n": 2}', "[DONE]")
    events = node.client().stream("/x", {})
    assert next(events) == {"n": 1}
    events.close()
    assert node.closed == 1


def test_a_stream_without_its_end_mark(node: CannedNode) -> None:
    node.answer_events('{"n": 1}')
    events = node.client().stream("/x", {})
    assert next(events) == {"n": 1}
    with pytest.raises(Unavailable, match="cut off"):
        next(events)


def test_a_stream_that_breaks_off(node: CannedNode) -> None:
    node.answer_events('{"n": 1}', broken=ConnectionResetError(104, "Connection reset by peer"))
    events = node.client().stream("/x", {})
    assert next(events) == {"n": 1}
    with pytest.raises(Unavailable) as caught:
        next(events)
    assert caught.value.code == "connection_lost"


def test_an_error_within_a_stream(node: CannedNode) -> None:
    node.answer_events('{"n": 1}', '{"error": {"message": "The worker is gone", "code": "worker_lost"}}')
    events = node.client().stream("/x", {})
    next(events)
    with pytest.raises(LocalFault, match="The worker is gone") as caught:
        next(events)
    assert caught.value.code == "worker_lost"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Refused), (404, Refused), (429, Unavailable), (503, Unavailable), (500, LocalFault)],
)
def test_refusals(node: CannedNode, status: int, kind: type[SwarmnodeError]) -> None:
    for ask in (lambda: node.client().post("/x", {}), lambda: next(node.client().stream("/x", {}))):
        node.answer_json(ENVELOPE, status)
        with pytest.raises(kind) as caught:
            ask()
        error = caught.value
        assert (error.message, error.code, error.hint, error.param) == (
            "There is no such model",
            "c",
            "h",
            "model",
        )


def test_a_wrong_key_names_where_it_was_taken_from(node: CannedNode) -> None:
    node.answer_json(ENVELOPE, 401)
    with pytest.raises(Refused, match="/data/api_key") as caught:
        node.client().fetch("/v1/status")
    assert caught.value.code == "bad_key"


@pytest.mark.parametrize(("status", "body"), [(200, b"<html>"), (404, b"{}"), (200, b""), (500, b"[1]")])
def test_something_else_on_the_port(node: CannedNode, status: int, body: bytes) -> None:
    node.answer(status, body)
    with pytest.raises(Unavailable) as caught:
        node.client().fetch("/v1/status")
    assert caught.value.code == "not_a_node"


def test_something_that_speaks_no_http(node: CannedNode) -> None:
    node.answers.append((b"220 mail ready\r\n", None))
    with pytest.raises(Unavailable):
        node.client().fetch("/v1/status")
    assert node.closed == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "node_not_running"),
        (OSError(101, "Network is unreachable"), "node_not_running"),
        (TimeoutError("timed out"), "node_silent"),
        (BrokenPipeError(32, "Broken pipe"), "connection_lost"),
    ],
)
def test_no_node(node: CannedNode, error: Exception, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    client = node.client()
    monkeypatch.setattr("http.client.HTTPConnection.request", _raising(error))
    with pytest.raises(Unavailable) as caught:
        client.fetch("/v1/status")
    assert caught.value.code == code
    assert "http://node:8800" in caught.value.message


def test_a_node_on_another_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    around = Surroundings(environ={}, working_dir=tmp_path, home=tmp_path, platform="linux")
    config = load_config([Override("node.data_dir", str(tmp_path), "--data-dir")], surroundings=around)
    monkeypatch.setattr("http.client.HTTPConnection.request", _raising(ConnectionRefusedError(111, "no")))

    def hint() -> str:
        with pytest.raises(Unavailable) as caught:
            client_for(config).fetch("/v1/status")
        return caught.value.hint

    assert hint() == "Start one with `swarmnode run`, or name its port with --port."
    lock = hold_data_dir(tmp_path, 9123)
    assert hint() == f"The node of {tmp_path} is on another port: --port 9123."
    lock.release()
    lock = hold_data_dir(tmp_path, 8800)
    assert hint() == "Start one with `swarmnode run`, or name its port with --port."
    lock.release()


def _raising(error: Exception) -> object:
    def request(*_: object, **__: object) -> None:
        raise error

    return request


def test_an_endless_event_is_not_held(node: CannedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmnode.cli.client.MAX_LINE_BYTES", 100)
    node.answer_events('"' + "a" * 200 + '"')
    with pytest.raises(Unavailable, match="longer than 100 bytes"):
        next(node.client().stream("/x", {}))


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000"),
        ("0.0.0.0", "http://127.0.0.1:9000"),
        ("::", "http://[::1]:9000"),
        ("::1", "http://[::1]:9000"),
        ("192.0.2.7", "http://192.0.2.7:9000"),
    ],
)
def test_where_the_node_is(tmp_path: Path, address: str, url: str) -> None:
    config = load_config(
        [Override("api.listen_address", address, "--set"), Override("node.listen_port", "9000", "--port")],
        surroundings=Surroundings(environ={}, working_dir=tmp_path, home=tmp_path, platform="linux"),
    )
    assert client_for(config).url == url


def test_the_key_is_the_files_unless_one_is_configured(tmp_path: Path) -> None:
    around = Surroundings(environ={}, working_dir=tmp_path, home=tmp_path, platform="linux")
    here = Override("node.data_dir", str(tmp_path), "--data-dir")
    assert client_for(load_config([here], surroundings=around))._key == ""
    (tmp_path / "api_key").write_text("from-file\n")
    assert client_for(load_config([here], surroundings=around))._key == "from-file"
    configured = Override("api.api_key", "from-flag", "--set api.api_key")
    assert client_for(load_config([here, configured], surroundings=around))._key == "from-flag"
