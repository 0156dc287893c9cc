"""The batch engine: many requests on one stage, one token each a step, and chunks of prompts beside them.

Each choice of a request is a run with a session of its own; the first computes the prompt, the others take
its blocks. Requests wait in turns (`waiting_runs`); `slots` runs are stepped together. Prompts that come
in together go on together (`row_budget`). A paused run keeps its session but takes no slot, so a slow
reader holds up nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import count
from secrets import randbits
from typing import Any

import numpy as np
from zope.interface import implementer

from swarmnode.inference.admission import Admission
from swarmnode.inference.choice_run import ChoiceAnswer, ChoiceTextLike, room_for
from swarmnode.inference.kept_sessions import KEPT_SECONDS, KeptSessions
from swarmnode.inference.prefix_sharing import PrefixPolicy, PrefixSharing
from swarmnode.inference.row_budget import RowBudget, divide
from swarmnode.inference.runs import Emit, Request, Run, check_prompt, load_counts, step_fault
from swarmnode.inference.sampling.sampler import Sampler
from swarmnode.inference.stage.seam import Batch, Slice, Stage, Want
from swarmnode.inference.waiting_runs import WaitingRuns, stepped_now
from swarmnode.interfaces.inference_backend import IEngine
from swarmnode.values.errors import Refused, SwarmnodeError, Unavailable
from swarmnode.values.generation import Failed, Finished, GenerationRequest, Started, TokenIds

#: Seconds that rows of prompts may add to a step that others wait for.
PREFILL_SECONDS = 0.2
#: Bits of a drawn seed: exact in the numbers of every JSON reader.
SEED_BITS = 53


@implementer(IEngine)
class BatchEngine:
    """Runs requests whose prompts are `TokenIds` on a stage that holds the whole model.

    choice_text(stops, last prompt token) makes the text of one choice; piece gives a token's bytes;
    ends are the tokens that end an answer. numbers yields session numbers of the stage. prefill_chunk:
    most rows of prompts in a step; prefill_seconds: what they may add to a step that others wait for;
    batch_prompts False: of one prompt at a time. prefix: how prompts are shared.
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
        prefill_seconds: float = PREFILL_SECONDS,
        batch_prompts: bool = True,
        prefix: PrefixPolicy | None = None,
        session_seconds: float = KEPT_SECONDS,
        numbers: Iterable[int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        draw_seed: Callable[[], int] = lambda: randbits(SEED_BITS),
    ) -> None:
        self._stage = stage
        self._choice_text, self._piece, self._ends = choice_text, piece, ends
        self._context, self._slots = context, slots
        self._clock, self._draw_seed = clock, draw_seed
        self._slot_numbers = count()
        self._requests: dict[int, Request] = {}
        self._waiting = WaitingRuns()
        self._running: list[Run] = []
        self._kept = KeptSessions(stage, seconds=session_seconds)
        self._sharing = PrefixSharing(stage, prefix or PrefixPolicy())
        sessions = iter(numbers if numbers is not None else count())
        self._admission = Admission(stage, self._kept, self._sharing, sessions)
        self._budget = RowBudget(prefill_chunk, prefill_seconds)
        self._batch_prompts = batch_prompts
        self._steps = 0
        self._turns = count()

    def describe(self) -> dict[str, Any]:
        """As `IEngine` says."""
        layers = self._stage.layers
        return {
            "profile": str(self._stage.profile),
            "context_length": self._context,
            "layers": [layers.start, layers.end],
            "resident_bytes": self._stage.resident_bytes(),
            "prefix_cache": self.prefix_counts(),
        }

    def prefix_counts(self) -> dict[str, int]:
        """See `PrefixSharing.counts`."""
        return self._sharing.counts()

    def load_counts(self) -> dict[str, int]:
        """See `runs.load_counts`."""
        return load_counts(self._requests.values(), len(self._kept), self._stage.reserved_bytes())

    # Requests.

    def submit(self, request: GenerationRequest, emit: Emit) -> int:
        """As `IEngine` says."""
        if not isinstance(request.prompt, TokenIds):
            raise Refused("The prompt was not turned into tokens", code="not_prepared")
        prompt = request.prompt.ids
        check_prompt(prompt, self._context, self._stage.facts.vocab)
        limit = room_for(prompt, self._context, request.max_tokens)
        seed = request.sampling.seed if request.sampling.seed is not None else self._draw_seed()
        now, slot = self._clock(), next(self._slot_numbers)
        owner = Request(slot, request, prompt, seed, emit, now, limit, request.n)
        if request.timeout_seconds is not None:
            owner.deadline = now + request.timeout_seconds
        owner.keys = self._sharing.keys(prompt)
        self._waiting.add(owner, [self._run_of(owner, choice) for choice in range(request.n)])
        self._requests[slot] = owner
        return slot

    def _run_of(self, owner: Request, choice: int) -> Run:
        request = owner.request
        text = self._choice_text(request.stop, owner.prompt[-1])
        answer = ChoiceAnswer(choice, text, self._piece, self._ends, owner.limit)
        vocab = self._stage.facts.vocab
        return Run(
            owner, choice, Sampler(request.sampling, owner.seed, choice, vocab, request.logprobs), answer
        )

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
        self._stage.forget_blocks()

    # Stepping.

    def step(self) -> bool:
        """One token for each running choice whose prompt is done, and chunks of the prompts of others."""
        now = self._clock()
        self._kept.expire(now)
        self._stage.expire(now)
        for owner in [o for o in self._requests.values() if o.deadline is not None and now >= o.deadline]:
            self._fail(owner, owner.late(now))
        self._admit()
        runs = self._next_rows()
        if not runs:
            return False  # who waits now, waits for a call of another method
        self._compute(runs)
        return any(not run.owner.paused for run in self._running) or any(self._waiting.heads())

    def _admit(self) -> None:
        """Open sessions for those who wait, while there are slots and room for them."""
        stepped = sum(not run.owner.paused for run in self._running)
        while stepped < self._slots:
            heads = self._waiting.heads()
            run = next((h for h in heads if not self._sharing.worth_waiting(h, self._running)), None)
            if run is None:
                return
            try:
                self._admission.open(run)
            except Unavailable as error:
                if self._running:
                    return  # room comes when a running one ends
                self._fail(run.owner, error)
                continue
            self._waiting.took(run)
            self._running.append(run)
            self._start(run)
            stepped += 1

    def _start(self, run: Run) -> None:
        owner = run.owner
        if owner.admitted is None:
            owner.admitted, owner.cached = self._clock(), run.computed
            profile = str(self._stage.profile)
            prompt_tokens = len(owner.prompt)
            owner.emit(Started(owner.request.model, prompt_tokens, owner.cached, owner.seed, profile))

    def _next_rows(self) -> list[Run]:
        """The runs of the next step, with their `pending` rows."""
        self._steps += 1
        runs = stepped_now([run for run in self._running if not run.owner.paused], self._slots)
        answering = [run for run in runs if not run.prefilling]
        for run in answering:
            run.pending = 1
        chosen = answering + self._prompt_rows([run for run in runs if run.prefilling], bool(answering))
        for run in chosen:
            run.turn = next(self._turns)
        return chosen

    def _prompt_rows(self, runs: list[Run], others_wait: bool) -> list[Run]:
        """The rows of prompts, in equal parts; what cannot be divided goes to each in turn."""
        if not runs:
            return []
        first = self._steps % len(runs)
        runs = runs[first:] + runs[:first]
        runs = runs if self._batch_prompts else runs[:1]
        wanted = [len(run.tokens) - run.computed for run in runs]
        for run, rows in zip(runs, divide(self._budget.rows(others_wait), wanted), strict=True):
            run.pending = rows
        return [run for run in runs if run.pending]

    def _compute(self, runs: list[Run]) -> None:
        began = self._clock()
        answering = sum(not run.prefilling for run in runs)
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
        rows = sum(run.pending for run in runs)
        self._budget.learn(answering, rows - answering, self._clock() - began)
        for run, row in logits:
            if not run.owner.over:  # else another choice of it has failed in this step
                self._guarded_sample(run, row)

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
            if run.computed == len(run.owner.prompt):
                self._sharing.publish(run)
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
        self._admission.release(run, self._clock())
        if not owner.left:
            self._forget(owner)
            owner.emit(Finished(owner.usage(), owner.timings(self._clock())))

    def _fail(self, owner: Request, error: SwarmnodeError) -> None:
        self._drop(owner)
        owner.emit(Failed(error))

    def _drop(self, owner: Request) -> None:
        running = [run for run in self._running if run.owner is owner]
        self._running = [run for run in self._running if run.owner is not owner]
        for run in running + self._waiting.drop(owner):
            self._admission.release(run, self._clock())
        self._forget(owner)

    def _forget(self, owner: Request) -> None:
        owner.over = True
        self._requests.pop(owner.slot, None)
