"""Multiaddrs: addresses that say how to be dialled, `/ip4/192.168.1.5/tcp/8810/p2p/12D3KooW...`
(multiformats/multiaddr and its table of protocol codes).

Only protocols in `PROTOCOLS` are known; an address with another one cannot be read, because nobody can tell
where its parts end.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from swarmnode.values.errors import Refused
from swarmnode.values.peer_id import peer_id_bytes, peer_id_text

MAX_BYTES = 1024
#: Enough for the text of every address of `MAX_BYTES`.
MAX_TEXT = 2048
MAX_PARTS = 16
MAX_PORT = 65535
_REMEMBERED = 4096
#: Host names as in RFC 1123, with `_` as service names have it.
_NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")

Encode = Callable[[str], bytes]
Decode = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class _Kind:
    """A protocol of the table. size: bytes of its value; -1: a length comes before it; 0: no value."""

    code: int
    size: int
    encode: Encode = lambda text: b""
    decode: Decode = lambda data: ""


def _port(text: str) -> bytes:
    if not text.isascii() or not text.isdecimal() or int(text) > MAX_PORT:
        raise ValueError(f"{text!r} is no port")
    return int(text).to_bytes(2, "big")


def _ip6(text: str) -> bytes:
    if "%" in text:
        raise ValueError("a zone is written before it, as /ip6zone/NAME")
    return ipaddress.IPv6Address(text).packed


def _name(text: str) -> bytes:
    if not text or len(text) > 253 or not set(text) <= _NAME_CHARS:
        raise ValueError(f"{text!r} is no host name")
    return text.encode()


def _base64(text: str) -> bytes:
    if not text.startswith("u"):
        raise ValueError("only base64url (`u...`) is known here")
    return base64.b64decode(text[1:] + "=" * (-(len(text) - 1) % 4), altchars=b"-_", validate=True)


_NAME = (_name, lambda data: _checked_name(data.decode("ascii")))
_HASH = (_base64, lambda data: "u" + base64.urlsafe_b64encode(data).decode().rstrip("="))


def _checked_name(text: str) -> str:
    _name(text)
    return text


PROTOCOLS: dict[str, _Kind] = {
    "ip4": _Kind(4, 4, lambda t: ipaddress.IPv4Address(t).packed, lambda d: str(ipaddress.IPv4Address(d))),
    "ip6": _Kind(41, 16, _ip6, lambda d: str(ipaddress.IPv6Address(d))),
    "ip6zone": _Kind(42, -1, *_NAME),
    "dns": _Kind(53, -1, *_NAME),
    "dns4": _Kind(54, -1, *_NAME),
    "dns6": _Kind(55, -1, *_NAME),
    "dnsaddr": _Kind(56, -1, *_NAME),
    "tcp": _Kind(6, 2, _port, lambda d: str(int.from_bytes(d, "big"))),
    "udp": _Kind(273, 2, _port, lambda d: str(int.from_bytes(d, "big"))),
    "memory": _Kind(777, -1, *_NAME),
    "p2p": _Kind(421, -1, peer_id_bytes, peer_id_text),
    "p2p-circuit": _Kind(290, 0),
    "quic": _Kind(460, 0),
    "quic-v1": _Kind(461, 0),
    "tls": _Kind(448, 0),
    "noise": _Kind(454, 0),
    "http": _Kind(480, 0),
    "https": _Kind(443, 0),
    "sni": _Kind(449, -1, *_NAME),
    "ws": _Kind(477, 0),
    "wss": _Kind(478, 0),
    "webtransport": _Kind(465, 0),
    "webrtc": _Kind(281, 0),
    "webrtc-direct": _Kind(280, 0),
    "certhash": _Kind(466, -1, *_HASH),
}
_BY_CODE = {kind.code: name for name, kind in PROTOCOLS.items()}
#: Another spelling that is still met.
_ALIASES = {"ipfs": "p2p"}


@dataclass(frozen=True, slots=True, order=True)
class Multiaddr:
    """parts: protocol and value, outermost first; the value is empty where the protocol has none."""

    parts: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Multiaddr:
        """An address as people write it. Raises `Refused(code='bad_address')`."""
        if not text.startswith("/") or len(text) > MAX_TEXT:
            raise _bad(text, "it has to begin with `/`, and not to be too long")
        words = text[1:].removesuffix("/").split("/")
        parts: list[tuple[str, str]] = []
        while words:
            name = _ALIASES.get(words[0], words[0])
            kind = PROTOCOLS.get(name)
            if kind is None:
                raise _bad(text, f"the protocol {words[0]!r} is not known")
            take = 1 if kind.size == 0 else 2
            if len(words) < take:
                raise _bad(text, f"/{name} needs a value")
            try:
                # Written and read again: one spelling for each address.
                parts.append((name, kind.decode(kind.encode(words[1])) if take == 2 else ""))
            except (ValueError, Refused, binascii.Error) as error:
                raise _bad(text, str(error)) from error
            del words[:take]
        address = cls._checked(parts, text)
        if len(address.to_bytes()) > MAX_BYTES:
            raise _bad(text, "it is too long")
        return address

    @classmethod
    def from_bytes(cls, data: bytes) -> Multiaddr:
        """The binary form. Raises `Refused(code='bad_address')`."""
        if len(data) > MAX_BYTES:
            raise _bad(f"{len(data)} bytes", "it is too long")
        parts: list[tuple[str, str]] = []
        position = 0
        try:
            while position < len(data):
                code, position = _varint(data, position)
                name = _BY_CODE.get(code)
                if name is None:
                    raise ValueError(f"the protocol {code} is not known")
                kind = PROTOCOLS[name]
                size, position = (kind.size, position) if kind.size >= 0 else _varint(data, position)
                if size > len(data) - position:
                    raise ValueError("it ends too early")
                value = data[position : position + size]
                parts.append((name, kind.decode(value) if kind.size else ""))
                position += size
        except (ValueError, Refused) as error:
            raise _bad(data.hex(), str(error)) from error
        return cls._checked(parts, data.hex())

    @classmethod
    def _checked(cls, parts: list[tuple[str, str]], shown: str) -> Multiaddr:
        if not 0 < len(parts) <= MAX_PARTS:
            raise _bad(shown, f"it has {len(parts)} parts (1 to {MAX_PARTS})")
        return cls(tuple(parts))

    def to_bytes(self) -> bytes:
        """The binary form."""
        out = bytearray()
        for name, value in self.parts:
            kind = PROTOCOLS[name]
            out += _encode_varint(kind.code)
            if kind.size:
                data = kind.encode(value)
                out += data if kind.size > 0 else _encode_varint(len(data)) + data
        return bytes(out)

    def __str__(self) -> str:
        return "".join(
            f"/{name}/{value}" if PROTOCOLS[name].size else f"/{name}" for name, value in self.parts
        )

    @property
    def peer(self) -> str | None:
        """The peer id at its end, if it has one."""
        name, value = self.parts[-1]
        return value if name == "p2p" else None

    @property
    def host(self) -> str | None:
        """The IP address or host name it begins with; a zone stands behind it, `fe80::1%eth0`."""
        name, value = self._head
        if name not in ("ip4", "ip6", "dns", "dns4", "dns6", "dnsaddr"):
            return None
        # The zone stands before the address in go-multiaddr, behind it in rust-multiaddr.
        zone = next((text for word, text in self.parts[:2] if word == "ip6zone"), None)
        return f"{value}%{zone}" if zone and name == "ip6" else value

    @property
    def port(self) -> int | None:
        """The first TCP or UDP port in it."""
        return next((int(value) for name, value in self.parts if name in ("tcp", "udp")), None)

    @property
    def transport(self) -> tuple[str, ...]:
        """The names of its protocols without a zone and a final `p2p`: `("ip4", "tcp")`."""
        return tuple(name for name, _ in self.without_peer().parts if name != "ip6zone")

    @property
    def ip(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The IP address it begins with; None for names."""
        name, value = self._head
        return _ip(value) if name in ("ip4", "ip6") else None

    @property
    def _head(self) -> tuple[str, str]:
        return self.parts[1 if self.parts[0][0] == "ip6zone" and len(self.parts) > 1 else 0]

    def without_peer(self) -> Multiaddr:
        """The same without `/p2p/...` at its end."""
        return self if self.peer is None or len(self.parts) == 1 else Multiaddr(self.parts[:-1])

    def with_peer(self, peer: str) -> Multiaddr:
        """The same with this peer id at its end."""
        return Multiaddr((*self.without_peer().parts, ("p2p", peer)))


@lru_cache(_REMEMBERED)
def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def tcp_address(host: str, port: int) -> Multiaddr:
    """`/ip4/host/tcp/port`, or ip6, with its zone. Raises `Refused` when `host` is no IP address."""
    plain, _, zone = host.partition("%")
    before = f"/ip6zone/{zone}" if zone else ""
    return Multiaddr.parse(f"{before}/{'ip6' if ':' in plain else 'ip4'}/{plain}/tcp/{port}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 63:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            if not byte and shift > 7:
                raise ValueError("a number is written longer than needed")
            return value, position
    raise ValueError("a number has no end")


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _bad(shown: str, fault: str) -> Refused:
    return Refused(
        f"{shown[:200]!r} is not an address: {fault}",
        code="bad_address",
        hint="An address looks like /ip4/192.168.1.5/tcp/8810, with or without /p2p/12D3KooW...",
    )
