"""What the node writes down about other peers, as functions of a session for `Database.run`.

Times are Unix seconds here and milliseconds in the tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from swarmnode.storage.schema import InviteRow, KnownPeerRow, PeerTrust
from swarmnode.values.errors import Refused
from swarmnode.values.known_peer import KnownPeer
from swarmnode.values.multiaddr import Multiaddr
from swarmnode.values.trust import KeptTrust

#: Rows of each table at most; `services.keep_trust` and `policy.known_peers` keep fewer.
MAX_TRUSTED = 10_000
MAX_KNOWN = 200
#: Invites that can be open at once; the one that expires first makes room.
MAX_INVITES = 256


def load_trust(session: Session) -> list[KeptTrust]:
    """All scores, those changed last first."""
    rows = session.scalars(
        select(PeerTrust).order_by(PeerTrust.changed_at.desc(), PeerTrust.peer).limit(MAX_TRUSTED)
    )
    return [KeptTrust(row.peer, row.score, row.start, row.changed_at / 1000) for row in rows]


def save_trust(session: Session, changed: Iterable[KeptTrust], forgotten: Iterable[str] = ()) -> None:
    """Write these scores and delete those of the peers that are forgotten."""
    for peer in forgotten:
        session.execute(delete(PeerTrust).where(PeerTrust.peer == peer))
    for kept in changed:
        session.merge(
            PeerTrust(
                peer=kept.peer, score=kept.score, start=kept.start, changed_at=_milliseconds(kept.stamp)
            )
        )


def load_known_peers(session: Session) -> list[KnownPeer]:
    """The peers of earlier runs, those connected last first. An address that cannot be read is left out."""
    rows = session.scalars(
        select(KnownPeerRow).order_by(KnownPeerRow.last_connected.desc(), KnownPeerRow.peer).limit(MAX_KNOWN)
    )
    return [
        KnownPeer(
            row.peer, _addresses(row.addresses), row.how, row.last_seen / 1000, row.last_connected / 1000
        )
        for row in rows
    ]


def save_known_peers(session: Session, peers: Sequence[KnownPeer]) -> None:
    """Keep these, at most `MAX_KNOWN`, in place of all others."""
    kept = {one.peer: one for one in peers[:MAX_KNOWN]}
    for peer in session.scalars(select(KnownPeerRow.peer)).all():
        if peer not in kept:
            session.execute(delete(KnownPeerRow).where(KnownPeerRow.peer == peer))
    for one in kept.values():
        session.merge(
            KnownPeerRow(
                peer=one.peer,
                addresses=[str(address) for address in one.addresses],
                how=one.how,
                last_seen=_milliseconds(one.last_seen),
                last_connected=_milliseconds(one.last_connected),
            )
        )


def add_invite(session: Session, token_hash: str, expires: float, uses: int, stamp: float) -> None:
    """An invite was made that is worth `uses` uses until `expires`. Those over are forgotten."""
    session.execute(delete(InviteRow).where(InviteRow.expires_at <= _milliseconds(stamp)))
    extra = (session.scalar(select(func.count()).select_from(InviteRow)) or 0) - MAX_INVITES + 1
    if extra > 0:
        oldest = select(InviteRow.hash).order_by(InviteRow.expires_at, InviteRow.hash).limit(extra)
        for old in session.scalars(oldest).all():
            session.execute(delete(InviteRow).where(InviteRow.hash == old))
    session.add(InviteRow(hash=token_hash, expires_at=_milliseconds(expires), uses=uses))


def use_invite(session: Session, token_hash: str, stamp: float) -> bool:
    """Take one use of the invite. False: there is no such invite, or it is over or used up."""
    row = session.get(InviteRow, token_hash)
    if row is None or row.uses < 1 or row.expires_at <= _milliseconds(stamp):
        return False
    row.uses -= 1
    return True


def _addresses(texts: Any) -> tuple[Multiaddr, ...]:
    known: list[Multiaddr] = []
    for text in texts if isinstance(texts, list) else ():
        try:
            known.append(Multiaddr.parse(str(text)))
        except Refused:
            continue  # a later version may know more kinds, and we are an earlier one
    return tuple(known)


def _milliseconds(stamp: float) -> int:
    return int(stamp * 1000)
