"""What is wrong with this node's network, as far as it can see by itself: a snapshot becomes findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmnode.policy.addresses import is_loopback, is_overlay, is_public
from swarmnode.policy.meeting import MAX_SKEW_SECONDS
from swarmnode.values.multiaddr import Multiaddr

#: After so many seconds without anybody coming by themselves, something may be in the way.
INBOUND_SECONDS = 300.0
#: A clock that is off by this is told of; by `MAX_SKEW_SECONDS`, it is a problem.
SKEW_WORTH_TELLING = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """level: `ok`, `note` or `problem`."""

    level: str
    code: str
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class NetworkView:
    """What the node knows. addresses: announced to others. seen_at: public IP addresses that others see it
    at. inbound: whether anybody has connected to it. running: seconds since the start. skew: seconds that
    the others' clocks are ahead, by the median. missing: bootstrap addresses that are not connected.
    by_choice: the user lets it listen on loopback only."""

    port: int
    addresses: tuple[Multiaddr, ...]
    peers: int
    max_peers: int
    inbound: bool
    running: float
    offline: bool = False
    mdns: bool = True
    private: bool = False
    quiet: int = 0
    skew: float | None = None
    seen_at: tuple[str, ...] = ()
    missing: tuple[Multiaddr, ...] = field(default=())
    bootstrap: int = 0
    by_choice: bool = True


def findings(view: NetworkView) -> tuple[Finding, ...]:
    """The worst first."""
    found = [*_reach(view), *_company(view), *_clock(view), *_mode(view)]
    order = ("problem", "note", "ok")
    return tuple(sorted(found, key=lambda one: order.index(one.level)))


def _reach(view: NetworkView) -> Sequence[Finding]:
    if not view.addresses:
        return [
            Finding(
                "problem",
                "no_address",
                "This node has no address that others could dial",
                "Connect the machine to a network.",
            )
        ]
    if all(map(is_loopback, view.addresses)):
        if not view.by_choice:
            return [
                Finding(
                    "problem",
                    "no_network",
                    "This machine has no network address, only the one by which it reaches itself",
                    "Connect it to a network; the node notices by itself.",
                )
            ]
        return [
            Finding(
                "problem",
                "loopback_only",
                f"Only programs on this machine can reach port {view.port}",
                "Set network.listen_address = 0.0.0.0, unless that is what you want.",
            )
        ]
    found = [Finding("ok", "listening", f"Listening on TCP port {view.port}")]
    public = any(is_public(address) for address in view.addresses)
    seen = [ip for ip in view.seen_at if not any(address.host == ip for address in view.addresses)]
    if seen and not public:
        found.append(
            Finding(
                "note",
                "behind_router",
                f"The Internet sees this node at {', '.join(seen)}, which is not an address of this machine",
                f"Others outside reach it only if the router forwards TCP port {view.port}, or by a VPN.",
            )
        )
    if any(map(is_overlay, view.addresses)):
        found.append(Finding("ok", "overlay", "A VPN address is announced too"))
    if not view.inbound and view.peers and view.running > INBOUND_SECONDS:
        found.append(
            Finding(
                "note",
                "no_inbound",
                "Nobody has connected to this node yet; all connections were made by it",
                f"If that stays so, a firewall may be in the way: allow TCP port {view.port} for incoming "
                "connections.",
            )
        )
    return found


def _company(view: NetworkView) -> Sequence[Finding]:
    found: list[Finding] = []
    if not view.peers:
        ways = ["give `swarmnode invite`'s code to another node", "name one with --bootstrap"]
        if view.mdns:
            ways.append("start one on the same local network")
        found.append(
            Finding("problem", "alone", "This node is connected to nobody", f"Ways out: {'; '.join(ways)}.")
        )
    else:
        found.append(Finding("ok", "connected", f"Connected to {view.peers} peer{'s' * (view.peers > 1)}"))
    for address in view.missing:
        found.append(
            Finding(
                "problem" if len(view.missing) == view.bootstrap else "note",
                "bootstrap_missing",
                f"The bootstrap peer {address} is not connected",
                f"`swarmnode doctor --peer {address}` says why.",
            )
        )
    if view.peers >= view.max_peers:
        found.append(
            Finding(
                "note",
                "full",
                f"All {view.max_peers} places for peers are taken",
                "Newcomers have to displace somebody; network.max_peers raises the number.",
            )
        )
    if view.quiet:
        found.append(Finding("note", "quiet", f"{view.quiet} of them owe an answer just now"))
    return found


def _clock(view: NetworkView) -> Sequence[Finding]:
    skew = view.skew
    if skew is None:
        return []
    off = f"This machine's clock is {abs(skew):.1f} s {'behind' if skew > 0 else 'ahead of'} the others'"
    if abs(skew) > MAX_SKEW_SECONDS:
        return [Finding("problem", "clock", f"{off}: they refuse what it signs", "Set it by NTP.")]
    if abs(skew) > SKEW_WORTH_TELLING:
        return [Finding("note", "clock", off, "Set it by NTP.")]
    return [Finding("ok", "clock", "The clock agrees with the others'")]


def _mode(view: NetworkView) -> Sequence[Finding]:
    found = []
    if view.offline:
        found.append(Finding("note", "offline_mode", "Offline mode is on: only peers found by mDNS are used"))
    if view.private:
        found.append(Finding("ok", "private_network", "Only nodes of the same private network are let in"))
    if not view.mdns:
        found.append(
            Finding("note", "mdns_off", "Peers on the local network are not looked for (mDNS is off)")
        )
    return found
