"""Stop strings: whatever the chunking, the outcome is that of reading the whole text letter by letter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from swarmnode.inference.text.stops import StopMatcher

_TEXTS = st.text(alphabet="ab\n<", max_size=40)
_STOPS = st.lists(st.text(alphabet="ab\n<", min_size=1, max_size=5), max_size=4).map(tuple)


def _naive(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """The first end at which some stop is complete; of several there, the longest."""
    for end in range(1, len(text) + 1):
        there = [stop for stop in stops if text[:end].endswith(stop)]
        if there:
            stop = max(there, key=len)
            return text[: end - len(stop)], stop
    return text, None


def _in_parts(parts: list[str], stops: tuple[str, ...]) -> tuple[str, str | None]:
    matcher = StopMatcher(stops)
    delivered = ""
    for part in parts:
        text, stop = matcher.push(part)
        delivered += text
        if stop is not None:
            return delivered, stop
    return delivered + matcher.flush(), None


@given(_TEXTS, _STOPS, st.lists(st.integers(0, 40), max_size=10))
def test_any_chunking_equals_a_naive_search(text: str, stops: tuple[str, ...], cuts: list[int]) -> None:
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    parts = [text[a:b] for a, b in zip(places, places[1:], strict=False)]
    assert _in_parts(parts, stops) == _naive(text, stops)


@given(_TEXTS, _STOPS)
def test_nothing_is_held_back_that_cannot_become_a_stop(text: str, stops: tuple[str, ...]) -> None:
    matcher = StopMatcher(stops)
    delivered, stop = matcher.push(text)
    if stop is None:
        held = text[len(delivered) :]
        assert delivered + held == text
        assert not held or any(s.startswith(held) and s != held for s in stops)


def test_a_stop_across_tokens_is_found_and_not_delivered() -> None:
    matcher = StopMatcher(("\nUser:",))
    assert matcher.push("Hello\n") == ("Hello", None)
    assert matcher.push("Us") == ("", None)
    assert matcher.push("er: next") == ("", "\nUser:")
    assert matcher.push("more") == ("", "\nUser:")


def test_what_only_looked_like_a_stop_is_delivered() -> None:
    matcher = StopMatcher(("<end>",))
    assert matcher.push("a <en") == ("a ", None)
    assert matcher.push("try>") == ("<entry>", None)
    assert matcher.flush() == ""


def test_the_end_of_the_text_releases_what_was_held() -> None:
    matcher = StopMatcher(("STOP",))
    assert matcher.push("STO") == ("", None)
    assert matcher.flush() == "STO"


def test_empty_stops_match_nothing() -> None:
    assert StopMatcher(("",)).push("abc") == ("abc", None)
