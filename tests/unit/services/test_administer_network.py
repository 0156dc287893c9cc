"""The network as its owner uses it, on simulated nodes that run everything but the operating system."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from swarmnode.interfaces.network_admin import INetworkAdmin
from swarmnode.network_stack import NetworkStores
from swarmnode.services.join_network import JOIN_SECONDS, MAX_TEXT
from swarmnode.testing.sim_node import SimNode, SimStore
from swarmnode.testing.simulation import Simulation
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings
from swarmnode.values.trust import KeptTrust

NOBODY = "/ip4/10.200.0.1/tcp/8810"
OFFLINE = NetworkSettings(offline=True)


class WithInvites(SimStore):
    """A store that keeps invites, too."""

    def stores(self) -> NetworkStores:
        invites: dict[str, int] = {}

        def use(token: str, stamp: float) -> bool:
            invites[token] = invites.get(token, 0) - 1
            return invites[token] >= 0

        def add(token: str, expires: float, uses: int, stamp: float) -> None:
            invites[token] = uses

        return replace(super().stores(), add_invite=add, use_invite=use)


@pytest.fixture
def sim() -> Iterator[Simulation]:
    sim = Simulation(seed=5)
    yield sim
    sim.close()


def admin(node: SimNode) -> Any:
    return node.stack.admin


def failure(sim: Simulation, node: SimNode, text: str, limit: float = 40.0) -> SwarmnodeError:
    with pytest.raises(SwarmnodeError) as caught:
        sim.result(admin(node).join(text), limit)
    return caught.value


def test_it_is_what_the_api_wants(sim: Simulation) -> None:
    assert verifyObject(INetworkAdmin, admin(sim.node()))


def test_a_code_leads_to_whoever_made_it_and_both_vouch(sim: Simulation) -> None:
    first, second = sim.node(store=WithInvites()), sim.node()
    code = sim.result(admin(first).code())
    assert code["code"].startswith("swarm://")
    assert code["addresses"] == [str(first.seen_as())]
    assert (code["phase"], code["peers"]) == ("alone", 0)
    joined = sim.result(admin(second).join(f"  {code['code']}\n"))
    assert joined == {
        "node_id": first.peer,
        "status": "connected",
        "vouched": True,
        "address": str(first.seen_as()),
    }
    for one, other in ((first, second), (second, first)):
        assert one.stack.trust.score(other.peer) == pytest.approx(0.6)
    assert sim.result(admin(first).code())["phase"] == "connected"


def test_an_address_alone_vouches_for_nobody_and_is_written_down(sim: Simulation) -> None:
    first, second = sim.node(), sim.node()
    joined = sim.result(admin(second).join(str(first.address)))
    assert (joined["node_id"], joined["vouched"]) == (first.peer, False)
    assert second.stack.trust.score(first.peer) == pytest.approx(0.4)
    assert [known.peer for known in second.store.known] == [first.peer]


def test_a_joined_peer_that_breaks_away_is_dialled_again(sim: Simulation) -> None:
    first, second = sim.node(), sim.node()
    sim.result(admin(second).join(str(first.address)))
    sim.crash(first)
    sim.run(1)
    assert second.peers() == frozenset()
    sim.start(first)
    sim.run_until(lambda: second.peers() == {first.peer}, 60)


def test_what_is_in_the_way_is_named(sim: Simulation) -> None:
    node = sim.node()
    assert failure(sim, node, NOBODY).code == "unreachable"
    assert failure(sim, node, str(node.address)).code == "self_dial"
    assert failure(sim, node, "").code == "bad_invite"
    assert failure(sim, node, "/" + "x" * MAX_TEXT).code == "bad_invite"
    assert failure(sim, node, "nonsense").code == "bad_address"
    assert failure(sim, node, "swarm://nonsense").code == "bad_invite"
    assert isinstance(failure(sim, sim.node(settings=OFFLINE), NOBODY), Refused)


def test_who_never_answers_is_given_up(sim: Simulation) -> None:
    node, silent = sim.node(), sim.node()
    sim.hang(silent)
    error = failure(sim, node, str(silent.address), JOIN_SECONDS + 1)
    assert isinstance(error, Unavailable)
    assert sim.now <= JOIN_SECONDS + 1


def test_giving_up_joining_is_heard_by_nobody(sim: Simulation) -> None:
    node, silent = sim.node(), sim.node()
    sim.hang(silent)
    joining = admin(node).join(str(silent.address))
    ends: list[Any] = []
    joining.addBoth(ends.append)
    joining.cancel()
    sim.run(1)
    assert len(ends) == 1


# Telling of peers.


def test_a_peer_is_told_of_with_what_is_known_of_it(sim: Simulation) -> None:
    trusted = SimStore(trust={})
    first = sim.node()
    trusted.trust[first.peer] = KeptTrust(first.peer, 0.55, 0.4, first.stamp())
    second = sim.node([first], store=trusted, skew=2.0)
    sim.run(5)
    (told,) = admin(second).peers()
    assert json.loads(json.dumps(told)) == told
    assert told["node_id"] == first.peer and told["connected"] and told["healthy"]
    assert told["how_found"] == "bootstrap" and told["version"]
    assert told["addresses"] == [str(first.seen_as())]
    assert told["is_lan_peer"] and not told["inbound"] and told["connections"] == 1
    assert 0 < told["measured_min_rtt_ms"] <= told["latency_ms"] < 1000
    assert told["rtt_samples"] >= 1
    assert told["trust_score"] == pytest.approx(0.55, abs=0.01)
    assert told["clock_skew_seconds"] == pytest.approx(-2.0, abs=0.2)
    assert told["last_seen"] == pytest.approx(second.stamp())
    (back,) = admin(first).peers()
    assert back["inbound"] and back["how_found"] == "inbound"
    assert (told["hosted_models"], told["hosted_shards"]) == ([], 0)


def test_members_that_are_not_connected_are_told_of_after_those_that_are(sim: Simulation) -> None:
    middle = sim.node()
    ends = [sim.node([middle]) for _ in range(2)]
    sim.run_until(sim.converged, 30)
    one, other = ends
    one.stack.host.disconnect(other.peer)
    told = {peer["node_id"]: peer for peer in admin(one).peers()}
    assert one.peer not in told
    assert list(told) == [middle.peer, other.peer]
    assert told[other.peer]["connected"] is False and "latency_ms" not in told[other.peer]
    assert told[other.peer]["how_found"]


def test_the_dead_are_told_of_no_more_within_15_seconds() -> None:
    sim = Simulation(seed=5, full=True)
    nodes = [sim.node()]
    nodes += [sim.node([nodes[0]]) for _ in range(2)]
    sim.run_until(sim.converged, 30)
    sim.crash(nodes[2], silently=True)
    sim.run(15)
    for node in nodes[:2]:
        assert nodes[2].peer not in {peer["node_id"] for peer in admin(node).peers()}
    sim.close()


def test_a_peer_that_owes_an_answer_is_not_healthy(sim: Simulation) -> None:
    first = sim.node()
    second = sim.node([first])
    sim.run(5)
    second.stack.trips.peer_quiet(first.peer, 5.0)
    told = admin(second).peers()[0]
    assert told["healthy"] is False and told["last_seen"] == pytest.approx(second.stamp() - 5.0)
    second.stack.trips.peer_alive(first.peer, 0.01)
    assert admin(second).peers()[0]["healthy"] is True


def test_long_lists_are_cut(sim: Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarmnode.services.report_peers.MAX_SHOWN", 1)
    first = sim.node()
    second, _ = sim.node([first]), sim.node([first])
    sim.run_until(sim.converged, 30)
    assert len(admin(second).peers()) == 1


def test_addresses_of_strangers_are_bounded(sim: Simulation) -> None:
    first = sim.node()
    second = sim.node([first])
    sim.run(2)
    many = [Multiaddr.parse(f"/ip4/10.3.0.{n}/tcp/1") for n in range(1, 30)]
    second.stack.book.heard(first.peer, many, "exchange")
    assert len(admin(second).peers()[0]["addresses"]) <= 8
