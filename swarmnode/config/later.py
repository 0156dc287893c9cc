"""LATER: the keys of features that are not built yet.

Such a key is accepted and checked, and named in one warning at start. A key that asks for a
*protection* must not be ignored: set stricter than its default, it stops the start. A row leaves
this table when its feature lands; a test holds that every key is either here or read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from swarmnode.config.keys import KEYS

_FEATURES: dict[str, str] = {
    "reaching nodes behind routers": """
        node.anchor_mode network.enable_quic network.enable_upnp network.enable_autonat
        network.enable_dcutr network.enable_relay network.enable_relay_client network.auto_relay
        network.relay_max_circuits network.relay_max_circuit_duration_secs
        network.relay_forwarding network.relay_forwarding_auto""",
    "inference split over the network": """
        network.tensor_compression network.tensor_compress_level
        network.tensor_compress_threshold inference.min_text_trust
        inference.local_embedding_privacy inference.encrypted_pipeline
        inference.encrypted_pipeline_auto inference.replay_buffer_mb inference.parallax_routing
        inference.parallax_partial_ranges inference.pipeline_chaining inference.max_chain_hops
        inference.shed_load_when_busy inference.shed_load_threshold
        inference.activation_compression inference.persistent_pipeline_stream""",
    "tensor parallelism": "inference.tensor_parallel inference.tp_max_latency_ms",
    "shards": """
        resources.max_disk_mb resources.max_bandwidth_mbps model.shard_size_mb
        inference.shard_range auto_manage.enabled auto_manage.max_storage_mb
        auto_manage.interval_minutes auto_manage.max_shards auto_manage.max_concurrent_downloads
        auto_manage.prune_enabled auto_manage.min_replicas auto_manage.prune_cooldown_secs
        auto_manage.max_holder_load_for_prune auto_manage.model_policies
        auto_manage.default_model_shard_cap auto_manage.hf_watcher_enabled
        auto_manage.wishlist_gossip_publish auto_manage.auto_switch_quants
        auto_manage.parallax_auto_rebalance""",
    "GPU inference": """
        resources.max_gpu_vram_mb inference.gpu_layers inference.max_split_model_memory_mb
        inference.draft_gpu_layers""",
    "prefix sharing": """
        inference.share_prefix_cache_with_peers inference.cross_node_prefix_trust_min
        network.prefix_kv_compression""",
    "speculative decoding": """
        inference.speculative_decoding inference.speculative_gamma inference.draft_model_path
        inference.draft_model inference.speculative_distributed
        inference.decentralized_spec_decoding inference.swift_self_speculative
        inference.swift_calibration_tokens inference.swift_gamma inference.swift_skip_ratio
        inference.ngram_lookup_enabled inference.ngram_max_size inference.ngram_num_pred_tokens""",
    "the contribution schedule": """
        node.contribution_auto resources.schedule.enabled resources.schedule.reduced_hours_start
        resources.schedule.reduced_hours_end resources.schedule.reduced_contribution
        resources.schedule.prune_aggressiveness""",
    "the page opened from other machines": "api.dashboard_trust_overlay api.dashboard_trust_lan",
    "device pools": """
        pool.max_pool_size pool.invitation_ttl_hours pool.rate_limit_per_hour
        pool.gossip_interval_secs pool.private_mode pool.private_mode_allow_lan
        pool.state_diff_gossip pool.share_model_catalog pool.share_model_catalog_min_members
        pool.allow_cross_pool_inference""",
    "credits": """
        pool.credit_rates.inference_serve pool.credit_rates.inference_consume
        pool.credit_rates.shard_hosting pool.credit_rates.shard_seeding
        pool.credit_rates.relay_service pool.credit_rates.penalty_serve_failure""",
    "regions": "identity.region",
    "updates": """
        updates.mode updates.auto_update updates.check_interval_hours updates.include_prereleases""",
    "cloud providers": """
        providers.claude_subscription.enabled providers.claude_subscription.claude_binary
        providers.claude_subscription.default_model providers.claude_subscription.max_concurrent
        providers.claude_subscription.timeout_secs providers.claude_subscription.working_dir""",
}

Stricter = Callable[[Any, Any], bool]


def _differs(value: Any, default: Any) -> bool:
    return bool(value != default)


def _raised(value: Any, default: Any) -> bool:
    return bool(value > default)


#: The protections among them, and when a value is stricter than the default.
_PROTECTIONS: dict[str, Stricter] = {
    "inference.encrypted_pipeline": _differs,
    "inference.local_embedding_privacy": _differs,
    "inference.min_text_trust": _raised,
    "inference.cross_node_prefix_trust_min": _raised,
    "pool.private_mode": _differs,
    "pool.private_mode_allow_lan": _differs,
}


@dataclass(frozen=True, slots=True)
class Later:
    """A key to come: its name, the type of its value, the feature it belongs to.

    stricter: for a protection, whether a value asks for more of it than the default does.
    """

    name: str
    type: str
    feature: str
    stricter: Stricter | None = None

    def stops(self, value: Any) -> bool:
        """Whether the node must not start with this value, because it could not keep the promise."""
        return self.stricter is not None and self.stricter(value, KEYS[self.name].default)


LATER: dict[str, Later] = {
    name: Later(name, KEYS[name].kind.name, feature, _PROTECTIONS.get(name))
    for feature, names in _FEATURES.items()
    for name in names.split()
}
