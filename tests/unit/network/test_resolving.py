"""Names in addresses, with a domain name system kept by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.network.resolving import (
    MAX_NAMES,
    MAX_RESOLVED,
    RESOLVE_SECONDS,
    Resolver,
    needs_resolving,
)
from swarmnode.values.errors import Unavailable
from swarmnode.values.multiaddr import Multiaddr

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
OTHER = "12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5"


class Names:
    """A `Lookup`. What is a Deferred is returned as it is."""

    def __init__(self, hosts: dict[str, Any] | None = None, texts: dict[str, Any] | None = None) -> None:
        self._hosts, self._texts = hosts or {}, texts or {}
        self.asked: list[tuple[str, Any]] = []

    def hosts(self, name: str, families: Sequence[int]) -> Deferred[Any]:
        self.asked.append((name, tuple(families)))
        return _answer(self._hosts.get(name))

    def texts(self, name: str) -> Deferred[Any]:
        self.asked.append((name, "TXT"))
        return _answer(self._texts.get(name))


def _answer(found: Any) -> Deferred[Any]:
    if isinstance(found, Deferred):
        return found
    return succeed(found) if found is not None else fail(Unavailable("not known", code="no_name"))


def addresses(*texts: str) -> list[Multiaddr]:
    return [Multiaddr.parse(text) for text in texts]


def resolve(names: Names, *texts: str, clock: Clock | None = None) -> list[str]:
    results: list[Any] = []
    Resolver(names, clock or Clock())(addresses(*texts)).addBoth(results.append)
    if not results and clock is not None:
        clock.advance(RESOLVE_SECONDS)
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return [str(address) for address in results[0]]


def test_names_become_addresses_in_the_order_asked() -> None:
    names = Names({"a": ["1.1.1.1", "::1"], "b": ["2.2.2.2"], "c": ["3::3"]})
    found = resolve(
        names, "/ip4/9.9.9.9/tcp/1", f"/dns/a/tcp/2/p2p/{PEER}", "/dns4/b/tcp/3", "/dns6/c/udp/4/quic-v1"
    )
    assert found == [
        "/ip4/9.9.9.9/tcp/1",
        f"/ip4/1.1.1.1/tcp/2/p2p/{PEER}",
        f"/ip6/::1/tcp/2/p2p/{PEER}",
        "/ip4/2.2.2.2/tcp/3",
        "/ip6/3::3/udp/4/quic-v1",
    ]
    assert names.asked == [("a", (4, 6)), ("b", (4,)), ("c", (6,))]


def test_answers_may_come_in_any_order() -> None:
    late: Deferred[Any] = Deferred()
    results: list[Any] = []
    clock = Clock()
    Resolver(Names({"a": late, "b": ["2.2.2.2"]}), clock)(
        addresses("/dns/a/tcp/1", "/dns/b/tcp/1")
    ).addCallback(results.append)
    assert results == []
    late.callback(["1.1.1.1"])
    assert [str(address) for address in results[0]] == ["/ip4/1.1.1.1/tcp/1", "/ip4/2.2.2.2/tcp/1"]
    assert clock.getDelayedCalls() == []


def test_dnsaddr_records_lead_on() -> None:
    texts = {
        "_dnsaddr.boot": [
            f"dnsaddr=/ip4/1.1.1.1/tcp/1/p2p/{PEER}",
            f"dnsaddr=/ip4/2.2.2.2/tcp/1/p2p/{OTHER}",
            f"dnsaddr=/dnsaddr/inner/p2p/{PEER}",
            "dnsaddr=/nonsense",
            "v=spf1 -all",
        ],
        "_dnsaddr.inner": [f"dnsaddr=/dns4/host/tcp/3/p2p/{PEER}"],
    }
    names = Names({"host": ["3.3.3.3"]}, texts)
    assert resolve(names, f"/dnsaddr/boot/p2p/{PEER}") == [
        f"/ip4/1.1.1.1/tcp/1/p2p/{PEER}",
        f"/ip4/3.3.3.3/tcp/3/p2p/{PEER}",
    ]
    assert len(resolve(names, "/dnsaddr/boot")) == 3


def test_records_that_lead_to_themselves_end() -> None:
    names = Names(texts={"_dnsaddr.loop": [f"dnsaddr=/dnsaddr/loop/p2p/{PEER}"] * 60})
    with pytest.raises(Unavailable) as found:
        resolve(names, "/dnsaddr/loop")
    assert "from name to name" in found.value.message
    assert len(names.asked) <= MAX_NAMES


def test_what_comes_out_is_bounded() -> None:
    names = Names({"a": [f"1.1.{number >> 8}.{number & 255}" for number in range(5000)]})
    assert len(resolve(names, "/dns/a/tcp/1", "/dns/a/tcp/2")) == MAX_RESOLVED


def test_one_bad_name_harms_no_other() -> None:
    assert resolve(Names({"a": ["1.1.1.1"]}), "/dns/bad/tcp/1", "/dns/a/tcp/1") == ["/ip4/1.1.1.1/tcp/1"]
    with pytest.raises(Unavailable) as found:
        resolve(Names(), "/dns/bad/tcp/1")
    assert "bad: not known" in found.value.message


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    names = Names({"a": ["1.1.1.1"], "mute": Deferred()})
    assert resolve(names, "/dns/mute/tcp/1", "/dns/a/tcp/1", clock=Clock()) == ["/ip4/1.1.1.1/tcp/1"]
    with pytest.raises(Unavailable) as found:
        resolve(Names({"mute": Deferred()}), "/dns/mute/tcp/1", clock=Clock())
    assert "no answer within" in found.value.message


def test_what_needs_resolving() -> None:
    assert not needs_resolving(addresses("/ip4/1.1.1.1/tcp/1", "/ip6/::1/tcp/1"))
    for name in ("dns", "dns4", "dns6", "dnsaddr"):
        assert needs_resolving(addresses("/ip4/1.1.1.1/tcp/1", f"/{name}/x"))


@given(st.lists(st.text(max_size=60).map(lambda text: "dnsaddr=" + text), max_size=70))
def test_hostile_records_end_in_an_error_or_in_addresses(texts: list[str]) -> None:
    names = Names(texts={"_dnsaddr.boot": texts})
    try:
        found = resolve(names, "/dnsaddr/boot", "/ip4/1.1.1.1/tcp/1", clock=Clock())
    except Unavailable:
        raise AssertionError("there is an address without a name") from None
    assert "/ip4/1.1.1.1/tcp/1" in found
    assert len(found) <= MAX_RESOLVED
