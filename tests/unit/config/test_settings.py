"""From the configuration to the settings of the components, and what does not get there."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.config import LATER, Override, Surroundings, later_warnings, load_config, node_settings
from swarmnode.config.config import Config
from swarmnode.config.settings import is_loopback
from swarmnode.values.errors import Refused
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.network import NetworkSettings
from swarmnode.values.settings import ApiSettings, LogSettings, NodeSettings, ServingSettings, WorkerSettings

PEER = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"


def configured(place: Path, verbosity: int = 0, **values: str) -> Config:
    around = Surroundings(environ={}, working_dir=place, home=place, platform="linux")
    overrides = [Override(name.replace("__", "."), value, f"--set {name}") for name, value in values.items()]
    return load_config(overrides, verbosity=verbosity, surroundings=around)


def test_the_defaults_agree_with_the_settings_own(tmp_path: Path) -> None:
    config = configured(tmp_path)
    assert node_settings(config) == NodeSettings(data_dir=tmp_path / ".local" / "share" / "swarmnode")


def test_each_setting_comes_from_its_key(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    settings = node_settings(
        configured(
            tmp_path,
            verbosity=2,
            node__listen_port="9000",
            node__data_dir="/d",
            node__contribution="maximum",
            resources__max_ram_mb="1000",
            resources__max_cpu_threads="3",
            logging__level="debug",
            logging__format="json",
            logging__file="node.log",
            ui__open_browser_on_start="false",
            ui__theme="light",
            api__api_key="k",
            api__rate_limit_rpm="1",
            api__rate_limit_admin_rpm="2",
            api__rate_limit_loopback="true",
            api__metrics_auth_required="false",
            storage__database_url="sqlite://",
            identity__passphrase="p",
            inference__default_model="m",
            inference__model_path="m.gguf",
            inference__backend="other",
            inference__scripted_models="echo, liar",
            inference__kv_type="f32",
            inference__max_concurrent_requests="4",
            inference__max_seq_len_override="512",
            inference__privacy_mode="true",
            inference__max_batch_size="5",
            inference__prefill_chunk_tokens="32",
            auto_manage__idle_unload_secs="7",
            network__listen_address="127.0.0.2",
            network__bootstrap_peers="/ip4/10.0.0.1/tcp/8810",
            network__trusted_peers=PEER,
            network__gossip_network_id="ours",
            network__enable_mdns="false",
            network__peer_exchange="false",
            network__max_connections_per_peer="2",
            pool__offline_mode="true",
        )
    )
    assert settings == NodeSettings(
        data_dir=Path("/d"),
        model_path=tmp_path / "m.gguf",
        open_browser=False,
        database_url="sqlite://",
        identity_passphrase="p",
        api_key="k",
        api=ApiSettings(
            port=9000,
            rate_limit_rpm=1,
            rate_limit_admin_rpm=2,
            rate_limit_loopback=True,
            metrics_auth_required=False,
            theme="light",
        ),
        serving=ServingSettings(default_model="m", max_concurrent_requests=4, privacy_mode=True),
        workers=WorkerSettings(
            max_ram_mb=1000,
            contribution="maximum",
            idle_unload_seconds=7,
            threads=3,
            slots=5,
            kv="f32",
            context=512,
            prefill_chunk=32,
            backend="other",
            scripted_models=("echo", "liar"),
        ),
        logs=LogSettings(level="debug", format="json", file=tmp_path / "node.log", verbosity=2),
        network=NetworkSettings(
            listen_address="127.0.0.2",
            port=9010,
            bootstrap=(Multiaddr.parse("/ip4/10.0.0.1/tcp/8810"),),
            trusted_peers=(PEER,),
            network_id="ours",
            enable_mdns=False,
            peer_exchange=False,
            max_peers=500,
            max_connections_per_peer=2,
            offline=True,
        ),
    )


@pytest.mark.parametrize(
    ("key", "value", "code", "word"),
    [
        ("network__bootstrap_peers", "example.org:8810", "bad_address", "network.bootstrap_peers"),
        ("network__trusted_peers", "me", "bad_peer_id", "network.trusted_peers"),
        ("network__enable_encryption", "false", "encryption_required", "always encrypted"),
    ],
)
def test_a_bad_setting_of_the_network_is_named(
    tmp_path: Path, key: str, value: str, code: str, word: str
) -> None:
    with pytest.raises(Refused, match=word) as caught:
        node_settings(configured(tmp_path, **{key: value}))
    assert caught.value.code == code and caught.value.hint


def test_that_there_are_no_meeting_points_is_noted(tmp_path: Path) -> None:
    settings = node_settings(configured(tmp_path, network__disable_default_bootstrap="false"))
    assert any("no built-in meeting points" in note for note in settings.notes)


@pytest.mark.parametrize(("contribution", "peers"), [("minimal", 150), ("moderate", 300), ("maximum", 500)])
def test_most_peers_by_contribution(tmp_path: Path, contribution: str, peers: int) -> None:
    assert node_settings(configured(tmp_path, node__contribution=contribution)).network.max_peers == peers
    fixed = configured(tmp_path, node__contribution=contribution, network__max_peers="7")
    assert node_settings(fixed).network.max_peers == 7


def test_a_model_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(
        Refused, match=r"no model file .*/gone.gguf \(--set inference__model_path\)"
    ) as caught:
        node_settings(configured(tmp_path, inference__model_path="gone.gguf"))
    assert caught.value.code == "no_such_file"


def test_settings_do_not_show_their_secrets(tmp_path: Path) -> None:
    config = configured(
        tmp_path, api__api_key="sesame", identity__passphrase="sesame", storage__database_url="x://sesame@db"
    )
    assert "sesame" not in repr(node_settings(config)) + repr(config)


@pytest.mark.parametrize(
    ("values", "slots"),
    [
        ({}, 8),
        ({"inference__continuous_batching": "false"}, 1),
        ({"inference__max_batch_size": "1"}, 1),
        ({"inference__max_concurrent_decode_batch": "2"}, 2),
        ({"inference__max_batch_size": "32", "inference__max_concurrent_decode_batch": "16"}, 16),
    ],
)
def test_slots(tmp_path: Path, values: dict[str, str], slots: int) -> None:
    assert node_settings(configured(tmp_path, **values)).workers.slots == slots


def test_the_prefix_cache_and_the_chunks(tmp_path: Path) -> None:
    workers = node_settings(
        configured(
            tmp_path,
            inference__prefill_target_ms="50",
            inference__batched_prefill_forward="false",
            inference__kv_cache_ttl_secs="30",
            inference__prefix_cache_max_mb="7",
            inference__prefix_cache_max_entries="3",
            inference__prefix_cache_min_tokens="100",
            inference__prefix_cache_max_prompt_tokens="1000",
        )
    ).workers
    assert workers == WorkerSettings(
        prefill_ms=50,
        batch_prompts=False,
        session_seconds=30,
        cache_seconds=30,
        prefix_mb=7,
        prefix_prompts=3,
        prefix_min_tokens=100,
        prefix_max_tokens=1000,
    )
    off = configured(tmp_path, inference__prefix_cache_enabled="false")
    assert node_settings(off).workers.prefix_mb == 0


def test_what_has_no_effect_is_said(tmp_path: Path) -> None:
    assert node_settings(configured(tmp_path)).notes == ()
    zero = configured(tmp_path, inference__batch_timeout_ms="0", inference__batch_collection_ms="0")
    assert node_settings(zero).notes == ()
    config = configured(
        tmp_path,
        inference__batch_timeout_ms="50",
        inference__batch_collection_ms="1",
        inference__prefix_cache_block_tokens="32",
    )
    why = "no effect: requests join the running batch at its next step, nothing waits"
    assert node_settings(config).notes == (
        f"inference.batch_timeout_ms: {why}",
        f"inference.batch_collection_ms: {why}",
        "inference.prefix_cache_block_tokens = 32: no effect: blocks have 64 tokens",
    )


def test_one_warning_a_later_key_that_is_set(tmp_path: Path) -> None:
    assert later_warnings(configured(tmp_path)) == ()
    config = configured(
        tmp_path, network__enable_quic="true", inference__gpu_layers="35", node__listen_port="9000"
    )
    assert later_warnings(config) == (
        "network.enable_quic: not built yet (reaching nodes behind routers), no effect",
        "inference.gpu_layers: not built yet (GPU inference), no effect",
    )


STRICTER = {
    "inference.encrypted_pipeline": "true",
    "inference.local_embedding_privacy": "true",
    "inference.min_text_trust": "0.6",
    "inference.cross_node_prefix_trust_min": "2.0",
    "pool.private_mode": "true",
    "pool.private_mode_allow_lan": "false",
}
LAXER = {
    "inference.encrypted_pipeline": "false",
    "inference.local_embedding_privacy": "false",
    "inference.min_text_trust": "0.4",
    "inference.cross_node_prefix_trust_min": "0.1",
    "pool.private_mode": "false",
    "pool.private_mode_allow_lan": "true",
}


def test_the_protections_are_these() -> None:
    assert {name for name, later in LATER.items() if later.stricter} == set(STRICTER) == set(LAXER)


@pytest.mark.parametrize("name", STRICTER)
def test_a_protection_that_is_not_built_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(Refused) as caught:
        node_settings(configured(tmp_path, **{name.replace(".", "__"): STRICTER[name]}))
    assert caught.value.code == "not_built_yet"
    assert name in caught.value.message
    node_settings(configured(tmp_path, **{name.replace(".", "__"): LAXER[name]}))


def test_all_such_protections_are_named_at_once(tmp_path: Path) -> None:
    config = configured(tmp_path, **{name.replace(".", "__"): value for name, value in STRICTER.items()})
    with pytest.raises(Refused) as caught:
        node_settings(config)
    assert all(name in caught.value.message for name in STRICTER)


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_an_address_that_others_can_reach_is_noted(tmp_path: Path, address: str, loopback: bool) -> None:
    assert is_loopback(address) == loopback
    notes = node_settings(configured(tmp_path, api__listen_address=address)).notes
    assert len(notes) == (0 if loopback else 1)
    assert all("without TLS" in note for note in notes)
