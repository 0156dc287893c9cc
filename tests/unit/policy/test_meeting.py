"""From attempts to one cause."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmnode.policy.meeting import Attempt, cause_of
from swarmnode.values.errors import PeerFault, SwarmnodeError, Unavailable
from swarmnode.values.multiaddr import Multiaddr

OWN, WANTED, OTHER = "own", "wanted", "other"
OURS = (Multiaddr.parse("/ip4/192.168.1.2/tcp/8810"),)
NEAR, FAR, HERE, PUBLIC = (
    Multiaddr.parse(text)
    for text in (
        "/ip4/192.168.1.9/tcp/8810",
        "/ip4/10.9.9.9/tcp/8810",
        "/ip4/127.0.0.1/tcp/8810",
        "/ip4/8.8.8.8/tcp/8810",
    )
)
WHOLE = Unavailable("as a whole", code="unreachable")


def failed(address: Multiaddr, code: str) -> Attempt:
    return Attempt(address, None, Unavailable(f"it was {code}", code=code))


def code(*attempts: Attempt, error: SwarmnodeError = WHOLE, wanted: str | None = WANTED) -> str:
    cause = cause_of(wanted, OWN, OURS, attempts, error)
    assert cause.text and (cause.advice or error.hint == "")
    return cause.code


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        ("connection_refused", "refused"),
        ("dial_timeout", "timeout"),
        ("no_route", "no_route"),
        ("bad_negotiation", "not_a_node"),
        ("handshake_timeout", "not_a_node"),
        ("something_new", "something_new"),
    ],
)
def test_one_address_that_leads_to_nobody(found: str, cause: str) -> None:
    assert code(failed(NEAR, found)) == cause


def test_the_most_telling_of_several_addresses_decides() -> None:
    assert code(failed(PUBLIC, "dial_timeout"), failed(NEAR, "connection_refused")) == "refused"
    assert code(failed(PUBLIC, "connection_refused"), failed(NEAR, "bad_handshake")) == "not_a_node"
    text = cause_of(WANTED, OWN, OURS, [failed(PUBLIC, "no_route"), failed(NEAR, "dial_timeout")], WHOLE).text
    assert str(PUBLIC) in text and str(NEAR) in text


def test_addresses_of_a_network_that_this_machine_is_not_in_are_said_to_be() -> None:
    far = cause_of(WANTED, OWN, OURS, [failed(FAR, "dial_timeout")], WHOLE)
    assert "private network that this machine is not in" in far.text
    near = cause_of(WANTED, OWN, OURS, [failed(NEAR, "dial_timeout")], WHOLE)
    assert "private network" not in near.text


def test_a_loopback_address_is_said_to_lead_to_the_machine_itself() -> None:
    assert "leads every machine to itself" in (
        cause_of(WANTED, OWN, OURS, [failed(HERE, "connection_refused")], WHOLE).advice
    )


def test_who_answers_decides_before_who_does_not() -> None:
    assert code(failed(NEAR, "connection_refused"), Attempt(FAR, OTHER)) == "wrong_peer"
    assert code(Attempt(FAR, OTHER), Attempt(NEAR, OWN)) == "self"
    barred = Attempt(NEAR, WANTED, PeerFault("not of us", code="other_network"))
    assert code(barred) == "other_network"
    backing = Unavailable("later", code="dial_backoff")
    assert code(Attempt(NEAR, WANTED), error=backing) == "closed_by_peer"
    assert code(Attempt(NEAR, WANTED), error=Unavailable("full", code="peers_full")) == "limits"


def test_without_attempts_the_error_itself_is_the_cause() -> None:
    assert code(error=Unavailable("none", code="no_address")) == "no_address"
    assert code(error=Unavailable("name", code="name_not_resolved")) == "cannot_resolve"
    assert code(error=Unavailable("me", code="self_dial")) == "self"


def test_anybody_will_do_where_nobody_is_named() -> None:
    assert code(Attempt(NEAR, OTHER), wanted=None, error=Unavailable("x", code="peers_full")) == "limits"


CODES = st.sampled_from(["connection_refused", "dial_timeout", "bad_handshake", "other_network", "odd"])
ATTEMPTS = st.builds(
    Attempt,
    st.sampled_from([NEAR, FAR, HERE, PUBLIC]),
    st.sampled_from([None, OWN, WANTED, OTHER]),
    st.none() | CODES.map(lambda found: Unavailable(found, code=found)),
)


@given(st.lists(ATTEMPTS, max_size=5), CODES, st.sampled_from([None, WANTED]))
def test_whatever_happened_there_is_a_cause(attempts: list[Attempt], found: str, wanted: str | None) -> None:
    cause = cause_of(wanted, OWN, OURS, attempts, Unavailable("whole", code=found, hint="hint"))
    assert cause.code and cause.text
