"""Messages that come in: checked once, judged by the topic's validator, credited or blamed, passed on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from swarmnode.protocols.gossipsub.counts import Counts
from swarmnode.protocols.gossipsub.messages import Message, raw_id, verified
from swarmnode.protocols.gossipsub.outbox import Outbox
from swarmnode.protocols.gossipsub.parameters import MAX_TOPIC_DATA_BYTES
from swarmnode.protocols.gossipsub.score_parameters import TopicScore
from swarmnode.protocols.gossipsub.scoring import Scores
from swarmnode.protocols.gossipsub.seen import Fate, Seen, Sighting
from swarmnode.protocols.gossipsub.vocabulary import Deliver, Penalise, Subscribe, Validator, Verdict
from swarmnode.values.errors import PeerFault

_FATES = {Verdict.ACCEPT: Fate.VALID, Verdict.IGNORE: Fate.IGNORED, Verdict.REJECT: Fate.INVALID}


@dataclass(frozen=True, slots=True)
class Topic:
    """One that this node subscribes to."""

    validator: Validator
    max_bytes: int
    score: TopicScore


class Intake:
    """own: this node's binary peer id."""

    def __init__(self, own: bytes, scores: Scores, outbox: Outbox, counts: Counts) -> None:
        self._own, self._scores, self._outbox, self._counts = own, scores, outbox, counts
        self.topics: dict[str, Topic] = {}
        self.seen = Seen()

    def subscribe(self, event: Subscribe, usual: TopicScore) -> None:
        """Judge the topic's messages so from now on."""
        limit = max(0, min(event.max_bytes, MAX_TOPIC_DATA_BYTES))
        self.topics[event.topic] = Topic(event.validator, limit, event.score or usual)

    def wanted(self, topic: str, message_id: bytes, now: float) -> bool:
        """Whether it is worth asking for: in a topic of ours, not seen, not our own of an earlier run."""
        return (
            topic in self.topics
            and not message_id.startswith(self._own)
            and self.seen.get(message_id, now) is None
        )

    def take(self, peer: str, raw: Any, now: float) -> Message | None:
        """A protobuf `Message` from a peer. Returns it when it is new and good, and so is to be passed on.
        Raises `PeerFault` when its form or its signature is wrong, with the blame already laid."""
        try:
            return self._take(peer, raw, now)
        except PeerFault:
            self._counts.invalid += 1
            self._scores.invalid(peer, raw.topic, now)
            raise

    def _take(self, peer: str, raw: Any, now: float) -> Message | None:
        number = raw_id(raw)
        topic = self.topics.get(raw.topic)
        if topic is None:
            self._counts.foreign += 1
            return None
        sighting = self.seen.get(number, now)
        if sighting is not None:
            self._again(peer, raw.topic, topic, sighting, now)
            return None
        if number.startswith(self._own):
            self._counts.ignored += 1
            return None
        if len(raw.data) > topic.max_bytes:
            what = f"A gossip message has {len(raw.data)} bytes, the topic allows {topic.max_bytes}"
            raise PeerFault(what, code="bad_message")
        return self._judge(peer, topic, verified(raw), now)

    def _judge(self, peer: str, topic: Topic, message: Message, now: float) -> Message | None:
        """The id counts as seen from here on, not earlier: nobody can spoil a message by a forged one."""
        verdict = self._verdict(topic, message)
        self.seen.add(message.id, _FATES[verdict], now).peers[peer] = None
        if verdict is Verdict.ACCEPT:
            self._counts.delivered += 1
            self._scores.delivered(peer, message.topic, now, first=True)
            self._outbox.effect(Deliver(message.topic, peer, message.source, message.data, message.id))
            return message
        if verdict is Verdict.IGNORE:
            self._counts.ignored += 1
            return None
        self._counts.invalid += 1
        self._scores.invalid(peer, message.topic, now)
        what = f"A gossip message of {message.source} in {message.topic} is not valid there"
        self._outbox.effect(Penalise(peer, PeerFault(what, code="invalid_gossip")))
        return None

    def _verdict(self, topic: Topic, message: Message) -> Verdict:
        try:
            verdict = topic.validator(message.source, message.data)
        except Exception:
            # Our own mistake must neither end the machine nor be held against the peer.
            self._counts.validator_failures += 1
            return Verdict.IGNORE
        return verdict if isinstance(verdict, Verdict) else Verdict.IGNORE

    def _again(self, peer: str, name: str, topic: Topic, sighting: Sighting, now: float) -> None:
        self._counts.duplicates += 1
        if peer in sighting.peers:
            return
        sighting.peers[peer] = None
        if sighting.fate is Fate.INVALID:
            self._scores.invalid(peer, name, now)
        elif sighting.fate is Fate.VALID and now - sighting.at <= topic.score.rate_window:
            self._scores.delivered(peer, name, now, first=False)
