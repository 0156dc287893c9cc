"""Which blocks a request may take from others, which it leaves to others, and when to wait for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swarmnode.inference.cache.block_keys import block_keys, chain_salt
from swarmnode.inference.runs import Request, Run
from swarmnode.inference.stage.seam import BLOCK, Stage

#: Waiting for another run's blocks is for prompts of which they make up at least this part.
_WORTH = 0.75


@dataclass(frozen=True, slots=True)
class PrefixPolicy:
    """enabled: whether blocks are shared at all. min_tokens, max_tokens: shortest and longest prompt that
    is kept (0: any). salt: requests under different salts never share."""

    enabled: bool = False
    min_tokens: int = 0
    max_tokens: int = 0
    salt: bytes = b""


class PrefixSharing:
    """The use that the engine makes of a stage's shared blocks."""

    def __init__(self, stage: Stage, policy: PrefixPolicy) -> None:
        self._stage, self._policy = stage, policy
        facts = stage.facts
        model = (facts.architecture, facts.quantization, str(facts.weight_bytes), str(facts.layers))
        self._salt = chain_salt(policy.salt, *model, str(stage.layers), str(stage.profile))
        self._saved = 0

    def keys(self, tokens: Sequence[int]) -> tuple[bytes, ...]:
        """The keys of the full blocks of a prompt; none for one that is not to be shared."""
        policy = self._policy
        short = len(tokens) < max(policy.min_tokens, BLOCK)
        if not policy.enabled or short or 0 < policy.max_tokens < len(tokens):
            return ()
        return tuple(block_keys(self._salt, tokens))

    def adopt(self, owner: Request, session: int) -> int:
        """Fill an open and empty session with what is known of a request's prompt; how many positions it
        holds then. The last token of a prompt is always computed: its logits are not kept."""
        keys = owner.keys[: (len(owner.prompt) - 1) // BLOCK]
        found = self._stage.adopt(session, keys) if keys else 0
        self._saved += found
        return found

    def publish(self, run: Run) -> None:
        """Leave the blocks that a run has computed to others: its prompt's, and its answer's, which are
        the beginning of the conversation's next turn."""
        if run.choice:
            return
        keys = run.owner.keys
        if run.computed // BLOCK > len(run.owner.prompt) // BLOCK:
            keys = self.keys(run.tokens[: run.computed]) or keys
        if not keys:
            return
        try:
            self._stage.publish(run.session, keys[: run.computed // BLOCK])
        except MemoryError:  # blocks are a convenience: answers need the memory more
            self._stage.forget_blocks()

    def worth_waiting(self, run: Run, others: Sequence[Run]) -> bool:
        """Whether one of the others will soon have computed most of the run's prompt. Side by side, the two
        are done after all rows of both; waiting costs the rows that the other has to go, and is chosen when
        it is clearly less."""
        owner = run.owner
        return any(
            other.prefilling and not other.owner.paused and _soon(owner, other)
            for other in others
            if other.choice == 0
        )

    def counts(self) -> dict[str, int]:
        """Counters and sizes, in blocks but for `bytes` and `tokens_saved` (positions not computed)."""
        counts = self._stage.block_counts()
        return {
            "bytes": counts.bytes,
            "blocks": counts.blocks,
            "prompts": counts.prompts,
            "hits": counts.hits,
            "misses": counts.misses,
            "evicted": counts.evicted,
            "tokens_saved": self._saved,
        }


def _soon(owner: Request, other: Run) -> bool:
    if other.owner is owner:
        return len(owner.prompt) > BLOCK and bool(owner.keys)
    needed = -(-int(_WORTH * len(owner.prompt)) // BLOCK)
    theirs = other.owner.keys
    if not 0 < needed <= min(len(owner.keys), len(theirs)) or theirs[needed - 1] != owner.keys[needed - 1]:
        return False
    remaining = len(other.owner.prompt) - other.computed
    return remaining - needed * BLOCK <= len(owner.prompt) // 2
