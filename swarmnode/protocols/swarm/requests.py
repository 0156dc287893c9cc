"""The asking end and the answering end of a stream of requests (`swarmnode/request/1`).

The peer that opened the stream asks, the other one answers, each question by its id and in any order. A
second stream of the same kind carries what is long (`Lane`), so that a short question never waits behind
megabytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swarmnode.protocols.swarm.frames import LIMITS, Tag
from swarmnode.protocols.swarm.messages import Kind
from swarmnode.protocols.swarm.request_frames import (
    MAX_SECONDS,
    Cancel,
    Failure,
    Progress,
    Question,
    Result,
    Spoken,
    SpokenReader,
    encode,
)
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
from swarmnode.values.errors import PeerFault, Refused, SwarmnodeError, Unavailable


@dataclass(frozen=True, slots=True)
class Lane:
    """One of the two streams between a pair of peers in each direction. name: of its protocol id. in_flight:
    questions that may be open at once."""

    name: str
    in_flight: int


SHORT = Lane("request/1", 256)
#: Eight pieces of 8 MiB fill any line; more would only wait in memory.
LONG = Lane("request-bulk/1", 8)
#: A stream for each session of a pipeline on a stage; its head has one step under way, or a few when it has
#: just planned anew.
STAGE = Lane("stage/1", 4)


#: Strangers ask too, and may leave a question half said for as long as they like: its control is no longer
#: than any kind needs. What comes behind it is kept only of kinds that are served.
QUESTION_LIMITS = {**LIMITS, Tag.CONTROL: 64 << 10}


def lane_of(kind: Kind) -> Lane:
    """Where questions of the kind go."""
    if kind.session:
        return STAGE
    return LONG if kind.bulk else SHORT


class Asker:
    """The end that asks.

    Events: `Ask`, `GiveUp`, `Heard`. Effects: `Say`, `Progressed`, `Answered`, `Failed`, `Break`. Each `Ask`
    gets exactly one `Answered` or `Failed`, unless it is given up or the stream ends.
    """

    def __init__(self, lane: Lane = SHORT) -> None:
        self._lane = lane
        self._open: dict[int, tuple[Kind, float]] = {}
        self._last = 0
        self._broken = False
        self._reader = SpokenReader(self._wants, LIMITS, "Answers to our requests")

    @property
    def deadline(self) -> float | None:
        """When the next question is too old."""
        return min((limit for _, limit in self._open.values()), default=None)

    @property
    def pending(self) -> int:
        """Bytes kept of an answer that is not complete."""
        return self._reader.pending

    @property
    def open(self) -> int:
        """Questions without an answer."""
        return len(self._open)

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """As `interfaces.machine.Machine` says."""
        effects = self._expire(now)
        match event:
            case Ask():
                effects += self._ask(event, now)
            case GiveUp() if self._open.pop(event.id, None):
                effects.append(Say(encode(Cancel(event.id))))
            case Heard() if not self._broken:
                effects += self._hear(event.data)
        return effects

    def _ask(self, event: Ask, now: float) -> list[Any]:
        if len(self._open) >= self._lane.in_flight:
            return [Failed(event.id, _too_many(self._lane))]
        if event.id <= self._last:
            raise ValueError(f"the id {event.id} comes after {self._last}")
        seconds = min(event.seconds, MAX_SECONDS)
        tag = None if event.payload is None else event.kind.payload
        question = Question(event.id, event.kind.name, seconds, event.body, tag, event.payload)
        self._last = event.id
        self._open[event.id] = (event.kind, now + seconds)
        return [Say(encode(question))]

    def _hear(self, data: bytes) -> list[Any]:
        effects: list[Any] = []
        try:
            for spoken in self._reader.feed(data):
                effects += self._take(spoken)
        except PeerFault as error:
            self._broken = True
            effects.append(Break(error))
        return effects

    def _take(self, spoken: Spoken) -> list[Any]:
        if isinstance(spoken, Question | Cancel):
            raise PeerFault("A peer asks on the stream where it has to answer", code="bad_message")
        if not 1 <= spoken.id <= self._last:
            raise PeerFault(f"A peer answers the question {spoken.id} that nobody asked", code="bad_message")
        asked = self._open.get(spoken.id)
        if asked is None:
            return []  # Given up meanwhile.
        if isinstance(spoken, Progress):
            return [Progressed(spoken.id)]
        kind, _ = asked
        if isinstance(spoken, Result) and len(spoken.body) > kind.reply_limit:
            raise PeerFault(
                f"{len(spoken.body)} bytes of answer to {kind.name}; {kind.reply_limit} are allowed",
                code="frame_too_large",
            )
        del self._open[spoken.id]
        if isinstance(spoken, Failure):
            return [Failed(spoken.id, spoken.error)]
        return [Answered(spoken.id, spoken.body, spoken.payload)]

    def _wants(self, spoken: Spoken, tag: Tag) -> bool:
        asked = self._open.get(spoken.id)
        return isinstance(spoken, Result) and asked is not None and asked[0].reply_payload is tag

    def _expire(self, now: float) -> list[Any]:
        late = [number for number, (_, limit) in self._open.items() if limit <= now]
        effects: list[Any] = []
        for number in late:
            kind, _ = self._open.pop(number)
            effects += [Say(encode(Cancel(number))), Failed(number, _late(kind))]
        return effects


class Answerer:
    """The end that answers.

    known: the kinds served just now, by name. Events: `Heard`, `AtWork`, `Answer`, `Decline`. Effects:
    `Serve`, `Abandon`, `Say`, `Break`. Each `Serve` is to be answered or declined, unless it is abandoned.
    """

    def __init__(self, known: Callable[[str], Kind | None], lane: Lane = SHORT) -> None:
        self._known, self._lane = known, lane
        self._open: dict[int, tuple[Kind, float]] = {}
        self._last = 0
        self._broken = False
        self._reader = SpokenReader(self._wants, QUESTION_LIMITS, "Requests")

    @property
    def deadline(self) -> float | None:
        """When the next answer is no longer waited for."""
        return min((limit for _, limit in self._open.values()), default=None)

    @property
    def pending(self) -> int:
        """Bytes kept of a question that is not complete."""
        return self._reader.pending

    @property
    def open(self) -> int:
        """Questions without an answer."""
        return len(self._open)

    def handle(self, event: Any | None, now: float) -> list[Any]:
        """As `interfaces.machine.Machine` says."""
        effects = self._expire(now)
        match event:
            case Heard() if not self._broken:
                effects += self._hear(event.data, now)
            case AtWork():
                effects += [Say(encode(Progress(number))) for number in self._open]
            case Answer():
                effects += self._answer(event)
            case Decline() if self._open.pop(event.id, None):
                effects.append(Say(encode(Failure(event.id, event.error))))
        return effects

    def _hear(self, data: bytes, now: float) -> list[Any]:
        effects: list[Any] = []
        try:
            for spoken in self._reader.feed(data):
                effects += self._take(spoken, now)
        except PeerFault as error:
            self._broken = True
            effects.append(Break(error))
        return effects

    def _take(self, spoken: Spoken, now: float) -> list[Any]:
        if isinstance(spoken, Cancel):
            gone = self._open.pop(spoken.id, None)
            return [Abandon(spoken.id, _unwanted())] if gone else []
        if not isinstance(spoken, Question):
            raise PeerFault("A peer answers on the stream where it has to ask", code="bad_message")
        if spoken.id <= self._last:
            raise PeerFault(f"A peer asks {spoken.id} after {self._last}", code="bad_message")
        self._last = spoken.id
        kind = self._admit(spoken)
        if isinstance(kind, Kind) and spoken.tag is not None and spoken.payload is None:
            kind = _too_many(self._lane)  # There was no room for it when its payload came.
        if not isinstance(kind, Kind):
            return [Say(encode(Failure(spoken.id, kind)))]
        limit = now + spoken.seconds
        self._open[spoken.id] = (kind, limit)
        return [Serve(spoken.id, kind, spoken.body, spoken.payload, limit)]

    def _admit(self, asked: Question) -> Kind | SwarmnodeError:
        """The kind asked for, or why it is not answered."""
        kind = self._known(asked.kind)
        if kind is None or lane_of(kind) != self._lane:
            return unsupported(asked.kind)
        if asked.tag is not kind.payload and asked.tag is not None:
            return unsupported(f"{asked.kind} with a {asked.tag.name} payload")
        if len(asked.body) > kind.limit:
            return Refused(f"{asked.kind} has at most {kind.limit} bytes", code="message_too_large")
        if len(self._open) >= self._lane.in_flight:
            return _too_many(self._lane)
        return kind if asked.seconds > 0 else _late(kind)

    def _wants(self, spoken: Spoken, tag: Tag) -> bool:
        return (
            isinstance(spoken, Question) and spoken.id > self._last and isinstance(self._admit(spoken), Kind)
        )

    def _answer(self, event: Answer) -> list[Any]:
        asked = self._open.pop(event.id, None)
        if asked is None:
            return []
        tag = None if event.payload is None else asked[0].reply_payload
        return [Say(encode(Result(event.id, event.body, tag, event.payload)))]

    def _expire(self, now: float) -> list[Any]:
        late = [number for number, (_, limit) in self._open.items() if limit <= now]
        return [Abandon(number, _late(self._open.pop(number)[0])) for number in late]


def unsupported(what: str) -> Refused:
    """The answer to what a node does not know."""
    return Refused(
        f"The node does not know the request {what}",
        code="unsupported",
        hint="It may run an older version, or have the feature switched off.",
    )


def _too_many(lane: Lane) -> Unavailable:
    return Unavailable(f"{lane.in_flight} requests to this peer are open already", code="too_many_requests")


def _late(kind: Kind) -> Unavailable:
    return Unavailable(f"There was no answer to {kind.name} in time", code="timeout")


def _unwanted() -> Unavailable:
    return Unavailable("The peer no longer waits for the answer", code="cancelled")
