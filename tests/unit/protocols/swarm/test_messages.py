"""The table of kinds is whole: every kind travels somewhere, and names things that exist."""

from __future__ import annotations

import pytest

from swarmnode.protocols.identity.envelope import MAX_ENVELOPE_BYTES
from swarmnode.protocols.swarm.epochs import OVERHEAD as SEAL_OVERHEAD
from swarmnode.protocols.swarm.frames import LIMITS, Tag
from swarmnode.protocols.swarm.messages import KINDS, MAX_KIND_CHARS, MESSAGES, TOPICS, Kind, read_fields
from swarmnode.protocols.swarm.requests import QUESTION_LIMITS
from swarmnode.protocols.swarm.signed import OVERHEAD
from swarmnode.values.errors import PeerFault

kinds = pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)


@kinds
def test_every_kind_is_gossip_with_a_topic_or_a_request_with_a_reply(kind: Kind) -> None:
    assert (kind.topic in TOPICS) != kind.is_request
    assert not (kind.topic and kind.is_request)


@kinds
def test_every_kind_names_messages_and_fields_that_exist(kind: Kind) -> None:
    fields = kind.new().DESCRIPTOR.fields_by_name
    assert not kind.sender or kind.sender in fields
    if kind.is_request:
        kind.new_reply()
    else:
        assert kind.sender, "gossip says who speaks"


@kinds
def test_every_kind_fits_in_what_carries_it(kind: Kind) -> None:
    assert len(kind.name) <= MAX_KIND_CHARS
    room = QUESTION_LIMITS[Tag.CONTROL] if kind.is_request else MAX_ENVELOPE_BYTES
    assert kind.limit + OVERHEAD + SEAL_OVERHEAD <= room
    assert kind.reply_limit + OVERHEAD <= LIMITS[Tag.CONTROL]


def test_there_is_a_row_for_each_message() -> None:
    used = {name for kind in KINDS.values() for name in (kind.message, kind.reply)}
    inner = {"Gpu", "LayerRange", "StageSampler", "TokenNumber"}
    assert set(vars(MESSAGES)) | {""} == used | inner


def test_who_claims_to_be_somebody_else_is_a_forger() -> None:
    kind = KINDS["nickname"]
    data = kind.new(peer="alice", nickname="a").SerializeToString()
    assert read_fields(kind, "Nickname", data, "alice").nickname == "a"
    with pytest.raises(PeerFault) as caught:
        read_fields(kind, "Nickname", data, "bob")
    assert caught.value.code == "signature_violation"


def test_what_is_no_message_is_a_fault() -> None:
    with pytest.raises(PeerFault) as caught:
        read_fields(KINDS["member_probe"], "MemberProbe", b"\x0a\xff", "alice")
    assert caught.value.code == "bad_message"
