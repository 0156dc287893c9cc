"""What goes over a stream of requests: controls, and raw bytes right after the control that names them.

One side asks (questions, cancels), the other answers (results, failures, and progress before them), in any
order, matched by id.
A control of a kind that is not known yet is passed over, with its payload, and so are unknown fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from swarmnode.protocols.swarm.frames import LIMITS, FramePart, FrameReader, Tag, frame, head
from swarmnode.protocols.swarm.messages import MAX_KIND_CHARS
from swarmnode.protocols.wire.schema import parse, schema
from swarmnode.values.errors import LocalFault, PeerFault, Refused, SwarmnodeError, Unavailable

#: The longest text of an error that is sent or believed, characters.
MAX_ERROR_CHARS = 1000
#: The longest time that may be given for an answer, seconds.
MAX_SECONDS = 600.0

_CONTROLS = schema(
    "requests",
    Control={
        "id": "1 uint64",
        "payload": "2 uint32",
        "question": "3 Question",
        "result": "4 Result",
        "failure": "5 Failure",
        "cancel": "6 Cancel",
        "progress": "7 Progress",
    },
    Question={"kind": "1 string", "deadline_ms": "2 uint32", "body": "3 bytes"},
    Result={"body": "1 bytes"},
    Failure={"kind": "1 string", "code": "2 string", "message": "3 string", "hint": "4 string"},
    Cancel={},
    Progress={},
)


@dataclass(frozen=True, slots=True)
class Question:
    """Somebody wants an answer within so many seconds. payload: with its tag, or None."""

    id: int
    kind: str
    seconds: float
    body: bytes
    tag: Tag | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The answer."""

    id: int
    body: bytes
    tag: Tag | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no answer, and this is why."""

    id: int
    error: SwarmnodeError
    tag: Tag | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Cancel:
    """Nobody waits for the answer any more."""

    id: int
    tag: Tag | None = None
    payload: bytes | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """The answer is being worked on."""

    id: int
    tag: Tag | None = None
    payload: bytes | None = None


Spoken = Question | Result | Failure | Cancel | Progress


def encode(spoken: Spoken) -> tuple[bytes, ...]:
    """The frames that say it, payloads uncopied. Raises `ValueError` for what is too long to send."""
    control = _CONTROLS.Control(id=spoken.id)
    match spoken:
        case Question():
            control.question.kind = spoken.kind
            control.question.deadline_ms = int(min(spoken.seconds, MAX_SECONDS) * 1000)
            control.question.body = spoken.body
        case Result():
            control.result.body = spoken.body
        case Failure():
            for name, value in _error_fields(spoken.error).items():
                setattr(control.failure, name, value[:MAX_ERROR_CHARS])
        case Cancel():
            control.cancel.SetInParent()
        case Progress():
            control.progress.SetInParent()
    if spoken.payload is None or spoken.tag is None:
        return (frame(Tag.CONTROL, control.SerializeToString()),)
    control.payload = spoken.tag
    begin = head(spoken.tag, len(spoken.payload))
    return (frame(Tag.CONTROL, control.SerializeToString()), begin, spoken.payload)


class SpokenReader:
    """Reads one direction of a stream. wants: asked with what was said (without its payload) and the
    payload's tag, before its bytes are kept; False drops them, and `payload` stays None."""

    def __init__(
        self, wants: Callable[[Spoken, Tag], bool], limits: Mapping[Tag, int] = LIMITS, name: str = "Requests"
    ) -> None:
        self._reader = FrameReader(limits)
        self._wants, self._name = wants, name
        self._body = bytearray()
        self._awaited: Tag | None = None
        self._spoken: Spoken | None = None
        self._keep = True

    def feed(self, data: bytes) -> list[Spoken]:
        """What is complete now. Raises `PeerFault`; the stream is of no use after that."""
        done: list[Spoken] = []
        for part in self._reader.feed(data):
            self._take(part, done)
        return done

    @property
    def pending(self) -> int:
        """Bytes kept of what is not complete."""
        return len(self._body)

    @property
    def at_boundary(self) -> bool:
        """Whether the stream may end here."""
        return self._reader.at_boundary and self._awaited is None

    def _take(self, part: FramePart, done: list[Spoken]) -> None:
        if part.tag != (Tag.CONTROL if self._awaited is None else self._awaited):
            raise PeerFault(f"{self._name}: a {part.tag.name} frame that nothing announced", code="bad_frame")
        if self._keep:
            self._body += part.data
        if not part.last:
            return
        body, self._body = bytes(self._body), bytearray()
        if self._awaited is None:
            self._take_control(body, done)
            return
        if self._spoken is not None:
            done.append(replace(self._spoken, payload=body) if self._keep else self._spoken)
        self._awaited, self._spoken, self._keep = None, None, True

    def _take_control(self, body: bytes, done: list[Spoken]) -> None:
        control = parse(_CONTROLS.Control, body, self._name)
        spoken = _read(control)
        if not control.payload:
            if spoken is not None:
                done.append(spoken)
            return
        try:
            self._awaited = Tag(control.payload)
        except ValueError:
            raise PeerFault(f"{self._name}: a payload tagged {control.payload}", code="bad_frame") from None
        if self._awaited is Tag.CONTROL:
            raise PeerFault(f"{self._name}: a control as payload", code="bad_frame")
        self._spoken = None if spoken is None else replace(spoken, tag=self._awaited)
        self._keep = self._spoken is not None and self._wants(self._spoken, self._awaited)


def _read(control: Any) -> Spoken | None:
    number = control.id
    if control.HasField("question"):
        question = control.question
        seconds = min(question.deadline_ms / 1000, MAX_SECONDS)
        return Question(number, _text(question.kind, MAX_KIND_CHARS), seconds, question.body)
    if control.HasField("result"):
        return Result(number, control.result.body)
    if control.HasField("failure"):
        return Failure(number, _error_of(control.failure))
    if control.HasField("progress"):
        return Progress(number)
    return Cancel(number) if control.HasField("cancel") else None


def _text(text: str, limit: int) -> str:
    """What a peer wrote, fit to be shown; a name that is too long stays too long to be known."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text[: limit + 1])


def _error_fields(error: SwarmnodeError) -> dict[str, str]:
    if isinstance(error, LocalFault):
        # What broke here may name files and people: for strangers its code is enough.
        return {"kind": Unavailable.kind, "code": error.code, "message": "The node failed to answer"}
    return {"kind": error.kind, "code": error.code, "message": error.message, "hint": error.hint}


def _error_of(failure: Any) -> SwarmnodeError:
    # A peer's own fault, or one it found in a third party, is no fault of ours nor proof against anybody.
    kind = Refused if failure.kind == Refused.kind else Unavailable
    return kind(
        _text(failure.message, MAX_ERROR_CHARS) or "The peer gave no reason",
        code=_text(failure.code, MAX_KIND_CHARS) or "failed",
        hint=_text(failure.hint, MAX_ERROR_CHARS),
    )
