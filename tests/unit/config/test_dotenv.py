"""Provider keys: the `.env` parser and the order of sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.config import PROVIDER_VARIABLES, Surroundings, load_config
from swarmnode.config.dotenv import BadDotenv, parse_dotenv
from swarmnode.values.errors import Refused


def test_what_a_line_may_be() -> None:
    text = (
        "# keys\n"
        "\n"
        "OPENAI_API_KEY=sk-proj-1#2\n"
        "  export DEEPSEEK_API_KEY = sk-2   # mine\r\n"
        "GROQ_API_KEY='a \"b\" #c\\n'\n"
        'MISTRAL_API_KEY="a\\n\\"b\\" \\\\ #c"  # double\n'
        "TOGETHER_API_KEY=\n"
        "EQUALS=a=b==\n"
        "OPENAI_API_KEY=sk-last\n"
    )
    assert parse_dotenv(text) == {
        "OPENAI_API_KEY": "sk-last",
        "DEEPSEEK_API_KEY": "sk-2",
        "GROQ_API_KEY": 'a "b" #c\\n',
        "MISTRAL_API_KEY": 'a\n"b" \\ #c',
        "TOGETHER_API_KEY": "",
        "EQUALS": "a=b==",
    }


@pytest.mark.parametrize(
    "line", ["sk-secret", "A B=sk-secret", "1A=sk-secret", "A='sk-secret", 'A="sk-secret" x']
)
def test_a_bad_line_is_named_and_never_quoted(line: str) -> None:
    with pytest.raises(BadDotenv, match="line 2") as caught:
        parse_dotenv(f"A=1\n{line}\n")
    assert "secret" not in str(caught.value)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path


def around(place: Path, **environ: str) -> Surroundings:
    named = {"SWARMNODE_NODE_DATA_DIR": str(place / "data"), **environ}
    return Surroundings(environ=named, working_dir=place / "work", home=place, platform="linux")


def test_the_order_of_sources(place: Path) -> None:
    (place / "data" / ".env").write_text("OPENAI_API_KEY=from-data\nGROQ_API_KEY=from-data\n")
    (place / "work" / ".env").write_text("OPENAI_API_KEY=from-work\nMISTRAL_API_KEY=from-work\n")
    keys = load_config(surroundings=around(place, GROQ_API_KEY="from-environment")).provider_keys
    found = {name: keys.find(f"{name}_API_KEY") for name in ("OPENAI", "GROQ", "MISTRAL")}
    assert {name: (key.value, key.source) for name, key in found.items() if key} == {
        "OPENAI": ("from-data", "From .env"),
        "GROQ": ("from-environment", "From the environment"),
        "MISTRAL": ("from-work", "From .env"),
    }
    assert keys.find("COHERE_API_KEY") is None


def test_the_environment_is_not_overridden_even_when_empty(place: Path) -> None:
    (place / "data" / ".env").write_text("OPENAI_API_KEY=from-data\n")
    assert (
        load_config(surroundings=around(place, OPENAI_API_KEY="")).provider_keys.find("OPENAI_API_KEY")
        is None
    )


@pytest.mark.parametrize("variable", PROVIDER_VARIABLES["nvidia-nim"])
def test_either_variable_of_nvidia(place: Path, variable: str) -> None:
    (place / "data" / ".env").write_text(f"{variable}=nvapi-1\n")
    found = load_config(surroundings=around(place)).provider_keys.find(*PROVIDER_VARIABLES["nvidia-nim"])
    assert found is not None
    assert (found.value, found.variable) == ("nvapi-1", variable)


def test_twelve_providers() -> None:
    assert len(PROVIDER_VARIABLES) == 12


def test_a_fault_in_our_file_stops_and_in_a_strangers_is_noted(place: Path) -> None:
    (place / "work" / ".env").write_text("no assignment: secret\n")
    config = load_config(surroundings=around(place))
    assert len(config.notes) == 1
    assert str(place / "work" / ".env") in config.notes[0]
    (place / "data" / ".env").write_text("no assignment: secret\n")
    with pytest.raises(Refused) as caught:
        load_config(surroundings=around(place))
    assert str(place / "data" / ".env") in caught.value.message
    assert "secret" not in caught.value.message


def test_a_huge_file_is_not_read(place: Path) -> None:
    (place / "data" / ".env").write_bytes(b"#" * ((1 << 16) + 1))
    with pytest.raises(Refused, match="longer than 65536 bytes"):
        load_config(surroundings=around(place))


def test_keys_are_not_in_representations(place: Path) -> None:
    (place / "data" / ".env").write_text("OPENAI_API_KEY=sk-secret\n")
    config = load_config(surroundings=around(place, GROQ_API_KEY="sk-secret"))
    assert "sk-secret" not in repr(config) + repr(config.provider_keys.find("OPENAI_API_KEY"))
