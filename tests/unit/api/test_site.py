"""The site as a whole: keys, names, rates, headers, routes, pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Counter
from twisted.internet.task import Clock

from swarmnode.api.auth import MAX_NONCES
from swarmnode.api.channel import MAX_CONNECTIONS
from swarmnode.api.site import ApiSite, make_site
from swarmnode.testing.fake_core import FAKE_KEY, FakeCore, FakeKeys, FakeNode
from swarmnode.testing.memory_http import Answer, MemoryConnection
from swarmnode.values.cards import ModelCard
from swarmnode.values.settings import ApiSettings

ELSEWHERE = "203.0.113.9"
KEY = ("Authorization", f"Bearer {FAKE_KEY}")
PAGE = '<html data-theme="{{theme}}"><meta name="page-nonce" content="{{page_nonce}}">chat</html>'


@pytest.fixture
def page(tmp_path: Path) -> Path:
    (tmp_path / "static" / "js").mkdir(parents=True)
    (tmp_path / "i18n").mkdir()
    (tmp_path / "index.html").write_text(PAGE, "utf-8")
    (tmp_path / "admin.html").write_text(PAGE.replace("chat", "dashboard"), "utf-8")
    (tmp_path / "static/js/main.js").write_text("let a;", "utf-8")
    (tmp_path / "static/favicon.svg").write_text("<svg/>", "utf-8")
    (tmp_path / "i18n/en.json").write_text("{}", "utf-8")
    (tmp_path / "secret").write_text("secret", "utf-8")
    return tmp_path


class Harness:
    def __init__(self, page: Path, connections: int = MAX_CONNECTIONS, **settings: Any) -> None:
        self.clock = Clock()
        self.core = FakeCore()
        self.node = FakeNode()
        self.registry = CollectorRegistry()
        self.seen: list[tuple[str, int]] = []
        self.site: ApiSite = make_site(
            self.core,
            self.node,
            FakeKeys(),
            self.registry,
            ApiSettings(**settings),
            self.clock,
            page,
            on_request=lambda route, status: self.seen.append((route, status)),
            connections=connections,
        )

    def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Any = (),
        peer: str = "127.0.0.1",
        key: bool = True,
    ) -> Answer:
        connection = MemoryConnection(self.site, peer)
        connection.request(method, path, body, [*headers, KEY] if key else headers)
        return connection.answer()


@pytest.fixture
def site(page: Path) -> Harness:
    return Harness(page)


def code(answer: Answer) -> str:
    found: str = answer.json()["error"]["code"]
    return found


# Keys.

PUBLIC = {"/", "/chat", "/chat/<path:view>", "/admin", "/admin/<path:view>", "/static/<path:name>"}
PUBLIC |= {"/favicon.ico", "/favicon.svg", "/health", "/health/ready"}


def rules() -> list[tuple[str, str]]:
    import swarmnode

    folder = Path(swarmnode.__file__).parent.parent / "web_ui"
    made = make_site(FakeCore(), FakeNode(), FakeKeys(), CollectorRegistry(), ApiSettings(), Clock(), folder)
    return [
        *made.routes,
        ("GET", "/v1/nowhere"),
        ("POST", "/api/nowhere"),
        ("GET", "/mcp"),
        ("GET", "/nowhere"),
    ]


@pytest.mark.parametrize(("method", "rule"), rules())
@pytest.mark.parametrize("peer", ["127.0.0.1", ELSEWHERE])
def test_every_route_asks_for_the_key_or_is_known_not_to(
    site: Harness, method: str, rule: str, peer: str
) -> None:
    path = re.sub(r"<.*>", "x", rule)
    none = site.ask(method, path, peer=peer, key=False).status
    wrong = site.ask(method, path, headers=[("x-api-key", FAKE_KEY + "0")], peer=peer, key=False).status
    right = site.ask(method, path, peer=peer).status
    keyless = rule in PUBLIC or (rule == "/metrics" and peer == "127.0.0.1")
    if rule == "/api/admin/page-key":
        assert (none, wrong, right) == (403, 403, 403), "the nonce counts there, not the key"
    elif keyless:
        assert 401 not in (none, wrong, right)
    else:
        assert (none, wrong) == (401, 401)
        assert right != 401


def test_a_missing_key_says_where_it_is(site: Harness) -> None:
    answer = site.ask("GET", "/v1/models", key=False)
    assert answer.json()["error"] == {
        "message": "This route needs the API key of the node, and the request has none",
        "type": "authentication_error",
        "param": None,
        "code": "missing_api_key",
        "hint": "Send `Authorization: Bearer KEY`. The key is in the file `api_key` of the data directory.",
    }
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert code(site.ask("GET", "/v1/models", headers=[("x-api-key", "x")], key=False)) == "invalid_api_key"


def test_there_is_no_keyless_loopback(site: Harness) -> None:
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "x"}]}'
    assert site.ask("POST", "/v1/chat/completions", body, key=False).status == 401
    assert site.core.generations == []


@pytest.mark.parametrize(
    ("setting", "local", "proxied", "remote"),
    [(None, 200, 401, 401), (True, 401, 401, 401), (False, 200, 200, 200)],
)
def test_metrics_ask_for_the_key_as_set(
    page: Path, setting: Any, local: int, proxied: int, remote: int
) -> None:
    site = Harness(page, metrics_auth_required=setting)
    proxy = [("X-Forwarded-For", ELSEWHERE)]
    assert site.ask("GET", "/metrics", key=False).status == local
    assert site.ask("GET", "/metrics", headers=proxy, key=False).status == proxied
    assert site.ask("GET", "/metrics", peer=ELSEWHERE, key=False).status == remote
    assert site.ask("GET", "/metrics", peer=ELSEWHERE).status == 200


# Names and origins.


@pytest.mark.parametrize("path", ["/", "/chat", "/static/js/main.js", "/metrics", "/api/admin/stats"])
def test_a_rebound_name_gets_nothing_from_this_machine(site: Harness, path: str) -> None:
    answer = site.ask("GET", path, headers=[("Host", "evil.example:8800")])
    assert (answer.status, code(answer)) == (403, "foreign_host")


def test_two_hosts_are_refused(site: Harness) -> None:
    headers = [("Host", "127.0.0.1:8800"), ("Host", "evil.example")]
    assert code(site.ask("GET", "/v1/models", headers=headers)) == "bad_host"


@pytest.mark.parametrize("path", ["/", "/api/admin/stats", "/static/js/main.js"])
def test_pages_of_other_sites_are_refused(site: Harness, path: str) -> None:
    for origin in ("http://evil.example", "null"):
        answer = site.ask("GET", path, headers=[("Origin", origin)])
        assert (answer.status, code(answer)) == (403, "foreign_origin")


@pytest.mark.parametrize("path", ["/v1/models", "/api/admin/stats", "/", "/health"])
def test_no_other_site_is_ever_allowed_to_read(site: Harness, path: str) -> None:
    headers = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "GET")]
    for method in ("GET", "OPTIONS"):
        answer = site.ask(method, path, headers=headers, key=False)
        assert not [name for name in answer.headers if name.startswith("access-control")]


# Rates.


def statuses(site: Harness, count: int, path: str = "/v1/models", **more: Any) -> list[int]:
    return [site.ask("GET", path, **more).status for _ in range(count)]


def test_rates_are_counted_by_address_and_area(page: Path) -> None:
    site = Harness(page, rate_limit_rpm=2, rate_limit_admin_rpm=3)
    assert statuses(site, 3, peer=ELSEWHERE) == [200, 200, 429]
    assert statuses(site, 1, peer="203.0.113.10") == [200]
    assert statuses(site, 4, "/api/admin/stats", peer=ELSEWHERE) == [200, 200, 200, 429]
    assert statuses(site, 3, "/health", peer=ELSEWHERE) == [200, 200, 200]


def test_over_the_rate_the_answer_says_when_to_come_back(page: Path) -> None:
    site = Harness(page, rate_limit_rpm=2)
    *_, answer = (site.ask("GET", "/v1/models", peer=ELSEWHERE) for _ in range(3))
    assert answer.headers["retry-after"] == "30"
    assert answer.json()["error"]["type"] == "rate_limit_error"
    site.clock.advance(30)
    assert statuses(site, 2, peer=ELSEWHERE) == [200, 429]


def test_a_stranger_cannot_use_up_the_owners_rate(page: Path) -> None:
    site = Harness(page, rate_limit_rpm=2)
    assert statuses(site, 3, peer=ELSEWHERE, key=False) == [401, 401, 429]
    assert statuses(site, 1, peer=ELSEWHERE) == [200]


def test_this_machine_is_exempt_unless_it_is_set(page: Path) -> None:
    assert statuses(Harness(page, rate_limit_rpm=1), 3) == [200, 200, 200]
    assert statuses(Harness(page, rate_limit_rpm=1, rate_limit_loopback=True), 2) == [200, 429]


def test_clients_of_a_local_proxy_have_rates_of_their_own(page: Path) -> None:
    site = Harness(page, rate_limit_rpm=1)
    one, two = [("X-Real-IP", "192.0.2.1")], [("X-Real-IP", "192.0.2.2")]
    assert statuses(site, 2, headers=one) == [200, 429]
    assert statuses(site, 2, headers=two) == [200, 429]


# Headers.

EXPECTED = {
    "server": "swarmnode",
    "content-security-policy": "default-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self' ws: wss:; img-src 'self' data: blob:; "
    "frame-ancestors 'none'; base-uri 'self'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}

ASKED = [
    ("GET", "/", 200),
    ("GET", "/static/js/main.js", 200),
    ("GET", "/static/none", 404),
    ("GET", "/v1/models", 200),
    ("GET", "/v1/none", 404),
    ("DELETE", "/v1/models", 405),
    ("POST", "/v1/chat/completions", 400),
    ("GET", "/metrics", 200),
    ("GET", "/health/ready", 200),
    ("OPTIONS", "*", 404),
    ("GET", "/%ff", 400),
    ("BREW", "/v1/models", 405),
]


@pytest.mark.parametrize(("method", "path", "status"), ASKED)
def test_every_answer_carries_the_headers(site: Harness, method: str, path: str, status: int) -> None:
    answer = site.ask(method, path)
    assert answer.status == status
    assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED
    assert re.fullmatch(r"[0-9a-f]{24}", answer.headers["x-request-id"])


def test_refusals_carry_the_headers_too(site: Harness) -> None:
    answer = site.ask("GET", "/v1/models", key=False)
    assert {name: answer.headers.get(name) for name in EXPECTED} == EXPECTED


# Routes.


def test_unknown_routes_answer_in_the_envelope(site: Harness) -> None:
    for path in ("/v1/nowhere", "/api/nowhere", "/v1/models/none", "//v1//models"):
        answer = site.ask("GET", path)
        assert answer.status == 404, path
        assert set(answer.json()["error"]) == {"message", "type", "param", "code", "hint"}
        assert "location" not in answer.headers


def test_wrong_methods_say_which_are_right(site: Harness) -> None:
    answer = site.ask("GET", "/v1/chat/completions")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert code(answer) == "method_not_allowed"


@pytest.mark.parametrize(
    "path", ["/v1/responses", "/v1/messages", "/mcp", "/api/pool/state", "/api/admin/config"]
)
def test_what_is_to_come_is_named(site: Harness, path: str) -> None:
    answer = site.ask("GET", path)
    assert answer.status == 404
    assert "not built in this version" in answer.json()["error"]["message"]


def test_embeddings_are_refused_by_name(site: Harness) -> None:
    answer = site.ask("POST", "/v1/embeddings", b"{}")
    assert (answer.status, code(answer)) == (501, "not_built_yet")


def test_models(site: Harness) -> None:
    site.core._cards = (
        ModelCard("first", "numpy", created=5, context_length=4096),
        ModelCard("org/second", "x", owned_by="builtin"),
        ModelCard("broken", "numpy", problem="its file is cut off"),
    )
    first = {"id": "first", "object": "model", "created": 5, "owned_by": "local"}
    first |= {"max_model_len": 4096, "context_length": 4096}
    second = {"id": "org/second", "object": "model", "created": 0, "owned_by": "builtin"}
    assert site.ask("GET", "/v1/models").json() == {"object": "list", "data": [first, second]}
    assert site.ask("GET", "/v1/models/org/second").json() == second
    missing = site.ask("GET", "/v1/models/third")
    assert missing.status == 404
    assert "first" in missing.json()["error"]["message"]


def test_readiness(site: Harness) -> None:
    ready = site.ask("GET", "/health/ready", key=False)
    assert ready.json() == {"ready": True, "subsystems": {"database": True, "api_server": True}}
    site.node.parts["database"] = False
    answer = site.ask("GET", "/health/ready", key=False)
    assert (answer.status, answer.json()["ready"]) == (503, False)


def test_before_all_parts_run_the_apis_are_shut_and_the_page_is_not(site: Harness) -> None:
    site.node.parts["database"] = False
    refused = site.ask("GET", "/v1/models")
    assert (refused.status, refused.json()["error"]["code"]) == (503, "not_ready")
    assert "database" in refused.json()["error"]["message"]
    assert refused.headers["retry-after"]
    assert site.ask("GET", "/v1/models", key=False).status == 401
    for path in ("/", "/health", "/static/js/main.js"):
        assert site.ask("GET", path, key=False).status == 200
    assert site.ask("GET", "/health", key=False).json() == {"status": "ok"}


def test_status_stats_and_version(site: Harness) -> None:
    assert site.ask("GET", "/v1/status").json() == site.node.status()
    assert site.ask("GET", "/api/admin/stats").json() == site.node.stats()
    assert site.ask("GET", "/api/admin/version").json() == {"name": "swarmnode", "version": "0.0.0"}


def test_metrics(site: Harness) -> None:
    Counter("swarmnode_things", "Things.", registry=site.registry).inc(3)
    plain = site.ask("GET", "/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    assert b"swarmnode_things_total 3.0\n" in plain.body
    accept = [("Accept", "application/openmetrics-text; version=1.0.0")]
    open_metrics = site.ask("GET", "/metrics", headers=accept)
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.body.endswith(b"# EOF\n")


def test_a_bug_is_told_without_its_inside(site: Harness) -> None:
    def broken() -> Any:
        raise ZeroDivisionError("inside")

    site.node.status = broken  # type: ignore[method-assign]
    answer = site.ask("GET", "/v1/status")
    assert (answer.status, code(answer)) == (500, "internal_error")
    assert b"inside" not in answer.body
    assert answer.headers["x-request-id"] in answer.json()["error"]["hint"]


def test_routes_are_reported_by_their_rule(site: Harness) -> None:
    site.ask("GET", "/v1/models/echo")
    site.ask("GET", "/v1/models/none")
    site.ask("GET", "/v1/nowhere", key=False)
    rule = "/v1/models/<path:name>"
    assert site.seen == [(rule, 200), (rule, 404), ("none", 401)]


def test_clients_that_do_not_wait_are_reported_as_such(page: Path) -> None:
    site = Harness(page)
    site.core._script = None
    connection = MemoryConnection(site.site)
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "x"}]}'
    connection.request("POST", "/v1/chat/completions", body, [KEY])
    connection.lose()
    assert site.seen == [("/v1/chat/completions", 499)]


# The page and its key.


def nonce_of(answer: Answer) -> str:
    found = re.search(r'content="(.*?)"', answer.body.decode("utf-8"))
    assert found
    return found[1]


def trade(site: Harness, nonce: str, **more: Any) -> Answer:
    headers = [("X-Page-Nonce", nonce), *more.pop("headers", ())]
    return site.ask("POST", "/api/admin/page-key", headers=headers, key=False, **more)


def test_the_page_trades_its_nonce_for_the_key_once(site: Harness) -> None:
    answer = site.ask("GET", "/", key=False)
    assert answer.headers["cache-control"] == "no-store"
    nonce = nonce_of(answer)
    given = trade(site, nonce)
    assert given.json() == {"api_key": FAKE_KEY}
    assert given.headers["cache-control"] == "no-store"
    assert code(trade(site, nonce)) == "bad_nonce"


def test_the_nonce_is_good_for_a_minute(site: Harness) -> None:
    nonce = nonce_of(site.ask("GET", "/chat/anything", key=False))
    site.clock.advance(61)
    assert trade(site, nonce).status == 403


def test_looking_at_the_head_of_a_page_uses_up_no_nonces(site: Harness) -> None:
    nonce = nonce_of(site.ask("GET", "/", key=False))
    for _ in range(MAX_NONCES):
        site.ask("HEAD", "/", key=False)
    assert trade(site, nonce).status == 200


def test_a_nonce_of_any_bytes_is_only_wrong(site: Harness) -> None:
    answer = site.ask("POST", "/api/admin/page-key", headers=[("X-Page-Nonce", "\xff\xfe")], key=False)
    assert (answer.status, code(answer)) == (403, "bad_nonce")


def test_metrics_for_an_accept_header_of_any_bytes(site: Harness) -> None:
    assert site.ask("GET", "/metrics", headers=[("Accept", "\xff")]).status == 200


def test_a_page_asked_for_in_old_http_holds_no_nonce(site: Harness) -> None:
    connection = MemoryConnection(site.site)
    connection.send(b"GET / HTTP/1.0\r\nHost: 127.0.0.1:8800\r\n\r\n")
    assert b"<html" in connection.raw()
    assert b'content=""' in connection.raw()


def test_a_request_of_new_http_names_its_host(site: Harness) -> None:
    connection = MemoryConnection(site.site)
    connection.send(b"GET /health HTTP/1.1\r\n\r\n")
    assert (connection.answer().status, code(connection.answer())) == (400, "bad_host")


def test_a_nonce_is_of_no_use_elsewhere(site: Harness) -> None:
    for more in (
        {"peer": ELSEWHERE},
        {"headers": [("X-Forwarded-For", "127.0.0.1")]},
        {"headers": [("Origin", "http://evil.example")]},
        {"headers": [("Host", "evil.example:8800")]},
        {"headers": [("Host", "localhost:9999")]},
    ):
        assert trade(site, nonce_of(site.ask("GET", "/", key=False)), **more).status == 403


@pytest.mark.parametrize(
    "more",
    [
        {"peer": ELSEWHERE},
        {"headers": [("X-Forwarded-For", "127.0.0.1")]},
        {"headers": [("Via", "1.1 proxy")]},
        {"headers": [("Host", "localhost:9999")]},
    ],
)
def test_only_this_machine_is_given_a_nonce(site: Harness, more: Any) -> None:
    answer = site.ask("GET", "/", key=False, **more)
    assert answer.status == 200
    assert nonce_of(answer) == ""


def test_pages(site: Harness) -> None:
    assert b"chat" in site.ask("GET", "/", key=False).body
    assert b"dashboard" in site.ask("GET", "/admin/network", key=False).body
    assert b'data-theme="dark"' in site.ask("GET", "/", key=False).body
    head = site.ask("HEAD", "/", key=False)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-type"].startswith("text/html")


def test_static_files_are_served_and_cached_by_their_content(site: Harness) -> None:
    answer = site.ask("GET", "/static/js/main.js", key=False)
    assert (answer.body, answer.headers["content-type"]) == (b"let a;", "text/javascript; charset=utf-8")
    again = site.ask(
        "GET", "/static/js/main.js", headers=[("If-None-Match", answer.headers["etag"])], key=False
    )
    assert (again.status, again.body) == (304, b"")
    assert site.ask("GET", "/static/i18n/en.json", key=False).body == b"{}"
    assert site.ask("GET", "/favicon.ico", key=False).headers["content-type"] == "image/svg+xml"


ESCAPES = [
    "/static/../secret",
    "/static/..%2fsecret",
    "/static/%2e%2e/secret",
    "/static//etc/passwd",
    "/static/js",
]
ESCAPES += [
    "/static/js/../../secret",
    "/static/..\\secret",
    "/static/%00",
    "/static/js/main.js/",
    "/static/index.html",
]


@pytest.mark.parametrize("path", ESCAPES)
def test_no_path_leads_out_of_the_page(site: Harness, path: str) -> None:
    assert site.ask("GET", path, key=False).status == 404


# The owner's routes.


def test_the_key_and_the_stop_are_for_this_machine_with_the_key(site: Harness) -> None:
    assert site.ask("GET", "/api/admin/api-key").json() == {"api_key": FAKE_KEY}
    for more in (
        {"peer": ELSEWHERE},
        {"headers": [("X-Real-IP", "127.0.0.1")]},
        {"headers": [("Host", "localhost:1")]},
    ):
        for method, path in (("GET", "/api/admin/api-key"), ("POST", "/api/admin/shutdown")):
            answer = site.ask(method, path, **more)  # type: ignore[arg-type]
            assert (answer.status, code(answer)) == (403, "loopback_only")
    assert site.node.stopped_because is None
    assert site.ask("POST", "/api/admin/shutdown").status == 202
    assert site.node.stopped_because


def test_a_new_connection_replaces_the_one_that_has_said_nothing_for_longest(page: Path) -> None:
    site = Harness(page, connections=3)
    first = MemoryConnection(site.site)
    site.clock.advance(1)
    second, third = MemoryConnection(site.site), MemoryConnection(site.site)
    site.clock.advance(1)
    first.request("GET", "/health")  # now `second` or `third` has waited longest
    third.request("GET", "/health")
    second.send(b"GET /health HTTP/1.1")  # this is no request
    newer = MemoryConnection(site.site)
    assert [one.aborted for one in (first, second, third)] == [False, True, False]
    newer.request("GET", "/health")
    assert newer.answer().status == 200


def test_connections_are_bounded_when_all_are_busy(page: Path) -> None:
    site = Harness(page, connections=2)
    site.core.__init__(script=None)  # type: ignore[misc]
    body = b'{"model": "echo", "messages": [{"role": "user", "content": "x"}]}'
    busy = [MemoryConnection(site.site) for _ in range(2)]
    for connection in busy:
        connection.request("POST", "/v1/chat/completions", body, [KEY])
    assert site.site.buildProtocol(None) is None
    assert [one.aborted for one in busy] == [False, False]
    busy[0].lose()
    assert site.site.buildProtocol(None) is not None
