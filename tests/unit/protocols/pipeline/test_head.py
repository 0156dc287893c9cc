"""The head of a pipeline against stages made of arithmetic, which may be lost at every single moment.

A stage's row is a hash of its input row and all rows before it, as attention makes it; so a stage that
was fed a wrong, missing or repeated row changes every token after it, and the test sees it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from swarmnode.protocols.pipeline import vocabulary as words
from swarmnode.protocols.pipeline.head import MAX_LOSSES, STALL_SECONDS, Answer, PipelineHead
from swarmnode.values.errors import LocalFault, Unavailable
from swarmnode.values.layers import LayerRange

ROW = 8
VOCAB = 97
PROMPT = tuple(range(3, 14))
GONE = LocalFault("killed", code="worker_lost")
RANGES = (LayerRange(0, 2), LayerRange(2, 3), LayerRange(3, 6))


def mix(*parts: bytes) -> bytes:
    return hashlib.sha256(b"|".join(parts)).digest()[:ROW]


@dataclass
class Stage:
    """Rows of one stage so far. Steps are idempotent: a first below the length cuts it back."""

    layers: LayerRange
    rows: list[bytes] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def step(self, effect: words.SendStep) -> tuple[bytes, words.Drawn | None]:
        assert effect.first <= len(self.rows), "a row is missing"
        del self.rows[effect.first :]
        for i in range(effect.count):
            given = (
                str(effect.tokens[i]).encode()
                if effect.tokens is not None
                else bytes(effect.hidden[i * ROW : (i + 1) * ROW])
            )
            self.rows.append(mix(str(self.layers).encode(), given, *self.rows))
        out = b"".join(self.rows[effect.first :])
        return out, words.Drawn(self.rows[-1][0] % VOCAB) if effect.sample else None


class Swarm:
    """Runs the head; every question is answered in order, unless `trouble(number, effect)` says otherwise:
    `lost` loses the stage instead of answering, `late` loses it after the work was done."""

    def __init__(self, head: PipelineHead, trouble: Callable[[int, Any], str] = lambda n, e: "") -> None:
        self.head, self.trouble = head, trouble
        self.now = 0.0
        self.stages: dict[str, Stage] = {}
        self.drawn: list[int] = []
        self.end: Any = None
        self.asked = 0
        self.made = 0
        self.sent: list[words.SendStep] = []
        self.events: deque[Any] = deque([words.Begin()])

    def run(self) -> Swarm:
        while self.events:
            for effect in self.head.handle(self.events.popleft(), self.now):
                assert self.end is None, f"{effect} after the end"
                self.take(effect)
        return self

    def take(self, effect: Any) -> None:
        match effect:
            case words.NeedStage():
                self.made += 1
                name = f"{effect.index}/{self.made}"
                self.stages[name] = Stage(effect.layers)
                self.events.append(words.NewStage(effect.index, name))
            case words.OpenSession() | words.SendStep():
                self.ask(effect)
            case words.Deliver():
                self.drawn.append(effect.drawn.token)
            case words.DropStage():
                self.stages.pop(effect.stage, None)
            case words.Done() | words.Abort():
                self.end = effect

    def ask(self, effect: Any) -> None:
        if effect.stage not in self.stages:
            return  # it is gone, and the news of that is on its way
        number, self.asked = self.asked, self.asked + 1
        what = self.trouble(number, effect)
        if what == "lost":
            self.lose(effect.stage)
            return
        stage = self.stages[effect.stage]
        if isinstance(effect, words.OpenSession):
            assert (effect.tokens is not None) == (effect.layers == RANGES[-1])
            self.events.append(words.StageOpened(effect.stage, effect.epoch))
        else:
            self.sent.append(effect)
            hidden, drawn = stage.step(effect)
            if what != "late":
                self.events.append(
                    words.StageResult(effect.stage, effect.epoch, effect.first, effect.count, hidden, drawn)
                )
        if what == "late":
            self.lose(effect.stage)

    def lose(self, stage: str) -> None:
        del self.stages[stage]
        self.events.append(words.StageLost(stage, GONE))


def head(max_tokens: int = 9, ends: frozenset[int] = frozenset(), **options: Any) -> PipelineHead:
    return PipelineHead(Answer(PROMPT, max_tokens, ends), RANGES, **{"row_bytes": ROW, "chunk": 4, **options})


def expected(count: int = 9) -> list[int]:
    """The answer, computed without any machine: one stage after the other, row by row."""
    tokens, stages = list(PROMPT), [Stage(layers) for layers in RANGES]
    while len(tokens) < len(PROMPT) + count:
        position = len(stages[0].rows)
        step = words.SendStep("", 0, position, 1, (tokens[position],), b"", position + 1 == len(tokens))
        for stage in stages:
            hidden, drawn = stage.step(step)
            step = replace(step, tokens=None, hidden=hidden)
        if drawn:
            tokens.append(drawn.token)
    return tokens[len(PROMPT) :]


@pytest.mark.parametrize("chunk", [1, 4, 100])
def test_an_answer_without_trouble(chunk: int) -> None:
    swarm = Swarm(head(chunk=chunk)).run()
    assert swarm.drawn == expected()
    assert swarm.end == words.Done("length")
    assert max(step.count for step in swarm.sent) <= chunk


def test_an_end_token_ends_the_answer_and_is_not_delivered() -> None:
    whole = expected()
    swarm = Swarm(head(ends=frozenset([whole[4]]))).run()
    assert swarm.drawn == whole[: whole.index(whole[4])]
    assert swarm.end == words.Done("stop")


def questions() -> int:
    return Swarm(head()).run().asked


@pytest.mark.parametrize("replay", [1 << 20, 40, 0], ids=["kept", "some-kept", "none-kept"])
@pytest.mark.parametrize("how", ["lost", "late"])
def test_a_stage_lost_at_any_moment_changes_nothing(how: str, replay: int) -> None:
    for moment in range(questions()):
        swarm = Swarm(head(replay_bytes=replay), lambda n, e, m=moment: how if n == m else "").run()
        assert swarm.drawn == expected(), f"lost at question {moment}"
        assert swarm.end == words.Done("length")
        assert swarm.made == len(RANGES) + 1
        assert swarm.head.epoch == 1


@pytest.mark.parametrize("replay", [1 << 20, 40])
def test_two_stages_lost_at_any_two_moments_change_nothing(replay: int) -> None:
    count = questions()
    for one in range(0, count, 5):
        for two in range(one + 1, count + 8, 7):
            swarm = Swarm(
                head(replay_bytes=replay), lambda n, e, w=(one, two): "lost" if n in w else ""
            ).run()
            assert swarm.drawn == expected(), (one, two)


def test_kept_inputs_spare_the_stages_before_the_lost_one() -> None:
    def trouble(number: int, effect: Any) -> str:
        return "lost" if number == at and isinstance(effect, words.SendStep) else ""

    at = questions() - 2
    rows = {}
    for replay in (1 << 20, 0):
        swarm = Swarm(head(replay_bytes=replay), trouble).run()
        assert swarm.made == len(RANGES) + 1
        rows[replay] = sum(step.count for step in swarm.sent if step.stage.startswith("0/"))
    untroubled = sum(step.count for step in Swarm(head()).run().sent if step.stage.startswith("0/"))
    assert rows[1 << 20] == untroubled
    assert rows[0] > untroubled + len(PROMPT)


def test_a_prompt_moves_through_the_stages_at_once() -> None:
    machine = head()
    machine.handle(words.Begin(), 0.0)
    for index in range(3):
        machine.handle(words.NewStage(index, str(index)), 0.0)
        effects = machine.handle(words.StageOpened(str(index), 0), 0.0)
        assert [type(e) for e in effects] == ([words.SendStep] if index == 0 else [])
    effects = machine.handle(words.StageResult("0", 0, 0, 4, bytes(4 * ROW)), 0.0)
    assert [(e.stage, e.first, e.count) for e in effects] == [("0", 4, 4), ("1", 0, 4)]


def test_results_of_an_older_epoch_are_dropped() -> None:
    machine = head()
    machine.handle(words.Begin(), 0.0)
    for index in range(3):
        machine.handle(words.NewStage(index, str(index)), 0.0)
        machine.handle(words.StageOpened(str(index), 0), 0.0)
    effects = machine.handle(words.StageLost("2", GONE), 0.0)
    need, again = effects
    assert need == words.NeedStage(2, RANGES[2], 1)
    assert (again.stage, again.epoch, again.first) == ("0", 1, 0)
    assert machine.handle(words.StageResult("0", 0, 0, 4, bytes(4 * ROW)), 0.0) == []
    assert len(machine.handle(words.StageResult("0", 1, 0, 4, bytes(4 * ROW)), 0.0)) == 2
    assert machine.handle(words.StageLost("2", GONE), 0.0) == []  # nobody's place any more


def test_a_stage_that_makes_no_progress_is_replaced() -> None:
    machine = head()
    machine.handle(words.Begin(), 0.0)
    machine.handle(words.NewStage(0, "a"), 1.0)
    assert machine.deadline == 1.0 + STALL_SECONDS
    machine.handle(words.StageOpened("a", 0), 2.0)
    machine.handle(words.StageProgress("a"), 50.0)
    assert machine.deadline == 50.0 + STALL_SECONDS
    assert machine.handle(None, 49.0 + STALL_SECONDS) == []
    drop, need = machine.handle(None, 50.0 + STALL_SECONDS)
    assert isinstance(drop, words.DropStage) and drop.stage == "a" and drop.error.code == "stage_stalled"
    assert need == words.NeedStage(0, RANGES[0], 1)
    assert machine.deadline is None


@pytest.mark.parametrize(
    ("index", "hidden"),
    [(0, b""), (0, bytes(4 * ROW - 1)), (0, bytes(5 * ROW)), (2, b"")],
)
def test_a_stage_that_answers_nonsense_is_replaced(index: int, hidden: bytes) -> None:
    machine = head(chunk=100)
    machine.handle(words.Begin(), 0.0)
    effects: list[Any] = []
    for place in range(3):
        machine.handle(words.NewStage(place, str(place)), 0.0)
        effects += machine.handle(words.StageOpened(str(place), 0), 0.0)
    for place in range(index):
        effects = machine.handle(words.StageResult(str(place), 0, 0, 11, bytes(11 * ROW)), 0.0)
    drop, need, *_ = machine.handle(words.StageResult(str(index), 0, 0, 11, hidden), 0.0)
    assert isinstance(drop, words.DropStage) and drop.error.code == "stage_lied"
    assert need.index == index


def test_no_stage_to_be_found_ends_with_the_reason() -> None:
    machine = head()
    machine.handle(words.Begin(), 0.0)
    machine.handle(words.NewStage(0, "a"), 0.0)
    why = Unavailable("nobody has layers 2-2", code="no_plan")
    assert machine.handle(words.NoStage(1, why), 0.0) == [words.CloseSession("a", 0), words.Abort(why)]
    assert machine.handle(words.StageLost("a", GONE), 0.0) == []


def test_too_many_losses_end_by_name() -> None:
    swarm = Swarm(head(), lambda n, e: "lost").run()
    assert isinstance(swarm.end, words.Abort)
    assert swarm.end.error.code == "pipeline_lost" and "killed" in swarm.end.error.message
    assert swarm.made == len(RANGES) + MAX_LOSSES


def test_stop_closes_every_session() -> None:
    machine = head()
    machine.handle(words.Begin(), 0.0)
    machine.handle(words.NewStage(0, "a"), 0.0)
    machine.handle(words.StageOpened("a", 0), 0.0)
    assert machine.handle(words.Stop(), 0.0) == [words.CloseSession("a", 0), words.Done("cancelled")]
    assert machine.handle(words.StageOpened("b", 0), 0.0) == [words.CloseSession("b", 0)]
    assert machine.handle(None, 1e9) == []
