"""The scheduler `solo`: the pure decision, as the interface wants it."""

from __future__ import annotations

from zope.interface import implementer

from swarmnode.interfaces.scheduler import IPlanner
from swarmnode.policy.solo_plan import solo_plan
from swarmnode.values.planning import PipelinePlan, SwarmSnapshot


@implementer(IPlanner)
class SoloPlanner:
    """Everything at home."""

    def plan(self, snapshot: SwarmSnapshot) -> PipelinePlan:
        return solo_plan(snapshot)
