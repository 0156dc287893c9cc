"""Who is behind a stream of requests: what the streams of `services.request_streams` ask and tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from swarmnode.interfaces.host import StreamReceiver
from swarmnode.protocols.swarm.messages import Kind
from swarmnode.protocols.swarm.request_vocabulary import Serve
from swarmnode.protocols.swarm.requests import Lane
from swarmnode.values.errors import SwarmnodeError

if TYPE_CHECKING:
    from swarmnode.services.request_streams import AnsweringStream, AskingStream


class AskingOwner(Protocol):
    """Whose questions go over an `AskingStream`."""

    def open_stream(self, peer: str, lane: Lane, receiver: StreamReceiver) -> Any:
        """A Deferred of a stream to the peer."""

    def crowded(self) -> SwarmnodeError | None:
        """Why no more may be kept of what is not complete."""

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """A stream ended badly."""

    def asking_over(self, stream: AskingStream, lane: Lane) -> None:
        """The stream is gone."""


class AnsweringOwner(Protocol):
    """Who answers what comes over an `AnsweringStream`."""

    def known(self, name: str) -> Kind | None:
        """The kind, where it is answered."""

    def take(self, peer: str, asked: Serve) -> Any:
        """Answer one question: the encoded reply and its payload, or a Deferred of them. May raise."""

    def crowded(self) -> SwarmnodeError | None:
        """Why no more may be kept of what is not complete."""

    def unread(self, size: int) -> SwarmnodeError | None:
        """Why so many bytes more may not be answered now."""

    def blame(self, peer: str, error: SwarmnodeError) -> None:
        """A stream ended badly."""

    def answering_over(self, stream: AnsweringStream, lane: Lane) -> None:
        """The stream is gone."""
