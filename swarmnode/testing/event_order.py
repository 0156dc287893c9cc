"""Whether the events of a request came in the order that `values.generation` promises."""

from __future__ import annotations

from collections.abc import Sequence

from swarmnode.values.generation import (
    ChoiceFinished,
    Failed,
    Finished,
    GenerationEvent,
    ReasoningDelta,
    Started,
    TextDelta,
    ToolCallDelta,
)


def order_fault(events: Sequence[GenerationEvent], choices: int = 1) -> str | None:
    """What is wrong with a finished stream of events, in words; None for a good one.

    `Started` first (or `Failed` alone), deltas only of choices that go on, one `ChoiceFinished` a choice,
    then `Finished` or `Failed`, then nothing.
    """
    if not events:
        return "there is no event at all"
    if not isinstance(events[0], Started | Failed):
        return f"the first event is {_name(events[0])}, not Started"
    open_choices = set(range(choices))
    for number, event in enumerate(events):
        fault = _fault_at(event, number, open_choices)
        if fault:
            return f"event {number} ({_name(event)}): {fault}"
        if isinstance(event, Finished | Failed) and number != len(events) - 1:
            return f"after {_name(event)} come {len(events) - number - 1} more events"
    if not isinstance(events[-1], Finished | Failed):
        return f"the last event is {_name(events[-1])}, not Finished or Failed"
    return None


def _fault_at(event: GenerationEvent, number: int, open_choices: set[int]) -> str | None:
    if isinstance(event, Started):
        return "it has started already" if number else None
    if isinstance(event, Failed):
        return None
    if isinstance(event, Finished):
        return f"choices {sorted(open_choices)} are not finished" if open_choices else None
    if isinstance(event, ChoiceFinished | ReasoningDelta | TextDelta | ToolCallDelta):
        if event.choice not in open_choices:
            return f"choice {event.choice} does not exist or is finished"
        if isinstance(event, ChoiceFinished):
            open_choices.discard(event.choice)
        return None
    return "it is no event of this stream"


def _name(event: object) -> str:
    return type(event).__name__
