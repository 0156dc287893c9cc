"""The built-in back ends `cpu` and `numpy`: one GGUF model, or a range of its layers, or its text alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from secrets import token_bytes
from typing import Any

from zope.interface import implementer

from swarmnode.inference.batching import BatchEngine
from swarmnode.inference.kernel_cache import own_cache_directory
from swarmnode.inference.prefix_sharing import PrefixPolicy
from swarmnode.inference.prompts import PromptText
from swarmnode.inference.runs import check_prompt
from swarmnode.inference.stage.choosing import load_spec_stage, shut
from swarmnode.inference.stage.probing import check_numbers
from swarmnode.inference.stage.seam import Stage
from swarmnode.inference.stage_sessions import StageSessions
from swarmnode.inference.text.choice import ChoiceText
from swarmnode.interfaces.inference_backend import IEngine, IPromptText, IStageCalls
from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.values.errors import Refused
from swarmnode.values.generation import GenerationEvent, GenerationRequest, Prompt, TokenIds
from swarmnode.values.loading import LoadSpec

#: Bytes of a salt that the worker draws itself.
SALT_BYTES = 32


def make_engine(
    spec: LoadSpec, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> ServedModel:
    """The factory of both back ends. progress(bytes packed, bytes in all) is called from any thread. Raises
    `Refused` for files that cannot be run, `Unavailable` for want of room."""
    gguf = GgufFile(spec.path)
    text = PromptText.load(gguf) if spec.text else None
    if text:
        _check_vocabulary(gguf, text)
    stage = _stage(gguf, spec, progress) if spec.weights else None
    return ServedModel(spec, gguf, stage, text)


def _stage(gguf: GgufFile, spec: LoadSpec, progress: Callable[[int, int], None]) -> Stage:
    stage = load_spec_stage(gguf, spec, own_cache_directory(), progress)
    check_numbers(stage, gguf.path)
    return stage


def _check_vocabulary(gguf: GgufFile, text: PromptText) -> None:
    """Every token has an embedding, and every logit a token. Raises `BadModelFile`."""
    tokens, rows = len(text.model.vocabulary.tokens), read_facts(gguf).vocab
    if tokens != rows:
        raise BadModelFile(gguf.path, f"has {tokens} tokens, but token_embd.weight has {rows} rows")


def _prefix_policy(spec: LoadSpec) -> PrefixPolicy:
    salt = spec.prefix_salt.encode() or token_bytes(SALT_BYTES)
    return PrefixPolicy(spec.prefix_bytes > 0, spec.prefix_min_tokens, spec.prefix_max_tokens, salt)


@implementer(IEngine, IPromptText, IStageCalls)
class ServedModel:
    """What a worker holds of a model: a stage, its text, or both. With both, and all layers, it answers
    requests; with a stage it serves sessions of pipelines; with text it tokenises."""

    def __init__(self, spec: LoadSpec, gguf: GgufFile, stage: Stage | None, text: PromptText | None) -> None:
        self._spec, self._gguf, self._stage, self._text = spec, gguf, stage, text
        self._facts = stage.facts if stage else read_facts(gguf)
        self._context = min(spec.context, self._facts.context_length)
        numbers = count()
        self._sessions = StageSessions(stage, lambda: next(numbers)) if stage else None
        whole = stage is not None and stage.embeds and stage.has_head
        self._engine = self._batch_engine(stage, text, numbers) if whole and stage and text else None

    def _batch_engine(self, stage: Stage, text: PromptText, numbers: count[int]) -> BatchEngine:
        model = text.model
        return BatchEngine(
            stage,
            choice_text=lambda stops, last: ChoiceText(model, stops, after=last),
            piece=model.piece,
            ends=model.eos_ids,
            context=self._context,
            slots=self._spec.slots,
            prefill_chunk=self._spec.prefill_chunk,
            prefill_seconds=self._spec.prefill_ms / 1000,
            batch_prompts=self._spec.batch_prompts,
            prefix=_prefix_policy(self._spec),
            session_seconds=self._spec.session_seconds,
            numbers=numbers,
        )

    @property
    def progress(self) -> int:
        """Layers computed so far, over all rows and sessions."""
        return int(getattr(self._stage, "progress", 0))

    def describe(self) -> dict[str, Any]:
        """As `IEngine` says, with what the head of a pipeline wants to know."""
        facts, stage = self._facts, self._stage
        return {
            "profile": str(stage.profile) if stage else "",
            "context_length": self._context,
            "layers": [stage.layers.start, stage.layers.end] if stage else [0, 0],
            "model_layers": facts.layers,
            "hidden": facts.hidden,
            "vocab": facts.vocab,
            "eos_ids": sorted(self._text.model.eos_ids) if self._text else [],
            "resident_bytes": stage.resident_bytes() if stage else 0,
            "prefix_cache": self.prefix_counts(),
        }

    def prefix_counts(self) -> dict[str, int]:
        """What became of shared prompts so far (`PrefixSharing.counts`); nothing where none are."""
        return self._engine.prefix_counts() if self._engine else {}

    def load_counts(self) -> dict[str, int]:
        """What there is to do now (`BatchEngine.load_counts`); nothing where no requests are answered."""
        return self._engine.load_counts() if self._engine else {}

    # Text, on the text thread.

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """As `IPromptText` says."""
        prepared = self._words().prepare(request)
        assert isinstance(prepared.prompt, TokenIds)
        check_prompt(prepared.prompt.ids, self._context, self._facts.vocab)
        return prepared

    def tokenize(self, prompt: Prompt) -> tuple[int, ...]:
        """As `IPromptText` says."""
        return self._words().tokenize(prompt)

    def detokenize(self, ids: tuple[int, ...]) -> str:
        """As `IPromptText` says."""
        return self._words().detokenize(ids)

    def _words(self) -> PromptText:
        if self._text is None:
            raise Refused("This worker was loaded without text", code="no_text")
        return self._text

    # Requests, on the engine thread.

    def submit(self, request: GenerationRequest, emit: Callable[[GenerationEvent], None]) -> int:
        """As `IEngine` says."""
        if self._engine is None:
            raise Refused("This worker holds a part of the model only", code="partial_model")
        return self._engine.submit(request, emit)

    def cancel(self, slot: int) -> None:
        """As `IEngine` says."""
        if self._engine:
            self._engine.cancel(slot)

    def pause(self, slot: int) -> None:
        """As `IEngine` says."""
        if self._engine:
            self._engine.pause(slot)

    def resume(self, slot: int) -> None:
        """As `IEngine` says."""
        if self._engine:
            self._engine.resume(slot)

    def step(self) -> bool:
        """As `IEngine` says."""
        return self._engine.step() if self._engine else False

    def close(self) -> None:
        """As `IEngine` says."""
        if self._engine:
            self._engine.close()
        if self._text:
            self._text.close()
        if self._stage:
            shut(self._stage)
        self._gguf.close()

    def stage_call(self, kind: str, header: Mapping[str, Any], payload: Any) -> tuple[dict[str, Any], Any]:
        """As `IStageCalls` says."""
        if self._sessions is None:
            raise Refused("This worker was loaded without weights", code="not_a_stage")
        return self._sessions.answer(kind, header, payload)
