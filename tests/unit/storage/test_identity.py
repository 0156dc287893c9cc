"""The identity file: one key, whole or not at all, closed to others, encrypted when asked."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from swarmnode.storage import identity as module
from swarmnode.storage.data_dir import hold_data_dir
from swarmnode.storage.identity import (
    change_passphrase,
    load_or_create_identity,
    read_handovers,
    rotate_identity,
)
from swarmnode.storage.key_container import PassphraseCost
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError
from swarmnode.values.peer_id import peer_id, public_key_of

CHEAP = PassphraseCost(operations=1, memory_bytes=8192)
PASSPHRASE = "correct horse battery staple"


def seed_of(path: Path) -> bytes:
    """The seed in a container in clear, found without our own parser."""
    data = path.read_bytes()
    at = data.index(b"\x08\x01\x12\x40") + 4
    return data[at : at + 32]


def test_two_starts_have_one_peer_id(tmp_path: Path):
    first, second = load_or_create_identity(tmp_path), load_or_create_identity(tmp_path)
    assert first == second
    assert first.peer_id == peer_id(first.public_key)


def test_the_file_is_for_the_owner_only(tmp_path: Path):
    load_or_create_identity(tmp_path / "new" / "place")
    path = tmp_path / "new" / "place" / "identity.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [p.name for p in path.parent.iterdir()] == ["identity.key"]


def test_the_key_and_its_signatures_hold_for_another_library(tmp_path: Path):
    identity = load_or_create_identity(tmp_path)
    other = Ed25519PrivateKey.from_private_bytes(seed_of(tmp_path / "identity.key"))
    raw = other.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert raw == identity.public_key
    assert identity.sign(b"message") == other.sign(b"message")
    Ed25519PublicKey.from_public_bytes(raw).verify(identity.sign(b"m"), b"m")


def test_the_private_key_shows_in_no_text(tmp_path: Path):
    identity = load_or_create_identity(tmp_path)
    seed = seed_of(tmp_path / "identity.key")
    for text in (repr(identity), str(identity)):
        assert seed.hex() not in text
        assert repr(seed)[2:-1] not in text


def test_with_a_passphrase_the_seed_is_not_in_the_file(tmp_path: Path):
    plain = load_or_create_identity(tmp_path)
    seed = seed_of(tmp_path / "identity.key")
    encrypted = load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    data = (tmp_path / "identity.key").read_bytes()
    assert encrypted == plain
    assert seed not in data
    assert plain.public_key not in data
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600
    assert load_or_create_identity(tmp_path, PASSPHRASE, CHEAP) == plain


def test_a_new_identity_is_encrypted_at_once(tmp_path: Path):
    identity = load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    assert b"\x08\x01\x12\x40" not in (tmp_path / "identity.key").read_bytes()
    assert load_or_create_identity(tmp_path, PASSPHRASE, CHEAP) == identity


@pytest.mark.parametrize(
    ("passphrase", "code"),
    [
        ("", "identity_passphrase_missing"),
        ("wrong", "identity_passphrase_wrong"),
        (PASSPHRASE + " ", "identity_passphrase_wrong"),
    ],
)
def test_without_the_passphrase_the_start_is_refused(tmp_path: Path, passphrase: str, code: str):
    load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    before = (tmp_path / "identity.key").read_bytes()
    with pytest.raises(Refused) as caught:
        load_or_create_identity(tmp_path, passphrase, CHEAP)
    assert caught.value.code == code
    assert caught.value.hint
    assert (tmp_path / "identity.key").read_bytes() == before


def test_the_passphrase_can_be_changed_and_taken_away(tmp_path: Path):
    identity = load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    change_passphrase(tmp_path, PASSPHRASE, "another", CHEAP)
    assert load_or_create_identity(tmp_path, "another", CHEAP) == identity
    change_passphrase(tmp_path, "another", "")
    assert load_or_create_identity(tmp_path) == identity


def test_a_file_that_others_can_read_is_closed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    load_or_create_identity(tmp_path)
    path = tmp_path / "identity.key"
    path.chmod(0o644)
    load_or_create_identity(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "0644" in caplog.text


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_damaged_file_is_named_and_left_alone(tmp_path: Path, encrypted: bool):
    passphrase = PASSPHRASE if encrypted else ""
    load_or_create_identity(tmp_path, passphrase, CHEAP)
    path = tmp_path / "identity.key"
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(SwarmnodeError) as caught:
            load_or_create_identity(tmp_path, passphrase, CHEAP)
        assert caught.value.code in ("identity_damaged", "identity_passphrase_wrong")
        assert path.read_bytes() == whole[:cut]
    for position in range(10, len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(SwarmnodeError):
            load_or_create_identity(tmp_path, passphrase, CHEAP)


def test_a_file_that_asks_for_terabytes_is_damaged(tmp_path: Path):
    load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    path = tmp_path / "identity.key"
    data = bytearray(path.read_bytes())
    data[14:18] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(LocalFault) as caught:
        load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    assert caught.value.code == "identity_damaged"


def test_a_container_of_a_later_version_is_refused_by_name(tmp_path: Path):
    load_or_create_identity(tmp_path)
    path = tmp_path / "identity.key"
    path.write_bytes(b"SWARMKEY\x02\x00" + path.read_bytes()[10:])
    with pytest.raises(Refused) as caught:
        load_or_create_identity(tmp_path)
    assert caught.value.code == "identity_newer"


def test_rotation_gives_a_new_key_that_the_old_one_vouches_for(tmp_path: Path):
    old = load_or_create_identity(tmp_path)
    old_seed = seed_of(tmp_path / "identity.key")
    handover = rotate_identity(tmp_path, stamp=lambda: 1_700_000_000.5)
    new = load_or_create_identity(tmp_path)
    assert (handover.old_peer_id, handover.new_peer_id) == (old.peer_id, new.peer_id)
    assert (handover.sequence, handover.stamp) == (1, 1_700_000_000)
    assert read_handovers(tmp_path) == (handover,)
    assert public_key_of(new.peer_id) == new.public_key != old.public_key
    everything = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert old_seed not in everything


def test_rotations_form_a_chain(tmp_path: Path):
    load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    chain = [rotate_identity(tmp_path, PASSPHRASE, cost=CHEAP) for _ in range(11)]
    assert read_handovers(tmp_path) == tuple(chain)
    assert [h.sequence for h in chain] == list(range(1, 12))
    assert all(a.new_key == b.old_key for a, b in zip(chain, chain[1:], strict=False))
    assert load_or_create_identity(tmp_path, PASSPHRASE, CHEAP).peer_id == chain[-1].new_peer_id


def test_the_rotated_key_is_encrypted_too(tmp_path: Path):
    load_or_create_identity(tmp_path, PASSPHRASE, CHEAP)
    rotate_identity(tmp_path, PASSPHRASE, cost=CHEAP)
    assert b"\x08\x01\x12\x40" not in (tmp_path / "identity.key").read_bytes()


def test_a_rotation_cut_short_after_the_statement_is_finished(tmp_path: Path):
    load_or_create_identity(tmp_path)
    old_file = (tmp_path / "identity.key").read_bytes()
    handover = rotate_identity(tmp_path)
    os.replace(tmp_path / "identity.key", tmp_path / "identity.key.next")
    (tmp_path / "identity.key").write_bytes(old_file)
    assert load_or_create_identity(tmp_path).peer_id == handover.new_peer_id
    assert not (tmp_path / "identity.key.next").exists()


def test_a_rotation_cut_short_before_the_statement_is_forgotten(tmp_path: Path, monkeypatch):
    old = load_or_create_identity(tmp_path)

    def killed(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "create_private", killed)
    with pytest.raises(KeyboardInterrupt):
        rotate_identity(tmp_path)
    assert (tmp_path / "identity.key.next").exists()
    assert load_or_create_identity(tmp_path) == old
    assert not (tmp_path / "identity.key.next").exists()


def test_a_running_node_is_not_rotated(tmp_path: Path):
    old = load_or_create_identity(tmp_path)
    lock = hold_data_dir(tmp_path, 8800)
    with pytest.raises(Refused) as caught:
        rotate_identity(tmp_path)
    lock.release()
    assert caught.value.code == "data_dir_in_use"
    assert load_or_create_identity(tmp_path) == old


def test_what_a_killed_writer_left_is_swept(tmp_path: Path):
    load_or_create_identity(tmp_path)
    old, new = tmp_path / ".identity.key.new-abc", tmp_path / ".identity.key.new-def"
    for leftover in (old, new):
        leftover.write_bytes(b"half a key")
    os.utime(old, (1, 1))
    load_or_create_identity(tmp_path)
    assert not old.exists()
    assert new.exists(), "somebody may be writing this one now"


def test_a_look_in_the_middle_of_a_rotation_does_no_harm(tmp_path: Path, monkeypatch):
    load_or_create_identity(tmp_path)
    real = module.create_private

    def looked_at(path: Path, data: bytes) -> bool:
        load_or_create_identity(tmp_path)
        return real(path, data)

    monkeypatch.setattr(module, "create_private", looked_at)
    handover = rotate_identity(tmp_path)
    assert load_or_create_identity(tmp_path).peer_id == handover.new_peer_id
