"""The plan that splits nothing: every layer on the home node."""

from __future__ import annotations

from swarmnode.values.errors import Unavailable
from swarmnode.values.layers import LayerRange
from swarmnode.values.planning import Offer, PipelinePlan, PipelineStage, SwarmSnapshot


def solo_plan(snapshot: SwarmSnapshot) -> PipelinePlan:
    """One stage at home, by the quickest of its offers that covers the model from end to end.

    Raises `Unavailable` that names the layers which no offer of the home node covers.
    """
    ours = [offer for offer in snapshot.offers if offer.node_id == snapshot.home]
    whole = [offer for offer in ours if _is_whole(offer, snapshot.layers)]
    if not whole:
        raise _nobody(snapshot, ours)
    best = min(whole, key=lambda offer: (offer.load, offer.layer_ms))
    return PipelinePlan(
        model=snapshot.model,
        stages=(PipelineStage(snapshot.home, LayerRange(0, snapshot.layers)),),
        tokens_per_second=_speed(best.layer_ms * snapshot.layers),
        reason="this node has the whole model",
    )


def missing_layers(layers: int, ranges: list[LayerRange]) -> tuple[LayerRange, ...]:
    """The gaps that the ranges leave in layers 0..layers-1, in order."""
    gaps, position = [], 0
    for held in sorted(ranges):
        if held.start > position:
            gaps.append(LayerRange(position, min(held.start, layers)))
        position = max(position, held.end)
        if position >= layers:
            break
    if position < layers:
        gaps.append(LayerRange(position, layers))
    return tuple(gaps)


def _is_whole(offer: Offer, layers: int) -> bool:
    covers = offer.layers.start == 0 and offer.layers.end >= layers
    return covers and offer.can_embed and offer.can_sample


def _speed(step_ms: float) -> float:
    return 1000 / step_ms if step_ms > 0 else 0.0


def _nobody(snapshot: SwarmSnapshot, ours: list[Offer]) -> Unavailable:
    gaps = missing_layers(snapshot.layers, [offer.layers for offer in ours])
    what = "layers " + ", ".join(map(str, gaps)) if gaps else "the whole model in one piece"
    return Unavailable(
        f"This node cannot run {what} of {snapshot.model}",
        code="no_plan",
        hint="Get the whole model onto this node, or choose a scheduler that uses other nodes.",
    )
