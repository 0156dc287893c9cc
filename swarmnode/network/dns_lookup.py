"""Asking the domain name system through Twisted: hosts by the system's own resolver, TXT records by DNS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IResolutionReceiver
from twisted.names import client, dns
from twisted.python.failure import Failure
from zope.interface import implementer

from swarmnode.values.errors import Unavailable

#: DNS servers are asked again after so many seconds.
TXT_TIMEOUTS = (1, 2)
_FAMILIES: dict[int, type[IPv4Address] | type[IPv6Address]] = {4: IPv4Address, 6: IPv6Address}


class SystemLookup:
    """A `resolving.Lookup`. reactor: for its name resolver. The DNS servers are the system's, read when
    the first TXT record is asked for."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._client: Any = None

    def hosts(self, name: str, families: Sequence[int]) -> Deferred[list[str]]:
        found = _Hosts()
        types = [_FAMILIES[family] for family in families]
        self._reactor.nameResolver.resolveHostName(found, name, 0, types)
        return found.done

    def texts(self, name: str) -> Deferred[list[str]]:
        if self._client is None:
            self._client = client.createResolver()
        asked: Deferred[Any] = self._client.lookupText(name, timeout=TXT_TIMEOUTS)

        def none(why: Failure) -> list[str]:
            why.trap(Exception)
            raise Unavailable(f"no TXT record was found for {name}", code="name_not_resolved")

        return asked.addCallbacks(_texts, none)


def _texts(answer: tuple[Any, Any, Any]) -> list[str]:
    records = [header.payload for header in answer[0] if isinstance(header.payload, dns.Record_TXT)]
    # One record may come in several strings of at most 255 bytes (RFC 7208, 3.3).
    return [b"".join(record.data).decode("ascii", "replace") for record in records]


@implementer(IResolutionReceiver)
class _Hosts:
    """Collects what the resolver finds."""

    def __init__(self) -> None:
        self.done: Deferred[list[str]] = Deferred(lambda _: None)
        self._found: list[str] = []
        self._name = ""

    def resolutionBegan(self, resolutionInProgress: Any) -> None:
        self._name = resolutionInProgress.name

    def addressResolved(self, address: Any) -> None:
        self._found.append(address.host)

    def resolutionComplete(self) -> None:
        if self.done.called:
            return
        if self._found:
            self.done.callback(self._found)
        else:
            self.done.errback(Unavailable(f"the name {self._name} is not known", code="name_not_resolved"))
