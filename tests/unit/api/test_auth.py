"""Areas of the site, how a key is presented, and the nonces of the page."""

from __future__ import annotations

import pytest
from twisted.web.http_headers import Headers

from swarmnode.api.auth import MAX_NONCES, NONCE_SECONDS, Area, PageNonces, area_of, presented_key

AREAS = [
    ("/", Area.PAGE),
    ("/chat", Area.PAGE),
    ("/chat/x", Area.PAGE),
    ("/admin/network", Area.PAGE),
    ("/static/js/main.js", Area.PAGE),
    ("/favicon.ico", Area.PAGE),
    ("/health", Area.HEALTH),
    ("/health/ready", Area.HEALTH),
    ("/metrics", Area.METRICS),
    ("/api/admin/page-key", Area.PAGE_KEY),
    ("/api/admin/api-key", Area.ADMIN),
    ("/api/anything", Area.ADMIN),
    ("/v1/models", Area.API),
    ("/chatter", Area.API),
    ("/static", Area.API),
    ("/health/", Area.API),
    ("/metrics/", Area.API),
    ("//v1/models", Area.API),
    ("//", Area.API),
    ("/api/admin/page-key/", Area.ADMIN),
    ("", Area.API),
]


@pytest.mark.parametrize(("path", "area"), AREAS)
def test_areas(path: str, area: Area) -> None:
    assert area_of(path) is area


KEYS: list[tuple[list[tuple[str, str]], str | None]] = [
    ([], None),
    ([("Authorization", "Bearer abc")], "abc"),
    ([("Authorization", "bearer  abc ")], "abc"),
    ([("Authorization", "Basic abc")], None),
    ([("Authorization", "Bearer ")], None),
    ([("Authorization", "abc")], None),
    ([("x-api-key", "abc")], "abc"),
    ([("x-api-key", " ")], None),
    ([("Authorization", "Bearer a"), ("x-api-key", "b")], "a"),
    ([("Authorization", "Basic a"), ("x-api-key", "b")], "b"),
]


@pytest.mark.parametrize(("given", "key"), KEYS)
def test_keys(given: list[tuple[str, str]], key: str | None) -> None:
    headers = Headers()
    for name, value in given:
        headers.addRawHeader(name, value)
    assert presented_key(headers) == key


def test_a_nonce_is_good_once() -> None:
    nonces = PageNonces()
    nonce = nonces.issue(100.0)
    assert len(nonce) == 64
    assert nonces.redeem(nonce, 100.0)
    assert not nonces.redeem(nonce, 100.0)


def test_a_nonce_is_good_for_a_minute() -> None:
    nonces = PageNonces()
    early, late = nonces.issue(0.0), nonces.issue(0.0)
    assert nonces.redeem(early, NONCE_SECONDS - 0.1)
    assert not nonces.redeem(late, NONCE_SECONDS)


def test_made_up_nonces_are_refused() -> None:
    nonces = PageNonces()
    nonces.issue(0.0)
    assert not nonces.redeem("", 0.0)
    assert not nonces.redeem("0" * 64, 0.0)
    assert len(nonces) == 1


def test_the_oldest_nonce_makes_room() -> None:
    nonces = PageNonces()
    issued = [nonces.issue(0.0) for _ in range(MAX_NONCES + 1)]
    assert len(nonces) == MAX_NONCES
    assert not nonces.redeem(issued[0], 0.0)
    assert nonces.redeem(issued[1], 0.0)
