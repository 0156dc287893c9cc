"""What the memory estimate assumes of the stage is what the stage does."""

from swarmnode.inference.cache import layer_cache
from swarmnode.inference.stage import attention, weights
from swarmnode.policy import memory


def test_the_estimate_and_the_stage_agree() -> None:
    assert memory.CACHE_BLOCK == layer_cache.BLOCK
    assert memory.MAX_SCORES == attention.MAX_SCORES
    assert (memory.BLOCK_ELEMENTS, memory.BLOCK_ROWS) == (weights.BLOCK_ELEMENTS, weights.BLOCK_ROWS)
