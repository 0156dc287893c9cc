"""The admin routes of the network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.api.assets import page_directory
from swarmnode.api.site import make_site
from swarmnode.testing.fake_core import FAKE_KEY, FakeCore, FakeKeys, FakeNode
from swarmnode.testing.memory_http import Answer, MemoryConnection
from swarmnode.values.errors import PeerFault, Refused, Unavailable
from swarmnode.values.settings import ApiSettings

PEERS = [{"node_id": "one", "connected": True}]


class Network:
    """Answers with what it is given; remembers what it was asked."""

    def __init__(self) -> None:
        self.result: Any = succeed({"answer": 1})
        self.asked: list[Any] = []

    def peers(self) -> list[dict[str, Any]]:
        return PEERS

    def code(self) -> Any:
        return self.result

    def join(self, text: str) -> Any:
        self.asked.append(("join", text))
        return self.result

    def examine(self) -> Any:
        self.asked.append("examine")
        return self.result

    def explain(self, text: str) -> Any:
        self.asked.append(("explain", text))
        return self.result


@pytest.fixture
def network() -> Network:
    return Network()


def ask(
    network: Any, method: str, path: str, body: Any = None, *, key: bool = True, peer: str = "127.0.0.1"
) -> Answer:
    site = make_site(
        FakeCore(),
        FakeNode(),
        FakeKeys(),
        CollectorRegistry(),
        ApiSettings(),
        Clock(),
        page_directory(),
        network=network,
    )
    connection = MemoryConnection(site, peer)
    raw = b"" if body is None else json.dumps(body).encode()
    connection.request(method, path, raw, [("Authorization", f"Bearer {FAKE_KEY}")] if key else [])
    return connection.answer()


def test_peers(network: Network) -> None:
    assert ask(network, "GET", "/api/admin/peers").json() == {"peers": PEERS}


def test_the_code(network: Network) -> None:
    assert ask(network, "GET", "/api/admin/network-code").json() == {"answer": 1}


@pytest.mark.parametrize("field", ["code", "address"])
def test_joining(network: Network, field: str) -> None:
    assert ask(network, "POST", "/api/admin/join-network", {field: "swarm://x"}).json() == {"answer": 1}
    assert network.asked == [("join", "swarm://x")]


@pytest.mark.parametrize("field", ["peer", "code", "address"])
def test_the_doctor_explains_whoever_is_named(network: Network, field: str) -> None:
    assert ask(network, "POST", "/api/admin/doctor", {field: "who"}).status == 200
    assert network.asked == [("explain", "who")]


def test_the_doctor_examines_the_node_itself(network: Network) -> None:
    assert ask(network, "POST", "/api/admin/doctor", {}).status == 200
    assert network.asked == ["examine"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "missing_required_parameter"),
        ({"code": "a", "address": "b"}, "missing_required_parameter"),
        ({"code": ""}, "invalid_value"),
        ({"code": "   "}, "invalid_value"),
        ({"code": 3}, "invalid_type"),
        ({"code": "x" * 5000}, "invalid_value"),
        ({"peer": "x"}, "unknown_parameter"),
        ([], "invalid_json"),
    ],
)
def test_a_bad_body_is_refused_by_name(network: Network, body: Any, code: str) -> None:
    answer = ask(network, "POST", "/api/admin/join-network", body)
    assert (answer.status, answer.json()["error"]["code"]) == (400, code)
    assert network.asked == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unavailable("nobody answers", code="unreachable"), 503),
        (Refused("is no code", code="bad_invite"), 400),
        (PeerFault("somebody else answers", code="wrong_peer"), 502),
    ],
)
def test_what_is_in_the_way_is_the_answer(network: Network, error: Any, status: int) -> None:
    network.result = fail(error)
    answer = ask(network, "POST", "/api/admin/join-network", {"code": "swarm://x"})
    assert (answer.status, answer.json()["error"]["code"]) == (status, error.code)


def test_nothing_is_waited_for_when_the_client_is_gone(network: Network) -> None:
    cancelled: list[Any] = []
    network.result = Deferred(cancelled.append)
    connection_site = make_site(
        FakeCore(),
        FakeNode(),
        FakeKeys(),
        CollectorRegistry(),
        ApiSettings(),
        Clock(),
        page_directory(),
        network=network,
    )
    connection = MemoryConnection(connection_site, "127.0.0.1")
    body = json.dumps({"code": "swarm://x"}).encode()
    connection.request("POST", "/api/admin/join-network", body, [("Authorization", f"Bearer {FAKE_KEY}")])
    connection.lose()
    assert len(cancelled) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "peers"), ("GET", "network-code"), ("POST", "join-network"), ("POST", "doctor")],
)
def test_the_key_is_needed_and_a_network_too(network: Network, method: str, path: str) -> None:
    body = {} if method == "POST" else None
    assert ask(network, method, f"/api/admin/{path}", body, key=False).status == 401
    answer = ask(None, method, f"/api/admin/{path}", body)
    assert (answer.status, answer.json()["error"]["code"]) == (503, "no_network")
