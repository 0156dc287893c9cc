"""The plug-ins that come with the software."""

from __future__ import annotations

from swarmnode.plugins.describe import InferenceBackend, ModelSource, Scheduler

#: llvmlite is not among what this requires: without it the worker says so and computes as `numpy` does.
cpu_backend = InferenceBackend(
    name="cpu",
    summary="GGUF models on the processor, with kernels compiled for it",
    factory="swarmnode.inference.serving:make_engine",
    requires=("numpy", "tokenizers", "jinja2"),
)

numpy_backend = InferenceBackend(
    name="numpy",
    summary="GGUF models on the processor with numpy: the reference",
    factory="swarmnode.inference.serving:make_engine",
    requires=("numpy", "tokenizers", "jinja2"),
)

scripted_backend = InferenceBackend(
    name="scripted",
    summary="Answers by a script, without a model; for tests",
    factory="swarmnode.inference.scripted:make_engine",
    needs_file=False,
)

solo_scheduler = Scheduler(
    name="solo",
    summary="Runs every layer on this node",
    factory="swarmnode.services.plan_solo:SoloPlanner",
)

folder_source = ModelSource(
    name="folder",
    summary="GGUF files in local folders",
    factory="swarmnode.sources.folder:FolderShelf",
)
