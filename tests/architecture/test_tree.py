"""The tree of DESIGN 3, checked by reading the sources: layers, white lists, sizes."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "swarmnode"

#: What each folder may import from outside the standard library, beside swarmnode itself.
ALLOWED: dict[str, set[str]] = {
    "values": set(),
    "policy": set(),
    "interfaces": {"zope"},
    "models": {"blake3"},
    "protocols": {"cryptography", "nacl", "blake3", "zstandard", "google"},
    "driving": {"twisted", "zope"},
    "services": {"twisted", "zope", "structlog"},
    "observability": {"structlog", "prometheus_client", "twisted", "zope"},
    "network": {"twisted", "zope", "structlog", "ifaddr"},
    "workers": {"twisted", "zope", "structlog"},
    "storage": {"sqlalchemy", "alembic", "nacl", "cryptography", "twisted", "zope"},
    "upstreams": {"twisted", "zope", "treq"},
    "sources": {"twisted", "zope", "treq"},
    "api": {
        "twisted",
        "zope",
        "klein",
        "autobahn",
        "werkzeug",
        "prometheus_client",
        "hyperlink",
        "structlog",
    },
    "inference": {
        "numpy",
        "llvmlite",
        "tokenizers",
        "jinja2",
        "gguf",
        "llguidance",
        "PIL",
        "blake3",
        "zope",
    },
    "plugins": {"twisted", "zope"},
    "cli": {"twisted", "numpy"},
}
FORBIDDEN_ANYWHERE = {"pickle", "marshal", "shelve", "dill"}
MAX_LINES = 600


def modules() -> Iterator[tuple[Path, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_third_party_imports_are_on_the_white_list(folder: str) -> None:
    known = set(sys.stdlib_module_names) | {"swarmnode", "__future__"} | ALLOWED[folder]
    strangers = {
        f"{path.relative_to(ROOT)}: {name}"
        for path, top in modules()
        if top == folder
        for name in imports(path) - known
    }
    assert not strangers


def test_no_module_reads_pickles() -> None:
    found = {str(path.relative_to(ROOT)) for path, _ in modules() if imports(path) & FORBIDDEN_ANYWHERE}
    assert not found


def test_torch_stays_in_its_folder() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path, _ in modules()
        if "torch" in imports(path) and "torch_backend" not in path.parts
    }
    assert not found


def test_no_stray_package_shadows_twisted() -> None:
    assert not (ROOT / "twisted" / "__init__.py").exists()
    assert not (ROOT / "twisted" / "plugins" / "__init__.py").exists()


def test_every_package_is_named_in_setup_cfg() -> None:
    listed = (ROOT / "setup.cfg").read_text("utf-8")
    folders = {path.parent for path, _ in modules() if path.name == "__init__.py"}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    missing = {name for name in names if f"    {name}\n" not in listed}
    assert not missing


def test_files_have_one_subject() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {count}"
        for path, _ in modules()
        if (count := path.read_text("utf-8").count("\n")) > MAX_LINES
        and "more than 600 lines" not in path.read_text("utf-8")
    }
    assert not long


def test_the_node_process_stays_light() -> None:
    """Importing everything that the node runs loads none of the heavy libraries."""
    code = (
        "import sys, swarmnode.assembly, swarmnode.api.site, swarmnode.workers.pool, swarmnode.tap;"
        "heavy = {'numpy','numba','torch','tokenizers','jinja2','gguf'} & set(sys.modules);"
        "sys.exit(','.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
