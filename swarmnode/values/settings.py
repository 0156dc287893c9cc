"""Frozen settings, one class a component: what `config` hands to `assembly`, key by key.

Defaults here are those of the configuration table in `swarmnode.config`, which is their owner;
they are repeated so that a component can be built in a test without a configuration.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from swarmnode.values.layers import KvType
from swarmnode.values.network import NetworkSettings


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """The HTTP port. `metrics_auth_required` None: a key is asked for off loopback only."""

    listen_address: str = "127.0.0.1"
    port: int = 8800
    rate_limit_rpm: int = 60
    rate_limit_admin_rpm: int = 200
    rate_limit_loopback: bool = False
    metrics_auth_required: bool | None = None
    max_body_bytes: int = 32 << 20
    idle_timeout_seconds: int = 300
    theme: str = "dark"


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """The response core."""

    default_model: str = ""
    max_concurrent_requests: int = 10
    max_queue: int = 512
    max_tokens_default: int = 2048
    max_tokens_limit: int = 32768
    privacy_mode: bool = False


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Worker processes. max_ram_mb 0: decided from the machine's memory and the contribution.
    scripted_models: labels that the scripted back end answers for, in tests. The others as in `LoadSpec`;
    prefix_mb 0: no prompts are kept."""

    max_ram_mb: int = 0
    contribution: str = "minimal"
    idle_unload_seconds: int = 300
    threads: int = 0
    slots: int = 8
    kv: KvType = "f16"
    context: int = 8192
    prefill_chunk: int = 128
    prefill_ms: int = 200
    batch_prompts: bool = True
    session_seconds: int = 600
    cache_seconds: int = 600
    prefix_mb: int = 2048
    prefix_prompts: int = 16
    prefix_min_tokens: int = 32
    prefix_max_tokens: int = 0
    backend: str = "cpu"
    scripted_models: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Logs. file None: standard error. `verbosity` counts -v flags, 0..3."""

    level: str = "info"
    format: str = "pretty"
    file: Path | None = None
    verbosity: int = 0


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """The node as a whole. `notes` are to be logged as warnings when it starts, one line each."""

    data_dir: Path
    model_path: Path | None = None
    open_browser: bool = True
    database_url: str = field(default="", repr=False)
    identity_passphrase: str = field(default="", repr=False)
    api_key: str = field(default="", repr=False)
    api: ApiSettings = field(default_factory=ApiSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    workers: WorkerSettings = field(default_factory=WorkerSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    notes: tuple[str, ...] = ()
