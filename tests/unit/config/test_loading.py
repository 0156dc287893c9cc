"""The sources of a configuration, their order, and how mistakes are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from swarmnode.config import KEYS, Config, Key, Override, Surroundings, load_config
from swarmnode.config.kinds import (
    Address,
    AutoBoolean,
    Boolean,
    Choice,
    FilePath,
    Integer,
    Number,
    Optional,
    Text,
    TextList,
    TextTable,
)
from swarmnode.values.errors import Refused


def surroundings(place: Path, **environ: str) -> Surroundings:
    return Surroundings(environ=environ, working_dir=place / "work", home=place / "home", platform="linux")


def load(
    place: Path, *overrides: Override, environ: dict[str, str] | None = None, toml: str | None = None
) -> Config:
    file = place / "config.toml"
    if toml is not None:
        file.write_text(toml)
    around = surroundings(place, SWARMNODE_NODE_DATA_DIR=str(place), **(environ or {}))
    return load_config(overrides, surroundings=around)


def refusal(
    place: Path, *overrides: Override, environ: dict[str, str] | None = None, toml: str | None = None
) -> str:
    with pytest.raises(Refused) as caught:
        load(place, *overrides, environ=environ, toml=toml)
    assert caught.value.code == "bad_config"
    return caught.value.message


def three_texts(key: Key) -> tuple[str, str, str]:
    """Three different values of a key that are not its default either, where it has so many."""
    kind = key.kind.inner if isinstance(key.kind, Optional) else key.kind
    if isinstance(kind, Integer):
        found = [str(n) for n in range(kind.low, kind.high + 1)[:5] if n != key.default]
    elif isinstance(kind, Number):
        span = kind.high - kind.low
        found = [str(kind.low + span * part) for part in (0.125, 0.25, 0.375)]
    elif isinstance(kind, Boolean | AutoBoolean):
        found = ["true", "false", "true"]
    elif isinstance(kind, Choice):
        found = [kind.words[index % len(kind.words)] for index in range(3)]
    elif isinstance(kind, Address):
        found = ["127.0.0.2", "127.0.0.3", "::1"]
    elif isinstance(kind, TextTable):
        found = ['{"a": "1"}', '{"b": "2"}', '{"c": "3"}']
    else:
        assert isinstance(kind, Text | FilePath | TextList)
        found = ["/one", "/two", "/three"]
    return found[0], found[1], found[2]


def as_toml(key: Key, text: str) -> str:
    value = key.kind.parse(text)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {json.dumps(item)}" for name, item in value.items()) + "}"
    return json.dumps(
        list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    )


@pytest.mark.parametrize("name", [name for name in KEYS if name != "node.data_dir"])
def test_each_source_comes_before_the_next(name: str, tmp_path: Path) -> None:
    key = KEYS[name]
    in_file, in_environment, in_flag = three_texts(key)
    toml = f"[{key.section}]\n{key.name} = {as_toml(key, in_file)}\n"
    environ = {key.variable: in_environment}
    flag = Override(name, in_flag, f"--set {name}")

    default = load(tmp_path)
    assert (default.value(name), default.origin(name).layer) == (key.default, "default")
    config = load(tmp_path, toml=toml)
    assert (config.value(name), str(config.origin(name))) == (
        key.kind.parse(in_file),
        str(tmp_path / "config.toml"),
    )
    config = load(tmp_path, toml=toml, environ=environ)
    assert (config.value(name), str(config.origin(name))) == (key.kind.parse(in_environment), key.variable)
    config = load(tmp_path, flag, toml=toml, environ=environ)
    assert (config.value(name), str(config.origin(name))) == (key.kind.parse(in_flag), f"--set {name}")


def test_the_data_directory_by_each_source(tmp_path: Path) -> None:
    home = surroundings(tmp_path)
    default = tmp_path / "home" / ".local" / "share" / "swarmnode"
    assert load_config(surroundings=home).data_dir == default
    default.mkdir(parents=True)
    (default / "config.toml").write_text('[node]\ndata_dir = "elsewhere"\nlisten_port = 9001\n')
    config = load_config(surroundings=home)
    assert (config.data_dir, config.value("node.listen_port")) == (default / "elsewhere", 9001)
    named = surroundings(tmp_path, SWARMNODE_NODE_DATA_DIR="~/named")
    config = load_config(surroundings=named)
    assert (config.data_dir, config.value("node.listen_port")) == (tmp_path / "home" / "named", 8800)
    config = load_config([Override("node.data_dir", "flagged", "--data-dir")], surroundings=named)
    assert config.data_dir == tmp_path / "work" / "flagged"


def test_overrides_may_be_texts_by_key(tmp_path: Path) -> None:
    config = load_config({"node.listen_port": "9000"}, surroundings=surroundings(tmp_path))
    assert (config.value("node.listen_port"), config.origin("node.listen_port").layer) == (9000, "flag")


def test_a_file_named_by_flag(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('[logging]\nfile = "logs/node.log"\n')
    config = load_config(config_path=tmp_path / "other.toml", surroundings=surroundings(tmp_path))
    assert config.file == tmp_path / "other.toml"
    assert config.value("logging.file") == tmp_path / "logs" / "node.log"


def test_a_missing_file_is_a_mistake_only_when_it_was_named(tmp_path: Path) -> None:
    assert load(tmp_path).file is None
    with pytest.raises(Refused, match="there is no such configuration file"):
        load_config(config_path=tmp_path / "gone.toml", surroundings=surroundings(tmp_path))


def test_a_data_directory_that_is_a_file_is_not_the_configurations_fault(tmp_path: Path) -> None:
    """The node says of it what is wrong, when it wants to use it."""
    (tmp_path / "file").touch()
    assert (
        load_config({"node.data_dir": str(tmp_path / "file")}, surroundings=surroundings(tmp_path)).file
        is None
    )


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        Override("node.listen_port", "http", "--port"),
        Override("pool.privat_mode", "true", "--set pool.privat_mode"),
        environ={"SWARMNODE_LOGGING_LEVEL": "loud", "SWARMNODE_NODE_LISTEN_PROT": "1"},
        toml="[node]\nlisten_prt = 1\n[nod]\nx = 1\n[ui]\ntheme = 'pink'\n[network]\nenable_mdns = 'no'\n",
    )
    file = str(tmp_path / "config.toml")
    assert message.splitlines()[0] == "8 problems in the configuration:"
    for line in (
        '--port: node.listen_port = "http" is not allowed; allowed: a whole number from 1 to 65525',
        "--set pool.privat_mode: the key pool.privat_mode is not known; did you mean pool.private_mode?",
        'SWARMNODE_LOGGING_LEVEL: logging.level = "loud" is not allowed; '
        'allowed: "error", "warn", "info", "debug", "trace"',
        "environment: the variable SWARMNODE_NODE_LISTEN_PROT is not known; "
        "did you mean SWARMNODE_NODE_LISTEN_PORT?",
        f"{file}: the key node.listen_prt is not known; did you mean node.listen_port?",
        f"{file}: the section [nod] is not known; did you mean [node]?",
        f'{file}: ui.theme = "pink" is not allowed; allowed: "dark", "light"',
        f'{file}: network.enable_mdns = "no" is not allowed; allowed: true or false',
    ):
        assert f"  {line}" in message.splitlines()


def test_a_key_in_the_wrong_section_is_sent_to_the_right_one(tmp_path: Path) -> None:
    assert "did you mean inference.gpu_layers?" in refusal(tmp_path, toml="[node]\ngpu_layers = 3\n")


@pytest.mark.parametrize(
    ("toml", "what"),
    [
        ("[node]\nlisten_port = \n", "is not TOML"),
        ("resources = 3\n", "resources is a section, not a key"),
        ("port = 8800\n", "the key port is not known"),
        ("[node]\nlisten_port = { a = 1 }\n", "node.listen_port ="),
        ("[api]\napi_key = 12345\n", "api.api_key = ******** is not allowed"),
        ("a = " + "[" * 100_000, "config.toml"),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, toml: str, what: str) -> None:
    message = refusal(tmp_path, toml=toml)
    assert str(tmp_path / "config.toml") in message
    assert what in message


@pytest.mark.parametrize("data", [b"\xff\xfe", b"#" * ((1 << 20) + 1)])
def test_files_that_are_no_text(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "config.toml").write_bytes(data)
    assert str(tmp_path / "config.toml") in refusal(tmp_path)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b"\xef\xbb\xbf[node]\nlisten_port = 9000\n")
    assert load(tmp_path).value("node.listen_port") == 9000


def test_a_secret_is_never_quoted(tmp_path: Path) -> None:
    message = refusal(tmp_path, environ={"SWARMNODE_IDENTITY_PASSPHRASE": "open\nsesame"})
    assert "sesame" not in message
    assert "SWARMNODE_IDENTITY_PASSPHRASE" in message


def test_a_key_given_twice_by_flags(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        Override("node.listen_port", "9000", "--port"),
        Override("node.listen_port", "9001", "--set node.listen_port"),
    )
    assert message == "--set node.listen_port: node.listen_port is already given by --port"


def test_the_short_variable_of_the_api_key(tmp_path: Path) -> None:
    short = {"SWARMNODE_API_KEY": "short"}
    assert load(tmp_path, environ=short).value("api.api_key") == "short"
    both = {**short, "SWARMNODE_API_API_KEY": "long"}
    config = load(tmp_path, environ=both)
    assert (config.value("api.api_key"), str(config.origin("api.api_key"))) == (
        "long",
        "SWARMNODE_API_API_KEY",
    )


def test_variables_that_steer_tests_are_left_alone(tmp_path: Path) -> None:
    load(tmp_path, environ={"SWARMNODE_SHARED": "/x", "SWARMNODE_TEST_SLOW": "1", "SWARMLLM_X": "1"})


def test_a_readable_file_with_secrets_is_noted(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[identity]\npassphrase = "sesame"\n')
    (tmp_path / "config.toml").chmod(0o644)
    notes = load(tmp_path).notes
    assert len(notes) == 1
    assert "identity.passphrase" in notes[0]
    assert "sesame" not in notes[0]
    (tmp_path / "config.toml").chmod(0o600)
    assert load(tmp_path).notes == ()


def test_an_undeclared_key_is_a_bug(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        load(tmp_path).value("node.nonsense")


MINIMAL: dict[str, Any] = {
    "node.listen_port": 8800,
    "node.contribution": "moderate",
    "resources.max_disk_mb": 50000,
    "identity.region": "US",
    "inference.gpu_layers": 35,
    "auto_manage.enabled": True,
}
PRODUCTION: dict[str, Any] = {
    "node.listen_port": 8800,
    "node.contribution": "maximum",
    "resources.max_gpu_vram_mb": 0,
    "resources.max_disk_mb": 100000,
    "inference.gpu_layers": 99,
    "inference.max_concurrent_requests": 20,
    "inference.max_batch_size": 4,
    "inference.session_timeout_seconds": 600,
    "auto_manage.enabled": True,
    "auto_manage.max_storage_mb": 50000,
    "auto_manage.max_concurrent_downloads": 5,
    "logging.level": "info",
    "logging.format": "json",
    "logging.file": Path("/var/log/swarmllm.log"),
    "ui.open_browser_on_start": False,
    "identity.region": "US",
}
PRIVATE: dict[str, Any] = {"network.gossip_network_id": "my-private-network"}
WAN: dict[str, Any] = {
    "network.enable_mdns": False,
    "network.enable_autonat": False,
    "network.enable_dcutr": False,
    "network.enable_relay": True,
    "network.enable_quic": True,
    "network.bootstrap_peers": ("/ip4/100.64.0.5/tcp/8810",),
}


def sample(text: str, after: str, before: str) -> str:
    start = text.index("\n[", text.index(after)) + 1
    return text[start : text.index(before, start)]


@pytest.mark.parametrize(
    ("after", "before", "expected"),
    [
        ("Minimal Example\n", "Chapters\n", MINIMAL),
        ("For production use, create a config file:\n", "Systemd Service\n", PRODUCTION),
        ("To run a private cluster", "Only nodes with", PRIVATE),
        ("Recommended Config for WAN", "For higher latency", WAN),
    ],
)
def test_the_documented_samples_load_unchanged(
    shared: Path, tmp_path: Path, after: str, before: str, expected: dict[str, Any]
) -> None:
    book = (shared / "seeds" / "001_bd7c596daef27ac7.txt").read_text()
    config = load(tmp_path, toml=sample(book, after, before))
    given = {name: config.value(name) for name in KEYS if config.origin(name).layer == "file"}
    assert given == expected
