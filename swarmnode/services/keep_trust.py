"""Keeping trust: the one owner of every peer's score.

    trust = KeepTrust(host, clock, stamp, load, save, log, vouched=vouched_by(settings))
    trust.start()
    broadcast = Broadcast(..., penalise=trust.penalise)
    trust.record(peer, TrustEvent.INFERENCE_SUCCESS)
    trust.score(peer)

Scores are computed when they are asked for; nothing runs for a peer that nobody asks about.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.interfaces.host import HostWatcher
from swarmnode.policy.trust import (
    CYCLE_SECONDS,
    MAX_PEERS,
    NEGLIGIBLE,
    STRANGER,
    VOUCHED,
    Trust,
    TrustEvent,
    Vouch,
    after,
    begin,
    crowded,
    decayed,
    event_of,
    forgettable,
    on_this_machine,
    restarted,
)
from swarmnode.protocols.pool.limits import PROTECTED_WEIGHT
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.network import LinkInfo
from swarmnode.values.trust import KeptTrust

SAVE_SECONDS = 60.0
#: What `Host.weigh` knows those by whom the user stands up for.
WEIGHT_TAG = "vouched"

#: Told of a peer whose score was moved by an event or a vouch, and the score.
Listener = Callable[[str, float], None]
#: `save(changed, forgotten)`; may return a Deferred.
Save = Callable[[Sequence[KeptTrust], Sequence[str]], Any]


class Peers(Protocol):
    """The part of `Host` that is needed."""

    def peers(self) -> tuple[str, ...]: ...

    def links(self, peer: str) -> tuple[LinkInfo, ...]: ...

    def watch(self, watcher: HostWatcher) -> None: ...

    def weigh(self, peer: str, tag: str, weight: float) -> None: ...


@dataclass(frozen=True, slots=True)
class PeerTrust:
    """What is known of one peer. vouches: why it is vouched for, by name."""

    peer: str
    score: float
    start: float
    vouches: tuple[str, ...]


class KeepTrust:
    """load(): the `KeptTrust`s saved last, or a Deferred of them. stamp: Unix seconds. vouched: whom the user
    names in the settings (`policy.trust.vouched_by`)."""

    def __init__(
        self,
        host: Peers,
        clock: Clock,
        stamp: Callable[[], float],
        load: Callable[[], Any],
        save: Save,
        log: Any,
        *,
        vouched: Mapping[str, Vouch] | None = None,
    ) -> None:
        self._host, self._clock, self._stamp = host, clock, stamp
        self._load, self._save, self._log = load, save, log
        self._trusts: dict[str, Trust] = {}
        self._vouches: dict[str, set[Vouch]] = {}
        self._changed: set[str] = set()
        self._forgotten: set[str] = set()
        self._listeners: list[Listener] = []
        self._loaded = self._stopped = False
        self._last_fault: SwarmnodeError | None = None
        self._timers: dict[str, DelayedCall] = {}
        for peer, why in (vouched or {}).items():
            self.vouch(peer, why)

    def start(self) -> Any:
        """Watch connections, and load; a Deferred. A store that fails is told in the log."""
        self._host.watch(self)
        for peer in self._host.peers():
            for link in self._host.links(peer):
                self.peer_connected(peer, link)
        self._every("crowds", CYCLE_SECONDS, self._look_for_crowds)
        return maybeDeferred(self._load).addCallbacks(self._take, self._not_loaded)

    def stop(self) -> Any:
        """Save a last time; a Deferred."""
        self._stopped = True
        for timer in self._timers.values():
            if timer.active():
                timer.cancel()
        self._timers.clear()
        return self._save_now()

    def score(self, peer: str) -> float:
        """0 to 1, now."""
        trust = self._trusts.get(peer)
        return STRANGER if trust is None else decayed(trust, self._clock.seconds()).score

    def record(self, peer: str, event: TrustEvent) -> None:
        """This happened with the peer."""
        now = self._clock.seconds()
        self._put(peer, after(self._trusts.get(peer) or begin(now), event, now))

    def penalise(self, peer: str, error: SwarmnodeError) -> None:
        """The peer is to blame for this, if the error says so; other errors cost nothing."""
        event = event_of(error)
        if event is not None:
            self._last_fault = error
            self.record(peer, event)
            self._log.info("a peer lost trust", peer=peer, what=event.value, code=error.code)

    def vouch(self, peer: str, why: Vouch) -> None:
        """The user stands up for the peer. Again, for the same reason: nothing."""
        vouches = self._vouches.setdefault(peer, set())
        if why in vouches:
            return
        vouches.add(why)
        self._protect(peer)
        now = self._clock.seconds()
        self._put(peer, restarted(self._trusts.get(peer) or begin(now), VOUCHED, now))

    def withdraw(self, peer: str, why: Vouch) -> None:
        """The reason is gone; others may remain."""
        vouches = self._vouches.get(peer, set())
        if why not in vouches:
            return
        vouches.discard(why)
        self._protect(peer)
        if not vouches:
            del self._vouches[peer]
            now = self._clock.seconds()
            self._put(peer, restarted(self._trusts.get(peer) or begin(now), STRANGER, now))

    def is_vouched(self, peer: str) -> bool:
        """Whether anybody stands up for it."""
        return bool(self._vouches.get(peer))

    def snapshot(self) -> tuple[PeerTrust, ...]:
        """All peers of whom something is known, by their ids."""
        now = self._clock.seconds()
        return tuple(
            PeerTrust(peer, decayed(trust, now).score, trust.start, self._reasons(peer))
            for peer, trust in sorted(self._trusts.items())
        )

    def watch(self, listener: Listener) -> None:
        """Tell this one of scores that were moved; not of time passing."""
        self._listeners.append(listener)

    # As `HostWatcher`.

    def peer_connected(self, peer: str, link: LinkInfo) -> None:
        """A peer on this machine belongs to its user."""
        if on_this_machine(link):
            self.vouch(peer, Vouch.LOOPBACK)

    def peer_disconnected(self, peer: str, error: SwarmnodeError | None) -> None:
        """Whoever connects next with this id may do so from elsewhere. What it did to the connection is its
        fault too; who told of a fault already, and then disconnected it, does so with the same error."""
        if error is not None and error is not self._last_fault:
            self.penalise(peer, error)
        self.withdraw(peer, Vouch.LOOPBACK)

    def peer_quiet(self, peer: str, seconds: float) -> None:
        """Not our concern."""

    def peer_alive(self, peer: str, rtt: float) -> None:
        """Not our concern."""

    def _protect(self, peer: str) -> None:
        """Whom the user stands up for keeps its connection when others must go. Programs on this machine do
        not count: anybody's may connect as many peers as there is room for."""
        protected = self._vouches.get(peer, set()) - {Vouch.LOOPBACK}
        self._host.weigh(peer, WEIGHT_TAG, PROTECTED_WEIGHT if protected else 0.0)

    def _reasons(self, peer: str) -> tuple[str, ...]:
        return tuple(sorted(why.value for why in self._vouches.get(peer, ())))

    def _put(self, peer: str, trust: Trust) -> None:
        self._trusts[peer] = trust
        self._changed.add(peer)
        self._forgotten.discard(peer)
        if len(self._trusts) > MAX_PEERS:
            self._forget(forgettable(self._trusts, self._clock.seconds()))
        score = self.score(peer)
        for listener in list(self._listeners):
            try:
                listener(peer, score)
            except Exception as error:
                self._log.error("a listener to trust failed", exc_info=error)

    def _forget(self, peers: Iterable[str]) -> None:
        for peer in peers:
            self._trusts.pop(peer, None)
            if self._vouches.pop(peer, None):
                self._protect(peer)
            self._changed.discard(peer)
            self._forgotten.add(peer)

    def _look_for_crowds(self) -> None:
        links = [(peer, link.remote) for peer in self._host.peers() for link in self._host.links(peer)]
        for peer in crowded(links):
            if not self.is_vouched(peer):
                self.record(peer, TrustEvent.SUBNET_CLUSTERING)

    def _take(self, kept: Sequence[KeptTrust]) -> None:
        self._loaded = True
        now, stamp = self._clock.seconds(), self._stamp()
        for one in kept:
            # Time went on while the node was not running.
            age = max(0.0, stamp - one.stamp)
            loaded = decayed(Trust(_within(one.score), _within(one.start), now - age), now)
            early = self._trusts.get(one.peer)
            if one.start > STRANGER:
                self._vouches.setdefault(one.peer, set()).add(Vouch.INVITE)
                self._protect(one.peer)
            if early is None:
                if len(self._trusts) < MAX_PEERS:
                    self._trusts[one.peer] = loaded
                continue
            # What happened since the start comes on top.
            both = Trust(_within(loaded.score + early.difference), loaded.start, now)
            self._trusts[one.peer] = restarted(both, max(early.start, one.start), now)
        self._every("save", SAVE_SECONDS, self._save_now)

    def _not_loaded(self, failure: Failure) -> None:
        self._log.warning("trust in peers could not be read", reason=failure.getErrorMessage())
        self._loaded = True
        self._every("save", SAVE_SECONDS, self._save_now)

    def _every(self, name: str, seconds: float, work: Callable[[], Any]) -> None:
        def again() -> None:
            self._timers[name] = self._clock.callLater(seconds, again)
            work()

        if self._stopped:
            return
        self._timers[name] = self._clock.callLater(seconds, again)

    def _save_now(self) -> Any:
        # Before the scores are loaded, saving would write over what was earned in earlier runs.
        if not self._loaded or not (self._changed or self._forgotten):
            return maybeDeferred(lambda: None)
        changed = [kept for peer in sorted(self._changed) if (kept := self._kept(peer)) is not None]
        gone = sorted(self._forgotten | (self._changed - {kept.peer for kept in changed}))
        self._changed, self._forgotten = set(), set()
        return maybeDeferred(self._save, changed, gone).addErrback(
            self._not_saved, {kept.peer for kept in changed}, set(gone)
        )

    def _kept(self, peer: str) -> KeptTrust | None:
        """What is written of it; None when that would be nothing. Reasons that do not outlast a restart are
        left out of the start, and what the peer did is kept beside it."""
        trust = decayed(self._trusts[peer], self._clock.seconds())
        lasting = any(why.lasting for why in self._vouches.get(peer, ()))
        start = VOUCHED if lasting else STRANGER
        if not lasting and abs(trust.difference) < NEGLIGIBLE:
            return None
        score = restarted(trust, start, trust.at).score
        return KeptTrust(peer, score, start, self._stamp())

    def _not_saved(self, failure: Failure, changed: set[str], gone: set[str]) -> None:
        self._log.warning("trust in peers could not be saved", reason=failure.getErrorMessage())
        self._changed |= changed & self._trusts.keys()
        self._forgotten |= gone - self._trusts.keys()


def _within(score: float) -> float:
    return max(0.0, min(1.0, score))
