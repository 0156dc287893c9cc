"""Stages of pipelines in a real node: those it offers to peers, and trying out those of peers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twisted.internet.threads import deferToThread

from swarmnode.models.digest import file_digest
from swarmnode.network_stack import NetworkStack
from swarmnode.policy.trust import STRANGER
from swarmnode.services.compare_split import CompareSplit
from swarmnode.services.know_models import KnowModels
from swarmnode.services.offer_stages import OfferStages
from swarmnode.values.errors import Refused, SwarmnodeError

#: Below it a peer has done wrong so often that nothing is computed for it.
SERVED_FROM = STRANGER / 2


@dataclass(frozen=True, slots=True)
class NodeStages:
    """The parts."""

    offer: OfferStages
    compare: CompareSplit


def make_stages(
    network: NetworkStack, network_id: str, catalog: Any, core: Any, pool: Any, reactor: Any
) -> NodeStages:
    """Join them. catalog: `IModelCatalog`; core: `IResponseCore`; pool: `IWorkerPool`."""
    models = KnowModels(catalog.cards, file_digest, deferToThread)
    offer = OfferStages(
        network.host,
        reactor,
        network_id,
        models,
        pool.stage,
        may=_who_behaves(network.trust.score),
        penalise=network.trust.penalise,
    )
    compare = CompareSplit(
        network.host,
        reactor,
        network_id,
        core.find,
        models,
        pool,
        network.admin.join,
        record=network.trust.record,
        penalise=network.trust.penalise,
    )
    return NodeStages(offer, compare)


def _who_behaves(score: Callable[[str], float]) -> Callable[[str], SwarmnodeError | None]:
    def may(peer: str) -> SwarmnodeError | None:
        if score(peer) >= SERVED_FROM:
            return None
        return Refused(
            "This node computes nothing for peers that it does not trust",
            code="not_trusted",
            hint="Its owner can vouch for yours: network.trusted_peers.",
        )

    return may
