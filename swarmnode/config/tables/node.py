"""Keys of the node itself: resources, logs, page, HTTP port, storage, identity, updates."""

from __future__ import annotations

from swarmnode.config.key import Key
from swarmnode.config.kinds import (
    Address,
    AutoBoolean,
    Boolean,
    Choice,
    FilePath,
    Integer,
    Optional,
    Text,
)

CONTRIBUTIONS = ("minimal", "moderate", "maximum")
PRUNING = ("conservative", "normal", "aggressive")
LEVELS = ("error", "warn", "info", "debug", "trace")
#: P2P listens on `listen_port + 10`, which has to be a port too.
LAST_PORT = 65525
MAX_MB = 1 << 30
MAX_RPM = 1_000_000
ON_OFF = Boolean()

# A row a key is easier to read than a call a screen.
# fmt: off
KEYS = (
    Key("node", "listen_port", Integer(1, LAST_PORT), 8800,
        "Port of the page and the APIs (TCP). P2P uses TCP `listen_port + 10` and QUIC UDP `listen_port`."),
    Key("node", "data_dir", Optional(FilePath()), None,
        "Where the node keeps its data. none: the platform's place."),
    Key("node", "contribution", Choice(CONTRIBUTIONS), "minimal",
        "How much of the machine the node may use: memory, threads, storage, peers."),
    Key("node", "contribution_auto", ON_OFF, True,
        "Lower the contribution by itself while the machine is busy with other work."),
    Key("node", "anchor_mode", ON_OFF, False,
        "Be a public meeting point: relay and introduce peers, run no models."),
    Key("resources", "max_gpu_vram_mb", Integer(0, MAX_MB), 0,
        "Most GPU memory to use, in MB. 0: the card's, less what others use and a margin."),
    Key("resources", "max_ram_mb", Integer(0, MAX_MB), 0,
        "Most memory for models, in MB. 0: a part of the machine's, by contribution."),
    Key("resources", "max_cpu_threads", Integer(0, 1024), 0,
        "Threads that compute. 0: half, three quarters or all physical cores, by contribution."),
    Key("resources", "max_disk_mb", Integer(0, MAX_MB), 50000, "Most disk space for models, in MB."),
    Key("resources", "max_bandwidth_mbps", Integer(0, 1000000), 0,
        "Most upload for sharing models, in Mbit/s. 0: 10, 50 or unlimited, by contribution."),
    Key("resources.schedule", "enabled", ON_OFF, False,
        "Reduce the contribution during some hours of the day."),
    Key("resources.schedule", "reduced_hours_start", Integer(0, 23), 22,
        "Hour (local time) at which the reduced hours begin."),
    Key("resources.schedule", "reduced_hours_end", Integer(0, 23), 8,
        "Hour (local time) at which the reduced hours end."),
    Key("resources.schedule", "reduced_contribution", Choice(CONTRIBUTIONS), "minimal",
        "Contribution during the reduced hours."),
    Key("resources.schedule", "prune_aggressiveness", Choice(PRUNING), "normal",
        "How readily shards are removed during the reduced hours."),
    Key("logging", "level", Choice(LEVELS), "info", "What is logged. `-v` flags can only raise it."),
    Key("logging", "format", Choice(("pretty", "json")), "pretty",
        "Lines for people, or one JSON object a line."),
    Key("logging", "file", Optional(FilePath()), None,
        "Write the log to this file instead of standard error; it is turned over at 10 MB."),
    Key("ui", "open_browser_on_start", ON_OFF, True, "Open the page in the browser when the node is ready."),
    Key("ui", "theme", Choice(("dark", "light")), "dark", "Colours of the page."),
    Key("api", "listen_address", Address(), "127.0.0.1",
        "Address that the page and the APIs listen on. Others can reach any but loopback, without TLS."),
    Key("api", "api_key", Optional(Text()), None,
        "The key that clients send. none: one is made and kept in `api_key` in the data directory.",
        secret=True, also=("SWARMNODE_API_KEY",)),
    Key("api", "rate_limit_rpm", Integer(1, MAX_RPM), 60,
        "Requests a minute to `/v1`, for each key and address."),
    Key("api", "rate_limit_admin_rpm", Integer(1, MAX_RPM), 200,
        "Requests a minute to `/api/admin`, for each key and address."),
    Key("api", "rate_limit_loopback", ON_OFF, False,
        "Apply the rate limits to this machine's own requests too."),
    Key("api", "metrics_auth_required", AutoBoolean(), None,
        '`/metrics` asks for the key. "auto": off loopback only.'),
    Key("api", "dashboard_trust_overlay", ON_OFF, False,
        "Give the page its key also when it is opened from a VPN overlay address (100.64.0.0/10)."),
    Key("api", "dashboard_trust_lan", ON_OFF, False,
        "Give the page its key also when it is opened from the local network."),
    Key("storage", "database_url", Optional(Text()), None,
        "SQLAlchemy URL of the database. none: `swarmnode.db` (SQLite) in the data directory.", secret=True),
    Key("identity", "passphrase", Optional(Text()), None,
        "Encrypts the identity key on the disk. none: the file is protected by its mode only.", secret=True),
    Key("identity", "region", Optional(Text()), None, 'Country code for the network map, as "US".'),
    Key("updates", "mode", Choice(("off", "notify", "download", "install")), "off",
        "What to do about new versions."),
    Key("updates", "auto_update", Choice(("disabled", "stable", "all")), "disabled",
        "Older name of the choice above, for existing files; `updates.mode` decides."),
    Key("updates", "check_interval_hours", Integer(1, 8760), 1, "Hours between looks for a new version."),
    Key("updates", "include_prereleases", ON_OFF, True, "Count versions before a release as new versions."),
)
# fmt: on
