"""Bytes of the first release, replayed for ever: written as then, and read as then.

`tests/traces/swarm_messages_v1.json` was written once. A line that changes means that nodes of the first
release no longer understand this one; new things get new lines.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.epochs import EpochSealer
from swarmnode.protocols.swarm.frames import FrameReader, Tag, frame
from swarmnode.protocols.swarm.hello import MAX_HELLO_BYTES, Hello, decode_hello, encode_hello
from swarmnode.protocols.swarm.ids import topic_name
from swarmnode.protocols.swarm.messages import KINDS, MESSAGES, read_fields
from swarmnode.protocols.swarm.request_frames import (
    Cancel,
    Failure,
    Progress,
    Question,
    Result,
    Spoken,
    SpokenReader,
    encode,
)
from swarmnode.protocols.swarm.sealing import Binding, Opener, Sealer
from swarmnode.protocols.swarm.sealing_key import SealingKey, read_key, sign_key
from swarmnode.protocols.swarm.signed import open_message, read_body, sign_message
from swarmnode.protocols.wire.framing import Frames
from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.peer_id import peer_id

TRACE = Path(__file__).parents[3] / "traces" / "swarm_messages_v1.json"
STAMP = 1_800_000_000


def signer(name: str) -> Signer:
    key = SigningKey(sha256(f"golden {name}".encode()).digest())
    return Signer(key.verify_key.encode(), lambda message: key.sign(message).signature)


def entropy(seed: str) -> Callable[[int], bytes]:
    drawn = iter(range(1 << 20))
    return lambda count: sha256(f"golden {seed} {next(drawn)}".encode()).digest()[:count]


ADA, BOB = signer("ada"), signer("bob")
ADA_ID, BOB_ID = peer_id(ADA.public_key), peer_id(BOB.public_key)

FIELDS: dict[str, dict[str, Any]] = {
    "MemberClaim": {"peer": ADA_ID, "statement": b"signed elsewhere"},
    "Capability": {
        "peer": ADA_ID,
        "software": "swarmnode/0.1.0",
        "features": ["a", "b"],
        "profiles": ["cpu-1"],
        "os": "linux",
        "cpu": "x86-64-v3",
        "threads": 8,
        "ram_total_mb": 16000,
        "ram_available_mb": 9000,
        "disk_available_mb": 50000,
        "gpus": [MESSAGES.Gpu(name="a gpu", vram_total_mb=8000, vram_available_mb=7000)],
        "uptime_seconds": 3600,
        "region": "eu",
    },
    "Nickname": {"peer": ADA_ID, "nickname": "Ada ☂"},
    "ShardAnnounce": {
        "peer": ADA_ID,
        "model_id": bytes(range(32)),
        "label": "stories260K",
        "layer_count": 5,
        "held": [MESSAGES.LayerRange(first=0, count=2), MESSAGES.LayerRange(first=4, count=1)],
        "has_header": True,
    },
    "MemberProbe": {"peer": BOB_ID},
    "MemberProbed": {"hears": True, "seconds": 1.5},
    "MemberView": {"after": ADA_ID},
    "MemberViewed": {"statements": [b"one", b"two"], "more": True},
    "InviteRedeem": {"token": bytes(range(16))},
    "InviteRedeemed": {"vouched": True},
    "SealingKeyWanted": {},
    "SealingKeyGiven": {"statement": b"signed elsewhere"},
    "StageOpen": {
        "model": bytes(range(32)),
        "first": 3,
        "layers": 2,
        "capacity": 640,
        "epoch": 1,
        "profile": "cpu-1:kv=f16:residual=f16",
        "sampler": MESSAGES.StageSampler(
            temperature=0.5,
            top_p=0.75,
            top_k=40,
            min_p=0.125,
            typical_p=1.0,
            frequency_penalty=-0.5,
            presence_penalty=0.25,
            repetition_penalty=1.125,
            biases=[MESSAGES.TokenNumber(token=5, number=-100.0)],
            seed=2**64 - 1,
            choice=1,
            logprobs=2,
            prompt=17,
        ),
    },
    "StageOpened": {"profile": "cpu-1:kv=f16:residual=f16"},
    "StageStep": {"epoch": 1, "first": 64, "count": 64, "sample": True},
    "StageStepped": {
        "token": 17,
        "logprob": -0.5,
        "top": [MESSAGES.TokenNumber(token=17, number=-0.5), MESSAGES.TokenNumber(token=3, number=-1.5)],
    },
}
SPOKEN: dict[str, Spoken] = {
    "question": Question(1, "member_probe", 2.5, b"body"),
    "question with bulk": Question(2, "store", 600.0, b"", Tag.BULK, b"piece"),
    "result": Result(1, b"reply"),
    "result with prefix kv": Result(3, b"", Tag.PREFIX_KV, b"\x01keys and values"),
    "failure": Failure(4, Refused("no such thing", code="unsupported", hint="ask another")),
    "cancel": Cancel(5),
    "progress": Progress(6),
}
HELLO = Hello(
    "swarmnode/0.1.0",
    frozenset({"beta", "alpha"}),
    ("cpu-1", "numpy-1/haswell"),
    STAMP * 1000 + 7,
    (Multiaddr.parse("/ip4/192.168.1.5/tcp/8810"), Multiaddr.parse("/ip6/fd00::1/tcp/8810")),
)


def envelope(kind: str) -> bytes:
    row = KINDS[kind]
    body = row.new(**FIELDS[row.message]).SerializeToString(deterministic=True)
    return sign_message(ADA, row, topic_name(row.topic, ""), body, stamp=STAMP, sequence=STAMP * 1000)


def sealed() -> bytes:
    key = Opener(BOB_ID, entropy("opener"), 0.0).key(0.0)
    binding = Binding("tokens", "session 1", ADA_ID, BOB_ID)
    return Sealer(ADA, key, binding, entropy("sealer"), 0.0).seal(b"17 4 1", 1.0)


def samples() -> dict[str, bytes]:
    """Everything that is kept, as it is written today."""
    made = {f"frame {tag.name}": frame(tag, tag.name.encode()) for tag in Tag}
    made |= {f"message {name}": _message(name) for name in FIELDS}
    made |= {f"spoken {name}": b"".join(encode(spoken)) for name, spoken in SPOKEN.items()}
    made |= {f"envelope {kind.name}": envelope(kind.name) for kind in KINDS.values() if kind.topic}
    made["hello"] = encode_hello(HELLO)
    made["sealing key"] = sign_key(BOB, SealingKey(BOB_ID, bytes(range(32)), 600.0), STAMP)
    made["sealed"] = sealed()
    made["epoch"] = EpochSealer("ours", entropy("epoch")).seal("swarm/models", b"an envelope", STAMP)
    return made


def _message(name: str) -> bytes:
    data: bytes = getattr(MESSAGES, name)(**FIELDS[name]).SerializeToString(deterministic=True)
    return data


def trace() -> dict[str, bytes]:
    lines = json.loads(TRACE.read_text("utf-8"))["bytes"]
    return {name: bytes.fromhex(text) for name, text in lines.items()}


def test_everything_is_written_as_ever() -> None:
    assert samples() == trace()


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_has_its_bytes(kind: Any) -> None:
    for name in filter(None, (kind.message, kind.reply)):
        read = read_fields(kind, name, trace()[f"message {name}"], ADA_ID)
        assert read == getattr(MESSAGES, name)(**FIELDS[name])


@pytest.mark.parametrize("tag", list(Tag))
def test_every_tag_has_its_bytes(tag: Tag) -> None:
    (part,) = FrameReader().feed(trace()[f"frame {tag.name}"])
    assert (part.tag, part.data) == (tag, tag.name.encode())


@pytest.mark.parametrize("name", SPOKEN)
def test_what_was_said_over_requests_is_heard(name: str) -> None:
    (heard,) = SpokenReader(lambda spoken, tag: True).feed(trace()[f"spoken {name}"])
    expected = SPOKEN[name]
    if isinstance(heard, Failure) and isinstance(expected, Failure):
        assert heard.error.as_dict() == expected.error.as_dict()
    else:
        assert heard == expected


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if kind.topic], ids=lambda kind: kind.name)
def test_what_was_signed_is_believed(kind: Any) -> None:
    signed = open_message(trace()[f"envelope {kind.name}"], topic_name(kind.topic, ""), STAMP)
    assert (signed.kind, signed.sender, signed.sequence) == (kind.name, ADA_ID, STAMP * 1000)
    assert read_body(signed, kind) == kind.new(**FIELDS[kind.message])


def test_greetings_and_sealed_things_are_read() -> None:
    lines = trace()
    (hello,) = Frames(MAX_HELLO_BYTES, "hello").feed(lines["hello"])
    assert decode_hello(hello) == HELLO
    assert read_key(lines["sealing key"], STAMP) == SealingKey(BOB_ID, bytes(range(32)), 600.0)
    opener = Opener(BOB_ID, entropy("opener"), 0.0)
    assert opener.open(lines["sealed"], "tokens", "session 1", ADA_ID, 1.0) == b"17 4 1"
    opened = EpochSealer("ours", entropy("x")).open("swarm/models", lines["epoch"], STAMP)
    assert opened == b"an envelope"
