"""Where compiled kernels are kept, on each platform."""

from __future__ import annotations

import pytest

from swarmnode.inference.kernel_cache import cache_directory


@pytest.mark.parametrize(
    ("platform", "environ", "home", "expected"),
    [
        ("linux", {}, "/home/a", "/home/a/.cache/swarmnode/kernels"),
        ("linux", {"XDG_CACHE_HOME": "/fast"}, "/home/a", "/fast/swarmnode/kernels"),
        ("linux", {"XDG_CACHE_HOME": "not/absolute"}, "/home/a", "/home/a/.cache/swarmnode/kernels"),
        ("freebsd14", {}, "/home/a", "/home/a/.cache/swarmnode/kernels"),
        ("darwin", {"XDG_CACHE_HOME": "/fast"}, "/Users/a", "/Users/a/Library/Caches/swarmnode/kernels"),
        ("win32", {"LOCALAPPDATA": "D:\\local"}, "C:\\Users\\a", "D:\\local\\swarmnode\\kernels"),
        ("win32", {}, "C:\\Users\\a", "C:\\Users\\a\\AppData\\Local\\swarmnode\\kernels"),
    ],
)
def test_cache_directory(platform: str, environ: dict[str, str], home: str, expected: str) -> None:
    assert str(cache_directory(platform, environ, home)) == expected
