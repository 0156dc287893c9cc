"""From the configuration to the frozen settings of each component.

This is also the gate: what cannot be kept does not become settings.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

from swarmnode.config.config import Config
from swarmnode.config.later import LATER
from swarmnode.config.problems import show
from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings
from swarmnode.values.peer_id import parse_peer_id
from swarmnode.values.settings import (
    ApiSettings,
    LogSettings,
    NodeSettings,
    ServingSettings,
    WorkerSettings,
)

DEFAULT_CONTEXT = 8192
#: Tokens of a block of keys and values (`inference.cache`): attention sums in these, so they are fixed.
BLOCK_TOKENS = 64
#: The peer-to-peer port is the APIs' port and so much.
P2P_PORT_OFFSET = 10
#: Peers connected at once, by contribution.
MAX_PEERS = {"minimal": 150, "moderate": 300, "maximum": 500}

T = TypeVar("T")


def node_settings(config: Config) -> NodeSettings:
    """The settings of the node, with what is to be told to the user in `notes`.

    Raises `Refused`: `not_built_yet` when a key asks for a protection that is not built (the node must
    not start as if it were), `no_such_file` when the model that was named is not there.
    """
    refuse_unbuilt_protections(config)
    value = config.value
    return NodeSettings(
        data_dir=config.data_dir,
        model_path=_model_path(config),
        open_browser=value("ui.open_browser_on_start"),
        database_url=value("storage.database_url") or "",
        identity_passphrase=value("identity.passphrase") or "",
        api_key=value("api.api_key") or "",
        api=_api(config),
        serving=_serving(config),
        workers=_workers(config),
        logs=_logs(config),
        network=_network(config),
        notes=(*config.notes, *_exposure(config), *_without_effect(config)),
    )


def later_warnings(config: Config) -> tuple[str, ...]:
    """One line for each key that is set, but belongs to a feature that is not built yet."""
    return tuple(
        f"{name}: not built yet ({later.feature}), no effect"
        for name, later in LATER.items()
        if config.is_set(name)
    )


def refuse_unbuilt_protections(config: Config) -> None:
    """Raise `Refused(code="not_built_yet")` naming each protection that is asked for and not built."""
    asked = [
        f"{name} = {show(config.value(name))} ({config.origin(name)}) asks for a protection of "
        f"{later.feature}, which is not built yet"
        for name, later in LATER.items()
        if config.is_set(name) and later.stops(config.value(name))
    ]
    if asked:
        raise Refused(
            "; ".join(asked),
            code="not_built_yet",
            hint="The node does not start rather than run without it. Remove the key to start without.",
        )


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach a listener on the address."""
    return address == "localhost" or ip_address(address).is_loopback


def _model_path(config: Config) -> Path | None:
    path: Path | None = config.value("inference.model_path")
    if path is None or path.is_file():
        return path
    raise Refused(
        f"There is no model file {path} ({config.origin('inference.model_path')})",
        code="no_such_file",
        hint="Name a .gguf file that is there, or leave it out to start with the built-in guide.",
    )


def _api(config: Config) -> ApiSettings:
    value = config.value
    return ApiSettings(
        listen_address=value("api.listen_address"),
        port=value("node.listen_port"),
        rate_limit_rpm=value("api.rate_limit_rpm"),
        rate_limit_admin_rpm=value("api.rate_limit_admin_rpm"),
        rate_limit_loopback=value("api.rate_limit_loopback"),
        metrics_auth_required=value("api.metrics_auth_required"),
        theme=value("ui.theme"),
    )


def _serving(config: Config) -> ServingSettings:
    value = config.value
    return ServingSettings(
        default_model=value("inference.default_model"),
        max_concurrent_requests=value("inference.max_concurrent_requests"),
        privacy_mode=value("inference.privacy_mode"),
    )


def _workers(config: Config) -> WorkerSettings:
    value = config.value
    batch = min(value("inference.max_batch_size"), value("inference.max_concurrent_decode_batch"))
    return WorkerSettings(
        max_ram_mb=value("resources.max_ram_mb"),
        contribution=value("node.contribution"),
        idle_unload_seconds=value("auto_manage.idle_unload_secs"),
        threads=value("resources.max_cpu_threads"),
        slots=batch if value("inference.continuous_batching") else 1,
        kv=value("inference.kv_type"),
        context=value("inference.max_seq_len_override") or DEFAULT_CONTEXT,
        prefill_chunk=value("inference.prefill_chunk_tokens"),
        # A session is its cache: the shorter of the two lifetimes ends both.
        session_seconds=min(value("inference.session_timeout_seconds"), value("inference.kv_cache_ttl_secs")),
        prefill_ms=value("inference.prefill_target_ms"),
        batch_prompts=value("inference.batched_prefill_forward"),
        cache_seconds=value("inference.kv_cache_ttl_secs"),
        prefix_mb=value("inference.prefix_cache_max_mb") if value("inference.prefix_cache_enabled") else 0,
        prefix_prompts=value("inference.prefix_cache_max_entries"),
        prefix_min_tokens=value("inference.prefix_cache_min_tokens"),
        prefix_max_tokens=value("inference.prefix_cache_max_prompt_tokens"),
        backend=value("inference.backend"),
        scripted_models=value("inference.scripted_models"),
    )


def _logs(config: Config) -> LogSettings:
    value = config.value
    return LogSettings(
        level=value("logging.level"),
        format=value("logging.format"),
        file=value("logging.file"),
        verbosity=config.verbosity,
    )


def _network(config: Config) -> NetworkSettings:
    value = config.value
    if not value("network.enable_encryption"):
        raise Refused(
            f"network.enable_encryption = false ({config.origin('network.enable_encryption')}): "
            "connections between nodes are always encrypted",
            code="encryption_required",
            hint="Remove the key.",
        )
    return NetworkSettings(
        listen_address=_numeric(value("network.listen_address")),
        port=value("node.listen_port") + P2P_PORT_OFFSET,
        bootstrap=_each(config, "network.bootstrap_peers", Multiaddr.parse),
        trusted_peers=_each(config, "network.trusted_peers", parse_peer_id),
        network_id=value("network.gossip_network_id") or "",
        enable_mdns=value("network.enable_mdns"),
        peer_exchange=value("network.peer_exchange"),
        max_peers=value("network.max_peers") or MAX_PEERS[value("node.contribution")],
        max_connections_per_peer=value("network.max_connections_per_peer"),
        offline=value("pool.offline_mode"),
    )


def _numeric(address: str) -> str:
    return "127.0.0.1" if address == "localhost" else address


def _each(config: Config, key: str, read: Callable[[str], T]) -> tuple[T, ...]:
    """What the texts of a list stand for; raises `Refused` naming the key too."""
    try:
        return tuple(read(text) for text in config.value(key))
    except Refused as error:
        raise Refused(
            f"{key} ({config.origin(key)}): {error.message}", code=error.code, hint=error.hint
        ) from error


def _exposure(config: Config) -> tuple[str, ...]:
    address = config.value("api.listen_address")
    if is_loopback(address):
        return ()
    return (
        f"api.listen_address = {address}: the APIs can be reached from other machines, without TLS; "
        "put a TLS proxy in front, or use a VPN",
    )


def _without_effect(config: Config) -> tuple[str, ...]:
    """A line for each key whose value asks for what this engine has no use for."""
    notes = [
        f"inference.{name}: no effect: requests join the running batch at its next step, nothing waits"
        for name in ("batch_timeout_ms", "batch_collection_ms")
        if config.value(f"inference.{name}") and config.is_set(f"inference.{name}")
    ]
    if not config.value("network.disable_default_bootstrap"):
        notes.append(
            "network.disable_default_bootstrap = false: no effect: there are no built-in meeting points; "
            "name some in network.bootstrap_peers"
        )
    if (tokens := config.value("inference.prefix_cache_block_tokens")) != BLOCK_TOKENS:
        notes.append(
            f"inference.prefix_cache_block_tokens = {tokens}: no effect: blocks have {BLOCK_TOKENS} tokens"
        )
    return tuple(notes)
