"""In which order a peer's addresses are tried (RFC 8305, 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from swarmnode.policy.addresses import is_loopback, is_public, subnet, usable_addresses
from swarmnode.values.multiaddr import Multiaddr


def dial_order(addresses: Iterable[Multiaddr], ours: Sequence[Multiaddr]) -> tuple[Multiaddr, ...]:
    """What can be dialled, once each: what is in a network of ours first, then the likeliest, IPv6 and IPv4
    by turns, because it is most often a whole family that does not work. `/p2p` stays where it was."""
    named: dict[Multiaddr, Multiaddr] = {}
    for address in addresses:
        bare = address.without_peer()
        if bare not in named or named[bare].peer is None:
            named[bare] = address
    our_subnets = {subnet(address) for address in ours if not is_loopback(address)} - {None}
    ranked = sorted(usable_addresses(named), key=lambda address: subnet(address) not in our_subnets)
    return tuple(named[address] for address in _by_turns(ranked))


def shared_subnet(address: Multiaddr) -> str:
    """The subnet whose peers are counted together (`ConnectionPool`): empty for addresses that say nothing
    about who owns them, as in private networks, where all neighbours share one."""
    return (subnet(address) or "") if is_public(address) else ""


def _by_turns(addresses: Sequence[Multiaddr]) -> list[Multiaddr]:
    six = [address for address in addresses if address.parts[0][0] in ("ip6", "dns6")]
    four = [address for address in addresses if address not in six]
    first, second = (six, four) if addresses and addresses[0] in six else (four, six)
    both = min(len(first), len(second))
    turns = [address for pair in zip(first, second, strict=False) for address in pair]
    return turns + first[both:] + second[both:]
