"""The network of the stand-in: computers that come, answer, fall silent and go, and codes to join by."""

from __future__ import annotations

import math
import time
from typing import Any

PEER_ID = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OWN_ADDRESSES = ("/ip4/127.0.0.1/tcp/8810", "/ip4/192.168.1.20/tcp/8810", "/ip4/100.101.7.9/tcp/8810")
OWN_CODE = "swarm://" + "aZ09-_" * 40
GOOD_CODE = "swarm://" + "b1C2-_" * 40

# End of the id, round trip in ms, trust, how it was found, its software, in the same house, connected.
# fmt: off
PEERS: tuple[tuple[str, float, float, str, str, bool, bool], ...] = (
    ("7mQkZP", 0.4, 0.6, "mdns", "swarmnode/0.1.0", True, True),
    ("Hd3rWv", 1.9, 0.4, "mdns", "swarmnode/0.1.0", True, True),
    ("xN8tLc", 14.0, 0.62, "invite", "swarmnode/0.1.0", False, True),
    ("uB5yGf", 38.0, 0.4, "exchange", "js-libp2p/4.0.2", False, True),
    ("Qp2sKe", 92.0, 0.21, "dht", "swarmnode/0.0.9", False, True),
    ("Vw6jMd", 140.0, 0.4, "gossip", "", False, False),
    ("eT4hRa", 210.0, 0.4, "gossip", "", False, False),
)
# fmt: on
#: The fifth falls silent for a while, the sixth is gone for a while.
QUIET, COMING_AND_GOING = 4, 5
CYCLE_SECONDS = 40.0


class FakeNetwork:
    """now: seconds since the start. joined: ends of the ids of those that were joined."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.joined: list[str] = []

    def addresses(self) -> list[str]:
        """This node's own."""
        return [f"{address}/p2p/{PEER_ID}" for address in OWN_ADDRESSES]

    def peers(self) -> list[dict[str, Any]]:
        """What `GET /api/admin/peers` lists."""
        now = time.monotonic() - self._began
        absent = math.sin(now / CYCLE_SECONDS * math.tau) < -0.5
        present = [(at, row) for at, row in enumerate(PEERS) if not (absent and at == COMING_AND_GOING)]
        joined = [(10 + at, (end, 25.0, 0.6, "invite", "swarmnode/0.1.0", False, True))
                  for at, end in enumerate(self.joined)]  # fmt: skip
        return [_peer(at, row, now) for at, row in (*present, *joined)]

    def code(self) -> dict[str, Any]:
        """What `GET /api/admin/network-code` answers."""
        return {"code": OWN_CODE, "addresses": self.addresses(), "phase": "connected", "peers": len(PEERS)}

    def join(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and answer of `POST /api/admin/join-network`."""
        if body.get("code") == OWN_CODE:
            return _fault(400, "This code is this node's own", "own_invite", "Use it on another node.")
        if body.get("code") == GOOD_CODE:
            self.joined = ["9kJdW2"]
            return 200, {"node_id": _id("9kJdW2"), "status": "connected", "vouched": True}
        if "code" in body:
            return _fault(400, "This is no invite code", "bad_invite", "Copy the whole code.")
        return _fault(503, "Nobody answers at this address", "unreachable", "Is the other node running?")

    def doctor(self) -> dict[str, Any]:
        """What `POST /api/admin/doctor` answers."""
        step = {"step": "connect /ip4/127.0.0.1/tcp/9", "ok": False, "detail": "Nothing listens there"}
        message, advice = "Nothing listens at any of its addresses", "Is the other node running?"
        return {"meets": False, "cause": "refused", "message": message, "advice": advice, "steps": [step]}


def _id(end: str) -> str:
    return "12D3KooW" + "AbCdEfGhJkLmNpQrStUvWxYz12345678901234"[: 44 - len(end)] + end


def _peer(at: int, row: tuple[str, float, float, str, str, bool, bool], now: float) -> dict[str, Any]:
    end, rtt, trust, how, agent, near, connected = row
    peer: dict[str, Any] = {
        "node_id": _id(end),
        "connected": connected,
        "healthy": not (at == QUIET and math.sin(now / CYCLE_SECONDS * math.tau) > 0),
        "trust_score": trust,
        "how_found": how,
        "addresses": [f"/ip4/192.0.2.{at + 1}/tcp/8810/p2p/{_id(end)}"],
        "hosted_models": [],
        "hosted_shards": 0,
    }
    if agent:
        peer["agent"] = agent
    if agent.startswith("swarmnode/"):
        peer["version"] = agent.removeprefix("swarmnode/")
    if not connected:
        return peer | {"predicted_rtt_ms": rtt}
    swing = 1 + 0.25 * math.sin(now / 3 + 2 * at) + 0.1 * math.sin(now * 1.7 + at)
    return peer | {
        "latency_ms": round(rtt * swing, 3),
        "measured_min_rtt_ms": round(rtt * 0.7, 3),
        "rtt_samples": int(now / 3) + 1,
        "is_lan_peer": near,
        "connected_seconds": round(now + 700 * (at + 1), 1),
        "transport": "tcp",
        "inbound": at % 2 == 1,
        "connections": 1,
        "last_seen": round(time.time(), 3),
    }


def _fault(status: int, message: str, code: str, hint: str) -> tuple[int, dict[str, Any]]:
    body = {"message": message, "type": "invalid_request_error", "param": None, "code": code, "hint": hint}
    return status, {"error": body}
