"""Log lines, environments, back-off, exits in words, the link on a transport, pipelines over fake workers."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from swarmnode.protocols.worker.frames import MAX_FRAME, FrameDecoder
from swarmnode.protocols.worker.messages import Message
from swarmnode.workers.child import exit_in_words
from swarmnode.workers.link_protocol import LinkProtocol
from swarmnode.workers.restarts import LONGEST_DELAY, STEADY_SECONDS, failures_after, restart_delay
from swarmnode.workers.spawning import stop_signals_blocked, worker_command, worker_environment
from swarmnode.workers.worker_log import MAX_LINE, LineCutter


def lines_of(*portions: bytes) -> list[str]:
    lines: list[str] = []
    cutter = LineCutter(lines.append)
    for portion in portions:
        cutter.feed(portion)
    cutter.close()
    return lines


@given(st.lists(st.text("ab \u00e9", max_size=9), max_size=6), st.data())
def test_lines_survive_any_portions(lines: list[str], data: st.DataObject) -> None:
    stream = "\n".join(lines).encode()
    cut = data.draw(st.integers(0, len(stream)))
    assert lines_of(stream[:cut], stream[cut:]) == [line.rstrip() for line in lines if line.strip()]


def test_a_long_line_is_cut_and_its_rest_dropped() -> None:
    assert lines_of(b"x" * (MAX_LINE + 1), b"y" * 9, b"z\nnext\n") == ["x" * MAX_LINE, "next"]
    assert lines_of(b"x" * (3 * MAX_LINE) + b"\nnext\n") == ["x" * MAX_LINE, "next"]
    assert lines_of(b"\xff\n") == ["\ufffd"]


def test_a_worker_sees_only_what_it_needs() -> None:
    given_to = worker_environment(
        {
            "PATH": "/bin",
            "LC_ALL": "C",
            "OPENAI_API_KEY": "secret",
            "SWARMNODE_API_KEY": "s",
            "PYTHONPATH": "/x",
        }
    )
    assert "secret" not in given_to.values() and "s" not in given_to.values()
    assert given_to["PATH"] == "/bin" and given_to["LC_ALL"] == "C"
    assert given_to["OPENBLAS_NUM_THREADS"] == given_to["OMP_NUM_THREADS"] == "1"
    assert given_to["PYTHONPATH"].endswith("/x") and given_to["PYTHONSAFEPATH"] == "1"
    assert worker_command("fd:3")[-2:] == ["--link", "fd:3"]


def test_stop_signals_are_blocked_only_meanwhile() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with stop_signals_blocked():
        assert {signal.SIGINT, signal.SIGTERM} <= signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_restarts_wait_longer_each_time_up_to_a_bound() -> None:
    delays = [restart_delay(n) for n in range(40)]
    assert delays[:2] == [0, 0] and delays == sorted(delays) and delays[-1] == LONGEST_DELAY
    assert failures_after(3, STEADY_SECONDS - 1) == 4
    assert failures_after(3, STEADY_SECONDS) == 1


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (ProcessTerminated(signal=9), "it was killed by signal 9"),
        (ProcessTerminated(exitCode=70), "it exited with status 70"),
        (ProcessDone(0), "it exited with status 0"),
    ],
)
def test_exits_in_words(reason: Exception, said: str) -> None:
    assert exit_in_words(Failure(reason)) == said


class Link:
    def __init__(self, token: bytes = b"") -> None:
        self.heard: list[Any] = []
        self.protocol = LinkProtocol(
            lambda link: self.heard.append("opened"),
            self.heard.append,
            lambda: self.heard.append("lost"),
            token,
        )
        self.transport = StringTransport()
        self.protocol.makeConnection(self.transport)


def test_frames_wait_for_a_reader_and_urgent_ones_overtake() -> None:
    link = Link()
    link.protocol.pauseProducing()
    link.protocol.send(Message("step", {"call": 1}, bytes(2 * MAX_FRAME)))
    assert link.transport.value() == b""
    link.protocol.send(Message("cancel", {"slot": 1}))
    link.protocol.resumeProducing()
    kinds = [message.kind for message in FrameDecoder("N").feed(link.transport.value())]
    assert kinds == ["cancel", "step"]
    assert link.transport.producer is link.protocol
    link.protocol.close()
    assert link.transport.disconnecting and link.transport.producer is None


def test_without_the_token_nothing_is_heard() -> None:
    link = Link(b"secret")
    link.protocol.dataReceived(b"guess\nhello")
    assert link.transport.disconnecting and link.heard == []
    link = Link(b"secret")
    link.protocol.dataReceived(b"x" * 200)
    assert link.transport.disconnecting and link.heard == []
    link.protocol.connectionLost()
    assert link.heard == []


def test_with_the_token_in_any_portions_the_link_opens() -> None:
    link = Link(b"secret")
    link.protocol.dataReceived(b"sec")
    link.protocol.dataReceived(b"ret\nrest")
    link.protocol.dataReceived(b"more")
    link.protocol.connectionLost()
    assert link.heard == ["opened", b"rest", b"more", "lost"]
