"""The batch engine: many requests on one stage, one token each a step, prompts in chunks between them.

Each choice of a request is a run with a session of its own (n choices prefill the prompt n times: the
seam has no way to copy a session). Runs wait in the order of their arrival; `slots` of them are stepped
together. A paused run keeps its session but takes no slot, so a slow reader holds up nobody else.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import count
from secrets import randbits
from typing import Any

import numpy as np
from zope.interface import implementer

from swarmnode.inference.choice_run import ChoiceAnswer, ChoiceTextLike, room_for
from swarmnode.inference.kept_sessions import KEPT_SECONDS, KeptSessions
from swarmnode.inference.runs import Emit, Request, Run, check_prompt, step_fault
from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.inference.stage.seam import Batch, Slice, Stage, Want
from swarmnode.interfaces.inference_backend import IEngine
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import (
    Failed,
    Finished,
    GenerationRequest,
    Started,
    Timings,
    TokenIds,
    Usage,
)

#: Rows of a prompt in one step are so many that the step takes about this long: cancels and other
#: requests' tokens wait no longer.
PREFILL_SECONDS = 0.2
#: Rows of the first chunk, before the speed is known.
FIRST_CHUNK = 8
#: Bits of a drawn seed: exact in the numbers of every JSON reader.
SEED_BITS = 53


@implementer(IEngine)
class BatchEngine:
    """Runs requests whose prompts are `TokenIds` on a stage that holds the whole model.

    choice_text(stops, last prompt token) makes the text of one choice; piece gives a token's bytes;
    ends are the tokens that end an answer. numbers yields session numbers of the stage.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        choice_text: Callable[[tuple[str, ...], int], ChoiceTextLike],
        piece: Callable[[int], bytes],
        ends: frozenset[int],
        context: int,
        slots: int,
        prefill_chunk: int,
        session_seconds: float = KEPT_SECONDS,
        numbers: Iterable[int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw_seed: Callable[[], int] = lambda: randbits(SEED_BITS),
    ) -> None:
        self._stage = stage
        self._choice_text, self._piece, self._ends = choice_text, piece, ends
        self._context, self._slots, self._chunk = context, slots, prefill_chunk
        self._clock, self._draw_seed = clock, draw_seed
        self._numbers = iter(numbers if numbers is not None else count())
        self._slot_numbers = count()
        self._requests: dict[int, Request] = {}
        self._waiting: deque[Run] = deque()
        self._running: list[Run] = []
        self._kept = KeptSessions(stage, seconds=session_seconds)
        self._row_seconds = 0.0

    def describe(self) -> dict[str, Any]:
        """As `IEngine` says."""
        layers = self._stage.layers
        return {
            "profile": str(self._stage.profile),
            "context_length": self._context,
            "layers": [layers.start, layers.end],
            "resident_bytes": self._stage.resident_bytes(),
        }

    # Requests.

    def submit(self, request: GenerationRequest, emit: Emit) -> int:
        """As `IEngine` says."""
        if not isinstance(request.prompt, TokenIds):
            raise Refused("The prompt was not turned into tokens", code="not_prepared")
        prompt = request.prompt.ids
        check_prompt(prompt, self._context, self._stage.facts.vocab)
        limit = room_for(prompt, self._context, request.max_tokens)
        seed = request.sampling.seed if request.sampling.seed is not None else self._draw_seed()
        slot = next(self._slot_numbers)
        owner = Request(slot, request, prompt, seed, emit, self._clock(), limit, request.n)
        self._requests[slot] = owner
        self._waiting.extend(self._run_of(owner, choice) for choice in range(request.n))
        return slot

    def _run_of(self, owner: Request, choice: int) -> Run:
        request = owner.request
        text = self._choice_text(request.stop, owner.prompt[-1])
        answer = ChoiceAnswer(choice, text, self._piece, self._ends, owner.limit)
        vocab = self._stage.facts.vocab
        sampler = Sampler(request.sampling, owner.seed, choice, vocab, request.logprobs)
        return Run(owner, choice, sampler, answer, list(owner.prompt))

    def cancel(self, slot: int) -> None:
        """As `IEngine` says."""
        if owner := self._requests.get(slot):
            self._drop(owner)

    def pause(self, slot: int) -> None:
        """As `IEngine` says."""
        if owner := self._requests.get(slot):
            owner.paused = True

    def resume(self, slot: int) -> None:
        """As `IEngine` says."""
        if owner := self._requests.get(slot):
            owner.paused = False

    def close(self) -> None:
        """As `IEngine` says."""
        for owner in list(self._requests.values()):
            self._drop(owner)
        self._kept.close()

    # Stepping.

    def step(self) -> bool:
        """One token for each running choice whose prompt is done, and one chunk of one prompt."""
        self._kept.expire(self._clock())
        self._admit()
        runs = self._next_rows()
        if runs:
            self._compute(runs)
        return any(not run.owner.paused for run in (*self._running, *self._waiting))

    def _admit(self) -> None:
        """Open sessions for those who wait, while there are slots and room for them."""
        stepped = sum(not run.owner.paused for run in self._running)
        while self._waiting and stepped < self._slots:
            run = self._waiting[0]
            try:
                self._open(run)
            except Unavailable as error:
                if self._kept.give_up_oldest():
                    continue
                if not self._running:
                    self._fail(run.owner, error)
                    continue
                return  # room comes when a running one ends
            self._waiting.popleft()
            self._running.append(run)
            stepped += 1

    def _open(self, run: Run) -> None:
        owner, name = run.owner, run.owner.request.session_id
        if run.session < 0 and name and run.choice == 0 and (kept := self._kept.take(name, owner.prompt)):
            run.session, run.computed = kept
        if run.session < 0:
            run.session = next(self._numbers)
        try:
            self._stage.open(run.session, len(owner.prompt) + owner.limit)
        except Unavailable:
            if not run.computed:
                run.session = -1
            raise
        if owner.admitted is None:
            owner.admitted, owner.cached = self._clock(), run.computed
            profile = str(self._stage.profile)
            prompt_tokens = len(owner.prompt)
            owner.emit(Started(owner.request.model, prompt_tokens, owner.cached, owner.seed, profile))

    def _next_rows(self) -> list[Run]:
        """The runs of the next step; of those still in their prompt only the first, whose turn then
        passes to the next one."""
        active = [run for run in self._running if not run.owner.paused]
        chosen = [run for run in active if not run.prefilling]
        for run in chosen:
            run.pending = 1
        if first := next((run for run in active if run.prefilling), None):
            first.pending = min(len(first.tokens) - first.computed, self._chunk_rows())
            chosen.append(first)
            self._running.remove(first)
            self._running.append(first)
        return chosen

    def _chunk_rows(self) -> int:
        if not self._row_seconds:
            return min(self._chunk, FIRST_CHUNK)
        return max(1, min(self._chunk, int(PREFILL_SECONDS / self._row_seconds)))

    def _compute(self, runs: list[Run]) -> None:
        began = self._clock()
        try:
            logits = self._step_stage(runs)
        except Exception as error:
            if len(runs) == 1:
                self._fail(runs[0].owner, step_fault(error))
                return
            for run in runs:  # steps are idempotent: find the one at fault, let the others go on
                if not run.owner.over:
                    self._compute([run])
            return
        self._learn_speed(self._clock() - began, sum(run.pending for run in runs))
        for run, row in logits:
            if not run.owner.over:  # else another choice of it has failed in this step
                self._guarded_sample(run, row)

    def _learn_speed(self, seconds: float, rows: int) -> None:
        measured = seconds / rows
        self._row_seconds = measured if not self._row_seconds else 0.7 * self._row_seconds + 0.3 * measured

    def _step_stage(self, runs: list[Run]) -> list[tuple[Run, Any]]:
        """Compute the pending rows; the runs that are due for a token, with their logits."""
        slices, tokens = [], []
        for run in runs:
            end = run.computed + run.pending
            want: Want = "last" if end == len(run.tokens) else "none"
            slices.append(Slice(run.session, run.computed, run.pending, want))
            tokens += run.tokens[run.computed : end]
        result = self._stage.step(Batch(tuple(slices), np.array(tokens, np.int32)))
        for run in runs:
            run.computed += run.pending
        due = [run for run, part in zip(runs, slices, strict=True) if part.want == "last"]
        assert result.logits is not None  # a whole model has the head
        return list(zip(due, result.logits, strict=True))

    def _guarded_sample(self, run: Run, logits: Any) -> None:
        try:
            self._sample(run, logits)
        except Exception as error:
            self._fail(run.owner, step_fault(error))

    def _sample(self, run: Run, logits: Any) -> None:
        owner = run.owner
        start = len(owner.prompt)
        sampled = run.sampler.sample(logits, len(run.tokens), run.tokens[:start], run.tokens[start:])
        if owner.first_token is None:
            owner.first_token = self._clock()
        run.tokens.append(sampled.token_id)
        for event in run.answer.take(sampled):
            owner.emit(event)
        if run.answer.over:
            self._end_run(run)

    # Ends.

    def _end_run(self, run: Run) -> None:
        owner = run.owner
        owner.completion += run.answer.count
        owner.left -= 1
        self._running.remove(run)
        self._release(run)
        if not owner.left:
            self._forget(owner)
            owner.emit(Finished(self._usage(owner), self._timings(owner)))

    def _usage(self, owner: Request) -> Usage:
        return Usage(len(owner.prompt), owner.completion, owner.cached)

    def _timings(self, owner: Request) -> Timings:
        admitted, first = owner.admitted, owner.first_token
        if admitted is None or first is None:
            return Timings()
        queue, prefill, decode = admitted - owner.submitted, first - admitted, self._clock() - first
        return Timings(queue * 1000, prefill * 1000, decode * 1000)

    def _fail(self, owner: Request, error: SwarmnodeError) -> None:
        self._drop(owner)
        owner.emit(Failed(error))

    def _drop(self, owner: Request) -> None:
        for run in [run for run in self._running if run.owner is owner]:
            self._running.remove(run)
            self._release(run)
        for run in [run for run in self._waiting if run.owner is owner]:
            self._waiting.remove(run)
            self._release(run)
        self._forget(owner)

    def _forget(self, owner: Request) -> None:
        owner.over = True
        self._requests.pop(owner.slot, None)

    def _release(self, run: Run) -> None:
        """Keep the session for the conversation's next turn, or free it."""
        name = run.owner.request.session_id
        if run.session < 0:
            return
        if name and run.choice == 0 and run.computed:
            self._kept.keep(name, run.session, run.tokens[: run.computed], self._clock())
        else:
            self._stage.close(run.session)
