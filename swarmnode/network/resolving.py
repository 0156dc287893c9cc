"""Names in addresses: `dns`, `dns4` and `dns6` become IP addresses, `dnsaddr` what its TXT records say
(libp2p specs, addressing: dnsaddr). Bounded, because whoever keeps a name writes what is in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.network.link import as_error
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

#: For all names of one request together.
RESOLVE_SECONDS = 5.0
#: Addresses that come out of one request, names that are asked for, and steps from `dnsaddr` to `dnsaddr`.
MAX_RESOLVED = 64
MAX_NAMES = 32
MAX_STEPS = 4

NAMES = ("dns", "dns4", "dns6", "dnsaddr")

Resolve = Callable[[Sequence[Multiaddr]], Deferred[Any]]


class Lookup(Protocol):
    """Asks the domain name system."""

    def hosts(self, name: str, families: Sequence[int]) -> Deferred[Any]:
        """A Deferred of IP addresses as text. families: 4, 6 or both."""

    def texts(self, name: str) -> Deferred[Any]:
        """A Deferred of the TXT records, each as one str."""


def needs_resolving(addresses: Iterable[Multiaddr]) -> bool:
    """Whether there is a name among them."""
    return any(address.parts[0][0] in NAMES for address in addresses)


class Resolver:
    """Resolves addresses: `resolver(addresses)` is a Deferred of addresses without names, in their order.
    It fails with `Unavailable` only where nothing at all comes out."""

    def __init__(self, lookup: Lookup, clock: Clock) -> None:
        self._lookup, self._clock = lookup, clock

    def __call__(self, addresses: Sequence[Multiaddr]) -> Deferred[tuple[Multiaddr, ...]]:
        return _Resolving(self._lookup, addresses).begin(self._clock)


class _Resolving:
    """One request. Every address has a slot, which holds what came of it: the order stays."""

    def __init__(self, lookup: Lookup, addresses: Sequence[Multiaddr]) -> None:
        self._lookup, self._addresses = lookup, addresses
        self._asked = self._busy = 0
        self._pending: list[Deferred[Any]] = []
        self._faults: list[str] = []
        self._slots: list[list[Multiaddr]] = [[] for _ in addresses]
        self._done: Deferred[tuple[Multiaddr, ...]] = Deferred()

    def begin(self, clock: Clock) -> Deferred[tuple[Multiaddr, ...]]:
        late = clock.callLater(RESOLVE_SECONDS, self._late)
        self._done.addBoth(partial(_stop, late))
        self._busy += 1
        for address, slot in zip(self._addresses, self._slots, strict=True):
            self._take(address, slot, MAX_STEPS)
        self._busy -= 1
        self._check()
        return self._done

    def _take(self, address: Multiaddr, slot: list[Multiaddr], steps: int) -> None:
        protocol, name = address.parts[0]
        if protocol not in NAMES:
            slot.append(address)
        elif steps == 0 or self._asked >= MAX_NAMES:
            self._faults.append(f"{name}: it leads from name to name")
        elif protocol == "dnsaddr":
            answered = partial(self._texts, address, slot, steps)
            self._ask(self._lookup.texts(f"_dnsaddr.{name}"), name, answered)
        else:
            families = {"dns4": (4,), "dns6": (6,)}.get(protocol, (4, 6))
            self._ask(self._lookup.hosts(name, families), name, partial(self._hosts, address, slot))

    def _ask(self, question: Deferred[Any], name: str, answered: Callable[[Any], None]) -> None:
        self._asked += 1
        self._pending.append(question)

        def over(result: Any) -> None:
            self._pending.remove(question)
            self._busy += 1
            if isinstance(result, Failure):
                self._faults.append(f"{name}: {as_error(result.value, 'asking for it failed').message}")
            elif not self._done.called:
                answered(result)
            self._busy -= 1
            self._check()

        question.addBoth(over)

    def _hosts(self, address: Multiaddr, slot: list[Multiaddr], hosts: Sequence[str]) -> None:
        for host in hosts[:MAX_RESOLVED]:
            slot.append(Multiaddr((("ip6" if ":" in host else "ip4", host), *address.parts[1:])))

    def _texts(self, address: Multiaddr, slot: list[Multiaddr], steps: int, texts: Sequence[str]) -> None:
        for text in texts[:MAX_RESOLVED]:
            found = _dnsaddr(text)
            if found is not None and address.peer in (None, found.peer):
                self._take(found, slot, steps - 1)

    def _late(self) -> None:
        self._faults.append(f"no answer within {RESOLVE_SECONDS:.0f} s")
        for question in tuple(self._pending):
            question.cancel()
        self._pending.clear()
        self._check()

    def _check(self) -> None:
        # Some questions are answered at once, before the next is asked.
        if self._pending or self._busy or self._done.called:
            return
        found = tuple(dict.fromkeys(each for slot in self._slots for each in slot))[:MAX_RESOLVED]
        if found:
            self._done.callback(found)
        else:
            self._done.errback(_unresolved(self._addresses, self._faults))


def _dnsaddr(text: str) -> Multiaddr | None:
    """A TXT record of the form `dnsaddr=/ip4/...`; None for others."""
    if not text.startswith("dnsaddr="):
        return None
    try:
        return Multiaddr.parse(text.removeprefix("dnsaddr="))
    except Refused:
        return None


def _unresolved(addresses: Sequence[Multiaddr], faults: Sequence[str]) -> SwarmnodeError:
    names = ", ".join(str(address.host) for address in addresses[:4])
    return Unavailable(
        f"No address was found for {names}: {'; '.join(faults[:4]) or 'there is none'}",
        code="name_not_resolved",
        hint="Check the name and this machine's connection, or give an IP address.",
    )


def _stop(call: Any, result: Any) -> Any:
    if call.active():
        call.cancel()
    return result
