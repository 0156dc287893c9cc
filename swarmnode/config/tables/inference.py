"""Keys of inference: models, batches, caches, speculation, split runs and their privacy."""

from __future__ import annotations

from typing import Any

from swarmnode.config.key import Key
from swarmnode.config.kinds import Boolean, Choice, FilePath, Integer, Kind, Number, Optional, Text, TextList

ON_OFF = Boolean()
MAX_CONTEXT = 1 << 24
MAX_LAYERS = 10_000
MAX_SECONDS = 31_536_000
MAX_MS = 3_600_000
MAX_MB = 1 << 30


def _inference(name: str, kind: Kind, default: Any, doc: str) -> Key:
    return Key("inference", name, kind, default, doc)


# A row a key is easier to read than a call a screen.
# fmt: off
KEYS = (
    _inference("default_model", Text(), "",
               'Model for requests that say "auto". Empty: the first one there is.'),
    _inference("model_path", Optional(FilePath()), None,
               "A GGUF file to offer, besides those in the data directory."),
    _inference("backend", Text(), "cpu",
               "Inference back end, by its plug-in name (`swarmnode plugins` lists them). `cpu` is compiled "
               "for this processor; `numpy` is the reference, and many times slower."),
    _inference("scripted_models", TextList(), (),
               "Models without weights, answered by the scripted back end: for tests of clients. `steady` "
               "and `slow` take their time, `late` loads for ten seconds; all repeat what they are told."),
    _inference("gpu_layers", Integer(-1, MAX_LAYERS), -1,
               "Layers to run on the GPU. -1: as many as fit. 0: none."),
    _inference("kv_type", Choice(("f32", "f16", "q8_0")), "f16",
               "Type that keys and values are kept in. The back end `numpy` has f32 and f16 only."),
    _inference("max_concurrent_requests", Integer(1, 4096), 10,
               "Requests that run at once; more wait in a queue."),
    _inference("session_timeout_seconds", Integer(1, MAX_SECONDS), 600,
               "How long the KV of an idle chat session (`session_id`) is kept for its next turn."),
    _inference("kv_cache_ttl_secs", Integer(1, MAX_SECONDS), 600,
               "How long any unused KV is kept, of sessions and of the prefix cache."),
    _inference("max_seq_len_override", Optional(Integer(16, MAX_CONTEXT)), None,
               "Tokens a request may hold. none: 8192, or the model's own context where that is shorter."),
    _inference("privacy_mode", ON_OFF, False, "Never write prompts or answers to the disk or to logs."),
    _inference("continuous_batching", ON_OFF, True,
               "Compute the requests for one model together, step by step."),
    _inference("max_batch_size", Integer(1, 1024), 8, "Most requests in one step. 1: no batching."),
    _inference("max_concurrent_decode_batch", Integer(1, 1024), 8,
               "Most requests in one step that are past their prompt; the smaller of the two holds."),
    _inference("batch_timeout_ms", Integer(0, MAX_MS), 50,
               "Has no effect, as if it were 0: a request joins the running batch at its next step, so "
               "waiting for others would gain nothing. A larger value is named in a warning at start."),
    _inference("batch_collection_ms", Integer(0, MAX_MS), 5,
               "Has no effect, as if it were 0, for the same reason."),
    _inference("prefill_chunk_tokens", Integer(1, 65536), 128,
               "Most tokens of prompts in one step, of all prompts together."),
    _inference("prefill_target_ms", Integer(1, MAX_MS), 200,
               "What prompts may add to a step that other requests wait for: no more tokens than take this "
               "long."),
    _inference("batched_prefill_forward", ON_OFF, True,
               "Compute the prompts of several requests together, in equal parts of each step. false: a "
               "chunk of one prompt a step, in turns."),
    _inference("prefix_cache_enabled", ON_OFF, True,
               "Keep the KV of prompts and answers, for requests that begin alike, and for all choices of "
               "a request with `n`. false: every prompt is computed, once a choice."),
    _inference("prefix_cache_max_entries", Integer(1, 65536), 16,
               "Prompts kept for each model; the one that was not used for longest is given up first."),
    _inference("prefix_cache_max_mb", Integer(0, MAX_MB), 2048,
               "Most memory for kept prompts of a model, in MB. They take only room for KV that no request "
               "needs. 0: none are kept."),
    _inference("prefix_cache_max_prompt_tokens", Integer(0, MAX_CONTEXT), 0, "Longest prompt kept. 0: any."),
    _inference("prefix_cache_block_tokens", Integer(1, 4096), 64,
               "Tokens in a block of the prefix cache. The engine computes in blocks of 64 and keeps no "
               "others; another value is named in a warning at start and has no effect."),
    _inference("prefix_cache_min_tokens", Integer(1, MAX_CONTEXT), 32,
               "Shortest prompt kept. Only full blocks are, so none below 64."),
    _inference("share_prefix_cache_with_peers", ON_OFF, False, "Offer kept prompts to peers."),
    _inference("cross_node_prefix_trust_min", Number(0.0, 2.0), 0.5,
               "Trust a peer needs before its kept prompts are used. 2.0: never."),
    _inference("min_text_trust", Number(0.0, 1.0), 0.5,
               "Trust a peer needs before it may see text: token ids, embeddings, the output head."),
    _inference("local_embedding_privacy", ON_OFF, False,
               "Embed tokens here, so that no peer sees token ids."),
    _inference("encrypted_pipeline", ON_OFF, False,
               "Keep the first and last layers of every split model here; costs one round trip a token."),
    _inference("encrypted_pipeline_auto", ON_OFF, True,
               "Do so by itself for models whose first and last layers are here."),
    _inference("replay_buffer_mb", Integer(0, MAX_MB), 64,
               "Most memory a session, in MB, for inputs of stages, kept to replace one that fails."),
    _inference("parallax_routing", ON_OFF, True, "Choose the stages of a split run by measured speed."),
    _inference("parallax_partial_ranges", ON_OFF, False,
               "Use parts of the layer ranges that peers offer, too."),
    _inference("pipeline_chaining", ON_OFF, True,
               "Send activations from stage to stage, not through this node."),
    _inference("max_chain_hops", Integer(1, 64), 8, "Most stages of a split run."),
    _inference("shed_load_when_busy", ON_OFF, False, "Hand requests to peers when this node is busy."),
    _inference("shed_load_threshold", Integer(1, 4096), 4, "Requests under way from which on it is busy."),
    _inference("shard_range", Optional(Text()), None, 'Shards to offer, as "0-3". none: all that are here.'),
    _inference("max_split_model_memory_mb", Optional(Integer(1, MAX_MB)), None,
               "Most GPU memory for parts of split models, in MB."),
    _inference("tensor_parallel", ON_OFF, False,
               "Compute single layers together with peers on the local network."),
    _inference("tp_max_latency_ms", Integer(1, 10000), 10, "Slowest peer for that, in milliseconds."),
    _inference("activation_compression", ON_OFF, True, "Send activations as 8-bit blocks."),
    _inference("persistent_pipeline_stream", ON_OFF, False,
               "One stream a session between stages, not one a step."),
    _inference("speculative_decoding", ON_OFF, False,
               "Let a small model draft tokens that the large one checks."),
    _inference("speculative_gamma", Integer(1, 64), 4, "Tokens drafted at a time."),
    _inference("draft_model_path", Optional(FilePath()), None, "GGUF file of the drafting model."),
    _inference("draft_model", Optional(Text()), None, "The drafting model by its label, in place of a file."),
    _inference("draft_gpu_layers", Integer(-1, MAX_LAYERS), -1, "Layers of the drafting model on the GPU."),
    _inference("speculative_distributed", ON_OFF, False, "Draft tokens for split runs too."),
    _inference("decentralized_spec_decoding", ON_OFF, False,
               "Let the last stage check drafts and answer with tokens."),
    _inference("swift_self_speculative", ON_OFF, False, "Draft with the model itself, leaving layers out."),
    _inference("swift_calibration_tokens", Integer(1, 65536), 32,
               "Tokens to find out which layers to leave out."),
    _inference("swift_gamma", Integer(1, 64), 4, "Tokens drafted that way at a time."),
    _inference("swift_skip_ratio", Number(0.0, 0.95), 0.45, "Part of the layers left out."),
    _inference("ngram_lookup_enabled", ON_OFF, True, "Draft tokens from repetitions in the text so far."),
    _inference("ngram_max_size", Integer(1, 64), 4, "Longest repetition looked for, in tokens."),
    _inference("ngram_num_pred_tokens", Integer(1, 256), 10, "Tokens drafted that way at a time."),
)
# fmt: on
