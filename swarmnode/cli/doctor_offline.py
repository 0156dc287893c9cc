"""What the doctor can tell while the node does not run: whether its ports are free, and whether anything
answers at the other node's addresses.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from swarmnode.values.errors import SwarmnodeError

if TYPE_CHECKING:
    from swarmnode.config import Config
    from swarmnode.values.multiaddr import Multiaddr

CONNECT_SECONDS = 5.0
MAX_TRIED = 8


def examine_offline(config: Config, peer: str | None, error: SwarmnodeError) -> dict[str, Any]:
    """As the route of the node answers, as far as that goes. error: why the node cannot be asked."""
    from swarmnode.config.settings import P2P_PORT_OFFSET

    port = int(config.value("node.listen_port"))
    findings = [
        _finding("problem", "not_running", error.message, error.hint),
        _port(str(config.value("api.listen_address")), port, "the page and the APIs"),
        _port(str(config.value("network.listen_address")), port + P2P_PORT_OFFSET, "peers (P2P)"),
    ]
    if peer is not None:
        findings += _way_to(peer)
    return {"running": False, "findings": findings}


def _finding(level: str, code: str, text: str, advice: str = "") -> dict[str, str]:
    return {"level": level, "code": code, "text": text, "advice": advice}


def _port(host: str, port: int, purpose: str) -> dict[str, str]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            text = f"Port {port} on {host}, for {purpose}, cannot be had: {error.strerror}"
            advice = (
                "Another program has it, or the address is not this machine's: --port N moves both ports."
            )
            return _finding("problem", "port_in_use", text, advice)
    return _finding("ok", "port_free", f"Port {port} on {host}, for {purpose}, is free")


def _way_to(peer: str) -> list[dict[str, str]]:
    """Plain TCP connections, without anything said over them."""
    from swarmnode.protocols.swarm.invites import read_invite

    if not peer.startswith(("/", "swarm:")):
        text = "Only the running node knows where a peer id is"
        return [_finding("note", "peer_id_offline", text, "Give an address or a code, or start the node.")]
    return [_try(address) for address in read_invite(peer).addresses[:MAX_TRIED]]


def _try(address: Multiaddr) -> dict[str, str]:
    host, port = address.host, address.port
    if host is None or port is None or address.transport[-1:] != ("tcp",):
        return _finding("note", "not_tried", f"{address}: only the running node can try it")
    try:
        socket.create_connection((host, port), CONNECT_SECONDS).close()
    except socket.gaierror as error:
        return _finding("problem", "cannot_resolve", f"{address}: {error.strerror}", "Check the name.")
    except ConnectionRefusedError:
        advice = "The machine is there, but no node listens at this port."
        return _finding("problem", "refused", f"{address}: connection refused", advice)
    except TimeoutError:
        advice = "The machine is off, the address is old, or a firewall drops the connection."
        return _finding("problem", "timeout", f"{address}: no answer", advice)
    except OSError as error:
        return _finding("problem", "no_route", f"{address}: {error.strerror or error}")
    return _finding("ok", "something_answers", f"{address}: something takes connections there")
