"""Where the data directory is, on the three platforms."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest

from swarmnode.config.paths import anchored, data_directory


@pytest.mark.parametrize(
    ("platform", "environ", "home", "expected"),
    [
        ("linux", {}, "/home/ann", "/home/ann/.local/share/swarmnode"),
        ("linux", {"XDG_DATA_HOME": "/data"}, "/home/ann", "/data/swarmnode"),
        ("linux", {"XDG_DATA_HOME": "data"}, "/home/ann", "/home/ann/.local/share/swarmnode"),
        ("linux", {"XDG_DATA_HOME": ""}, "/home/ann", "/home/ann/.local/share/swarmnode"),
        ("freebsd14", {}, "/home/ann", "/home/ann/.local/share/swarmnode"),
        (
            "darwin",
            {"XDG_DATA_HOME": "/data"},
            "/Users/ann",
            "/Users/ann/Library/Application Support/swarmnode",
        ),
        ("win32", {"APPDATA": "D:\\Roaming"}, "C:\\Users\\ann", "D:\\Roaming\\swarmnode"),
        ("win32", {}, "C:\\Users\\ann", "C:\\Users\\ann\\AppData\\Roaming\\swarmnode"),
    ],
)
def test_data_directory(platform: str, environ: dict[str, str], home: str, expected: str) -> None:
    assert str(data_directory(platform, environ, home)) == expected


def test_anchored() -> None:
    base = PurePosixPath("/etc/swarmnode")
    assert anchored(PurePosixPath("logs/a"), base, "/home/ann") == PurePosixPath("/etc/swarmnode/logs/a")
    assert anchored(PurePosixPath("/logs"), base, "/home/ann") == PurePosixPath("/logs")
    assert anchored(PurePosixPath("~/logs"), base, "/home/ann") == PurePosixPath("/home/ann/logs")
    assert anchored(PurePosixPath("~ann/logs"), base, "/home/ann") == PurePosixPath(
        "/etc/swarmnode/~ann/logs"
    )
    windows = PureWindowsPath("C:\\node")
    assert anchored(PureWindowsPath("~\\m.gguf"), windows, "C:\\Users\\ann") == PureWindowsPath(
        "C:\\Users\\ann\\m.gguf"
    )
