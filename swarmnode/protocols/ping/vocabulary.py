"""Events and effects of measuring a round trip."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.errors import SwarmnodeError


@dataclass(frozen=True, slots=True)
class Opened:
    """The stream is there."""


@dataclass(frozen=True, slots=True)
class Received:
    """From the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Gone:
    """The stream is over, or never came to be."""

    error: SwarmnodeError | None


@dataclass(frozen=True, slots=True)
class Write:
    """For the peer."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Measured:
    """It is over: end the stream. rtts: seconds, one a ping."""

    rtts: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """It is over: reset the stream."""

    error: SwarmnodeError
