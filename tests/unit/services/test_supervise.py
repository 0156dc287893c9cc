from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from swarmnode.services.supervise import Part, Supervisor
from swarmnode.values.errors import Refused


class Log:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda text, **fields: self.lines.append((level, text, fields))


class Stage:
    """Records what happens to parts, and fatal ends."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.fatal: list[tuple[str, str]] = []
        self.clock = Clock()
        self.log = Log()

    def part(
        self, name: str, critical: bool = True, start: Any = None, ended: Any = None, stop: Any = None
    ) -> Part:
        def begin() -> Any:
            self.seen.append(f"+{name}")
            return start() if start else None

        def end() -> Any:
            self.seen.append(f"-{name}")
            return stop() if stop else None

        return Part(name, begin, end, critical, ended)

    def run(self, *parts: Part) -> Supervisor:
        supervisor = Supervisor(parts, lambda name, why: self.fatal.append((name, why)), self.log, self.clock)
        supervisor.startService()
        return supervisor


def test_parts_start_in_order_and_stop_in_reverse() -> None:
    stage = Stage()
    supervisor = stage.run(stage.part("a"), stage.part("b"))
    assert supervisor.readiness() == {"a": True, "b": True}
    supervisor.stopService()
    assert stage.seen == ["+a", "+b", "-b", "-a"]
    assert supervisor.readiness() == {"a": False, "b": False}


def test_the_way_out_of_a_fault_is_logged_with_it() -> None:
    stage = Stage()
    error = Refused("The database is of a later version", code="x", hint="Install that version.")
    stage.run(stage.part("database", start=lambda: fail(error)))
    assert stage.fatal == [("database", "The database is of a later version. Install that version.")]


def test_readiness_waits_for_a_slow_part() -> None:
    stage, gate = Stage(), Deferred()
    supervisor = stage.run(stage.part("a", start=lambda: gate), stage.part("b"))
    assert supervisor.readiness() == {"a": False, "b": False}
    gate.callback(None)
    assert supervisor.readiness() == {"a": True, "b": True}


def test_a_critical_part_that_cannot_start_ends_the_node_by_name() -> None:
    stage = Stage()
    stage.run(stage.part("a", start=lambda: fail(ValueError("no disk"))), stage.part("b"))
    assert stage.fatal == [("a", "no disk")]
    assert stage.seen == ["+a"]


def test_a_critical_part_that_ends_later_ends_the_node_by_name() -> None:
    stage, ended = Stage(), Deferred()
    supervisor = stage.run(stage.part("network", ended=lambda: ended))
    ended.errback(OSError("link gone"))
    assert stage.fatal == [("network", "link gone")]
    assert supervisor.readiness() == {"network": False}


def test_a_part_that_is_not_critical_may_always_fail() -> None:
    stage = Stage()
    supervisor = stage.run(
        stage.part("watcher", critical=False, start=lambda: fail(RuntimeError("hub down"))), stage.part("api")
    )
    assert stage.fatal == []
    assert supervisor.readiness() == {"api": True}
    assert any(level == "warning" and fields["part"] == "watcher" for level, _, fields in stage.log.lines)


def test_an_end_while_stopping_is_no_failure() -> None:
    stage, ended = Stage(), Deferred()
    supervisor = stage.run(stage.part("a", ended=lambda: ended))
    supervisor.stopService()
    ended.callback(None)
    assert stage.fatal == []


def test_a_part_that_hangs_while_stopping_is_left_behind() -> None:
    stage = Stage()
    supervisor = stage.run(stage.part("a"), stage.part("b", stop=Deferred))
    done: list[Any] = []
    supervisor.stopService().addCallback(done.append)
    assert not done
    stage.clock.advance(5)
    assert done
    assert stage.seen[-1] == "-a"


def test_all_parts_together_have_one_deadline() -> None:
    stage = Stage()
    hanging = [stage.part(name, stop=Deferred) for name in "abc"]
    supervisor = stage.run(*hanging)
    done: list[Any] = []
    supervisor.stopService().addCallback(done.append)
    stage.clock.pump([0.05] * 104)
    assert done


def test_a_part_that_fails_to_stop_does_not_keep_the_others() -> None:
    stage = Stage()
    supervisor = stage.run(stage.part("a"), stage.part("b", stop=lambda: fail(ValueError("stuck"))))
    supervisor.stopService()
    assert stage.seen[-1] == "-a"


def test_stopping_during_the_start_starts_no_more() -> None:
    stage, gate = Stage(), Deferred()
    supervisor = stage.run(stage.part("a", start=lambda: gate), stage.part("b"))
    supervisor.stopService()
    gate.callback(None)
    assert "+b" not in stage.seen


def test_a_deferred_result_counts_as_started() -> None:
    stage = Stage()
    assert stage.run(stage.part("a", start=lambda: succeed(1))).readiness() == {"a": True}
