"""Finding plug-ins: ours, others', broken ones. Others' modules lie in a directory of the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from twisted.plugin import getPlugins
from zope.interface.verify import verifyObject

import swarmnode.plugins as package
from swarmnode.interfaces.inference_backend import IInferenceBackend
from swarmnode.interfaces.plugin import IPluginDescription
from swarmnode.interfaces.provider import IProvider
from swarmnode.interfaces.scheduler import IPlanner
from swarmnode.plugins import Discovery, discover, load
from swarmnode.plugins.checking import KINDS, is_installed
from swarmnode.values.errors import LocalFault, Refused

ROOT = Path(__file__).resolve().parents[3]

GOOD = """
from swarmnode.plugins.describe import Provider
shout = Provider("shout", "Answers loudly", "json:dumps", key_variables=("SHOUT_KEY",))
"""

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Puts modules into a directory that belongs to the package while the test runs."""
    place = tmp_path / "site" / "swarmnode" / "plugins"
    place.mkdir(parents=True)
    before = set(sys.modules)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(place)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> Path:
        path = place / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
        return path

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("swarmnode.plugins."):
            del sys.modules[name]
            vars(package).pop(name.rpartition(".")[2], None)


def names(found: Discovery, kind: str = "provider") -> list[str]:
    return [entry.name for entry in found.of_kind(kind)]


def problem(found: Discovery, path: Path) -> str:
    """The one problem of that file."""
    (error,) = (p.error for p in found.problems if p.origin == str(path))
    return error


def test_ours_are_found_sound_and_available():
    found = discover()
    ours = {(e.kind, e.name) for e in found.entries if e.origin == "built in"}
    assert ours >= {
        ("inference_backend", "numpy"),
        ("inference_backend", "scripted"),
        ("scheduler", "solo"),
        ("model_source", "folder"),
    }
    for entry in found.entries:
        assert verifyObject(KINDS[entry.kind], entry.description)
        assert entry.available, entry.reason
    assert found.problems == ()


def test_the_scheduler_of_ours_can_be_loaded_and_plans():
    factory = load(discover().find("scheduler", "solo"))
    assert verifyObject(IPlanner, factory())


def test_somebody_elses_is_found_with_its_file(write: Write):
    path = write("theirs", GOOD)
    entry = discover().find("provider", "shout")
    assert (entry.kind, entry.summary, entry.origin) == ("provider", "Answers loudly", str(path))
    assert entry.available
    assert entry.description.key_variables == ("SHOUT_KEY",)


def test_twisteds_own_finder_finds_the_same(write: Write, tmp_path: Path):
    write("theirs", GOOD)
    for kind in (IPluginDescription, IProvider, IInferenceBackend):
        theirs = {p.name for p in getPlugins(kind, package)}
        ours = {e.name for e in discover().entries if kind.providedBy(e.description)}
        assert theirs == ours
    assert (tmp_path / "site" / "swarmnode" / "plugins" / "dropin.cache").exists()


def test_nothing_is_written_beside_the_plugins(write: Write):
    path = write("theirs", GOOD)
    discover()
    assert [p.name for p in path.parent.iterdir()] == ["theirs.py"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("\0", "null bytes"),
    ],
)
def test_a_module_that_cannot_be_imported_is_reported_and_skipped(write: Write, source: str, error: str):
    path = write("broken", source)
    write("theirs", GOOD)
    found = discover()
    assert error in problem(found, path)
    assert names(found) == ["shout"]
    assert discover().problems == found.problems


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("Provider('Shout', 's', 'a:b')", "'Shout'"),
        ("Provider('', 's', 'a:b')", "name"),
        ("Provider('x' * 33, 's', 'a:b')", "at most 32"),
        ("Provider('auto', 's', 'a:b')", "reserved"),
        ("Provider(5, 's', 'a:b')", "name 5"),
        ("Provider('x', 'two\\nlines', 'a:b')", "summary"),
        ("Provider('x', '', 'a:b')", "summary"),
        ("Provider('x', 's', 'no_attribute')", "package.module:attribute"),
        ("Provider('x', 's', 'os:system(1)')", "package.module:attribute"),
        ("Provider('x', 's', 'a:b', requires='json')", "requires"),
        ("Provider('x', 's', 'a:b', requires=('not a module',))", "requires"),
        ("Description('x', 's', 'a:b')", "no kind"),
        ("Empty()", "name"),
        ("Mean()", "RuntimeError"),
    ],
)
def test_what_is_no_good_description_is_reported_and_skipped(write: Write, source: str, error: str):
    path = write(
        "odd",
        f"""
from twisted.plugin import IPlugin
from zope.interface import implementer
from swarmnode.interfaces.provider import IProvider
from swarmnode.plugins.describe import Description, Provider

@implementer(IPlugin, IProvider)
class Empty:
    pass

@implementer(IPlugin, IProvider)
class Mean:
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(name)
    def __repr__(self):
        raise RuntimeError

plugin = {source}
""",
    )
    found = discover()
    assert error in problem(found, path)
    assert names(found) == []


def test_of_two_with_one_name_ours_or_the_first_stays(write: Write):
    write("a_first", GOOD)
    second = write("b_second", GOOD)
    usurper = write(
        "a_numpy",
        "from swarmnode.plugins.describe import InferenceBackend as I\nx = I('numpy', 's', 'json:dumps')",
    )
    found = discover()
    assert "'shout'" in problem(found, second)
    assert "built in" in problem(found, usurper)
    assert found.find("inference_backend", "numpy").factory.startswith("swarmnode.")


def test_a_module_that_imports_a_description_does_not_repeat_it(write: Write):
    write("b_theirs", GOOD)
    write("c_other", "from swarmnode.plugins.b_theirs import shout\nagain = shout\n")
    found = discover()
    assert names(found) == ["shout"]
    assert found.problems == ()


def test_a_module_hidden_by_one_of_ours_is_reported(write: Write):
    path = write("builtin", GOOD)
    found = discover()
    assert "hidden by" in problem(found, path)
    assert names(found) == []


def test_what_needs_a_missing_module_is_listed_as_not_available(write: Write):
    source = "from swarmnode.plugins.describe import Provider\n"
    write("theirs", source + "a = Provider('a', 's', 'json:dumps', requires=('nowhere', 'json.decoder'))")
    write("others", source + "b = Provider('b', 's', 'json.nowhere:x')")
    found = discover()
    a, b = found.of_kind("provider")
    assert (a.available, a.reason) == (False, "not installed: nowhere")
    assert (b.available, b.reason) == (False, "not installed: json.nowhere")
    with pytest.raises(LocalFault, match="nowhere") as caught:
        load(a)
    assert caught.value.code == "plugin_broken"


@pytest.mark.parametrize("factory", ["json:nowhere", "json:__name__", "twisted_bad_module:x"])
def test_a_factory_that_cannot_be_had_is_a_clear_fault(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: str
):
    (tmp_path / "twisted_bad_module.py").write_text("raise OSError('no licence')")
    monkeypatch.syspath_prepend(tmp_path)
    path = write(
        "theirs", f"from swarmnode.plugins.describe import Provider\na = Provider('a', 's', {factory!r})"
    )
    with pytest.raises(LocalFault) as caught:
        load(discover().find("provider", "a"))
    assert "'a'" in caught.value.message
    assert str(path) in caught.value.message


def test_a_dotted_attribute_can_be_a_factory(write: Write):
    write(
        "theirs",
        "from swarmnode.plugins.describe import Provider\na = Provider('a', 's', 'json:JSONDecoder.decode')",
    )
    import json

    assert load(discover().find("provider", "a")) is json.JSONDecoder.decode


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(Refused, match="'gpu'") as caught:
        discover().find("inference_backend", "gpu")
    assert "numpy" in caught.value.hint


def test_looking_for_a_module_imports_nothing():
    code = (
        "import sys; from swarmnode.plugins.checking import is_installed;"
        "assert is_installed('numpy.linalg') and is_installed('xml.dom.minidom');"
        "assert not is_installed('numpy.nowhere') and not is_installed('os.path.nowhere');"
        "assert 'numpy' not in sys.modules and 'xml.dom' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    assert is_installed("json")


def test_discovery_imports_nothing_that_is_described():
    code = (
        "import sys; from swarmnode.plugins import discover; discover();"
        "bad = {'numpy','tokenizers','jinja2','gguf','twisted.internet.reactor'} & set(sys.modules);"
        "bad |= {m for m in sys.modules if m.startswith(('swarmnode.inference', 'swarmnode.sources'))};"
        "sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
