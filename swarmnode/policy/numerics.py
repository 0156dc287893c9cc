"""Which numerics profiles a node can compute in (DESIGN 6), as its greeting says it."""

from __future__ import annotations

from typing import get_args

from swarmnode.policy.memory import kernel_class
from swarmnode.values.layers import KvType, NumericsProfile, ResidualType

#: Of this class every node has the same bits, so that its name says all.
COMPILED = "cpu-1"


def computable(backend: str) -> tuple[str, ...]:
    """The profiles of the inference back end of that name, by their names.

    The bits of the reference (`numpy-1`) depend on the processor's BLAS kernel, which only a worker knows:
    nothing is promised of it here, because a name without that part would promise too much.
    """
    kernel = kernel_class(backend)
    if kernel != COMPILED:
        return ()
    return tuple(
        str(NumericsProfile(kernel, kv, residual))
        for kv in get_args(KvType)
        for residual in get_args(ResidualType)
    )
