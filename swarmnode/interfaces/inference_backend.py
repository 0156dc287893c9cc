"""Inference back ends: what a worker process runs for one model."""

from __future__ import annotations

from zope.interface import Attribute, Interface

from swarmnode.interfaces.plugin import IPluginDescription


class IInferenceBackend(IPluginDescription):
    """The description. Its factory is called in the worker process as `factory(spec)` with a
    `values.loading.LoadSpec` and returns an `IEngine`. A factory with a parameter `progress` gets a
    function there, to be called as `progress(done, total)` from any thread while it loads."""

    needs_file = Attribute("whether it runs model files; a scripted one does not")


class IEngine(Interface):
    """Runs requests for one model on the worker's engine thread. Not thread-safe: every method is
    called on that thread only, except where said."""

    def describe():
        """A JSON-able dict for the node: `profile`, `context_length`, `layers`, `resident_bytes`.

        An engine that keeps prompts may also have a method `prefix_counts()`, called after each step:
        counters by name (`hits`, `misses`, `bytes` ...), which the node's status shows. So may one that
        queues requests have `load_counts()`: `running`, `waiting`, `kv_reserved_bytes` ... of now."""

    def submit(request, emit):
        """Take a `GenerationRequest`; return a slot id (int). `emit(event)` is called from `step`.
        Raises `Refused` or `Unavailable` when it cannot be run."""

    def cancel(slot):
        """Forget the slot; free what it holds. Unknown slots are ignored."""

    def pause(slot):
        """Do not step this slot until `resume`."""

    def resume(slot):
        """Step it again."""

    def step():
        """One bounded piece of work over all runnable slots (one token each, or one chunk of a
        prompt). Return whether there is more to do now."""

    def close():
        """Free everything."""


class IPromptText(Interface):
    """What an engine may offer besides: text work that the worker does on a thread of its own, so that
    a long prompt does not hold up other requests. Called on one thread at a time, never on the
    engine's; must not touch what the engine thread uses."""

    def prepare(request):
        """The `GenerationRequest` with its prompt as `TokenIds`, which `submit` then gets.
        Raises `Refused` for a prompt that cannot be rendered or tokenised."""

    def tokenize(prompt):
        """The token ids of a `values.generation.Prompt`, as `submit` would use them."""

    def detokenize(ids):
        """The text of token ids."""


class IStageCalls(Interface):
    """What an engine may offer besides: being a stage of somebody else's pipeline."""

    def stage_call(kind, header, payload):
        """Answer `open_session`, `step`, `truncate` or `close_session` (see
        `inference.stage_sessions`); return (header, payload). On the engine thread."""
