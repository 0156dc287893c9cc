"""Sealed payloads: only the recipient reads them, once, and only for what they were sealed."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm import sealing
from swarmnode.protocols.swarm.replay import WINDOW
from swarmnode.protocols.swarm.sealing import GRACE_SECONDS, KEY_SECONDS, OVERHEAD, Binding, Opener, Sealer
from swarmnode.protocols.swarm.sealing_key import SealingKey, read_key, sign_key
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.peer_id import peer_id

STAMP = 1_800_000_000


def signer(number: int) -> Signer:
    key = SigningKey(sha256(b"sealing %d" % number).digest())
    return Signer(key.verify_key.encode(), lambda message: key.sign(message).signature)


def entropy(seed: str) -> Callable[[int], bytes]:
    drawn = iter(range(1 << 20))
    return lambda count: sha256(f"{seed}{next(drawn)}".encode()).digest()[:count]


ADA, BOB = signer(1), signer(2)
ADA_ID, BOB_ID = peer_id(ADA.public_key), peer_id(BOB.public_key)
TO_BOB = Binding("tokens", "session 1", ADA_ID, BOB_ID)


def pair(now: float = 0.0) -> tuple[Sealer, Opener]:
    opener = Opener(BOB_ID, entropy("bob"), now)
    return Sealer(ADA, opener.key(now), TO_BOB, entropy("ada"), now), opener


def opened(opener: Opener, packet: bytes, now: float = 1.0, session: str = "session 1") -> bytes:
    return opener.open(packet, "tokens", session, ADA_ID, now)


def code(opener: Opener, packet: bytes, now: float = 1.0, session: str = "session 1") -> str:
    with pytest.raises(SwarmnodeError) as caught:
        opened(opener, packet, now, session)
    return caught.value.code


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=8), st.randoms(use_true_random=False))
def test_what_is_sealed_is_read_in_any_order(plains: list[bytes], rng: object) -> None:
    sealer, opener = pair()
    packets = [(sealer.seal(plain, 1.0), plain) for plain in plains]
    rng.shuffle(packets)  # type: ignore[attr-defined]
    assert [opened(opener, packet) for packet, _ in packets] == [plain for _, plain in packets]
    assert all(len(packet) == len(plain) + OVERHEAD for packet, plain in packets)


def test_a_packet_is_taken_once() -> None:
    sealer, opener = pair()
    packet = sealer.seal(b"x", 1.0)
    assert opened(opener, packet) == b"x"
    assert code(opener, packet) == "replayed"


def test_a_packet_far_behind_is_not_taken() -> None:
    sealer, opener = pair()
    packets = [sealer.seal(b"x", 1.0) for _ in range(WINDOW + 1)]
    opened(opener, packets[-1])
    assert code(opener, packets[0]) == "replayed"
    assert opened(opener, packets[1]) == b"x"


def test_the_carrier_reads_nothing_and_nobody_else_opens_it() -> None:
    sealer, _ = pair()
    packet = sealer.seal(b"a secret of ours", 1.0)
    assert b"secret" not in packet
    carol = Opener(peer_id(signer(3).public_key), entropy("bob"), 0.0)
    assert code(carol, packet) in ("bad_seal", "bad_signature", "sealing_key_old")


@pytest.mark.parametrize(
    ("kind", "session", "sender"),
    [("tensor", "session 1", ADA_ID), ("tokens", "session 2", ADA_ID), ("tokens", "session 1", BOB_ID)],
    ids=["kind", "session", "sender"],
)
def test_a_packet_is_good_for_what_it_was_sealed_for_only(kind: str, session: str, sender: str) -> None:
    sealer, opener = pair()
    packet = sealer.seal(b"x", 1.0)
    with pytest.raises(PeerFault) as caught:
        opener.open(packet, kind, session, sender, 1.0)
    assert caught.value.code == "bad_signature"
    assert opened(opener, packet) == b"x"


def test_nobody_seals_in_anothers_name() -> None:
    _, opener = pair()
    forger = Sealer(signer(3), opener.key(0.0), TO_BOB, entropy("carol"), 0.0)
    assert code(opener, forger.seal(b"x", 1.0)) == "bad_signature"


@settings(deadline=None)
@given(st.data())
def test_a_forged_packet_changes_nothing(data: st.DataObject) -> None:
    sealer, opener = pair()
    opened(opener, sealer.seal(b"first", 1.0))
    packet = sealer.seal(b"second", 1.0)
    forged = bytearray(packet)
    at = data.draw(st.integers(0, len(forged) - 1))
    forged[at] ^= data.draw(st.integers(1, 255))
    assert code(opener, bytes(forged)) in ("bad_seal", "bad_signature", "sealing_key_old")
    # A counter far ahead, had it been believed, would have shut this one out.
    assert opened(opener, packet) == b"second"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_comes_is_a_named_fault(data: bytes) -> None:
    _, opener = pair()
    assert code(opener, data) in ("bad_seal", "sealing_key_old")


def test_keys_are_renewed_and_the_last_one_opens_a_little_longer() -> None:
    sealer, opener = pair()
    first = opener.key(0.0)
    packets = [sealer.seal(b"%d" % n, 1.0) for n in range(3)]
    assert opener.deadline == KEY_SECONDS
    assert not opener.tick(KEY_SECONDS - 1)
    assert opener.tick(KEY_SECONDS)
    second = opener.key(KEY_SECONDS)
    assert second.public != first.public
    assert second.seconds == KEY_SECONDS
    assert opened(opener, packets[0], KEY_SECONDS + GRACE_SECONDS - 0.1) == b"0"
    assert opener.deadline == KEY_SECONDS + GRACE_SECONDS
    assert code(opener, packets[1], KEY_SECONDS + GRACE_SECONDS) == "sealing_key_old"
    assert opener.deadline == 2 * KEY_SECONDS


def test_a_sealer_knows_when_it_needs_another_key() -> None:
    _, opener = pair()
    sealer = Sealer(ADA, opener.key(100.0), TO_BOB, entropy("ada"), 100.0)
    assert not sealer.spent(KEY_SECONDS - 1)
    assert sealer.spent(KEY_SECONDS)
    late = KEY_SECONDS + GRACE_SECONDS / 4
    assert opened(opener, sealer.seal(b"x", late), late) == b"x"
    with pytest.raises(Unavailable) as caught:
        sealer.seal(b"x", KEY_SECONDS + GRACE_SECONDS)
    assert caught.value.code == "sealing_key_old"


def test_sessions_are_bounded_and_none_is_forgotten_before_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "MAX_SESSIONS", 2)
    _, opener = pair()
    sealers = [
        Sealer(ADA, opener.key(0.0), Binding("tokens", f"s{n}", ADA_ID, BOB_ID), entropy(f"a{n}"), 0.0)
        for n in range(3)
    ]
    packets = [sealer.seal(b"x", 1.0) for sealer in sealers]
    assert opened(opener, packets[0], session="s0") == opened(opener, packets[1], session="s1") == b"x"
    assert code(opener, packets[2], session="s2") == "too_many_sessions"
    assert code(opener, packets[0], session="s0") == "replayed"


def test_a_key_of_low_order_is_refused_at_both_ends() -> None:
    with pytest.raises(PeerFault) as caught:
        Sealer(ADA, SealingKey(BOB_ID, bytes(32), 600.0), TO_BOB, entropy("ada"), 0.0)
    assert caught.value.code == "bad_sealing_key"


def test_a_key_is_the_recipients() -> None:
    _, opener = pair()
    with pytest.raises(Refused) as caught:
        Sealer(ADA, opener.key(0.0), Binding("t", "s", ADA_ID, ADA_ID), entropy("ada"), 0.0)
    assert caught.value.code == "wrong_recipient"


def test_what_is_too_long_is_not_sealed() -> None:
    sealer, _ = pair()
    with pytest.raises(Refused):
        sealer.seal(bytes(sealing.MAX_PLAIN + 1), 0.0)


def test_a_key_travels_under_its_owners_signature() -> None:
    _, opener = pair()
    key = opener.key(100.0)
    statement = sign_key(BOB, key, STAMP)
    assert read_key(statement, STAMP + 10) == SealingKey(BOB_ID, key.public, key.seconds - 10)
    assert read_key(statement, STAMP - 10).seconds == key.seconds
    for late in (301, -31):
        with pytest.raises(PeerFault) as caught:
            read_key(statement, STAMP + late)
        assert caught.value.code == "stale"


@given(st.binary(max_size=200))
def test_whatever_comes_is_no_key(data: bytes) -> None:
    with pytest.raises(PeerFault):
        read_key(data, STAMP)
