"""What the nodes of a swarm say to each other: ONE table of kinds.

A kind travels by gossip, and then belongs to one of six topics, or is a request that one peer asks of
another, and then has a reply. Names are what goes over the wire, so a node that does not know a kind can
say which; a number would only be a second name. A new kind is named here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarmnode.protocols.swarm.frames import Tag
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import PeerFault

#: The subjects of gossip; `ids.topic_name` makes a topic of each.
TOPICS = ("models", "health", "credits", "identity", "pools", "regions")
#: The longest name of a kind, characters.
MAX_KIND_CHARS = 48

MESSAGES = schema(
    "swarm",
    # Membership: a claim as its subject (or accuser) signed it; see protocols/swarm/membership*.py. It is
    # signed by itself because it is also handed on, unchanged and later, to those who join.
    MemberClaim={"peer": "1 string", "statement": "2 bytes"},
    Capability={
        "peer": "1 string",
        "software": "2 string",
        "features": "3 repeated string",
        "profiles": "4 repeated string",
        "os": "5 string",
        "cpu": "6 string",
        "threads": "7 uint32",
        "ram_total_mb": "8 uint64",
        "ram_available_mb": "9 uint64",
        "disk_available_mb": "10 uint64",
        "gpus": "11 repeated Gpu",
        "uptime_seconds": "12 uint64",
        "region": "13 string",
    },
    Gpu={"name": "1 string", "vram_total_mb": "2 uint64", "vram_available_mb": "3 uint64"},
    # The newest stamp wins; an empty name takes the name back.
    Nickname={"peer": "1 string", "nickname": "2 string"},
    # Which layers of a model somebody holds: the whole list each time, so that one message is the truth.
    ShardAnnounce={
        "peer": "1 string",
        "model_id": "2 bytes",
        "label": "3 string",
        "layer_count": "4 uint32",
        "held": "5 repeated LayerRange",
        "has_header": "6 bool",
    },
    LayerRange={"first": "1 uint32", "count": "2 uint32"},
    # Does `peer` answer you? seconds: since it was heard last.
    MemberProbe={"peer": "1 string"},
    MemberProbed={"hears": "1 bool", "seconds": "2 double"},
    # The signed claims of everybody known, by pages: `after` is the last peer of the page before. digest: of
    # what is known already; the answer is empty when both know the same.
    MemberView={"after": "1 string", "digest": "2 bytes"},
    MemberViewed={"statements": "1 repeated bytes", "more": "2 bool"},
    InviteRedeem={"token": "1 bytes"},
    InviteRedeemed={"vouched": "1 bool"},
    # The X25519 key that payloads for this node are to be sealed to; `sealing_key.py`.
    SealingKeyWanted={},
    SealingKeyGiven={"statement": "1 bytes"},
    # A session of a pipeline on a stage, and its steps; see protocols/pipeline/stage_messages.py.
    StageOpen={
        "model": "1 bytes",
        "first": "2 uint32",
        "layers": "3 uint32",
        "capacity": "4 uint32",
        "epoch": "5 uint64",
        "profile": "6 string",
        "sampler": "7 StageSampler",
    },
    StageSampler={
        "temperature": "1 double",
        "top_p": "2 double",
        "top_k": "3 uint32",
        "min_p": "4 double",
        "typical_p": "5 double",
        "frequency_penalty": "6 double",
        "presence_penalty": "7 double",
        "repetition_penalty": "8 double",
        "biases": "9 repeated TokenNumber",
        "seed": "10 uint64",
        "choice": "11 uint32",
        "logprobs": "12 uint32",
        "prompt": "13 uint32",
    },
    TokenNumber={"token": "1 uint32", "number": "2 double"},
    StageOpened={"profile": "1 string"},
    StageStep={"epoch": "1 uint64", "first": "2 uint32", "count": "3 uint32", "sample": "4 bool"},
    StageStepped={"token": "1 uint32", "logprob": "2 double", "top": "3 repeated TokenNumber"},
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A row of the table.

    message, reply: names in `MESSAGES`; a kind with a reply is a request, one without is gossip.
    topic: which of `TOPICS`, for gossip. sender: the field that says who speaks, which must be whoever
    signed it (gossip) or whoever is at the other end of the connection (requests). limit, reply_limit:
    bytes of the encoded message. payload, reply_payload: the frame of raw bytes that comes with it, and
    what it holds at most. bulk: asked over the stream for long things, so that short ones overtake.
    session: asked over a stream that belongs to one session alone, and ends with it.
    feature: what a peer must have said it can, before it is sent this; empty: everybody can.
    """

    name: str
    message: str
    reply: str = ""
    topic: str = ""
    sender: str = ""
    limit: int = 4096
    reply_limit: int = 4096
    payload: Tag | None = None
    reply_payload: Tag | None = None
    bulk: bool = False
    feature: str = ""
    session: bool = False

    @property
    def is_request(self) -> bool:
        """Whether it is asked of one peer and answered."""
        return bool(self.reply)

    def new(self, **fields: Any) -> Any:
        """A message of this kind."""
        return getattr(MESSAGES, self.message)(**fields)

    def new_reply(self, **fields: Any) -> Any:
        """The answer to one."""
        return getattr(MESSAGES, self.reply)(**fields)


_ALL = (
    Kind("member_claim", "MemberClaim", topic="health", sender="peer", limit=16 << 10),
    Kind("capability", "Capability", topic="health", sender="peer", limit=8 << 10),
    Kind("shard_announce", "ShardAnnounce", topic="models", sender="peer", limit=16 << 10),
    Kind("nickname", "Nickname", topic="identity", sender="peer", limit=512),
    Kind("member_probe", "MemberProbe", "MemberProbed", limit=256, reply_limit=256),
    Kind("member_view", "MemberView", "MemberViewed", limit=256, reply_limit=256 << 10),
    Kind("invite_redeem", "InviteRedeem", "InviteRedeemed", limit=256, reply_limit=256),
    Kind("sealing_key", "SealingKeyWanted", "SealingKeyGiven", limit=256, reply_limit=1024),
    Kind("stage_open", "StageOpen", "StageOpened", limit=16 << 10, payload=Tag.TENSOR, session=True),
    Kind(
        "stage_step",
        "StageStep",
        "StageStepped",
        limit=256,
        payload=Tag.TENSOR,
        reply_payload=Tag.TENSOR,
        session=True,
    ),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}


def read_fields(kind: Kind, message: str, data: bytes, sender: str) -> Any:
    """A message of a kind out of its bytes. message: its name, `kind.message` or `kind.reply`. sender: who
    really speaks. Raises `PeerFault`: `bad_message`, and `signature_violation` where it names another."""
    fields = parse(getattr(MESSAGES, message), data, f"A {kind.name}")
    if kind.sender and message == kind.message and getattr(fields, kind.sender) != sender:
        raise PeerFault(f"A {kind.name} names another sender than {sender}", code="signature_violation")
    return fields
