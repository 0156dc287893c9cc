"""One session of another node's pipeline on a stage of ours, over a stream of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from structlog import get_logger
from twisted.internet.defer import Deferred, fail

from swarmnode.driving.driver import Clock, DelayedCall
from swarmnode.driving.pipeline import StageHandle
from swarmnode.interfaces.host import Stream
from swarmnode.protocols.pipeline.stage_messages import (
    ROW_NUMBER_BYTES,
    OpenWish,
    read_open,
    read_step,
    stepped_message,
)
from swarmnode.protocols.pipeline.vocabulary import Sampler, StageResult
from swarmnode.protocols.swarm.messages import KINDS, Kind, read_fields
from swarmnode.protocols.swarm.request_vocabulary import Serve
from swarmnode.protocols.swarm.requests import STAGE, Lane
from swarmnode.services.request_streams import AnsweringStream
from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import Sampling

log = get_logger("stages")

#: Seconds within which a stream must open its session, and a session must ask for something.
OPEN_SECONDS = 30.0
IDLE_SECONDS = 120.0
#: For the stages that draw nothing.
NO_SAMPLER = Sampler(Sampling(), 0, 0, None, 0)


class Offer(Protocol):
    """What the sessions of a node share (`services.offer_stages`)."""

    def find(self, peer: str, opened: OpenWish, heard: Callable[[], None]) -> Deferred[Any]:
        """A Deferred of a model and a lease of a worker that has the layers, where the peer may have it.
        heard: called while it loads or computes."""

    def take_room(self, size: int) -> SwarmnodeError | None:
        """Count so many bytes of rows that are worked on; or why there is no room for them."""

    def give_room(self, size: int) -> None:
        """They are done."""

    def crowded(self) -> SwarmnodeError | None:
        """Why no more may be kept of what is not complete."""

    def unread(self, size: int) -> SwarmnodeError | None:
        """Why so many bytes more may not be answered now."""

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """The peer broke the rules, perhaps."""

    def session_over(self, session: StageSession) -> None:
        """The session is gone."""


class StageSession:
    """Answers what one stream asks."""

    def __init__(self, owner: Offer, stream: Stream, clock: Clock) -> None:
        self.peer = stream.peer
        self._owner, self._clock = owner, clock
        self._opened: OpenWish | None = None
        self._stage: StageHandle | None = None
        self._row_bytes = 0
        self._over = False
        self._timer: DelayedCall | None = None
        self._working = 0
        self.stream = AnsweringStream(self, stream, STAGE, clock)
        self._wait(OPEN_SECONDS)

    def close(self, error: SwarmnodeError | None) -> None:
        """End it."""
        self.stream.close(error)

    # As `AnsweringOwner`.

    def known(self, name: str) -> Kind | None:
        """The two kinds of this protocol."""
        kind = KINDS.get(name)
        return kind if kind is not None and kind.session else None

    def take(self, peer: str, asked: Serve) -> Any:
        """A Deferred of the encoded reply and its payload."""
        self._working += 1
        self._disarm()
        try:
            message = read_fields(asked.kind, asked.kind.message, asked.body, peer)
            answer = self._ANSWERS[asked.kind.name](self, message, asked.payload)
        except PeerFault as error:
            self._owner.blame(self.peer, error)
            answer = fail(error)
        return answer.addBoth(self._answered)

    def crowded(self) -> SwarmnodeError | None:
        """As the owner says."""
        return self._owner.crowded()

    def unread(self, size: int) -> SwarmnodeError | None:
        """As the owner says."""
        return self._owner.unread(size)

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """As the owner."""
        self._owner.blame(peer, error)

    def answering_over(self, stream: AnsweringStream, lane: Lane) -> None:
        """The stream is gone, and the session with it."""
        self._over = True
        self._disarm()
        if self._stage is not None:
            self._stage.close()
        self._owner.session_over(self)

    # Opening.

    def _open(self, message: Any, payload: bytes | None) -> Deferred[Any]:
        opened = read_open(message, payload)
        if self._opened is not None:
            raise PeerFault("A peer opens a session of a stage twice", code="bad_message")
        self._opened = opened
        return self._owner.find(self.peer, opened, self.stream.at_work).addCallback(self._found, opened)

    def _found(self, found: tuple[ModelCard, Any], opened: OpenWish) -> Deferred[Any]:
        card, lease = found
        self._stage = lease
        if self._over:
            lease.close()
            return fail(Unavailable("The session is over", code="unknown_session"))
        try:
            check_fit(opened, card, lease.description)
        except SwarmnodeError as error:
            return fail(error)
        assert card.facts is not None  # only models with a file are found
        self._row_bytes = ROW_NUMBER_BYTES * card.facts.hidden
        profile = str(lease.description.get("profile", ""))
        opening: Deferred[Any] = lease.open(opened.opening, opened.sampler or NO_SAMPLER)
        return opening.addCallback(lambda _: _encoded("stage_open", {"profile": profile}, None))

    # Steps.

    def _step(self, message: Any, payload: bytes | None) -> Deferred[Any]:
        opened, stage = self._opened, self._stage
        if opened is None or stage is None or not self._row_bytes:
            raise PeerFault("A peer sends a step to a session that is not open", code="bad_message")
        step = read_step(message, payload, opened, self._row_bytes)
        size = step.count * self._row_bytes
        full = self._owner.take_room(size)
        if full is not None:
            return fail(full)
        return stage.step(step).addBoth(self._done, size).addCallback(_stepped)

    def _done(self, result: Any, size: int) -> Any:
        self._owner.give_room(size)
        return result

    def _answered(self, result: Any) -> Any:
        self._working -= 1
        if not self._working and not self._over:
            self._wait(IDLE_SECONDS if self._row_bytes else OPEN_SECONDS)
        return result

    # Patience.

    def _wait(self, seconds: float) -> None:
        self._disarm()
        self._timer = self._clock.callLater(seconds, self._too_long)

    def _disarm(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _too_long(self) -> None:
        log.info("a session of a stage was not used", peer=self.peer)
        self.close(Unavailable("The session was not used for too long", code="session_idle"))

    _ANSWERS: ClassVar[dict[str, Callable[[StageSession, Any, bytes | None], Deferred[Any]]]] = {
        "stage_open": _open,
        "stage_step": _step,
    }


def check_fit(opened: OpenWish, card: ModelCard, description: Any) -> None:
    """Raise `Refused` where the session cannot run as asked on what was loaded."""
    wish, facts = opened.wish, card.facts
    profile = str(description.get("profile", ""))
    if wish.profile and wish.profile != profile:
        raise Refused(
            f"This node computes as {profile}, the head as {wish.profile}: the text could differ",
            code="other_numerics",
            hint="Set inference.backend and the type of keys and values alike on both nodes.",
        )
    context = int(description.get("context_length", 0))
    if opened.opening.capacity > context:
        raise Refused(
            f"{opened.opening.capacity} tokens are wanted, but a session here holds {context}",
            code="context_length_exceeded",
            hint="Ask for fewer tokens, or raise inference.max_context_length on the other node.",
        )
    tokens = opened.opening.tokens
    if facts is not None and tokens and not (min(tokens) >= 0 and max(tokens) < facts.vocab):
        raise Refused(f"A token is beyond the vocabulary of {facts.vocab}", code="bad_token")


def _stepped(result: StageResult) -> tuple[bytes, bytes | None]:
    return _encoded("stage_step", *stepped_message(result))


def _encoded(kind: str, fields: Any, payload: bytes | None) -> tuple[bytes, bytes | None]:
    body: bytes = KINDS[kind].new_reply(**fields).SerializeToString()
    return body, payload
