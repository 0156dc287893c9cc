"""What both ends of the link are told and what they ask for: the events and effects of the machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swarmnode.protocols.worker.messages import Message
from swarmnode.values.errors import SwarmnodeError
from swarmnode.values.generation import GenerationEvent, GenerationRequest
from swarmnode.values.loading import LoadSpec

# Events of the node's end; the first two are events of the worker's end too.


@dataclass(frozen=True, slots=True)
class Opened:
    """The link exists."""


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes came."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Load:
    """Load what the spec says by `factory`, a dotted path `package.module:attribute`."""

    spec: LoadSpec
    factory: str


@dataclass(frozen=True, slots=True)
class Generate:
    """Run a request in a new slot; slots are numbered upwards."""

    slot: int
    request: GenerationRequest


@dataclass(frozen=True, slots=True)
class Pause:
    """Give the slot no more credit."""

    slot: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Give the slot the credit that was held back."""

    slot: int


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the slot; deliver nothing more of it."""

    slot: int


@dataclass(frozen=True, slots=True)
class Call:
    """Ask a question (a kind in `ANSWERS`)."""

    call: int
    kind: str
    header: Mapping[str, Any] = field(default_factory=dict)
    payload: bytes | bytearray | memoryview = b""


@dataclass(frozen=True, slots=True)
class Leave:
    """Tell the worker to end."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The link or the process is gone, for the reason given."""

    error: SwarmnodeError


# Effects of the node's end; `Send` is one of the worker's end too.


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Greeted:
    """The worker speaks our version and waits to be told what to load."""

    pid: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """The model runs; what the engine says of itself."""

    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deliver:
    """An event of a request. After `Finished` or `Failed` none follows."""

    slot: int
    event: GenerationEvent


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The link ended under a request: nothing more comes for its slot, through no fault of its own."""

    slot: int
    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a call: its message, or why there is none."""

    call: int
    answer: Message | SwarmnodeError


@dataclass(frozen=True, slots=True)
class Stats:
    """What the worker last said of itself: `resident_bytes`, `progress`."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The link is over. `error` says why; None after `Leave`."""

    error: SwarmnodeError | None


# Events of the worker's end.


@dataclass(frozen=True, slots=True)
class EngineLoaded:
    """The engine is there and says this of itself."""

    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine could not be made."""

    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class Emitted:
    """Events of one step of the engine, each with its slot, in order."""

    events: tuple[tuple[int, GenerationEvent], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call."""

    message: Message


@dataclass(frozen=True, slots=True)
class Measured:
    """What is to be said to the node about this process."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """The engine has failed for good."""

    error: SwarmnodeError


@dataclass(frozen=True, slots=True)
class HungUp:
    """The node has closed the link."""


# Effects of the worker's end.


@dataclass(frozen=True, slots=True)
class MakeEngine:
    """Load: call the factory at the dotted path with the spec."""

    spec: LoadSpec
    factory: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Start a request; the payload is `request_as_dict` as JSON."""

    slot: int
    payload: bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class AddCredit:
    """The slot may emit so many events more."""

    slot: int
    count: int


@dataclass(frozen=True, slots=True)
class CancelSlot:
    """Forget the slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class RunCall:
    """Answer a question."""

    question: Message


@dataclass(frozen=True, slots=True)
class Quit:
    """End the process. `error` None: as the node wished."""

    error: SwarmnodeError | None = None
