"""Being a stage of other nodes' pipelines: sessions for peers, on workers that have the layers they want."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

from structlog import get_logger
from twisted.internet.defer import Deferred, fail, maybeDeferred

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.policy.rate_limit import TokenBuckets
from swarmnode.protocols.pipeline.stage_messages import OpenWish
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.protocols.swarm.requests import STAGE
from swarmnode.services.know_models import KnowModels
from swarmnode.services.stage_session import StageSession
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.layers import LayerRange

log = get_logger("stages")

#: Sessions of one peer, and of all of them.
MAX_PEER_SESSIONS = 8
MAX_SESSIONS = 32
#: Ranges of layers that workers are kept for at once. Each costs the memory of its layers.
MAX_RANGES = 2
#: Ranges that one peer may have loaded a minute: each starts a process. One that was in use so many seconds
#: ago is likely to be loaded still, and does not count.
LOADS_A_MINUTE, LOADED_SECONDS = 12, 60.0
MAX_REMEMBERED = 64
#: Bytes of incomplete steps of all sessions, of rows that are computed, and of rows that wait to be read.
MAX_PENDING = 256 << 20
MAX_WORKED_ON = 256 << 20
MAX_UNREAD = 256 << 20

#: lease(card, layers, session's name): see `IWorkerPool.stage`.
Lease = Callable[[ModelCard, LayerRange, str], Any]
May = Callable[[str], SwarmnodeError | None]
_Wanted = tuple[str, LayerRange]


class OfferStages:
    """models: which file is meant. lease: as `IWorkerPool.stage`. may: why a peer may not have a stage; None
    where it may. penalise: told when a peer broke the rules."""

    def __init__(
        self,
        host: Host,
        clock: Clock,
        network: str,
        models: KnowModels,
        lease: Lease,
        *,
        may: May = lambda peer: None,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
    ) -> None:
        self._host, self._clock, self._protocol = host, clock, protocol_id(STAGE.name, network)
        self._models, self._lease, self._may, self._penalise = models, lease, may, penalise
        self._numbers = count(1)
        self._sessions: list[StageSession] = []
        self._held: list[tuple[_Wanted, Any]] = []
        self._used: dict[_Wanted, float] = {}
        self._loads = TokenBuckets(LOADS_A_MINUTE)
        self._worked_on = 0

    def start(self) -> None:
        """Offer them from now on."""
        self._host.serve(self._protocol, self._accept)

    def stop(self) -> None:
        """End all sessions, by name."""
        self._host.unserve(self._protocol)
        for session in list(self._sessions):
            session.close(Unavailable("The node is shutting down", code="shutting_down"))

    def stats(self) -> Mapping[str, int]:
        """Sessions, and bytes of rows that wait or are computed."""
        return {
            "sessions": len(self._sessions),
            "pending_bytes": self._pending(),
            "worked_on_bytes": self._worked_on,
        }

    def _accept(self, stream: Stream) -> StreamReceiver:
        own = sum(session.peer == stream.peer for session in self._sessions)
        if own >= MAX_PEER_SESSIONS or len(self._sessions) >= MAX_SESSIONS:
            raise Unavailable("This node has too many sessions of stages", code="stage_full")
        session = StageSession(self, stream, self._clock)
        self._sessions.append(session)
        return session.stream

    # What sessions ask.

    def find(self, peer: str, opened: OpenWish, heard: Callable[[], None]) -> Deferred[Any]:
        """As `Offer`."""
        barred = self._may(peer)
        if barred is not None:
            return fail(barred)
        finding = self._models.find(opened.wish.model)
        return finding.addCallback(self._leased, peer, opened.wish.layers, heard)

    def take_room(self, size: int) -> SwarmnodeError | None:
        """As `Offer`."""
        if self._worked_on + size > MAX_WORKED_ON:
            return Unavailable("This node computes too many rows at once", code="too_much_at_once")
        self._worked_on += size
        return None

    def give_room(self, size: int) -> None:
        """As `Offer`."""
        self._worked_on -= size

    def crowded(self) -> SwarmnodeError | None:
        """As `Offer`."""
        if self._pending() <= MAX_PENDING:
            return None
        return Unavailable("Peers are sending too many rows at once", code="too_much_at_once")

    def unread(self, size: int) -> SwarmnodeError | None:
        """As `Offer`."""
        if sum(session.stream.waiting for session in self._sessions) + size <= MAX_UNREAD:
            return None
        return Unavailable("This node has too many rows waiting to be read", code="too_much_at_once")

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """As `Offer`."""
        log.info("a session of a stage went wrong", peer=peer, code=error.code, reason=error.message)
        if isinstance(error, PeerFault):
            self._penalise(peer, error)

    def session_over(self, session: StageSession) -> None:
        """As `Offer`."""
        if session in self._sessions:
            self._sessions.remove(session)

    def _pending(self) -> int:
        return sum(session.stream.pending for session in self._sessions)

    def _leased(
        self, card: ModelCard, peer: str, layers: LayerRange, heard: Callable[[], None]
    ) -> Deferred[Any]:
        facts = card.facts
        if facts is None or layers.end > facts.layers:
            deepest = facts.layers - 1 if facts else 0
            return fail(Refused(f"{card.label} has the layers 0-{deepest}", code="bad_layer_range"))
        full = self._no_room_for(peer, (card.label, layers))
        return maybeDeferred(self._taken, card, layers, heard) if full is None else fail(full)

    def _no_room_for(self, peer: str, range_: _Wanted) -> Unavailable | None:
        self._held = [held for held in self._held if not held[1].over]
        in_use = {wanted for wanted, _ in self._held}
        if range_ not in in_use and len(in_use) >= MAX_RANGES:
            return Unavailable(
                f"This node already computes {len(in_use)} other ranges of layers for peers",
                code="stage_full",
                hint="Try again later, or cut the model as the others do.",
            )
        now = self._clock.seconds()
        recent = now - self._used.pop(range_, -LOADED_SECONDS) < LOADED_SECONDS
        wait = 0.0 if recent or range_ in in_use else self._loads.take(peer, now)
        if wait:
            return Unavailable(
                f"This node has loaded too many ranges of layers for this peer; wait {wait:.0f} s",
                code="stage_full",
            )
        if len(self._used) >= MAX_REMEMBERED:
            del self._used[next(iter(self._used))]
        self._used[range_] = now
        return None

    def _taken(self, card: ModelCard, layers: LayerRange, heard: Callable[[], None]) -> Deferred[Any]:
        lease = self._lease(card, layers, f"peer {next(self._numbers)}")
        lease.heard = heard
        self._held.append(((card.label, layers), lease))
        return lease.ready().addCallback(lambda ready: (card, ready))
