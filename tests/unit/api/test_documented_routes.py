"""The page of HTTP routes names every route, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock

from swarmnode.api.assets import page_directory
from swarmnode.api.errors import BY_CODE
from swarmnode.api.site import make_site
from swarmnode.testing.fake_core import FakeCore, FakeKeys, FakeNode
from swarmnode.values.settings import ApiSettings

ROOT = Path(__file__).parents[3]
PACKAGE = ROOT / "swarmnode"
PAGE = (ROOT / "docs" / "reference" / "http.md").read_text("utf-8")


def test_every_route_is_documented_and_none_besides() -> None:
    site = make_site(
        FakeCore(), FakeNode(), FakeKeys(), CollectorRegistry(), ApiSettings(), Clock(), page_directory()
    )
    routes = {f"{method} {re.sub('<path:[a-z]+>', '...', rule)}" for method, rule in site.routes}
    assert set(re.findall("`((?:GET|POST|PUT|DELETE) /[^`]*)`", PAGE.partition("## Errors")[0])) == routes


def test_every_status_of_an_error_is_documented() -> None:
    chapter = PAGE.partition("## Errors")[2]
    documented = {
        int(status) for row in re.findall(r"^\| ([\d, ]+) \|", chapter, re.M) for status in row.split(",")
    }
    assert {status for status, _ in BY_CODE.values()} <= documented


def test_every_code_with_a_status_of_its_own_is_used() -> None:
    sources = "".join(path.read_text("utf-8") for path in PACKAGE.rglob("*.py") if path.name != "errors.py")
    assert {code for code in BY_CODE if f'"{code}"' not in sources} == set()
