"""The database on its real thread and reactor, in a process of its own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import itertools, sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.defer import inlineCallbacks
from swarmnode.storage.database import Database
from swarmnode.storage.records import add_usage
from swarmnode.storage.runner import OneThread

@inlineCallbacks
def main():
    database = Database("", Path(sys.argv[1]), OneThread(reactor))
    yield database.open()
    rounds = range(int(sys.argv[2])) if len(sys.argv) > 2 else itertools.count()
    for number in rounds:
        done = database.run(lambda session: add_usage(session, {"rounds": 1}))
        if len(sys.argv) < 3:
            yield done
            print(number + 1, flush=True)
    yield database.close()
    reactor.stop()

reactor.callWhenRunning(lambda: main().addErrback(lambda f: (f.printTraceback(), reactor.stop())))
reactor.run()
"""


def rounds_in(path: Path) -> int:
    connection = sqlite3.connect(path)
    try:
        return connection.execute("SELECT value FROM usage_counters WHERE name = 'rounds'").fetchone()[0]
    finally:
        connection.close()


def write_rounds(path: Path, count: int) -> None:
    command = [sys.executable, "-c", WRITER, str(path), str(count)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr


def test_kill_9_loses_nothing_that_was_committed(tmp_path: Path):
    child = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout
    told = 0
    for line in child.stdout:
        told = int(line)
        if told >= 50:
            break
    os.kill(child.pid, signal.SIGKILL)
    rest = child.stdout.read().split()
    child.wait()
    told = int(rest[-1]) if rest else told
    assert rounds_in(tmp_path / "swarmnode.db") >= told >= 50
    write_rounds(tmp_path, 5)
    assert rounds_in(tmp_path / "swarmnode.db") >= told + 5
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_the_close_does_all_work_asked_for_before_it(tmp_path: Path):
    write_rounds(tmp_path, 500)
    assert rounds_in(tmp_path / "swarmnode.db") == 500
    assert [p.name for p in tmp_path.iterdir()] == ["swarmnode.db"]
