"""The streams that requests run over: machines of `protocols.swarm.requests`, each on one stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from structlog import get_logger
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock, Driver
from swarmnode.interfaces.host import HIGH_WATER, Stream
from swarmnode.protocols.swarm.messages import Kind
from swarmnode.protocols.swarm.request_vocabulary import (
    Abandon,
    Answer,
    Answered,
    Ask,
    AtWork,
    Break,
    Decline,
    Failed,
    GiveUp,
    Heard,
    Progressed,
    Say,
    Serve,
)
from swarmnode.protocols.swarm.requests import Answerer, Asker, Lane
from swarmnode.services.request_owners import AnsweringOwner, AskingOwner
from swarmnode.values.errors import LocalFault, SwarmnodeError, Unavailable

log = get_logger("peer_talk")

#: Bytes of an incomplete frame that nobody counts.
SMALL = 64 << 10
#: Bytes of questions that may wait for the stream to open.
MAX_WAITING = 16 << 20


class AskingStream:
    """The stream that we ask one peer over. It opens with the first question."""

    def __init__(self, owner: AskingOwner, peer: str, lane: Lane, clock: Clock) -> None:
        self.peer = peer
        self._owner, self._lane = owner, lane
        self._machine = Asker(lane)
        self._driver = Driver(
            f"asking {peer}",
            self._machine,
            clock,
            {
                Say: self._say,
                Progressed: self._progressed,
                Answered: self._answered,
                Failed: self._failed,
                Break: self._break,
            },
            self._broken,
        )
        self._stream: Stream | None = None
        self._opening: Any = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        self._answers: dict[int, Deferred[tuple[bytes, bytes | None]]] = {}
        #: Called whenever the peer says that it works on an answer.
        self.progressed: Callable[[], None] = lambda: None
        self._last = 0
        self._done = False

    @property
    def pending(self) -> int:
        """Bytes kept of an incomplete answer."""
        return self._machine.pending

    @property
    def open(self) -> int:
        """Questions without an answer."""
        return self._machine.open

    def ask(
        self, kind: Kind, body: bytes, payload: bytes | None, seconds: float
    ) -> Deferred[tuple[bytes, bytes | None]]:
        """A Deferred of the encoded reply and its payload."""
        self._last += 1
        number = self._last
        answer: Deferred[tuple[bytes, bytes | None]] = Deferred(lambda _: self._give_up(number))
        self._answers[number] = answer
        self._driver.post(Ask(number, kind, body, payload, seconds))
        if self._opening is None:
            self._opening = self._owner.open_stream(self.peer, self._lane, self)
            self._opening.addCallbacks(self._opened, self._not_opened)
        return answer

    def close(self, error: SwarmnodeError | None) -> None:
        """Ask no more; what is open fails."""
        stream, self._stream = self._stream, None
        opening = None if self._done or stream is not None else self._opening
        self._finish(error)  # First: resetting may tell `lost`, which knows no reason.
        if stream is not None:
            stream.reset()
        elif opening is not None:
            opening.cancel()

    def received(self, data: bytes) -> None:
        """As `StreamReceiver`."""
        self._driver.post(Heard(data))
        crowded = self._owner.crowded() if self._machine.pending > SMALL else None
        if crowded is not None:
            self.close(crowded)

    def ended(self) -> None:
        """The peer answers no more."""
        self.close(None)

    def lost(self, error: SwarmnodeError | None) -> None:
        """As `StreamReceiver`."""
        self._stream = None
        self._finish(error)

    def drained(self) -> None:
        """Questions are bounded by their number and size."""

    def _opened(self, stream: Stream) -> None:
        if self._done:
            stream.reset()
            return
        self._stream = stream
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            stream.write(data)

    def _not_opened(self, failure: Failure) -> None:
        error = failure.value
        if not isinstance(error, SwarmnodeError):
            error = Unavailable(f"No stream to the peer: {error}", code="peer_gone")
        self._finish(error)

    def _say(self, effect: Say) -> None:
        if self._stream is not None:
            for chunk in effect.chunks:
                self._stream.write(chunk)
            return
        self._waiting += effect.chunks
        self._waiting_bytes += sum(map(len, effect.chunks))
        if self._waiting_bytes > MAX_WAITING:
            self.close(Unavailable("Too much waits for a connection to the peer", code="too_many_requests"))

    def _answered(self, effect: Answered) -> None:
        answer = self._answers.pop(effect.id, None)
        if answer is not None:
            answer.callback((effect.body, effect.payload))

    def _progressed(self, _effect: Progressed) -> None:
        self.progressed()

    def _failed(self, effect: Failed) -> None:
        answer = self._answers.pop(effect.id, None)
        if answer is not None:
            answer.errback(effect.error)

    def _break(self, effect: Break) -> None:
        self._owner.blame(self.peer, effect.error)
        self.close(effect.error)

    def _broken(self, error: SwarmnodeError) -> None:
        log.error("asking a peer failed", peer=self.peer, error=error.message)
        self.close(error)

    def _give_up(self, number: int) -> None:
        self._answers.pop(number, None)
        self._driver.post(GiveUp(number))

    def _finish(self, error: SwarmnodeError | None) -> None:
        if self._done:
            return
        self._done = True
        self._owner.asking_over(self, self._lane)
        reason = error or Unavailable("The peer ended the stream before it answered", code="peer_gone")
        self._driver.stop()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            answer.errback(reason)


class AnsweringStream:
    """A stream that a peer asks us over."""

    def __init__(self, owner: AnsweringOwner, stream: Stream, lane: Lane, clock: Clock) -> None:
        self.peer = stream.peer
        self._owner, self._stream, self._lane = owner, stream, lane
        self._machine = Answerer(owner.known, lane)
        self._driver = Driver(
            f"answering {self.peer}",
            self._machine,
            clock,
            {Serve: self._serve, Abandon: self._abandon, Say: self._say, Break: self._break},
            self._broken,
        )
        self._work: dict[int, Deferred[Any]] = {}
        self._paused = False
        self._done = False

    @property
    def pending(self) -> int:
        """Bytes kept of an incomplete question."""
        return self._machine.pending

    @property
    def open(self) -> int:
        """Questions without an answer."""
        return self._machine.open

    @property
    def waiting(self) -> int:
        """Bytes of answers that the peer has not made room for."""
        return self._stream.waiting

    def at_work(self) -> None:
        """Tell the peer that its answers are being worked on."""
        self._driver.post(AtWork())

    def close(self, error: SwarmnodeError | None) -> None:
        """Answer no more."""
        self.lost(error)
        self._stream.reset()

    def received(self, data: bytes) -> None:
        """As `StreamReceiver`."""
        self._driver.post(Heard(data))
        crowded = self._owner.crowded() if self._machine.pending > SMALL else None
        if crowded is not None:
            self.close(crowded)

    def ended(self) -> None:
        """Who ends its side wants no more answers."""
        self.close(None)

    def lost(self, error: SwarmnodeError | None) -> None:
        """As `StreamReceiver`."""
        if self._done:
            return
        self._done = True
        self._owner.answering_over(self, self._lane)
        self._driver.stop()
        work, self._work = self._work, {}
        for running in work.values():
            running.cancel()

    def drained(self) -> None:
        """The peer has read its answers: it may ask again."""
        if self._paused and not self._done:
            self._paused = False
            self._stream.resume()

    def _serve(self, effect: Serve) -> None:
        try:
            result = self._owner.take(self.peer, effect)
        except Exception as error:
            self._decline(effect.id, effect.kind, error)
            return
        if not isinstance(result, Deferred):
            self._answer(effect, *result)
            return
        self._work[effect.id] = result
        result.addCallbacks(
            lambda answer: self._answer(effect, *answer),
            lambda failure: self._decline(effect.id, effect.kind, failure.value),
        )

    def _answer(self, asked: Serve, body: bytes, payload: bytes | None) -> None:
        self._work.pop(asked.id, None)
        unread = None if payload is None else self._owner.unread(len(payload))
        if unread is None:
            self._driver.post(Answer(asked.id, body, payload))
        else:
            self._driver.post(Decline(asked.id, unread))

    def _decline(self, number: int, kind: Kind, error: BaseException) -> None:
        self._work.pop(number, None)
        if not isinstance(error, SwarmnodeError):
            if not isinstance(error, CancelledError):
                log.error("answering a peer failed", kind=kind.name, peer=self.peer, exc_info=error)
            error = LocalFault(f"{kind.name} failed: {type(error).__name__}", code="internal_error")
        self._driver.post(Decline(number, error))

    def _abandon(self, effect: Abandon) -> None:
        running = self._work.pop(effect.id, None)
        if running is not None:
            running.cancel()

    def _say(self, effect: Say) -> None:
        for chunk in effect.chunks:
            self._stream.write(chunk)
        if not self._paused and self._stream.waiting > HIGH_WATER:
            self._paused = True
            self._stream.pause()

    def _break(self, effect: Break) -> None:
        self._owner.blame(self.peer, effect.error)
        self.close(effect.error)

    def _broken(self, error: SwarmnodeError) -> None:
        log.error("answering a peer failed", peer=self.peer, error=error.message)
        self.close(error)
