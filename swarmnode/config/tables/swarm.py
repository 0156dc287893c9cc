"""Keys of what nodes do together: model storage, automatic shards, device pools, cloud providers."""

from __future__ import annotations

from typing import Any

from swarmnode.config.key import Key
from swarmnode.config.kinds import Boolean, FilePath, Integer, Kind, Optional, Text, TextTable

ON_OFF = Boolean()
MAX_MB = 1 << 30
CREDITS = Integer(0, 1_000_000)


def _auto(name: str, kind: Kind, default: Any, doc: str) -> Key:
    return Key("auto_manage", name, kind, default, doc)


def _pool(name: str, kind: Kind, default: Any, doc: str) -> Key:
    return Key("pool", name, kind, default, doc)


def _rate(name: str, default: int, doc: str) -> Key:
    return Key("pool.credit_rates", name, CREDITS, default, doc)


def _claude(name: str, kind: Kind, default: Any, doc: str) -> Key:
    return Key("providers.claude_subscription", name, kind, default, doc)


# A row a key is easier to read than a call a screen.
# fmt: off
KEYS = (
    Key("model", "shard_size_mb", Integer(64, 2048), 512, "Size that shards are cut to, in MB."),
    _auto("enabled", ON_OFF, True, "Fetch shards that the network needs, of models that are trusted enough."),
    _auto("idle_unload_secs", Integer(0, 31536000), 300,
          "Unload a model that was not asked for this long. 0: never."),
    _auto("max_storage_mb", Integer(0, MAX_MB), 0,
          "Most disk space for such shards, in MB. 0: 25, 50 or 75 % of `max_disk_mb`, by contribution."),
    _auto("interval_minutes", Integer(1, 1440), 5, "Minutes between looks at what the network needs."),
    _auto("max_shards", Integer(0, 1000000), 0, "Most shards held that way. 0: unlimited."),
    _auto("max_concurrent_downloads", Integer(1, 64), 3, "Downloads at once."),
    _auto("prune_enabled", ON_OFF, True, "Remove shards that many others hold."),
    _auto("min_replicas", Integer(1, 1000), 2, "Never remove a shard that fewer others hold."),
    _auto("prune_cooldown_secs", Integer(0, 604800), 300, "Seconds between two removals for one model."),
    _auto("max_holder_load_for_prune", Integer(0, 4096), 3,
          "Remove nothing whose other holders are busier than this."),
    _auto("model_policies", TextTable(), {}, "What to do with single models, by label."),
    _auto("default_model_shard_cap", Integer(0, 1000000), 0, "Most shards of one model. 0: unlimited."),
    _auto("hf_watcher_enabled", ON_OFF, True, "Look at Hugging Face's trending models every hour."),
    _auto("wishlist_gossip_publish", ON_OFF, False, "Tell the network which models this node would like."),
    _auto("auto_switch_quants", ON_OFF, True,
          "Change to another quantisation where more of it is available."),
    _auto("parallax_auto_rebalance", ON_OFF, True, "Move shards to where they are used."),
    _pool("max_pool_size", Integer(1, 1000), 10, "Most devices in a pool."),
    _pool("invitation_ttl_hours", Integer(1, 8760), 24, "Hours that an invitation holds."),
    _pool("rate_limit_per_hour", Integer(1, 100000), 10, "Most pool operations an hour."),
    _pool("gossip_interval_secs", Integer(10, 604800), 600,
          "Seconds between two announcements of the pool's state."),
    _pool("private_mode", ON_OFF, False, "Send requests to devices of the pool only."),
    _pool("private_mode_allow_lan", ON_OFF, True, "In private mode, use peers on the local network too."),
    _pool("offline_mode", ON_OFF, False,
          "No bootstrap peers, no downloads, no cloud: the local network only."),
    _pool("state_diff_gossip", ON_OFF, False, "Announce only what changed in the pool."),
    _pool("share_model_catalog", ON_OFF, False, "Tell other pools which models this one has."),
    _pool("share_model_catalog_min_members", Integer(1, 1000), 3, "Smallest pool that does so."),
    _pool("allow_cross_pool_inference", ON_OFF, False, "Serve requests of other pools."),
    _rate("inference_serve", 10, "Credits earned for a layer and a token served."),
    _rate("inference_consume", 10, "Credits spent for a layer and a token consumed."),
    _rate("shard_hosting", 1, "Credits for a GB hosted for an hour."),
    _rate("shard_seeding", 5, "Credits for a GB sent to others."),
    _rate("relay_service", 2, "Credits for an hour of a relayed connection."),
    _rate("penalty_serve_failure", 50, "Credits taken for a failure."),
    _claude("enabled", ON_OFF, False,
            "Run requests for `claude-*` models with the locally installed program."),
    _claude("claude_binary", Text(), "claude", "Path or name of that program."),
    _claude("default_model", Optional(Text()), None, "Model to use in place of the one asked for."),
    _claude("max_concurrent", Integer(1, 64), 3, "Runs of it at once."),
    _claude("timeout_secs", Integer(1, 86400), 300, "Seconds a run may take."),
    _claude("working_dir", Optional(FilePath()), None, "Folder it runs in. none: a temporary one."),
)
# fmt: on
