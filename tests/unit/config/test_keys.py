"""The table of keys: against the tables that users of the original know, and against itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from swarmnode.config import KEYS, LATER, Config, load_config, node_settings
from swarmnode.config.key import PREFIX
from swarmnode.config.keys import VARIABLES
from swarmnode.config.kinds import BadValue
from swarmnode.config.problems import show_for

#: Defaults that differ from the tables users know; each is argued in docs/decisions/defaults.md.
DEVIATIONS = {
    "network.max_peers": 0,
    "network.relay_max_circuits": 128,
    "inference.gpu_layers": -1,
    "inference.max_batch_size": 8,
    "updates.auto_update": "disabled",
    "updates.check_interval_hours": 1,
}


def seed_tables(text: str) -> dict[str, tuple[str, str]]:
    """`section.key` -> (type, default) from the option tables of the configuration chapter."""
    found: dict[str, tuple[str, str]] = {}
    section = ""
    chapter = text[text.index("Config File Reference\nEvery configuration option") :]
    for line in chapter[: chapter.index("Shard-Only Mode\nSwarmLLM supports")].splitlines():
        if heading := re.match(r"\[([a-z_.]+)\] — ", line):
            section = heading[1]
        elif section and (
            row := re.match(r"([a-z_]+) \| ([a-z]+) \| (.*?) \| ", line.replace("`", "").lstrip("| "))
        ):
            found[f"{section}.{row[1]}"] = row[2], row[3].strip('"')
    return found


@pytest.fixture(scope="module")
def promised(shared: Path) -> dict[str, tuple[str, str]]:
    return seed_tables((shared / "seeds" / "001_bd7c596daef27ac7.txt").read_text())


def as_seed_writes(value: Any) -> str:
    if value is None:
        return "none"
    if value == ():
        return "[]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_promised_key_exists_with_its_default(promised: dict[str, tuple[str, str]]) -> None:
    assert len(promised) == 84, "the tables were not read whole"
    wrong = {}
    for name, (_, default) in promised.items():
        expected = as_seed_writes(DEVIATIONS[name]) if name in DEVIATIONS else default
        actual = as_seed_writes(KEYS[name].default) if name in KEYS else "no such key"
        if expected not in (actual, "Platform-specific", "(temp dir)"):
            wrong[name] = (expected, actual)
    assert not wrong


def test_every_deviation_is_one_and_is_argued(promised: dict[str, tuple[str, str]]) -> None:
    argued = (Path(__file__).parents[3] / "docs" / "decisions" / "defaults.md").read_text()
    for name, value in DEVIATIONS.items():
        assert promised[name][1] != as_seed_writes(value)
        assert f"`{name}`" in argued


def test_defaults_are_values_of_their_kind() -> None:
    for key in KEYS.values():
        if key.default is not None:
            assert key.kind.check(key.default) == key.default, key.path


def test_none_is_a_default_only_where_it_can_be_written() -> None:
    for key in KEYS.values():
        if key.default is None:
            assert key.kind.parse(key.kind.absent) is None, key.path


def test_variables_are_unique() -> None:
    names = [key.variable for key in KEYS.values()] + [also for key in KEYS.values() for also in key.also]
    assert len(names) == len(set(names)) == len(VARIABLES)
    assert all(re.fullmatch(PREFIX + "[A-Z][A-Z0-9_]*", name) for name in names)


def test_a_key_is_not_a_section_too() -> None:
    sections = {key.section for key in KEYS.values()}
    assert not sections & set(KEYS)


class Recorder:
    """A configuration that remembers which keys were asked for."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self.read: set[str] = {"node.data_dir"} if config.data_dir else set()

    def value(self, name: str) -> Any:
        self.read.add(name)
        return self._config.value(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


def test_each_key_is_read_or_is_said_to_come_later() -> None:
    recorder = Recorder(load_config())
    node_settings(recorder)  # type: ignore[arg-type]
    assert recorder.read | set(LATER) == set(KEYS)
    assert not recorder.read & set(LATER), "these are built now: take them out of LATER"


def test_later_has_no_name_twice() -> None:
    from swarmnode.config.later import _FEATURES, _PROTECTIONS

    names = [name for names in _FEATURES.values() for name in names.split()]
    assert len(names) == len(set(names))
    assert set(_PROTECTIONS) <= set(names)


def test_what_is_never_inherited() -> None:
    expected = {
        "api.listen_address": "127.0.0.1",
        "api.dashboard_trust_lan": False,
        "api.dashboard_trust_overlay": False,
        "api.metrics_auth_required": None,
        "updates.mode": "off",
        "network.disable_default_bootstrap": True,
        "network.bootstrap_peers": (),
        "inference.share_prefix_cache_with_peers": False,
        "auto_manage.wishlist_gossip_publish": False,
        "pool.share_model_catalog": False,
    }
    assert {name: KEYS[name].default for name in expected} == expected


def test_secrets_are_masked() -> None:
    assert {key.path for key in KEYS.values() if key.secret} == {
        "api.api_key",
        "identity.passphrase",
        "storage.database_url",
    }
    assert "hunter2" not in show_for(KEYS["identity.passphrase"], "hunter2")


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("node.listen_port", "0"),
        ("node.listen_port", "65526"),
        ("node.listen_port", "8800.0"),
        ("node.listen_port", ""),
        ("node.contribution", "Maximum"),
        ("inference.swift_skip_ratio", "nan"),
        ("inference.swift_skip_ratio", "1"),
        ("api.listen_address", "all"),
        ("api.metrics_auth_required", "maybe"),
        ("ui.open_browser_on_start", "ja"),
        ("network.bootstrap_peers", '["a", 3]'),
        ("auto_manage.model_policies", "[1]"),
        ("auto_manage.model_policies", "{"),
        ("logging.file", "a\nb"),
    ],
)
def test_bad_texts(name: str, bad: str) -> None:
    with pytest.raises(BadValue):
        KEYS[name].kind.parse(bad)


@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("node.listen_port", True),
        ("node.listen_port", "8800"),
        ("inference.swift_skip_ratio", False),
        ("ui.open_browser_on_start", 1),
        ("ui.open_browser_on_start", "true"),
        ("network.bootstrap_peers", "a,b"),
        ("inference.default_model", 3),
        ("logging.file", 3),
    ],
)
def test_bad_toml_types(name: str, bad: object) -> None:
    with pytest.raises(BadValue):
        KEYS[name].kind.check(bad)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        (
            "network.bootstrap_peers",
            "/ip4/1.2.3.4/tcp/1, /ip4/5.6.7.8/tcp/2",
            ("/ip4/1.2.3.4/tcp/1", "/ip4/5.6.7.8/tcp/2"),
        ),
        ("network.bootstrap_peers", '["a,b", "c"]', ("a,b", "c")),
        ("network.bootstrap_peers", "", ()),
        ("auto_manage.model_policies", '{"llama": "pin"}', {"llama": "pin"}),
        ("ui.open_browser_on_start", "Off", False),
        ("api.metrics_auth_required", "auto", None),
        ("api.listen_address", "::", "::"),
        ("identity.region", "none", None),
        ("inference.max_seq_len_override", "none", None),
        ("inference.cross_node_prefix_trust_min", "2.0", 2.0),
    ],
)
def test_texts(name: str, text: str, value: object) -> None:
    assert KEYS[name].kind.parse(text) == value
