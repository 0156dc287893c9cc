"""What is written down about peers, in a database in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from swarmnode.storage import peer_records
from swarmnode.storage.engines import make_engine
from swarmnode.storage.migrating import bring_up_to_date
from swarmnode.storage.peer_records import (
    add_invite,
    load_known_peers,
    load_trust,
    save_known_peers,
    save_trust,
    use_invite,
)
from swarmnode.storage.schema import InviteRow, KnownPeerRow
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.trust import KeptTrust


@pytest.fixture
def session() -> Iterator[Session]:
    engine = make_engine("sqlite://")
    bring_up_to_date(engine)
    with Session(engine) as session, session.begin():
        yield session
    engine.dispose()


def known(peer: str, last: float, *addresses: str) -> KnownPeer:
    return KnownPeer(peer, tuple(Multiaddr.parse(a) for a in addresses), "mdns", last, last)


def test_trust_is_written_changed_and_forgotten(session: Session):
    save_trust(session, [KeptTrust("a", 0.25, 0.4, 1.5), KeptTrust("b", 0.7, 0.6, 3.0)])
    save_trust(session, [KeptTrust("a", 0.5, 0.4, 4.0), KeptTrust("c", 0.1, 0.4, 2.0)], ["b"])
    assert load_trust(session) == [KeptTrust("a", 0.5, 0.4, 4.0), KeptTrust("c", 0.1, 0.4, 2.0)]


def test_known_peers_replace_those_before_and_come_latest_first(session: Session):
    save_known_peers(session, [known("a", 1.0, "/ip4/10.0.0.1/tcp/1"), known("b", 2.0)])
    newer = [known("c", 3.0, "/ip4/10.0.0.3/tcp/3", "/ip6/::1/tcp/3"), known("b", 9.0)]
    save_known_peers(session, newer)
    assert load_known_peers(session) == [newer[1], newer[0]]


def test_only_so_many_peers_are_kept(session: Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(peer_records, "MAX_KNOWN", 2)
    save_known_peers(session, [known(name, 5.0) for name in "abc"])
    assert session.scalar(select(func.count()).select_from(KnownPeerRow)) == 2


def test_an_address_of_a_later_version_is_left_out(session: Session):
    row = KnownPeerRow(
        peer="a", addresses=["/new/1", "/ip4/10.0.0.1/tcp/1", 7], how="dht", last_seen=0, last_connected=0
    )
    session.add(row)
    session.add(KnownPeerRow(peer="b", addresses={"x": 1}, how="", last_seen=0, last_connected=0))
    loaded = {one.peer: one.addresses for one in load_known_peers(session)}
    assert loaded == {"a": (Multiaddr.parse("/ip4/10.0.0.1/tcp/1"),), "b": ()}


def test_an_invite_is_good_for_its_uses_and_its_time(session: Session):
    add_invite(session, "h", expires=100.0, uses=2, stamp=1.0)
    assert not use_invite(session, "other", 1.0)
    assert [use_invite(session, "h", 2.0) for _ in range(3)] == [True, True, False]
    add_invite(session, "late", expires=100.0, uses=1, stamp=1.0)
    assert not use_invite(session, "late", 100.0)
    assert use_invite(session, "late", 99.9)


def test_invites_over_are_forgotten_and_there_are_only_so_many(
    session: Session, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(peer_records, "MAX_INVITES", 2)
    add_invite(session, "over", 5.0, 1, 1.0)
    for number in range(4):
        add_invite(session, f"h{number}", 100.0 + number, 1, 10.0)
    assert sorted(session.scalars(select(InviteRow.hash))) == ["h2", "h3"]
