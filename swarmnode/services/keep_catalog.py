"""Keeping the list of models that this node could run: the one owner of that fact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from zope.interface import implementer

from swarmnode.interfaces.catalog import IModelCatalog
from swarmnode.policy.naming import label_of
from swarmnode.values.cards import ModelCard, ModelFacts
from swarmnode.values.errors import SwarmnodeError

GUIDE_LABEL = "swarmnode-guide"
MAX_MODELS = 1024


@implementer(IModelCatalog)
class ModelCatalog:
    """first: files named by the user, which come first. shelves: `IModelShelf`s that are asked at every
    rescan. guide: the built-in model, after all others, so that it answers only where there is no other.
    fixed: cards without files (scripted models), which never answer by default. facts(path) reads a
    header. defer(f) runs f off the reactor thread and returns a Deferred. backend: what runs files.
    """

    def __init__(
        self,
        *,
        first: Sequence[Path],
        shelves: Sequence[Any],
        guide: Path | None,
        fixed: Sequence[ModelCard] = (),
        facts: Callable[[Path], ModelFacts],
        defer: Callable[[Callable[[], Any]], Any],
        backend: str,
        log: Any,
    ) -> None:
        self._first, self._shelves, self._guide, self._fixed = (
            tuple(first),
            tuple(shelves),
            guide,
            tuple(fixed),
        )
        self._facts, self._defer, self._backend, self._log = facts, defer, backend, log
        self._cards: tuple[ModelCard, ...] = self._fixed
        self._read: dict[tuple[str, int, int], ModelCard] = {}

    def cards(self) -> tuple[ModelCard, ...]:
        return self._cards

    def rescan(self) -> Any:
        return self._defer(self._look).addCallback(self._take)

    def _take(self, cards: tuple[ModelCard, ...]) -> tuple[ModelCard, ...]:
        known = {card.label for card in self._cards}
        for card in cards:
            if card.label in known:
                continue
            if card.problem:
                self._log.warning("model cannot be used", model=card.label, reason=card.problem)
            else:
                self._log.info("model found", model=card.label, path=card.path)
        self._cards = cards
        return cards

    def _look(self) -> tuple[ModelCard, ...]:
        """Runs off the reactor thread; touches the disk."""
        found: dict[str, ModelCard] = {}
        for card in [*map(self._card, self._paths()), *self._guide_card(), *self._fixed]:
            if card.label not in found and len(found) < MAX_MODELS:
                found[card.label] = card
            elif found.get(card.label, card).path != card.path:
                self._log.warning(
                    "two files have one name, the second is left out", model=card.label, path=card.path
                )
        # A file that cannot be run must not become the model that answers by default.
        return tuple(sorted(found.values(), key=lambda card: bool(card.problem)))

    def _paths(self) -> Iterable[Path]:
        yield from self._first
        for shelf in self._shelves:
            for path in shelf.paths():
                if label_of(Path(path).name):
                    yield Path(path)

    def _guide_card(self) -> list[ModelCard]:
        if self._guide is None or not self._guide.is_file():
            return []
        return [self._card(self._guide, label=GUIDE_LABEL, owned_by="builtin")]

    def _card(self, path: Path, label: str = "", owned_by: str = "local") -> ModelCard:
        label = label or label_of(path.name) or path.name
        try:
            stat = path.stat()
            key = (str(path), stat.st_mtime_ns, stat.st_size)
        except OSError as error:
            problem = f"{path} cannot be read: {error.strerror or error}"
            return ModelCard(label, self._backend, str(path), owned_by, problem=problem)
        if key not in self._read:
            self._read[key] = self._describe(path, label, owned_by, int(stat.st_mtime))
        return self._read[key]

    def _describe(self, path: Path, label: str, owned_by: str, created: int) -> ModelCard:
        card = ModelCard(label, self._backend, str(path), owned_by, created)
        try:
            facts = self._facts(path)
        except SwarmnodeError as error:
            return ModelCard(label, self._backend, str(path), owned_by, created, problem=error.message)
        return ModelCard(
            card.label, card.backend, card.path, owned_by, created, facts, context_length=facts.context_length
        )
