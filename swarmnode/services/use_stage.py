"""A stage of a pipeline that another node computes: one session, on a stream of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from structlog import get_logger
from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host, StreamReceiver
from swarmnode.protocols.pipeline.stage_messages import (
    StageWish,
    open_message,
    read_stepped,
    step_message,
)
from swarmnode.protocols.pipeline.vocabulary import OpenSession, Sampler, SendStep, StageResult
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.protocols.swarm.messages import KINDS, read_fields
from swarmnode.protocols.swarm.request_frames import MAX_SECONDS
from swarmnode.protocols.swarm.requests import STAGE, Lane
from swarmnode.services.request_streams import SMALL, AskingStream
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable

log = get_logger("stages")


class RemoteStage:
    """A `driving.pipeline.StageHandle` on a peer. wish: the model, its layers and the profile. row_bytes: of
    a hidden row. penalise: told when the peer broke the rules.

    profile: what the peer computes by, once it is open. error: why it is of no use any more.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        network: str,
        peer: str,
        wish: StageWish,
        row_bytes: int,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
    ) -> None:
        self.peer, self.profile = peer, ""
        self.heard: Callable[[], None] = lambda: None
        self.error: SwarmnodeError | None = None
        self._host, self._protocol = host, protocol_id(STAGE.name, network)
        self._wish, self._row_bytes, self._penalise = wish, row_bytes, penalise
        self._under_way = 0
        self._stream = AskingStream(self, peer, STAGE, clock)
        self._stream.progressed = lambda: self.heard()
        self._closed = self._gone = False

    # As `StageHandle`.

    def open(self, opening: OpenSession, sampler: Sampler) -> Deferred[None]:
        """Fails with a `SwarmnodeError` that names the peer's reason."""
        asked = self._ask("stage_open", *open_message(self._wish, opening, sampler))
        return asked.addCallback(self._opened).addErrback(self._failed)

    def step(self, step: SendStep) -> Deferred[StageResult]:
        """As `StageHandle`."""
        self._under_way += step.count * self._row_bytes

        def done(result: Any) -> Any:
            self._under_way -= step.count * self._row_bytes
            return result

        asked = self._ask("stage_step", *step_message(step)).addBoth(done)
        asked.addCallback(lambda raw: self._judged(lambda: self._stepped(step, *raw)))
        return asked.addErrback(self._failed)

    def close(self) -> None:
        """End the stream: the session ends with it."""
        if not self._closed:
            self._closed = True
            self._stream.close(_over())

    def drop(self, error: SwarmnodeError) -> None:
        """End it, and say so."""
        self.blame(self.peer, error)
        self.error = self.error or error
        self.close()

    # As `AskingOwner`.

    def open_stream(self, peer: str, lane: Lane, receiver: StreamReceiver) -> Any:
        """A Deferred of a stream to the peer."""
        return self._host.open(peer, (self._protocol,), receiver)

    def crowded(self) -> SwarmnodeError | None:
        """More rows than were asked for are not waited for."""
        if self._stream.pending <= self._under_way + SMALL:
            return None
        error = PeerFault("A stage sends more rows than it was given", code="stage_lied")
        self.blame(self.peer, error)
        return error

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """The stream ended badly."""
        log.info("a stage of a peer went wrong", peer=peer, code=error.code, reason=error.message)
        if isinstance(error, PeerFault):
            self._penalise(peer, error)

    def asking_over(self, stream: AskingStream, lane: Lane) -> None:
        """There is no other stream for this session."""
        self._gone = True

    def _ask(self, kind: str, fields: Mapping[str, Any], payload: bytes | None) -> Deferred[Any]:
        if self._closed or self._gone:
            return fail(self.error or _over())
        row = KINDS[kind]
        body = row.new(**fields).SerializeToString()
        return self._stream.ask(row, body, payload, MAX_SECONDS)

    def _opened(self, raw: tuple[bytes, bytes | None]) -> None:
        row = KINDS["stage_open"]
        self.profile = self._judged(lambda: read_fields(row, row.reply, raw[0], self.peer)).profile

    def _stepped(self, step: SendStep, body: bytes, payload: bytes | None) -> StageResult:
        row = KINDS["stage_step"]
        return read_stepped(step.stage, step, read_fields(row, row.reply, body, self.peer), payload)

    def _judged(self, read: Callable[[], Any]) -> Any:
        try:
            return read()
        except PeerFault as error:
            self.blame(self.peer, error)
            raise

    def _failed(self, failure: Failure) -> Failure:
        if isinstance(failure.value, SwarmnodeError) and not self._closed:
            self.error = failure.value
        return failure


def _over() -> Unavailable:
    return Unavailable("The session is over", code="unknown_session")
