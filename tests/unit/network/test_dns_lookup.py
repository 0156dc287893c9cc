"""What Twisted's resolvers say, in the words of ours."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.names import dns
from twisted.names.error import DNSNameError

from swarmnode.network.dns_lookup import SystemLookup
from swarmnode.values.errors import Unavailable


class Names:
    """A name resolver that knows one host; a reactor has it as `nameResolver`."""

    def __init__(self, *found: Any) -> None:
        self.nameResolver, self._found = self, found
        self.asked: list[Any] = []

    def resolveHostName(self, receiver: Any, name: str, port: int, types: Any) -> None:
        self.asked.append((name, tuple(types)))
        receiver.resolutionBegan(SimpleNamespace(name=name))
        for address in self._found:
            receiver.addressResolved(address)
        receiver.resolutionComplete()


def result(deferred: Deferred[Any]) -> Any:
    results: list[Any] = []
    deferred.addBoth(results.append)
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


def test_hosts_of_the_families_asked_for() -> None:
    names = Names(IPv4Address("TCP", "1.1.1.1", 0), IPv6Address("TCP", "::1", 0))
    lookup = SystemLookup(names)
    assert result(lookup.hosts("a", (4, 6))) == ["1.1.1.1", "::1"]
    result(lookup.hosts("a", (6,)))
    assert names.asked == [("a", (IPv4Address, IPv6Address)), ("a", (IPv6Address,))]
    with pytest.raises(Unavailable, match="the name b is not known"):
        result(SystemLookup(Names()).hosts("b", (4,)))


def test_text_records_in_several_strings() -> None:
    lookup = SystemLookup(Names())
    answers = [
        dns.RRHeader(b"x", dns.TXT, payload=dns.Record_TXT(b"dnsaddr=", b"/ip4/1.1.1.1/tcp/1")),
        dns.RRHeader(b"x", dns.TXT, payload=dns.Record_TXT(b"\xff")),
        dns.RRHeader(b"x", dns.A, payload=dns.Record_A("1.2.3.4")),
    ]
    lookup._client = SimpleNamespace(lookupText=lambda name, timeout: succeed((answers, [], [])))
    assert result(lookup.texts("x")) == ["dnsaddr=/ip4/1.1.1.1/tcp/1", "\ufffd"]
    lookup._client = SimpleNamespace(lookupText=lambda name, timeout: fail(DNSNameError()))
    with pytest.raises(Unavailable, match="no TXT record"):
        result(lookup.texts("x"))
