"""The database: opened, damaged, migrated, closed. Work runs at once instead of on a thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from swarmnode.storage.database import MAX_PENDING, Database
from swarmnode.storage.records import get_setting, put_setting
from swarmnode.storage.schema import APPLICATION_ID
from swarmnode.values.errors import LocalFault, Refused, Unavailable

STAMP = 1_700_000_000.0


class AtOnce:
    """A runner that runs work when it is asked for."""

    def __init__(self) -> None:
        self.stopped = 0

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        return maybeDeferred(work)

    def stop(self) -> None:
        self.stopped += 1


class Never(AtOnce):
    """A runner whose thread is stuck."""

    def run(self, work: Callable[[], Any]) -> Deferred[Any]:
        return Deferred()


def result(deferred: Deferred[Any]) -> Any:
    """What the Deferred has by now; raises what it failed with."""
    got: list[Any] = []
    deferred.addBoth(got.append)
    assert got, "the Deferred has no result yet"
    if isinstance(got[0], Failure):
        got[0].raiseException()
    return got[0]


def opened(data_dir: Path, url: str = "") -> Database:
    database = Database(url, data_dir, AtOnce(), lambda: STAMP)
    result(database.open())
    return database


def remember(data_dir: Path) -> None:
    database = opened(data_dir)
    result(database.run(lambda s: put_setting(s, "kept", {"a": [1, 2.5, None, "\N{SNOWMAN}"]}, STAMP)))
    result(database.close())


def recalled(database: Database) -> Any:
    return result(database.run(lambda s: get_setting(s, "kept")))


def test_what_was_written_is_there_after_a_restart(tmp_path: Path):
    remember(tmp_path)
    database = opened(tmp_path)
    assert recalled(database) == {"a": [1, 2.5, None, "\N{SNOWMAN}"]}
    assert database.moved_aside is None
    result(database.close())


def test_sqlite_is_set_up_as_promised(tmp_path: Path):
    database = opened(tmp_path)

    def look(session: Any) -> dict[str, Any]:
        names = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout", "application_id")
        return {n: session.connection().exec_driver_sql(f"PRAGMA {n}").scalar() for n in names}

    assert result(database.run(look)) == {
        "journal_mode": "wal",
        "foreign_keys": 1,
        "synchronous": 2,
        "busy_timeout": 5000,
        "application_id": APPLICATION_ID,
    }
    result(database.close())


def test_after_the_close_the_file_alone_is_the_database(tmp_path: Path):
    remember(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["swarmnode.db"]
    assert (tmp_path / "swarmnode.db").stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(tmp_path / "swarmnode.db") as connection:
        assert connection.execute("SELECT name FROM node_settings").fetchall() == [("kept",)]


def test_work_that_raises_changes_nothing(tmp_path: Path):
    database = opened(tmp_path)

    def half(session: Any) -> None:
        put_setting(session, "kept", 1, STAMP)
        session.flush()
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        result(database.run(half))
    assert recalled(database) is None
    result(database.close())


@pytest.mark.parametrize("size", [1, 100, 5000, 200_000])
def test_noise_is_moved_aside_and_the_node_starts(
    tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
):
    noise = bytes((i * 37 + 11) % 256 for i in range(size))
    (tmp_path / "swarmnode.db").write_bytes(noise)
    database = opened(tmp_path)
    assert database.moved_aside == tmp_path / "swarmnode.db.corrupt-20231114-221320"
    assert database.moved_aside.read_bytes() == noise
    assert str(database.moved_aside) in caplog.text
    assert recalled(database) is None
    result(database.close())
    assert opened(tmp_path).moved_aside is None


def test_a_truncated_database_is_moved_aside_at_every_cut(tmp_path: Path):
    remember(tmp_path)
    path = tmp_path / "swarmnode.db"
    whole = path.read_bytes()
    for cut in range(1, len(whole), 3001):
        path.write_bytes(whole[:cut])
        database = opened(tmp_path)
        assert database.moved_aside is not None
        assert database.moved_aside.read_bytes() == whole[:cut]
        assert recalled(database) is None
        result(database.close())


def test_the_log_of_a_damaged_database_goes_with_it(tmp_path: Path):
    (tmp_path / "swarmnode.db").write_bytes(b"noise" * 1000)
    (tmp_path / "swarmnode.db-wal").write_bytes(b"an old log")
    database = opened(tmp_path)
    aside = tmp_path / "swarmnode.db.corrupt-20231114-221320-wal"
    assert aside.read_bytes() == b"an old log"
    result(database.close())


def test_two_damaged_databases_of_one_second_are_both_kept(tmp_path: Path):
    for content in (b"first" * 100, b"second" * 100):
        (tmp_path / "swarmnode.db").write_bytes(content)
        result(opened(tmp_path).close())
    kept = {p.read_bytes()[:5] for p in tmp_path.glob("*.corrupt-*")}
    assert kept == {b"first", b"secon"}


def test_an_empty_file_is_a_new_database(tmp_path: Path):
    (tmp_path / "swarmnode.db").touch()
    database = opened(tmp_path)
    assert database.moved_aside is None
    result(database.close())


def other_programs_file(path: Path) -> bytes:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    return path.read_bytes()


def test_another_programs_file_in_our_place_is_moved_aside(tmp_path: Path):
    content = other_programs_file(tmp_path / "swarmnode.db")
    database = opened(tmp_path)
    assert database.moved_aside is not None
    assert database.moved_aside.read_bytes() == content
    result(database.close())


def test_another_programs_file_that_was_configured_is_not_touched(tmp_path: Path):
    path = tmp_path / "bookmarks.db"
    content = other_programs_file(path)
    with pytest.raises(Refused, match=r"bookmarks\.db") as caught:
        opened(tmp_path, f"sqlite:///{path}")
    assert caught.value.code == "database_foreign"
    assert path.read_bytes() == content


def test_a_database_of_a_later_version_is_refused_by_name(tmp_path: Path):
    remember(tmp_path)
    with sqlite3.connect(tmp_path / "swarmnode.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(Refused, match="9999") as caught:
        opened(tmp_path)
    assert caught.value.code == "database_newer"
    assert not list(tmp_path.glob("*.corrupt-*"))


def test_a_directory_in_the_way_is_a_named_fault(tmp_path: Path):
    (tmp_path / "swarmnode.db").mkdir()
    with pytest.raises(LocalFault) as caught:
        opened(tmp_path)
    assert caught.value.code == "database_unavailable"


@pytest.mark.parametrize(
    "url", ["nonsense", "nosuchdb://host/x", "sqlite+nodriver:///x", "postgresql+nodriver://u:secret@h/d"]
)
def test_a_url_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as caught:
        opened(tmp_path, url)
    assert caught.value.code == "bad_database_url"
    assert "secret" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_any_sqlite_url_works(tmp_path: Path):
    for url in ("sqlite://", f"sqlite:///{tmp_path}/el%20se.db"):
        database = opened(tmp_path, url)
        result(database.run(lambda s: put_setting(s, "kept", 1, STAMP)))
        assert recalled(database) == 1
        result(database.close())
    assert not (tmp_path / "swarmnode.db").exists()


def test_what_the_database_says_becomes_a_named_fault(tmp_path: Path):
    database = opened(tmp_path)

    def broken(session: Any) -> None:
        session.connection().exec_driver_sql("INSERT INTO node_settings (name) VALUES ('x')")

    with pytest.raises(LocalFault, match="NOT NULL") as caught:
        result(database.run(broken))
    assert caught.value.code == "database_error"
    assert isinstance(caught.value.__cause__, IntegrityError)
    result(database.close())


def test_damage_that_shows_later_is_named(tmp_path: Path):
    remember(tmp_path)
    database = opened(tmp_path)

    def damaged(_session: Any) -> None:
        path = tmp_path / "elsewhere.db"
        path.write_bytes(b"noise" * 1000)
        connection = sqlite3.connect(path)
        try:
            connection.execute("SELECT * FROM sqlite_schema")
        except sqlite3.DatabaseError as error:
            from sqlalchemy.exc import DatabaseError

            raise DatabaseError("SELECT", {}, error) from error
        finally:
            connection.close()

    with pytest.raises(LocalFault) as caught:
        result(database.run(damaged))
    assert caught.value.code == "database_damaged"


def test_a_stuck_thread_is_not_given_endless_work(tmp_path: Path):
    database = Database("", tmp_path, Never())
    for _ in range(MAX_PENDING):
        database.run(lambda s: None)
    assert database.pending == MAX_PENDING
    with pytest.raises(Unavailable) as caught:
        result(database.run(lambda s: None))
    assert caught.value.code == "database_busy"


def test_closing_ends_the_thread_once_and_later_work_is_refused(tmp_path: Path):
    runner = AtOnce()
    database = Database("", tmp_path, runner)
    result(database.open())
    result(database.close())
    result(database.close())
    assert runner.stopped == 1
    assert database.pending == 0
    with pytest.raises(Unavailable):
        result(database.run(lambda s: None))


def test_a_database_that_never_opened_can_be_closed(tmp_path: Path):
    database = Database("nonsense", tmp_path, AtOnce())
    with pytest.raises(Refused):
        result(database.open())
    result(database.close())
