"""Snapshots that a scheduler decides on, and the plans it makes."""

from __future__ import annotations

from dataclasses import dataclass

from swarmnode.values.layers import LayerRange


@dataclass(frozen=True, slots=True)
class Offer:
    """One node's offer to run a range of layers: milliseconds a layer and requests in progress."""

    node_id: str
    layers: LayerRange
    layer_ms: float
    load: int = 0
    can_embed: bool = False
    can_sample: bool = False


@dataclass(frozen=True, slots=True)
class SwarmSnapshot:
    """What is known at one moment. rtt_ms holds pairs (from, to, milliseconds)."""

    model: str
    layers: int
    home: str
    offers: tuple[Offer, ...]
    rtt_ms: tuple[tuple[str, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineStage:
    """One stage of a plan."""

    node_id: str
    layers: LayerRange


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """Stages in order, the predicted speed in tokens a second, and why, in words."""

    model: str
    stages: tuple[PipelineStage, ...]
    tokens_per_second: float
    reason: str
