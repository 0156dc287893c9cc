"""Why two nodes do not meet, in plain words: what happened at each address, one cause, and the way out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmnode.policy.addresses import is_loopback, is_private, subnet
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.multiaddr import Multiaddr

#: A clock further off than so many seconds: signed messages of such a node are refused.
MAX_SKEW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What happened at one address. peer: who answered, proven; None where nobody did. error: why nobody did,
    or why the private network does not let whoever did in."""

    address: Multiaddr
    peer: str | None
    error: SwarmnodeError | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """Why they do not meet. code: a stable word. advice: the way out."""

    code: str
    text: str
    advice: str


#: Codes of errors by what they mean: (cause, what to do). What is not here is told as it is.
_ADVICE: dict[str, tuple[str, str]] = {
    "name_not_resolved": (
        "cannot_resolve",
        "Check the spelling of the name and this machine's DNS, or give the IP address.",
    ),
    "connection_refused": (
        "refused",
        "The machine is there, but nothing takes connections at this port: start the node there, check the "
        "port (P2P is the page's port + 10), and that its network.listen_address is not 127.0.0.1. Some "
        "firewalls refuse in the same way.",
    ),
    "dial_timeout": (
        "timeout",
        "Nothing answers: the machine is off, the address is an old one, or a firewall or router drops the "
        "connection. Allow the P2P port (TCP) there, or forward it in the router.",
    ),
    "no_route": (
        "no_route",
        "This machine has no way to that address: join the same network or VPN, or use another address.",
    ),
    "other_network": (
        "other_network",
        "Set the same network.gossip_network_id on both nodes (or on none), and start them again.",
    ),
    "peers_full": ("limits", "One of the nodes has as many peers as network.max_peers allows: raise it."),
    "too_many_connections": ("limits", "network.max_connections_per_peer limits connections to one peer."),
    "subnet_full": ("limits", "Too many peers are in one neighbourhood of addresses."),
    "dial_queue_full": ("limits", "Too many connections are being made just now: try again in a minute."),
    "short_connection": (
        "closed_by_peer",
        "The other node ends the connection at once: it may have too many peers, be of a private network, or "
        "have banned this node for a while. Run the doctor there too.",
    ),
    "dial_backoff": (
        "closed_by_peer",
        "It answers, and did not keep the connection: it may have too many peers, or be of a private "
        "network. This node tries again by itself. Run the doctor there too.",
    ),
    "unreachable": ("unreachable", "It answers now: try again."),
    "protocol_unsupported": (
        "no_common_protocol",
        "The two programs have no protocol in common: update the older one.",
    ),
    "no_common_muxer": (
        "no_common_protocol",
        "The other program divides connections in a way that this one does not know (yamux is needed).",
    ),
    "self_dial": ("self", "The address or peer id is this node's own: give the other node's."),
    "no_address": (
        "no_address",
        "Give an address of the node (`swarmnode status` prints them there), or an invite code.",
    ),
}
#: Errors of a handshake that a program which is no libp2p node causes.
_STRANGE = ("bad_handshake", "bad_negotiation", "bad_record", "negotiation_timeout", "handshake_timeout")
#: Where attempts failed differently: what tells most comes first.
_TELLING = ("connection_refused", "dial_timeout", "no_route", "connect_failed", "no_transport")


def cause_of(
    wanted: str | None,
    own: str,
    ours: Sequence[Multiaddr],
    attempts: Sequence[Attempt],
    error: SwarmnodeError,
) -> Cause:
    """wanted: the peer that is looked for, if it is known. own: this node. ours: its addresses. error: why
    connecting as a whole failed."""
    answered = [attempt for attempt in attempts if attempt.peer is not None]
    if any(attempt.peer == own for attempt in answered) or error.code == "self_dial":
        return _of_code("self_dial", "It is this node itself that answers there")
    if wanted is not None and answered and all(attempt.peer != wanted for attempt in answered):
        other = answered[0]
        return Cause(
            "wrong_peer",
            f"At {other.address} answers {other.peer}, not {wanted}",
            "The address belongs to another node now, or the node has a new identity: ask for its present "
            "address or a new invite code.",
        )
    if answered:
        barred = next((attempt.error for attempt in answered if attempt.error is not None), error)
        return _of_error(barred)
    if not attempts:
        return _of_error(error)
    return _nobody(ours, attempts)


def _nobody(ours: Sequence[Multiaddr], attempts: Sequence[Attempt]) -> Cause:
    """No address led to anybody."""
    strange = [a for a in attempts if a.error is not None and a.error.code in _STRANGE]
    if strange:
        return Cause(
            "not_a_node",
            f"What answers at {strange[0].address} does not speak libp2p with Noise and yamux: "
            f"{_message(strange[0])}",
            "Check the port: P2P is the page's port + 10, not the page's own.",
        )
    attempt = min(attempts, key=lambda one: _rank(one.error))
    found = _of_error(attempt.error) if attempt.error is not None else _of_code("no_address", "")
    text = "; ".join(f"{one.address}: {_message(one)}" for one in attempts)
    if found.code in ("timeout", "no_route") and _elsewhere(ours, attempts):
        return Cause(
            found.code,
            f"{text}. The addresses are of a private network that this machine is not in",
            "Both machines must be in one network or VPN, or one of them reachable from the Internet: give "
            f"that address. {found.advice}",
        )
    if all(is_loopback(one.address) for one in attempts):
        return Cause(
            found.code,
            text,
            f"{found.advice} A loopback address leads every machine to itself: a node on another machine "
            "needs another address, and a network.listen_address that is not 127.0.0.1.",
        )
    return Cause(found.code, text, found.advice)


def _elsewhere(ours: Sequence[Multiaddr], attempts: Sequence[Attempt]) -> bool:
    here = {subnet(address) for address in ours}
    return all(is_private(one.address) and subnet(one.address) not in here for one in attempts)


def _rank(error: SwarmnodeError | None) -> int:
    code = error.code if error is not None else ""
    return _TELLING.index(code) if code in _TELLING else len(_TELLING)


def _message(attempt: Attempt) -> str:
    return attempt.error.message if attempt.error is not None else "somebody answered"


def _of_error(error: SwarmnodeError) -> Cause:
    cause, advice = _ADVICE.get(error.code, (error.code, error.hint))
    return Cause(cause, error.message, advice)


def _of_code(code: str, text: str) -> Cause:
    cause, advice = _ADVICE[code]
    return Cause(cause, text, advice)
