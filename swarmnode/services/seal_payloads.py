"""Sealing what a third node is to carry, and opening what one has carried here.

    sealing = SealPayloads(host, talk, clock, signer, stamp, entropy)
    sealing.seal(peer, "tokens", session, plain)      # a Deferred of the packet
    sealing.open(packet, "tokens", session, sender)   # the plain bytes; raises

The recipient's key is asked for when a session begins and again when it is about to be renewed. When a peer's
last connection is gone, so is what was kept for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import Host
from swarmnode.protocols.identity.handover import Signer
from swarmnode.protocols.swarm.sealing import Binding, Opener, Sealer
from swarmnode.protocols.swarm.sealing_key import SealingKey, read_key, sign_key
from swarmnode.services.talk_to_peers import PeerTalk, Reply, Request
from swarmnode.values.errors import PeerFault, SwarmnodeError
from swarmnode.values.network import LinkInfo

#: Sessions that we seal for; the one unused longest goes, and gets another key when it is used again.
MAX_SESSIONS = 1024
#: Keys of others that are kept.
MAX_KEYS = 1024
#: Seconds that the recipient's key is waited for.
KEY_TIMEOUT = 5.0
KIND = "sealing_key"


class SealPayloads:
    """signer: our key. stamp: Unix seconds. entropy: n -> n random bytes. penalise: told when a peer broke
    the rules."""

    def __init__(
        self,
        host: Host,
        talk: PeerTalk,
        clock: Clock,
        signer: Signer,
        stamp: Callable[[], float],
        entropy: Callable[[int], bytes],
        *,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
    ) -> None:
        self._host, self._talk, self._clock = host, talk, clock
        self._signer, self._stamp, self._entropy = signer, stamp, entropy
        self._penalise = penalise
        self._opener = Opener(host.peer_id, entropy, clock.seconds())
        self._keys: OrderedDict[str, tuple[SealingKey, float]] = OrderedDict()
        self._sealers: OrderedDict[Binding, Sealer] = OrderedDict()
        self._timer: DelayedCall | None = None

    def start(self) -> None:
        """Tell our key to whoever asks, and renew it in time."""
        self._talk.handle(KIND, self._tell_key)
        self._host.watch(self)
        self._renew()

    def stop(self) -> None:
        """Renew it no more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def seal(self, peer: str, kind: str, session: str, plain: bytes) -> Deferred[bytes]:
        """A Deferred of the packet. Fails when the peer's key cannot be had, or the payload is too long."""
        binding = Binding(kind, session, self._host.peer_id, peer)
        sealer = self._sealers.get(binding)
        now = self._clock.seconds()
        if sealer is not None and not sealer.spent(now):
            self._sealers.move_to_end(binding)
            return maybeDeferred(sealer.seal, plain, now)
        return self._key_of(peer).addCallback(lambda key: self._seal_anew(binding, key, plain))

    def open(self, packet: bytes, kind: str, session: str, sender: str) -> bytes:
        """What is in a packet. sender: who is said to have sealed it. Raises as `Opener.open`. Its carrier
        may have spoilt it, so nobody is penalised here."""
        return self._opener.open(packet, kind, session, sender, self._clock.seconds())

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        """Keys are asked for when they are needed."""

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """It may come back with another key: forget this one, and what was sealed to it."""
        self._keys.pop(peer, None)
        for binding in [one for one in self._sealers if one.recipient == peer]:
            del self._sealers[binding]

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Not our concern."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Not our concern."""

    def _seal_anew(self, binding: Binding, key: SealingKey, plain: bytes) -> bytes:
        now = self._clock.seconds()
        sealer = Sealer(self._signer, key, binding, self._entropy, now)
        self._sealers[binding] = sealer
        self._sealers.move_to_end(binding)
        if len(self._sealers) > MAX_SESSIONS:
            self._sealers.popitem(last=False)
        return sealer.seal(plain, now)

    def _key_of(self, peer: str) -> Deferred[SealingKey]:
        known, until = self._keys.get(peer, (None, 0.0))
        now = self._clock.seconds()
        if known is not None and now < until:
            result: Deferred[SealingKey] = Deferred()
            result.callback(SealingKey(peer, known.public, until - now))
            return result
        asked: Deferred[Any] = self._talk.ask(peer, KIND, timeout=KEY_TIMEOUT)
        return asked.addCallback(lambda reply: self._learn(peer, reply))

    def _learn(self, peer: str, reply: Reply) -> SealingKey:
        try:
            key = read_key(reply.message.statement, self._stamp())
            if key.peer != peer:
                raise PeerFault("A peer names another's sealing key", code="signature_violation")
        except PeerFault as error:
            if error.code != "stale":
                self._penalise(peer, error)
            raise
        self._keys[peer] = (key, self._clock.seconds() + key.seconds)
        self._keys.move_to_end(peer)
        if len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return key

    def _tell_key(self, request: Request) -> dict[str, bytes]:
        key = self._opener.key(self._clock.seconds())
        return {"statement": sign_key(self._signer, key, int(self._stamp()))}

    def _renew(self) -> None:
        self._opener.tick(self._clock.seconds())
        delay = max(0.0, self._opener.deadline - self._clock.seconds())
        self._timer = self._clock.callLater(delay, self._renew)
