"""What one event makes this node say, gathered so that each peer gets few RPCs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from swarmnode.protocols.gossipsub.messages import Message
from swarmnode.protocols.gossipsub.parameters import MAX_RPC_BYTES
from swarmnode.protocols.gossipsub.rpc import Prune, control_rpc, publish_field
from swarmnode.protocols.gossipsub.vocabulary import Effect, SendRpc, Urgency

#: Bytes of messages put into one RPC on demand, so that a large answer does not hold up what comes after it.
ANSWER_RPC_BYTES = MAX_RPC_BYTES // 4


@dataclass(slots=True)
class _Letter:
    subscriptions: list[tuple[str, bool]] = field(default_factory=list)
    graft: list[str] = field(default_factory=list)
    prune: list[Prune] = field(default_factory=list)
    messages: list[tuple[Urgency, bytes]] = field(default_factory=list)
    ihave: list[tuple[str, Sequence[bytes]]] = field(default_factory=list)
    iwant: list[bytes] = field(default_factory=list)


class Outbox:
    """Letters by peer, in the order in which peers were first written to, and other effects after them."""

    def __init__(self) -> None:
        self._letters: dict[str, _Letter] = {}
        self._effects: list[Effect] = []

    def subscription(self, peer: str, topic: str, subscribe: bool) -> None:
        """Tell of a subscription or its end."""
        self._letter(peer).subscriptions.append((topic, subscribe))

    def graft(self, peer: str, topic: str) -> None:
        """Take the peer into our mesh."""
        self._letter(peer).graft.append(topic)

    def prune(self, peer: str, prune: Prune) -> None:
        """Put the peer out of our mesh."""
        self._letter(peer).prune.append(prune)

    def message(self, peer: str, message: Message, urgency: Urgency) -> None:
        """Send a message."""
        self._letter(peer).messages.append((urgency, message.encoded))

    def ihave(self, peer: str, topic: str, ids: Sequence[bytes]) -> None:
        """Announce messages."""
        self._letter(peer).ihave.append((topic, ids))

    def iwant(self, peer: str, ids: Sequence[bytes]) -> None:
        """Ask for messages."""
        self._letter(peer).iwant.extend(ids)

    def effect(self, effect: Effect) -> None:
        """Something other than an RPC."""
        self._effects.append(effect)

    def forget(self, peer: str) -> None:
        """Say nothing to this peer after all."""
        self._letters.pop(peer, None)

    def flush(self) -> list[Effect]:
        """Everything, as effects; the outbox is empty afterwards."""
        effects: list[Effect] = []
        for peer, letter in self._letters.items():
            effects += _rpcs(peer, letter)
        effects += self._effects
        self._letters, self._effects = {}, []
        return effects

    def _letter(self, peer: str) -> _Letter:
        letter = self._letters.get(peer)
        if letter is None:
            letter = self._letters[peer] = _Letter()
        return letter


def _rpcs(peer: str, letter: _Letter) -> list[SendRpc]:
    rpcs: list[SendRpc] = []
    if letter.subscriptions or letter.graft or letter.prune:
        control = control_rpc(subscriptions=letter.subscriptions, graft=letter.graft, prune=letter.prune)
        rpcs.append(SendRpc(peer, control, Urgency.CONTROL))
    batch, urgency = bytearray(), Urgency.OWN
    for of_message, encoded in letter.messages:
        if batch and (of_message is not urgency or len(batch) + len(encoded) > ANSWER_RPC_BYTES):
            rpcs.append(SendRpc(peer, bytes(batch), urgency))
            batch.clear()
        urgency = of_message
        batch += publish_field(encoded)
    if batch:
        rpcs.append(SendRpc(peer, bytes(batch), urgency))
    if letter.ihave or letter.iwant:
        gossip = control_rpc(ihave=letter.ihave, iwant=letter.iwant)
        rpcs.append(SendRpc(peer, gossip, Urgency.GOSSIP))
    return rpcs
