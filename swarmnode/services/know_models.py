"""Which of this node's model files is meant by a digest, and the digest of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredLock

from swarmnode.values.cards import ModelCard
from swarmnode.values.errors import Refused, SwarmnodeError

#: Files whose digests are remembered.
MAX_FILES = 1024


class KnowModels:
    """cards: the models there are now. digest(path): of a file, on the disk. defer: runs a function off the
    reactor thread, like `deferToThread`; one at a time."""

    def __init__(
        self,
        cards: Callable[[], Sequence[ModelCard]],
        digest: Callable[[str], bytes],
        defer: Callable[[Callable[[], Any]], Deferred[Any]],
    ) -> None:
        self._cards, self._digest, self._defer = cards, digest, defer
        self._one = DeferredLock()
        self._known: dict[str, tuple[tuple[int, int], bytes]] = {}

    def digest(self, card: ModelCard) -> Deferred[bytes]:
        """The digest of a model's file. Fails with `Refused` where there is none, or it cannot be read."""
        return self._one.run(self._defer, lambda: self._read(card))

    def find(self, digest: bytes) -> Deferred[ModelCard]:
        """The model whose file has this digest. Fails with `Refused` (`no_such_model`)."""
        return self._one.run(self._defer, lambda: self._look_for(digest))

    def _look_for(self, digest: bytes) -> ModelCard:
        for card in self._cards():
            if usable(card) and self._quietly(card) == digest:
                return card
        raise Refused(
            "This node has no copy of that model file",
            code="no_such_model",
            hint="Put the same file on both nodes; another quantisation is another file.",
        )

    def _quietly(self, card: ModelCard) -> bytes:
        try:
            return self._read(card)
        except SwarmnodeError:
            return b""  # it cannot be read just now: it is not the one

    def _read(self, card: ModelCard) -> bytes:
        if not usable(card):
            raise Refused(
                card.problem or f"{card.label} is no model file of this node",
                code="no_model_file",
                hint="`swarmnode status` lists the models; cloud models cannot be split.",
            )
        try:
            stat = Path(card.path).stat()
        except OSError as error:
            raise Refused(f"{card.path} cannot be read: {error.strerror}", code="no_model_file") from error
        key = (stat.st_mtime_ns, stat.st_size)
        known = self._known.get(card.path)
        if known is not None and known[0] == key:
            return known[1]
        digest = self._digest(card.path)
        if len(self._known) >= MAX_FILES:
            del self._known[next(iter(self._known))]
        self._known[card.path] = (key, digest)
        return digest


def usable(card: ModelCard) -> bool:
    """Whether a model can be cut: it is a file, and there is nothing wrong with it."""
    return bool(card.path) and card.facts is not None and not card.problem
