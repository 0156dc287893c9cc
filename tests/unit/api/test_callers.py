"""Who is calling: loopback, proxies, host names, origins."""

from __future__ import annotations

import pytest
from twisted.web.http_headers import Headers

from swarmnode.api.callers import is_loopback, judge, split_host


def headers(**values: str) -> Headers:
    found = Headers()
    for name, value in values.items():
        found.addRawHeader(name.replace("_", "-"), value)
    return found


OURS = [
    "127.0.0.1:8800",
    "localhost:8800",
    "LocalHost:8800",
    "[::1]:8800",
    "127.1.2.3:8800",
    "localhost.:8800",
]


@pytest.mark.parametrize("host", OURS)
def test_our_own_names_are_direct(host: str) -> None:
    assert judge("127.0.0.1", headers(), host, 8800).direct


FOREIGN = [
    "",
    "evil.example",
    "evil.example:8800",
    "localhost.evil.example:8800",
    "127.0.0.1.evil.example:8800",
]
FOREIGN += [
    "localhost:" + "9" * 5000,
    "localhost:٨٨٠٠",
    "[::2]:8800",
    "10.0.0.1:8800",
    "127.0.0.1:8800:evil",
    "evil@127.0.0.1:8800",
    "[127.0.0.1",
    "0x7f.1:8800",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_are_not_ours(host: str) -> None:
    caller = judge("127.0.0.1", headers(), host, 8800)
    assert not caller.by_name_of_ours
    assert not caller.direct


def test_another_port_is_our_name_but_not_direct() -> None:
    caller = judge("127.0.0.1", headers(), "localhost:9999", 8800)
    assert caller.by_name_of_ours
    assert not caller.direct


def test_a_host_without_a_port_means_port_80() -> None:
    assert judge("127.0.0.1", headers(), "localhost", 80).direct
    assert not judge("127.0.0.1", headers(), "localhost", 8800).direct


PROXIES = [
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "Forwarded",
    "X-Real-IP",
    "Via",
    "CF-Connecting-IP",
    "True-Client-IP",
    "Fastly-Client-IP",
    "X-Cluster-Client-IP",
    "X-Original-Forwarded-For",
    "X-Envoy-External-Address",
    "X_Forwarded_For",
]


@pytest.mark.parametrize("name", PROXIES)
def test_behind_a_proxy_nobody_is_local(name: str) -> None:
    found = Headers()
    found.addRawHeader(name, "192.0.2.7")
    caller = judge("127.0.0.1", found, "127.0.0.1:8800", 8800)
    assert not caller.local
    assert not caller.direct


def test_a_proxy_that_says_nothing_is_known_by_its_old_http() -> None:
    caller = judge("127.0.0.1", headers(), "127.0.0.1:8800", 8800, old=True)
    assert not caller.local
    assert not caller.direct


def test_clients_behind_a_proxy_are_told_apart() -> None:
    one = judge("127.0.0.1", headers(X_Real_IP="192.0.2.7"), "node.example", 8800)
    two = judge("127.0.0.1", headers(X_Forwarded_For="198.51.100.1, 192.0.2.8"), "node.example", 8800)
    three = judge("127.0.0.1", headers(X_Forwarded_For="rubbish"), "node.example", 8800)
    assert (one.address, two.address, three.address) == ("192.0.2.7", "192.0.2.8", "127.0.0.1")


def test_strangers_cannot_choose_the_address_they_are_counted_under() -> None:
    assert judge("203.0.113.9", headers(X_Real_IP="192.0.2.7"), "node.example", 8800).address == "203.0.113.9"


def test_strangers_are_never_direct() -> None:
    assert not judge("203.0.113.9", headers(), "127.0.0.1:8800", 8800).direct


SAME = ["http://localhost:8800", "https://localhost:8800", "HTTP://LOCALHOST:8800"]
OTHER = [
    "http://localhost:3000",
    "http://evil.example",
    "null",
    "",
    "file://",
    "http://localhost:8800.evil.example",
]
OTHER += ["chrome-extension://abc", "http://[", "http://127.0.0.1:8800"]


@pytest.mark.parametrize("origin", SAME)
def test_our_own_origin(origin: str) -> None:
    assert judge("127.0.0.1", headers(Origin=origin), "localhost:8800", 8800).same_origin


@pytest.mark.parametrize("origin", OTHER)
def test_other_origins(origin: str) -> None:
    caller = judge("127.0.0.1", headers(Origin=origin), "localhost:8800", 8800)
    assert not caller.same_origin
    assert not caller.direct


LOOPBACK = [("127.0.0.1", True), ("127.255.0.1", True), ("::1", True), ("::ffff:127.0.0.1", True)]
LOOPBACK += [("10.0.0.1", False), ("::ffff:10.0.0.1", False), ("", False), ("localhost", False)]


@pytest.mark.parametrize(("address", "answer"), LOOPBACK)
def test_loopback_addresses(address: str, answer: bool) -> None:
    assert is_loopback(address) is answer


def test_hosts_are_split() -> None:
    assert split_host("[::1]:8800") == ("::1", 8800)
    assert split_host("[::1]") == ("::1", 80)
    assert split_host("A.b:1") == ("a.b", 1)
    assert split_host("a:x") == ("a", -1)
