from __future__ import annotations

from typing import Any

import pytest

from swarmnode.services.report_status import NodeStatus, RequestTally
from swarmnode.services.request_record import RequestSummary
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused
from swarmnode.values.loading import LoadedModel
from swarmnode.values.multiaddr import Multiaddr

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def summary(outcome: str, total_ms: float = 10.0, tokens: int | None = 2) -> RequestSummary:
    return RequestSummary("r", "m", "local", outcome, None, None, None, None, total_ms, None, tokens, None)


class Core:
    active, waiting = 1, 2

    def __init__(self, *cards: ModelCard) -> None:
        self._cards = cards

    def cards(self) -> tuple[ModelCard, ...]:
        return self._cards

    def find(self, name: str) -> ModelCard:
        if not self._cards:
            raise Refused("no model", code="model_not_found")
        return self._cards[0]


class Pool:
    def loaded(self) -> tuple[LoadedModel, ...]:
        return (
            LoadedModel(
                "a", 42, "ready", 1, 1000, 1100, 0.0, "cpu-1", {"hits": 3}, load={"running": 1}, kv_bytes=9
            ),
            LoadedModel("b", 43, "starting", 1, 500, 1100, 0.0, loading=0.25),
        )


class Host:
    def peers(self) -> tuple[str, ...]:
        return ("12D3KooWy",)

    def addresses(self) -> tuple[Multiaddr, ...]:
        return (Multiaddr.parse("/ip4/10.0.0.1/tcp/8810"),)


def node(
    core: Core, tally: RequestTally, parts: dict[str, bool] | None = None
) -> tuple[NodeStatus, list[Any]]:
    moments, stops = iter([10.0, 12.5, 13.0, 14.0]), []
    status = NodeStatus(
        version="1",
        peer_id=PEER,
        readiness=lambda: parts or {"api_server": True},
        core=core,
        pool=Pool(),
        tally=tally,
        hardware=lambda: {"cores": 2},
        api_address="http://127.0.0.1:8800",
        host=Host(),  # type: ignore[arg-type]
        now=lambda: next(moments),
        shut_down=stops.append,
    )
    return status, stops


def test_status_tells_the_facts_of_their_owners() -> None:
    status, _ = node(Core(ModelCard("a", "numpy"), ModelCard("b", "numpy", problem="broken")), RequestTally())
    told = status.status()
    assert told["peer_id"] == PEER
    assert told["addresses"] == [f"/ip4/10.0.0.1/tcp/8810/p2p/{PEER}"]
    assert told["peers"] == 1
    assert told["uptime_seconds"] == 2.5
    assert told["ready"] is True
    assert (told["active_requests"], told["queued_requests"]) == (1, 2)
    assert told["default_model"] == "a"
    assert told["unusable_models"] == {"b": "broken"}
    engine = {"running": 1, "kv_bytes": 9}
    told_of_it = {"id": "a", "pid": 42, "prefix_cache": {"hits": 3}, "engine": engine}
    assert told["loaded_models"][0] | told_of_it == told["loaded_models"][0]
    assert "loading" not in told["loaded_models"][0] and "engine" not in told["loaded_models"][1]
    assert told["loaded_models"][1]["loading"] == 0.25


def test_a_node_without_models_has_no_default() -> None:
    status, _ = node(Core(), RequestTally())
    assert status.status()["default_model"] is None


def test_one_part_that_is_down_means_not_ready() -> None:
    status, _ = node(Core(), RequestTally(), {"api_server": True, "database": False})
    assert status.status()["ready"] is False


def test_latency_figures_are_left_out_until_measured() -> None:
    tally = RequestTally()
    status, _ = node(Core(), tally)
    assert status.stats()["inference"] == {"total_requests": 0, "samples": 0}
    for ms in (10.0, 20.0, 30.0, 40.0):
        tally.request_finished(summary("ok", ms))
    tally.request_finished(summary("error"))
    figures = status.stats()["inference"]
    assert figures["avg_latency_ms"] == pytest.approx(25)
    assert (figures["min_latency_ms"], figures["p50_latency_ms"], figures["max_latency_ms"]) == (10, 30, 40)
    assert status.stats()["requests_failed"] == 1


def test_shut_down_is_passed_on() -> None:
    status, stops = node(Core(), RequestTally())
    status.shut_down("asked")
    assert stops == ["asked"]


def test_an_unusable_default_is_told_as_none() -> None:
    class Lost(Core):
        def find(self, name: str) -> ModelCard:
            raise Refused("gone", code="model_not_found")

    status, _ = node(Lost(ModelCard("a", "numpy")), RequestTally())
    assert status.status()["default_model"] is None
