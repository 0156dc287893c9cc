"""Multiaddrs against the vectors of other implementations; every address comes back as it was."""

from __future__ import annotations

import base64
import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import MAX_BYTES, MAX_PARTS, PROTOCOLS, Multiaddr, tcp_address
from swarmnode.values.peer_id import peer_id_of_encoded

PEER = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC"
PEER_HEX = "A503221220D52EBB89D85B02A284948203A62FF28389C57C9F42BEEC4EC20DB76A68911C0B"
HASH = "uEiDDq4_xNyDorZBH3TlGazyJdOWSwvo4PUo5YHFMrvDE8g"
HASH_HEX = "D203221220C3AB8FF13720E8AD9047DD39466B3C8974E592C2FA383D4A3960714CAEF0C4F2"

#: Text and bytes that the tests of rust-multiaddr and go-multiaddr agree on.
VECTORS = [
    ("/ip4/1.2.3.4", "0401020304"),
    ("/ip4/0.0.0.0", "0400000000"),
    ("/ip6/::1", "2900000000000000000000000000000001"),
    ("/ip6/2601:9:4f81:9700:803e:ca65:66e8:c21", "29260100094F819700803ECA6566E80C21"),
    ("/ip6/fe80::9700:803e:ca65:66e8:c21/ip6zone/wlan0", "29FE80000000009700803ECA6566E80C212A05776C616E30"),
    ("/udp/0", "91020000"),
    ("/tcp/0", "060000"),
    ("/tcp/65535", "06FFFF"),
    (f"/p2p/{PEER}", PEER_HEX),
    ("/tcp/1234/http", "0604D2E003"),
    ("/tcp/1234/tls/http", "0604D2C003E003"),
    ("/tcp/1234/https", "0604D2BB03"),
    ("/ip4/127.0.0.1/udp/1234", "047F000001910204D2"),
    ("/ip4/127.0.0.1/tcp/1234", "047F0000010604D2"),
    (f"/ip4/127.0.0.1/p2p/{PEER}/tcp/1234", f"047F000001{PEER_HEX}0604D2"),
    (
        f"/ip6/2001:8a0:7ac5:4201:3ac9:86ff:fe31:7095/tcp/8000/wss/p2p/{PEER}",
        f"29200108A07AC542013AC986FFFE317095061F40DE03{PEER_HEX}",
    ),
    (f"/ip4/127.0.0.1/tcp/9090/p2p-circuit/p2p/{PEER}", f"047F000001062382A202{PEER_HEX}"),
    ("/dnsaddr/sjc-1.bootstrap.libp2p.io", "3819736A632D312E626F6F7473747261702E6C69627032702E696F"),
    ("/ip4/127.0.0.1/tcp/127/tls/ws", "047F00000106007FC003DD03"),
    ("/ip4/127.0.0.1/tcp/127/noise", "047F00000106007FC603"),
    (f"/ip4/127.0.0.1/udp/1234/webrtc-direct/certhash/{HASH}", f"047F000001910204D29802{HASH_HEX}"),
    ("/ip4/127.0.0.1/udp/1234/quic/webtransport", "047F000001910204D2CC03D103"),
    ("/ip4/127.0.0.1/udp/1234/quic-v1", "047F000001910204D2CD03"),
]

#: What both refuse.
WRONG = [
    "",
    "/",
    "//",
    "ip4/1.2.3.4",
    "/ip4",
    "/ip4/::1",
    "/ip4/fdpsofodsajfdoisa",
    "/ip4/1.2.3.4.5",
    "/ip6",
    "/ip6/1.2.3.4",
    "/ip6/fe80::1%eth0",
    "/ip6/fe80::9700:803e:ca65:66e8:c21/ip6zone",
    "/udp",
    "/tcp",
    "/udp/65536",
    "/tcp/65536",
    "/tcp/-1",
    "/tcp/\N{ARABIC-INDIC DIGIT THREE}",
    "/ip4/127.0.0.1/tcp/jfodsajfidosajfoidsa",
    "/ip4/127.0.0.1/tcp",
    "/ip4/127.0.0.1/p2p",
    "/ip4/127.0.0.1/p2p/tcp",
    "/p2p-circuit/50",
    "/ip4/127.0.0.1/udp/1234/webrtc-direct/certhash",
    "/ip4/127.0.0.1/udp/1234/webrtc-direct/certhash/b2uaraocy6yrdblb4sfptaddgimjmmp",
    "/dns/a b",
    "/dns/" + "a" * 254,
    "/ip4/127.0.0.1//tcp/1",
    "/tls" * (MAX_PARTS + 1),
    "/nosuchthing/1",
]


@pytest.mark.parametrize(("text", "data"), VECTORS)
def test_text_and_bytes_are_those_of_other_implementations(text: str, data: str) -> None:
    address = Multiaddr.parse(text)
    assert address.to_bytes() == bytes.fromhex(data)
    assert Multiaddr.from_bytes(bytes.fromhex(data)) == address
    assert str(address) == text


@pytest.mark.parametrize("text", WRONG)
def test_other_texts_are_refused_by_name(text: str) -> None:
    with pytest.raises(Refused) as caught:
        Multiaddr.parse(text)
    assert caught.value.code == "bad_address"
    assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    [
        "",
        "04010203",
        "0400",
        "91",
        "ffffffffffffffffffffff",
        "8404000000",
        "0604",
        "a503",
        "a50305aabbccddee",
        "8600" + "04d2",
        "3703ffffff",
        "3700",
        "c003" * (MAX_PARTS + 1),
    ],
)
def test_other_bytes_are_refused_by_name(data: str) -> None:
    with pytest.raises(Refused) as caught:
        Multiaddr.from_bytes(bytes.fromhex(data))
    assert caught.value.code == "bad_address"


def test_long_ones_are_refused() -> None:
    name = "/dns/" + "a" * 253
    with pytest.raises(Refused):
        Multiaddr.parse(name * 5)
    with pytest.raises(Refused):
        Multiaddr.parse("/tcp/" + "0" * 5000 + "1")
    with pytest.raises(Refused):
        Multiaddr.from_bytes(b"\xc0\x03" * MAX_BYTES)


def test_the_longest_address_has_a_text_that_can_be_read() -> None:
    made = [("certhash", "u" + base64.urlsafe_b64encode(bytes(999)).decode()), ("ip6", "::")]
    address = Multiaddr(tuple(made))
    assert MAX_BYTES - 5 <= len(address.to_bytes()) <= MAX_BYTES
    assert Multiaddr.parse(str(address)) == Multiaddr.from_bytes(address.to_bytes()) == address


def test_older_spellings_become_the_usual_one() -> None:
    cid = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
    wanted = "/ip4/1.2.3.4/tcp/80/p2p/QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
    assert str(Multiaddr.parse(f"/ip4/1.2.3.4/tcp/0080/ipfs/{cid}/")) == wanted
    assert str(Multiaddr.parse("/ip6/2001:0DB8::0:1/tcp/1")) == "/ip6/2001:db8::1/tcp/1"


def test_what_an_address_says_of_itself() -> None:
    address = Multiaddr.parse(f"/ip4/10.0.0.1/udp/4001/quic-v1/p2p/{PEER}")
    assert (address.host, address.port, address.peer) == ("10.0.0.1", 4001, PEER)
    assert address.transport == ("ip4", "udp", "quic-v1")
    assert address.ip == ipaddress.ip_address("10.0.0.1")
    assert str(address.without_peer()) == "/ip4/10.0.0.1/udp/4001/quic-v1"
    assert address.without_peer().peer is None
    assert address.without_peer().with_peer(PEER) == address
    other = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
    assert address.with_peer(other).peer == other
    named = Multiaddr.parse("/dns4/example.org/tcp/1")
    assert (named.host, named.ip) == ("example.org", None)
    only = Multiaddr.parse(f"/p2p/{PEER}")
    assert (only.host, only.port, only.without_peer()) == (None, None, only)


@pytest.mark.parametrize(
    "text", ["/ip6zone/eth0/ip6/fe80::1/tcp/5", "/ip6/fe80::1/ip6zone/eth0/tcp/5", "/ip6/fe80::1/tcp/5"]
)
def test_a_zone_belongs_to_the_host(text: str) -> None:
    address = Multiaddr.parse(text)
    assert address.host == ("fe80::1%eth0" if "eth0" in text else "fe80::1")
    assert address.ip == ipaddress.ip_address("fe80::1")
    assert (address.port, address.transport) == (5, ("ip6", "tcp"))


def test_addresses_of_sockets() -> None:
    assert str(tcp_address("192.168.1.5", 8810)) == "/ip4/192.168.1.5/tcp/8810"
    assert str(tcp_address("::1", 1)) == "/ip6/::1/tcp/1"
    assert tcp_address("fe80::1%eth0", 1).host == "fe80::1%eth0"
    with pytest.raises(Refused):
        tcp_address("example.org", 1)


names = st.text("abcXYZ019-._", min_size=1, max_size=60)
values = {
    "ip4": st.ip_addresses(v=4).map(str),
    "ip6": st.ip_addresses(v=6).map(str),
    "tcp": st.integers(0, 65535).map(str),
    "udp": st.integers(0, 65535).map(str),
    "p2p": st.binary(min_size=1, max_size=60).map(peer_id_of_encoded),
    "certhash": st.binary(max_size=40).map(lambda d: "u" + base64.urlsafe_b64encode(d).decode().rstrip("=")),
}
parts = st.sampled_from(sorted(PROTOCOLS)).flatmap(
    lambda name: st.tuples(st.just(name), values.get(name, names) if PROTOCOLS[name].size else st.just(""))
)


@settings(max_examples=200, deadline=None)
@given(st.lists(parts, min_size=1, max_size=MAX_PARTS))
def test_every_address_comes_back_from_text_and_bytes(made: list[tuple[str, str]]) -> None:
    address = Multiaddr(tuple(made))
    if len(address.to_bytes()) > MAX_BYTES:
        with pytest.raises(Refused):
            Multiaddr.from_bytes(address.to_bytes())
        return
    assert Multiaddr.from_bytes(address.to_bytes()) == address
    assert Multiaddr.parse(str(address)) == address


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([kind.code for kind in PROTOCOLS.values()]), max_size=6).flatmap(
        lambda codes: st.binary(max_size=40).map(
            lambda tail: (
                b"".join(bytes([c]) if c < 128 else bytes([c & 127 | 128, c >> 7]) for c in codes) + tail
            )
        )
    )
)
def test_any_bytes_are_an_address_or_refused(data: bytes) -> None:
    try:
        address = Multiaddr.from_bytes(data)
    except Refused as error:
        assert error.code == "bad_address"
    else:
        assert address.to_bytes() == data
        assert Multiaddr.parse(str(address)) == address


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(sorted(PROTOCOLS)) | st.text(max_size=8) | names, max_size=8).map(
        lambda words: "/" + "/".join(words)
    )
)
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        address = Multiaddr.parse(text)
    except Refused as error:
        assert error.code == "bad_address"
    else:
        assert Multiaddr.parse(str(address)) == address
        assert Multiaddr.from_bytes(address.to_bytes()) == address
        assert (address.peer is None) == (address.parts[-1][0] != "p2p")
        assert address.host is None or address.host.startswith(address.parts[0][1]) or "%" in address.host
        assert (address.ip is None) == (
            address.host is None or not {"ip4", "ip6"} & set(address.transport[:1])
        )
