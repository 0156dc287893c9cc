"""What people install: the wheel and the sdist, in an environment of their own."""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from swarmnode.testing.node_process import NodeProcess

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what git tracks, so that left-overs in the checkout cannot help."""
    source, dist = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    archive = source / "tracked.tar"
    if not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    subprocess.run(["git", "archive", "-o", str(archive), "HEAD"], cwd=ROOT, check=True)
    with tarfile.open(archive) as tar:
        tar.extractall(source / "tree", filter="data")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(dist), str(source / "tree")],
        check=True,
        capture_output=True,
    )
    return dist


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; its dependencies are those of the environment of the tests."""
    place = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (wheel,) = built.glob("*.whl")
    python = place / "bin/python"
    inside = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)],
        check=True,
    )
    others = [path for path in site.getsitepackages() if Path(path).is_dir()]
    Path(inside, "zz-dependencies.pth").write_text("\n".join(others))
    return place


def test_the_wheel_holds_the_page_the_migrations_and_the_guide(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "swarmnode/inference/guide/guide.gguf" in names
    assert any(name.startswith("swarmnode/web_ui/static/") and name.endswith(".js") for name in names)
    assert any(name.startswith("swarmnode/web_ui/i18n/") for name in names)
    assert any(name.startswith("swarmnode/storage/migrations/versions/") for name in names)
    assert "twisted/plugins/swarmnode_plugin.py" in names
    assert "twisted/__init__.py" not in names
    assert "twisted/plugins/__init__.py" not in names
    assert not [name for name in names if name.startswith(("tests/", "docs/", "packaging/"))]


def test_the_sdist_can_be_built_from(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"setup.cfg", "pyproject.toml", "LICENSE", "web_ui/__init__.py"} <= names
    assert "swarmnode/inference/guide/guide.gguf" in names


def test_twistd_of_the_installed_wheel_knows_and_runs_the_service(installed: Path, tmp_path: Path) -> None:
    environment = {"PATH": f"{installed}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)}
    where = subprocess.run(
        [installed / "bin/python", "-c", "import swarmnode; print(swarmnode.__file__)"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert str(installed) in where
    twistd = [str(installed / "bin/python"), "-m", "twisted.scripts.twistd"]
    code = "from twisted.scripts.twistd import run; run()"
    listed = subprocess.run(
        [twistd[0], "-c", code, "--help"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "swarmnode" in listed
    command = [twistd[0], "-c", code, "--nodaemon", "--pidfile=", "swarmnode"]
    with NodeProcess(tmp_path / "home", command=command, environment=environment) as node:
        body = {"model": "auto", "messages": [{"role": "user", "content": "Hello"}]}
        status, answer, _ = node.request("POST", "/v1/chat/completions", body)
        assert status == 200, answer
        assert node.request("GET", "/chat", key=None)[0] == 200
    done = subprocess.run(
        [installed / "bin/swarmnode", "version", "--json"],
        cwd=tmp_path,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout)["version"]
