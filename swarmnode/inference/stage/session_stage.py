"""What every stage that computes here does alike: sessions by number, steps undone on faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from swarmnode.inference.cache.block_store import BlockCounts
from swarmnode.inference.stage.batch_check import check_batch
from swarmnode.inference.stage.open_sessions import OpenSessions
from swarmnode.inference.stage.seam import Batch, StepResult
from swarmnode.models.facts import is_quantised, layer_of
from swarmnode.models.gguf import GgufFile
from swarmnode.values.cards import ModelFacts
from swarmnode.values.errors import LocalFault, Refused
from swarmnode.values.layers import LayerRange, NumericsProfile, ResidualType


def range_of(gguf: GgufFile, facts: ModelFacts, layers: LayerRange | None) -> LayerRange:
    """The layers wanted (None: all of them). Raises `Refused` for some that the model lacks."""
    layers = layers or LayerRange(0, facts.layers)
    if layers.end > facts.layers:
        raise Refused(
            f"layers {layers} of {gguf.path.name} do not exist: it has layers 0-{facts.layers - 1}",
            code="bad_layer_range",
        )
    return layers


def residual_of(gguf: GgufFile, residual: ResidualType | None) -> ResidualType:
    """The residual type wanted; None: `f16` where any weight of any layer is quantised, else `f32`. All
    layers are looked at, so that every stage of a model decides alike."""
    if residual is not None:
        return residual
    quantised = is_quantised(info for info in gguf.tensors.values() if layer_of(info.name) is not None)
    return "f16" if quantised else "f32"


class SessionStage(ABC):
    """The part of `seam.Stage` that both stages share. file: the model's, for messages."""

    def __init__(
        self,
        file: str,
        facts: ModelFacts,
        layers: LayerRange,
        profile: NumericsProfile,
        sessions: OpenSessions[Any, Any],
    ) -> None:
        self.facts, self.layers, self.profile = facts, layers, profile
        self.embeds, self.has_head = layers.start == 0, layers.end == facts.layers
        self._file, self._sessions = file, sessions

    # Sessions.

    def open(self, session: int, tokens: int) -> None:
        """As `Stage` says."""
        self._sessions.open(session, tokens)

    def fit(self, session: int) -> None:
        """As `Stage` says."""
        self._sessions.fit(session)

    def length(self, session: int) -> int:
        """As `Stage` says."""
        return int(self._sessions.get(session).length)

    def truncate(self, session: int, position: int) -> None:
        """As `Stage` says; a position beyond the session's end changes nothing."""
        self._sessions.truncate(session, min(position, self.length(session)))

    def close(self, session: int) -> None:
        """As `Stage` says."""
        self._sessions.close(session)

    def adopt(self, session: int, keys: Sequence[bytes]) -> int:
        """As `Stage` says."""
        return self._sessions.adopt(session, keys)

    def publish(self, session: int, keys: Sequence[bytes]) -> None:
        """As `Stage` says."""
        self._sessions.publish(session, keys)

    def forget_blocks(self) -> None:
        """As `Stage` says."""
        self._sessions.blocks.clear()

    def expire(self, now: float) -> None:
        """As `Stage` says."""
        self._sessions.blocks.expire(now)

    def block_counts(self) -> BlockCounts:
        """As `Stage` says."""
        return self._sessions.blocks.counts()

    def reserved_bytes(self) -> int:
        """As `Stage` says."""
        return self._sessions.all_reserved_bytes

    # Steps.

    def step(self, batch: Batch) -> StepResult:
        """As `Stage` says. Steps may be sent again: what sessions hold from a step's first row on is
        forgotten before it, and again on any error."""
        check_batch(batch, self)
        self._cut_back(batch)
        try:
            with np.errstate(all="ignore"):
                return self._computed(batch)
        except FloatingPointError as error:
            self._cut_back(batch)
            raise self._not_finite(str(error)) from error
        except BaseException:
            self._cut_back(batch)
            raise

    @abstractmethod
    def _computed(self, batch: Batch) -> StepResult:
        """The answer to a batch that was checked, its sessions cut back to its first rows. Raises
        `FloatingPointError` for results that are no numbers."""

    def _cut_back(self, batch: Batch) -> None:
        for part in batch.slices:
            self._sessions.truncate(part.session, part.first)

    def _not_finite(self, fault: str) -> LocalFault:
        return LocalFault(
            f"{self._file}, layers {self.layers}: {fault}",
            code="not_finite",
            hint="The model file may be damaged: compare its checksum, or choose another file.",
        )
