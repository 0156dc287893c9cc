"""Asking peers, and answering them: requests and replies over the host's streams.

    peers = PeerTalk(host, clock, network)
    peers.handle("member_probe", lambda request: {"hears": True})
    peers.ask(peer, "member_probe", {"peer": somebody}, timeout=2.0)   # a Deferred of a `Reply`

What a handler raises, or what its Deferred fails with, is the answer, as an error in words; a peer's
error comes back as one here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from structlog import get_logger
from twisted.internet.defer import Deferred, fail

from swarmnode.driving.driver import Clock
from swarmnode.interfaces.host import Host, Stream, StreamReceiver
from swarmnode.protocols.swarm.frames import LIMITS, Tag
from swarmnode.protocols.swarm.ids import protocol_id
from swarmnode.protocols.swarm.messages import KINDS, Kind, read_fields
from swarmnode.protocols.swarm.request_vocabulary import Serve
from swarmnode.protocols.swarm.requests import LONG, SHORT, Lane, lane_of
from swarmnode.services.request_streams import AnsweringStream, AskingStream
from swarmnode.values.errors import LocalFault, PeerFault, Refused, SwarmnodeError, Unavailable

log = get_logger("peer_talk")

#: Seconds that an answer is waited for where nobody says otherwise.
DEFAULT_TIMEOUT = 10.0
#: Streams that one peer may have open to ask us, of each lane. A second one comes when the first broke and
#: we have not heard of it yet.
MAX_STREAMS = 2
#: Bytes of incomplete frames kept at once, of all peers.
MAX_PENDING = 256 << 20
#: Bytes of answers that wait for peers to read them, of all peers, with the next one.
MAX_UNREAD = 256 << 20


@dataclass(frozen=True, slots=True)
class Request:
    """What a peer asks. message: decoded as the table says. deadline: monotonic seconds."""

    peer: str
    kind: str
    message: Any
    payload: bytes | None
    deadline: float


@dataclass(frozen=True, slots=True)
class Reply:
    """A peer's answer; or ours, where it comes with a payload. message: or its fields, in ours."""

    message: Any
    payload: bytes | None = None


#: Returns the reply's fields, a reply message, a `Reply`, or a Deferred of one of them. Cancelled when nobody
#: waits any more.
Handler = Callable[[Request], Any]


class PeerTalk:
    """Requests of this node to its peers, and of theirs to it.

    penalise: told when a peer broke the rules. features: what a peer has said it can, or None while it
    has said nothing (`services.say_hello`); a kind that needs a feature is not sent to a peer without.
    kinds: the table.
    """

    def __init__(
        self,
        host: Host,
        clock: Clock,
        network: str = "",
        *,
        penalise: Callable[[str, SwarmnodeError], None] = lambda peer, error: None,
        features: Callable[[str], Collection[str] | None] = lambda peer: None,
        kinds: Mapping[str, Kind] = KINDS,
    ) -> None:
        self._host, self._clock, self._network = host, clock, network
        self._penalise, self._features, self._kinds = penalise, features, kinds
        self._handlers: dict[str, Handler] = {}
        self._asking: dict[tuple[str, Lane], AskingStream] = {}
        self._answering: dict[tuple[str, Lane], list[AnsweringStream]] = {}
        self._stopped = False

    def start(self) -> None:
        """Answer from now on."""
        for lane in (SHORT, LONG):
            self._host.serve(self._protocol(lane), partial(self._accept, lane))

    def stop(self) -> None:
        """Answer no more; what is open fails."""
        self._stopped = True
        error = Unavailable("The node is shutting down", code="shutting_down")
        for lane in (SHORT, LONG):
            self._host.unserve(self._protocol(lane))
        for asking in list(self._asking.values()):
            asking.close(error)
        for answering in [stream for streams in self._answering.values() for stream in streams]:
            answering.close(error)

    def handle(self, kind: str, handler: Handler) -> None:
        """Answer requests of this kind. One handler a kind."""
        if not self._kinds[kind].is_request or kind in self._handlers:
            raise ValueError(f"{kind} is no request, or has a handler")
        self._handlers[kind] = handler

    def features_served(self) -> frozenset[str]:
        """What a peer may be told that this node can: the features that the kinds answered here need."""
        return frozenset(self._kinds[name].feature for name in self._handlers) - {""}

    def ask(
        self,
        peer: str,
        kind: str,
        fields: Mapping[str, Any] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        payload: bytes | None = None,
    ) -> Deferred[Reply]:
        """A Deferred of the `Reply`. Fails with a `SwarmnodeError`: the peer's, `timeout`, `peer_gone`,
        `unsupported`, `too_many_requests`, or why there is no connection. Cancelling tells the peer."""
        row = self._kinds[kind]
        error = self._why_not(peer, row) or _unfit(row, payload)
        if error is not None:
            return fail(error)
        try:
            body = _encode(row.new(**(fields or {})), row.limit, kind)
        except Refused as refused:
            return fail(refused)
        answer = self._asking_stream(peer, lane_of(row)).ask(row, body, payload, timeout)
        return answer.addCallback(lambda raw: self._reply(peer, row, *raw))

    def stats(self) -> Mapping[str, int]:
        """Open questions of ours and of others, and bytes of incomplete frames."""
        answering = [stream for streams in self._answering.values() for stream in streams]
        return {
            "asked": sum(stream.open for stream in self._asking.values()),
            "serving": sum(stream.open for stream in answering),
            "pending_bytes": self._pending(),
        }

    # What the streams report.

    def take(self, peer: str, asked: Serve) -> Any:
        """Answer one question: the encoded reply and its payload, or a Deferred of them. May raise."""
        kind = asked.kind
        try:
            message = read_fields(kind, kind.message, asked.body, peer)
        except PeerFault as error:
            self.blame(peer, error)
            raise
        request = Request(peer, kind.name, message, asked.payload, asked.deadline)
        result = self._handlers[kind.name](request)
        if isinstance(result, Deferred):
            return result.addCallback(lambda value: self._encoded(kind, value))
        return self._encoded(kind, result)

    def known(self, name: str) -> Kind | None:
        """The kind, where somebody answers it."""
        return self._kinds[name] if name in self._handlers else None

    def crowded(self) -> SwarmnodeError | None:
        """Why no more may be kept of what is not complete."""
        if self._pending() <= MAX_PENDING:
            return None
        return Unavailable(
            f"Peers are sending more than {MAX_PENDING} bytes at once", code="too_much_at_once"
        )

    def unread(self, size: int) -> SwarmnodeError | None:
        """Why so many bytes more may not be answered now: peers do not read what they have asked for."""
        answering = [stream for streams in self._answering.values() for stream in streams]
        if sum(stream.waiting for stream in answering) + size <= MAX_UNREAD:
            return None
        return Unavailable("The node has too many answers waiting", code="too_much_at_once")

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """A stream ended badly."""
        log.info("a stream of requests ended", peer=peer, code=error.code, reason=error.message)
        if isinstance(error, PeerFault):
            self._penalise(peer, error)

    def asking_over(self, stream: AskingStream, lane: Lane) -> None:
        """The stream is gone; the next question opens another."""
        if self._asking.get((stream.peer, lane)) is stream:
            del self._asking[stream.peer, lane]

    def answering_over(self, stream: AnsweringStream, lane: Lane) -> None:
        """The stream is gone."""
        streams = self._answering.get((stream.peer, lane), [])
        if stream in streams:
            streams.remove(stream)
        if not streams:
            self._answering.pop((stream.peer, lane), None)

    def open_stream(self, peer: str, lane: Lane, receiver: StreamReceiver) -> Any:
        """A Deferred of a stream to the peer."""
        return self._host.open(peer, (self._protocol(lane),), receiver)

    def _accept(self, lane: Lane, stream: Stream) -> StreamReceiver:
        streams = self._answering.setdefault((stream.peer, lane), [])
        if len(streams) >= MAX_STREAMS:
            raise Unavailable(f"A peer opens more than {MAX_STREAMS} streams to ask", code="too_many_streams")
        answering = AnsweringStream(self, stream, lane, self._clock)
        streams.append(answering)
        return answering

    def _asking_stream(self, peer: str, lane: Lane) -> AskingStream:
        stream = self._asking.get((peer, lane))
        if stream is None:
            stream = self._asking[peer, lane] = AskingStream(self, peer, lane, self._clock)
        return stream

    def _why_not(self, peer: str, kind: Kind) -> SwarmnodeError | None:
        if self._stopped:
            return Unavailable("The node is shutting down", code="shutting_down")
        if peer == self._host.peer_id:
            return Refused("A node asks itself nothing", code="self_request")
        if not kind.feature:
            return None
        features = self._features(peer)
        if features is None:
            return Unavailable(f"The peer has not said yet whether it knows {kind.name}", code="no_hello")
        if kind.feature in features:
            return None
        return Refused(
            f"The peer does not know {kind.name}: it lacks the feature {kind.feature}",
            code="unsupported",
            hint="It may run an older version.",
        )

    def _reply(self, peer: str, kind: Kind, body: bytes, payload: bytes | None) -> Reply:
        try:
            return Reply(read_fields(kind, kind.reply, body, peer), payload)
        except PeerFault as error:
            self.blame(peer, error)
            raise

    def _encoded(self, kind: Kind, value: Any) -> tuple[bytes, bytes | None]:
        payload = None
        if isinstance(value, Reply):
            value, payload = value.message, value.payload
        message = kind.new_reply(**value) if isinstance(value, Mapping) else value
        if not _fits(payload, kind.reply_payload):
            raise LocalFault(f"The answer to {kind.name} has a payload too many", code="message_too_large")
        return _encode(message, kind.reply_limit, kind.name), payload

    def _pending(self) -> int:
        answering = sum(stream.pending for streams in self._answering.values() for stream in streams)
        return answering + sum(stream.pending for stream in self._asking.values())

    def _protocol(self, lane: Lane) -> str:
        return protocol_id(lane.name, self._network)


def _unfit(kind: Kind, payload: bytes | None) -> Refused | None:
    if _fits(payload, kind.payload):
        return None
    return Refused(f"{kind.name} takes no such payload, or a shorter one", code="message_too_large")


def _fits(payload: bytes | None, tag: Tag | None) -> bool:
    return payload is None or (tag is not None and len(payload) <= LIMITS[tag])


def _encode(message: Any, limit: int, kind: str) -> bytes:
    body: bytes = message.SerializeToString()
    if len(body) > limit:
        raise Refused(f"{kind} has {len(body)} bytes; {limit} are allowed", code="message_too_large")
    return body
