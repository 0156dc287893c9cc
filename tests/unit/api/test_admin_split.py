"""`POST /api/admin/test-split`: what it takes, what it answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.api.admin_split import FIELDS
from swarmnode.api.assets import page_directory
from swarmnode.api.checks import read_fields
from swarmnode.api.site import make_site
from swarmnode.testing.fake_core import FAKE_KEY, FakeCore, FakeKeys, FakeNode
from swarmnode.testing.memory_http import MemoryConnection
from swarmnode.values.errors import Refused, Unavailable
from swarmnode.values.settings import ApiSettings
from swarmnode.values.splitting import SplitWish


def wish(**fields: Any) -> SplitWish:
    return SplitWish(**read_fields(FIELDS, {"peer": "12D3", "prompt": "hi", **fields}))


def test_a_peer_and_a_prompt_are_enough() -> None:
    assert wish() == SplitWish("12D3", "hi")


def test_everything_is_passed_on() -> None:
    said = wish(model="m", split="0-1,2-3", remote=[1, 0], max_tokens=4096, seed=2**64 - 1)
    assert said == SplitWish("12D3", "hi", "m", "0-1,2-3", (1, 0), 4096, 2**64 - 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"peer": ""},
        {"peer": None},
        {"prompt": ""},
        {"prompt": "x" * 65537},
        {"remote": 1},
        {"remote": []},
        {"remote": [-1]},
        {"remote": ["1"]},
        {"remote": [True]},
        {"remote": list(range(17))},
        {"max_tokens": 0},
        {"max_tokens": 4097},
        {"seed": -1},
        {"colour": "red"},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        wish(**fields)


class Splits:
    def __init__(self, result: Any) -> None:
        self.result, self.asked = result, list[SplitWish]()

    def compare(self, asked: SplitWish) -> Any:
        self.asked.append(asked)
        return self.result


def ask(splits: Any, *, key: str = FAKE_KEY, body: Any = None) -> MemoryConnection:
    site = make_site(
        FakeCore(),
        FakeNode(),
        FakeKeys(),
        CollectorRegistry(),
        ApiSettings(),
        Clock(),
        page_directory(),
        splits=splits,
    )
    connection = MemoryConnection(site, "127.0.0.1")
    raw = json.dumps(body or {"peer": "12D3", "prompt": "hi"}).encode()
    connection.request("POST", "/api/admin/test-split", raw, [("Authorization", f"Bearer {key}")])
    return connection


def test_the_comparison_is_the_answer() -> None:
    splits = Splits(succeed({"ok": True}))
    assert ask(splits).answer().json() == {"ok": True}
    assert splits.asked == [SplitWish("12D3", "hi")]


def test_what_went_wrong_is_the_answer() -> None:
    answer = ask(Splits(fail(Unavailable("gone", code="stage_lost")))).answer()
    assert (answer.status, answer.json()["error"]["code"]) == (503, "stage_lost")


def test_who_hangs_up_ends_it() -> None:
    cancelled: list[Any] = []
    connection = ask(Splits(Deferred(cancelled.append)))
    assert cancelled == []
    connection.lose()
    assert len(cancelled) == 1


def test_the_key_and_a_network_are_needed() -> None:
    splits = Splits(succeed({}))
    assert ask(splits, key="wrong").answer().status == 401 and splits.asked == []
    assert ask(None).answer().json()["error"]["code"] == "no_network"
    assert ask(splits, body={"peer": "12D3"}).answer().status == 400 and splits.asked == []
