"""What the batch engine keeps of a request, and of each of its choices."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from swarmnode.inference.choice_run import ChoiceAnswer
from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.values.deadlines import deadline_exceeded
from swarmnode.values.errors import LocalFault, Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import GenerationEvent, GenerationRequest, Timings, Usage

Emit = Callable[[GenerationEvent], None]


@dataclass(slots=True, eq=False)
class Request:
    """A request under way; times are of the engine's clock. keys: of the prompt's shared blocks.
    deadline: when it ends with an error unless it is done; None for never."""

    slot: int
    request: GenerationRequest
    prompt: tuple[int, ...]
    seed: int
    emit: Emit
    submitted: float
    limit: int
    left: int
    paused: bool = False
    over: bool = False
    admitted: float | None = None
    first_token: float | None = None
    cached: int = 0
    completion: int = 0
    keys: tuple[bytes, ...] = ()
    deadline: float | None = None

    def usage(self) -> Usage:
        """The tokens so far."""
        return Usage(len(self.prompt), self.completion, self.cached)

    def timings(self, now: float) -> Timings:
        """Where the time went, where there was a first token."""
        if self.admitted is None or self.first_token is None:
            return Timings()
        queue, prefill = self.admitted - self.submitted, self.first_token - self.admitted
        return Timings(queue * 1000, prefill * 1000, (now - self.first_token) * 1000)

    def late(self, now: float) -> Unavailable:
        """The error of a request whose deadline has passed."""
        waited = (self.admitted if self.admitted is not None else now) - self.submitted
        return deadline_exceeded(now - self.submitted, waited)


@dataclass(slots=True, eq=False)
class Run:
    """One choice. tokens: prompt and answer, once admitted; computed: how many of them the session holds.
    pending: rows in the next step; turn: rises with every step that carries it, no two runs have the same."""

    owner: Request
    choice: int
    sampler: Sampler
    answer: ChoiceAnswer
    tokens: list[int] = field(default_factory=list)
    session: int = -1
    computed: int = 0
    pending: int = 0
    turn: int = -1

    @property
    def prefilling(self) -> bool:
        """Whether more of the prompt than its last token is to be computed."""
        return len(self.tokens) - self.computed > 1


def load_counts(requests: Collection[Request], kept: int, reserved: int) -> dict[str, int]:
    """What an engine has to do now, by name: requests that run (one of their choices at least) and wait,
    conversations kept for their next turn, bytes reserved for keys and values."""
    running = sum(owner.admitted is not None for owner in requests)
    return {
        "running": running,
        "waiting": len(requests) - running,
        "kept_sessions": kept,
        "kv_reserved_bytes": reserved,
    }


def check_prompt(prompt: tuple[int, ...], context: int, vocab: int) -> None:
    """Refuse a prompt that is empty, too long for the context, or holds tokens the model lacks."""
    if not prompt:
        raise Refused("The prompt is empty", code="empty_prompt", hint="Send some text.", param="prompt")
    if len(prompt) >= context:
        raise Refused(
            f"The prompt has {len(prompt)} tokens, but the context holds {context} with the answer",
            code="context_length_exceeded",
            hint="Send a shorter prompt, or load the model with a longer context if it has one.",
            param="messages",
        )
    if not (min(prompt) >= 0 and max(prompt) < vocab):
        raise Refused(f"The prompt holds token ids outside 0..{vocab - 1}", code="bad_token", param="prompt")


def step_fault(error: Exception) -> SwarmnodeError:
    """What a failed step means for the request."""
    if isinstance(error, SwarmnodeError):
        return error
    if isinstance(error, MemoryError):
        hint = "Use a smaller model, a shorter prompt or a smaller context."
        return LocalFault("The worker ran out of its memory", code="out_of_memory", hint=hint)
    return LocalFault(f"The engine failed: {type(error).__name__}: {error}", code="engine_failed")
