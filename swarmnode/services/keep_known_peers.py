"""Remembering peers over a restart, so that a node that was once in the network finds it again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import maybeDeferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.policy.known_peers import MAX_KNOWN, in_order, worth_remembering
from swarmnode.services.keep_peer_book import PeerBook
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr

HOW = "cache"
SAVE_SECONDS = 300.0
#: Peers dialled at the start, while fewer are connected than wanted.
DIALLED_AT_START = 20


class KeepKnownPeers:
    """load(): the `KnownPeer`s saved last, or a Deferred of them. save(peers): keep these in place of all
    others; may return a Deferred. found(peer, addresses, how): told of those to dial. stamp: Unix seconds."""

    def __init__(
        self,
        book: PeerBook,
        load: Callable[[], Any],
        save: Callable[[Sequence[KnownPeer]], Any],
        found: Callable[[str, Sequence[Multiaddr], str], None],
        clock: Clock,
        stamp: Callable[[], float],
        log: Any,
    ) -> None:
        self._book, self._load, self._save, self._found = book, load, save, found
        self._clock, self._stamp, self._log = clock, stamp, log
        self._earlier: tuple[KnownPeer, ...] = ()
        self._loaded = False
        self._timer: DelayedCall | None = None
        self._stopped = False

    def start(self) -> Any:
        """A Deferred that fires when the peers are loaded; a store that fails is told in the log."""
        return maybeDeferred(self._load).addCallbacks(self._take, self._not_loaded)

    def stop(self) -> Any:
        """Save a last time; a Deferred."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._save_now()

    def save(self) -> Any:
        """Write down who is known now, ahead of time; a Deferred."""
        return self._save_now()

    def _take(self, known: Sequence[KnownPeer]) -> None:
        self._loaded = True
        self._earlier = in_order(known)[:MAX_KNOWN]
        self._arm()
        if self._stopped:
            return
        for one in self._earlier:
            self._book.heard(one.peer, one.addresses, HOW)
        for one in self._earlier[:DIALLED_AT_START]:
            self._found(one.peer, one.addresses, HOW)

    def _not_loaded(self, failure: Failure) -> None:
        self._log.warning("the peers of the last run could not be read", reason=failure.getErrorMessage())
        self._loaded = True
        self._arm()

    def _arm(self) -> None:
        if not self._stopped:
            self._timer = self._clock.callLater(SAVE_SECONDS, self._save_and_arm)

    def _save_and_arm(self) -> None:
        self._save_now().addBoth(lambda _: self._arm())

    def _save_now(self) -> Any:
        # Before they are loaded, saving would forget those of the last run.
        if not self._loaded:
            return maybeDeferred(lambda: None)
        peers = worth_remembering(
            self._book.all_facts(),
            self._earlier,
            self._book.addresses,
            self._clock.seconds(),
            self._stamp(),
        )
        return maybeDeferred(self._save, peers).addErrback(self._not_saved)

    def _not_saved(self, failure: Failure) -> None:
        self._log.warning("the known peers could not be saved", reason=failure.getErrorMessage())
