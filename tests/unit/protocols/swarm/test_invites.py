"""Invite codes: both forms, what is wrong with a code, in words, and sizes."""

from __future__ import annotations

import base64
from random import Random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.protocols.swarm.invites import (
    MAX_CODE_CHARS,
    SCHEME,
    Invite,
    encode_invite,
    read_invite,
    token_hash,
)
from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

PEER, OTHER = peer_id(bytes(32)), peer_id(bytes([1]) * 32)
LAN, VPN = Multiaddr.parse("/ip4/192.168.1.5/tcp/8810"), Multiaddr.parse("/ip4/100.64.0.7/tcp/8810")
entropy = Random(1).randbytes


def sealed(text: str, key: bytes = b"k" * 32, nonce: bytes = b"n" * 12) -> str:
    """A code as somebody else would write it."""
    data = key + nonce + ChaCha20Poly1305(key).encrypt(nonce, text.encode(), None)
    return SCHEME + base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_code_comes_back_as_it_was_and_shows_no_address():
    invite = Invite(PEER, (LAN, VPN), b"t" * 16, 1_700_000_000.0)
    code = encode_invite(invite, entropy)
    assert read_invite(code) == invite
    assert "192" not in code
    assert read_invite(f"  {code[:30]}\n {code[30:]} ") == invite


def test_the_original_puts_one_address_in():
    assert read_invite(sealed(f"{LAN}/p2p/{PEER}")) == Invite(PEER, (LAN,))
    assert read_invite(sealed(str(LAN))) == Invite(None, (LAN,))


def test_an_address_is_as_good_as_a_code():
    assert read_invite(str(LAN)) == Invite(None, (LAN,))
    assert read_invite(f" {LAN}/p2p/{PEER}\n") == Invite(PEER, (LAN,))


def test_what_a_later_version_adds_is_passed_over():
    text = f"/new/thing\n{LAN}/p2p/{PEER}\nname Ada\n"
    assert read_invite(sealed(text)) == Invite(PEER, (LAN,))


def test_a_code_is_never_too_long_and_keeps_the_likeliest_addresses():
    many = tuple(Multiaddr.parse(f"/dns4/{n:02}{'x' * 40}.example/tcp/8810") for n in range(32))
    code = encode_invite(Invite(PEER, many, b"t" * 16, 1.0), entropy)
    assert len(code) <= MAX_CODE_CHARS
    read = read_invite(code)
    assert read.token == b"t" * 16
    assert 5 < len(read.addresses) < 32
    assert read.addresses == many[: len(read.addresses)]


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        ("hello", "bad_invite", "swarm://"),
        ("", "bad_invite", "swarm://"),
        (SCHEME, "bad_invite", "short"),
        (SCHEME + "abc", "bad_invite", "short"),
        (SCHEME + "a" * 5, "bad_invite", "cut off"),
        (SCHEME + "\u00e9" * 100, "bad_invite", "characters"),
        (SCHEME + "a" * MAX_CODE_CHARS, "bad_invite", str(MAX_CODE_CHARS)),
        ("/ip4/nowhere", "bad_address", "nowhere"),
        (sealed("hello"), "bad_invite", "no address"),
        (sealed("/new/thing"), "bad_address", "new"),
        (sealed(f"{LAN}/p2p/{PEER}\n{VPN}/p2p/{OTHER}"), "bad_invite", "more than one"),
        (sealed(f"{LAN}/p2p/{PEER}\ntoken 00 1"), "bad_invite", "token"),
        (sealed(f"{LAN}/p2p/{PEER}\ntoken {'00' * 16} x"), "bad_invite", "token"),
    ],
)
def test_what_is_wrong_is_said_in_words(text: str, code: str, word: str):
    with pytest.raises(Refused) as caught:
        read_invite(text)
    assert caught.value.code == code
    assert word in caught.value.message
    assert caught.value.hint


CODE = encode_invite(Invite(PEER, (LAN,), b"t" * 16, 9.0), entropy)


@given(st.integers(len(SCHEME), len(CODE) - 1))
def test_a_code_that_was_cut_off_is_refused(length: int):
    with pytest.raises(Refused) as caught:
        read_invite(CODE[:length])
    assert caught.value.code == "bad_invite"


@given(st.integers(len(SCHEME), len(CODE) - 2), st.sampled_from("ABCdef123-_"))
def test_a_code_with_a_wrong_character_is_refused(place: int, char: str):
    damaged = CODE[:place] + char + CODE[place + 1 :]
    if damaged != CODE:
        with pytest.raises(Refused):
            read_invite(damaged)


@given(st.text(max_size=300))
def test_any_text_is_an_invite_or_refused(text: str):
    for attempt in (text, SCHEME + text, sealed(text)):
        try:
            read_invite(attempt)
        except Refused as error:
            assert error.code in ("bad_invite", "bad_address")


def test_without_an_address_there_is_nothing_to_invite_to():
    with pytest.raises(Refused, match="no address"):
        encode_invite(Invite(PEER, ()), entropy)


def test_the_hash_does_not_show_the_token():
    assert token_hash(b"a" * 16) != token_hash(b"b" * 16)
    assert (b"a" * 16).hex() not in token_hash(b"a" * 16)
