"""The example of docs/howto/write-a-provider.md, built and installed like anybody's package."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from swarmnode.testing.node_process import NodeProcess

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "docs" / "howto" / "example_provider"


@dataclass(frozen=True)
class Place:
    """A virtual environment that sees the packages of this one, and a directory to run in."""

    python: str
    site_packages: Path
    directory: Path

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [self.python, *arguments], cwd=self.directory, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def plugins(self) -> dict[str, Any]:
        (line,) = self.run("-m", "swarmnode.cli.main", "plugins", "--json").splitlines()
        return json.loads(line)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    top = tmp_path_factory.mktemp("provider")
    venv.create(top / "venv", with_pip=False, symlinks=True)
    python = str(top / "venv" / "bin" / "python")
    ask = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
    site_packages = Path(
        subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout[:-1]
    )
    outer = sysconfig.get_paths()["purelib"]
    # What is installed here is seen there too, after what is installed there.
    (site_packages / "outer.pth").write_text(f"{ROOT}\nimport site; site.addsitedir({outer!r})\n")
    (top / "run").mkdir()
    place = Place(python, site_packages, top / "run")
    shutil.copytree(EXAMPLE, top / "source", ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    place.run(
        *("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"),
        *("--disable-pip-version-check", str(top / "source")),
    )
    shutil.copytree(top / "source" / "tests", top / "run" / "tests")
    return place


def test_it_is_listed_with_its_origin(place: Place):
    found = place.plugins()
    (shout,) = (p for p in found["plugins"] if p["kind"] == "provider" and p["name"] == "shout")
    assert shout["origin"] == "swarmnode-shout 1.0"
    assert shout["available"] is True
    assert found["problems"] == []
    assert (place.site_packages / "swarmnode" / "plugins" / "example_shout.py").is_file()
    assert not (place.site_packages / "swarmnode" / "plugins" / "__init__.py").exists()


def test_it_keeps_the_contract_where_it_is_installed(place: Place):
    shown = place.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert "14 passed" in shown


def test_it_answers_on_a_real_reactor(place: Place):
    code = """
from twisted.internet import reactor
from swarmnode.plugins import discover, load
from swarmnode.testing.provider_contract import RecordingSink
from swarmnode.values.generation import Finished, GenerationRequest, RawText
from swarmnode.values.loading import ProviderSettings

class Sink(RecordingSink):
    def event(self, event):
        super().event(event)
        if isinstance(event, Finished):
            print(self.text)
            reactor.stop()

provider = load(discover().find("provider", "shout"))(ProviderSettings("shout"))
provider.generate(GenerationRequest("r", "shout-1", RawText("is anybody there")), Sink())
reactor.run()
"""
    assert place.run("-c", code) == "IS! ANYBODY! THERE!\n"


def test_a_broken_one_beside_it_is_reported_and_skipped(place: Place):
    broken = place.site_packages / "swarmnode" / "plugins" / "broken_one.py"
    broken.write_text("import a_module_that_nobody_has\n")
    try:
        found = place.plugins()
    finally:
        broken.unlink()
    assert "shout" in [p["name"] for p in found["plugins"]]
    (problem,) = found["problems"]
    assert problem["origin"] == str(broken)
    assert "a_module_that_nobody_has" in problem["error"]


def test_a_node_answers_through_it(place: Place, tmp_path: Path):
    command = [place.python, "-m", "swarmnode.cli.main", "run"]
    with NodeProcess(tmp_path, command=command, environment={"SHOUT_API_KEY": "loud"}) as node:
        listed = node.request("GET", "/v1/models")[1]["data"]
        assert "shout-1" in {model["id"] for model in listed}
        body = {"model": "shout-1", "messages": [{"role": "user", "content": "hello there"}]}
        status, answer, _ = node.request("POST", "/v1/chat/completions", body)
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "HELLO! THERE!")
    assert "loud" not in node.log.read_text()


def test_a_node_with_a_broken_one_beside_it_starts(place: Place, tmp_path: Path):
    broken = place.site_packages / "swarmnode" / "plugins" / "broken_two.py"
    broken.write_text("import a_module_that_nobody_has\n")
    try:
        with NodeProcess(tmp_path, command=[place.python, "-m", "swarmnode.cli.main", "run"]) as node:
            assert node.request("GET", "/health", key=None)[0] == 200
        assert "a_module_that_nobody_has" in node.log.read_text()
    finally:
        broken.unlink()


def test_it_can_be_uninstalled_without_a_trace(place: Place):
    place.run("-m", "pip", "uninstall", "--quiet", "--yes", "--disable-pip-version-check", "swarmnode-shout")
    assert "shout" not in [p["name"] for p in place.plugins()["plugins"]]
    left = [p for p in (place.site_packages / "swarmnode").rglob("*") if p.is_file()]
    assert left == []
