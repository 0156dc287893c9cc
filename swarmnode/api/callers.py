"""Who is calling: from this machine directly, or through a proxy, or from elsewhere; by which name.

DNS rebinding lets a stranger's page talk to a loopback port under the stranger's own host name. So
what is served without a key to this machine is served only under a name that means this machine.
Callers from elsewhere get nothing without the key, so that their host names are not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from twisted.web.http import Request
from twisted.web.http_headers import Headers

from swarmnode.values.errors import Refused

_PROXY_HEADERS = (b"via", b"x-real-ip", b"cf-connecting-ip", b"x-envoy-external-address")
#: In the name of every header with which a proxy says whom it speaks for: `X-Forwarded-For`, `Forwarded`,
#: `X-Original-Forwarded-For`, `X-Client-IP`, `True-Client-IP`, `Fastly-Client-IP`, `X-Cluster-Client-IP`.
_PROXY_WORDS = (b"forwarded", b"client-ip")
#: Digits of the largest port.
MAX_PORT_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """address: who is counted for rate limits. local: this machine, with no proxy between.

    by_name_of_ours: `Host` is a loopback name or address, with any port (a tunnel may change it).
    at_our_port: and the port is ours. same_origin: `Origin` is absent or the same as `Host`.
    """

    address: str
    local: bool
    by_name_of_ours: bool
    at_our_port: bool
    same_origin: bool

    @property
    def direct(self) -> bool:
        """May be handed secrets without a key: this machine, no proxy, our own name, no other site."""
        return self.local and self.at_our_port and self.same_origin


def caller_of(request: Request) -> Caller:
    """Judge a request. Raises `Refused` when it has not exactly one `Host` (RFC 9112, 3.2)."""
    old = request.clientproto == b"HTTP/1.0"
    host = _host_of(request.requestHeaders, needed=not old)
    peer = getattr(request.getClientAddress(), "host", "") or ""
    ours = request.getHost()
    port, address = getattr(ours, "port", 0) or 0, getattr(ours, "host", "") or ""
    return judge(peer, request.requestHeaders, host, port, address, old=old)


def judge(
    peer: str, headers: Headers, host: str, port: int, address: str = "", *, old: bool = False
) -> Caller:
    """The same from plain values: the peer's address, our own address and port of the connection.

    old: it speaks HTTP/1.0. No browser does; a proxy may that says nothing else of itself and calls us by
    our own name (nginx, as it comes).
    """
    proxied = old or any(_from_proxy(name) for name, _ in headers.getAllRawHeaders())
    here = is_loopback(peer)
    name, host_port = split_host(host)
    ours = host_port >= 0 and (_names_loopback(name) or (here and bool(address) and name == address))
    return Caller(
        address=_reported(headers) or peer if here and proxied else peer,
        local=here and not proxied,
        by_name_of_ours=ours,
        at_our_port=ours and host_port == port,
        same_origin=_same_origin(headers, host),
    )


def is_loopback(address: str) -> bool:
    """Whether the text is a loopback IP address, IPv4 mapped into IPv6 too."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped.is_loopback
    return found.is_loopback


def split_host(host: str) -> tuple[str, int]:
    """`name`, `name:port` or `[v6]:port` as a lower-case name without brackets, and a port (80 when absent,
    -1 when it is not one)."""
    name, bracket, rest = host.rpartition("]")
    if bracket:
        name, port = name.lstrip("["), rest.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    return name.lower().removesuffix("."), _port_number(port) if port else 80


def _port_number(port: str) -> int:
    usable = port.isascii() and port.isdecimal() and len(port) <= MAX_PORT_DIGITS
    return int(port) if usable else -1


def _names_loopback(name: str) -> bool:
    return name == "localhost" or is_loopback(name)


def _from_proxy(name: bytes) -> bool:
    lower = name.lower().replace(b"_", b"-")  # some servers take both for the same
    return lower in _PROXY_HEADERS or any(word in lower for word in _PROXY_WORDS)


def _reported(headers: Headers) -> str | None:
    """The client that a proxy on this machine names: `X-Real-IP`, or the last of `X-Forwarded-For`."""
    for name in (b"x-real-ip", b"x-forwarded-for"):
        for value in headers.getRawHeaders(name, []):
            text = value.decode("latin-1").rpartition(",")[2].strip()
            try:
                return str(ip_address(text))
            except ValueError:
                continue
    return None


def _same_origin(headers: Headers, host: str) -> bool:
    origins = headers.getRawHeaders(b"origin", [])
    return all(_authority(origin) == host.lower() for origin in origins)


def _authority(origin: bytes) -> str | None:
    """host[:port] of an `Origin`; None for `null` and for what is no http origin."""
    try:
        parts = urlsplit(origin.decode("ascii"))
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and parts.netloc else None


def _host_of(headers: Headers, *, needed: bool) -> str:
    hosts = headers.getRawHeaders(b"host", [])
    if needed and not hosts:
        raise Refused("The request has no Host header", code="bad_host")
    if len(hosts) > 1:
        raise Refused("The request has more than one Host header", code="bad_host")
    return hosts[0].decode("latin-1").strip() if hosts else ""
