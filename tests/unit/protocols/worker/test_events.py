"""Events survive the link, whatever they hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarmnode.protocols.worker.events import MAX_EVENTS, decode_event, ends, events_messages, read_events
from swarmnode.protocols.worker.messages import LinkFault, Message, json_bytes
from swarmnode.values.errors import LocalFault, PeerFault, Refused, Unavailable
from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    Started,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)

number = st.integers(0, 1 << 40)
words = st.text(max_size=12)
logprobs = st.recursive(
    st.builds(TokenLogprob, number, st.binary(max_size=6), st.floats(-1e9, 0), st.just(())),
    lambda inner: st.builds(
        TokenLogprob, number, st.binary(max_size=6), st.floats(-1e9, 0), st.tuples(inner, inner)
    ),
    max_leaves=4,
)
tuples_of = lambda items: st.lists(items, max_size=3).map(tuple)  # noqa: E731
milliseconds = st.none() | st.floats(0, 1e9)
plain_events = st.one_of(
    st.builds(Started, words, number, number, st.integers(0, (1 << 64) - 1), words),
    st.builds(ReasoningDelta, number, words),
    st.builds(TextDelta, number, words, tuples_of(number), tuples_of(logprobs)),
    st.builds(ToolCallDelta, number, number, st.none() | words, st.none() | words, words),
    st.builds(ChoiceFinished, number, st.sampled_from(["stop", "length", "tool_calls"]), st.none() | words),
    st.builds(
        Finished,
        st.builds(Usage, number, number, number),
        st.builds(Timings, milliseconds, milliseconds, milliseconds),
    ),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(number, plain_events), max_size=5))
def test_events_survive(events: list[tuple[int, GenerationEvent]]) -> None:
    got = [row for message in events_messages(events) for row in read_events(message)]
    assert got == events


@pytest.mark.parametrize("kind", [LocalFault, PeerFault, Unavailable, Refused])
def test_a_failure_keeps_its_kind_and_words(kind: type) -> None:
    error = kind("was \ud800 broken", code="c", hint="h", param="p")
    (message,) = events_messages([(7, Failed(error))])
    ((slot, event),) = read_events(message)
    assert slot == 7 and isinstance(event, Failed)
    assert type(event.error) is kind and event.error.as_dict() == error.as_dict()


def test_many_events_are_spread_over_messages() -> None:
    events = [(0, ReasoningDelta(0, str(i))) for i in range(MAX_EVENTS + 1)]
    made = events_messages(events)
    assert len(made) == 2 and [row for m in made for row in read_events(m)] == events
    assert events_messages([]) == []


@pytest.mark.parametrize("row", [[], ["?"], ["t"], ["t", 0], ["f", 1, 2], ["x", 3], 5, [["t"]], None, {}])
def test_a_malformed_event_is_a_link_fault(row: object) -> None:
    with pytest.raises(LinkFault):
        decode_event(row)  # type: ignore[arg-type]


@pytest.mark.parametrize("payload", [b"{", b"{}", b"5", b"[5]", b"[[1]]", b'[["x",["s"]]]', b"\xff"])
def test_a_malformed_message_is_a_link_fault(payload: bytes) -> None:
    with pytest.raises(LinkFault):
        read_events(Message("events", payload=payload))


def test_too_many_events_in_a_message_are_refused() -> None:
    rows = [[0, ["r", 0, ""]]] * (MAX_EVENTS + 1)
    with pytest.raises(LinkFault, match="at most 4096"):
        read_events(Message("events", payload=json_bytes(rows)))


def test_only_the_last_events_end() -> None:
    assert ends(Finished(Usage())) and ends(Failed(Refused("", code="")))
    assert not ends(ChoiceFinished(0, "stop")) and not ends(TextDelta(0, ""))
