"""The page's files: found in a checkout, bounded, no links followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from swarmnode.api import assets
from swarmnode.api.assets import Assets, page_directory
from swarmnode.values.errors import LocalFault


def test_the_page_of_this_checkout_loads() -> None:
    found = Assets.load(page_directory())
    assert b"{{page_nonce}}" in found.shells["index.html"].body
    assert found.files["/static/i18n/en.json"].content_type == b"application/json"


def test_the_page_keeps_the_strict_policy() -> None:
    """No inline script, style or handler: the policy would block it."""
    for shell in Assets.load(page_directory()).shells.values():
        text = shell.body.lower()
        assert b"<style" not in text
        assert b" style=" not in text
        assert b" onclick=" not in text
        assert text.count(b"<script") == text.count(b"<script src=") + text.count(
            b'<script type="module" src='
        )


def test_a_folder_without_a_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalFault, match=str(tmp_path)):
        Assets.load(tmp_path)


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "index.html").write_text("x", "utf-8")
    (tmp_path / "static/passwd").symlink_to("/etc/passwd")
    assert Assets.load(tmp_path).files == {}


def test_the_number_and_size_of_files_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "index.html").write_text("x", "utf-8")
    for name in "ab":
        (tmp_path / "static" / name).write_text("12345", "utf-8")
    monkeypatch.setattr(assets, "MAX_FILES", 1)
    with pytest.raises(LocalFault):
        Assets.load(tmp_path)
    monkeypatch.setattr(assets, "MAX_FILES", 2)
    assert len(Assets.load(tmp_path).files) == 2
    monkeypatch.setattr(assets, "MAX_BYTES", 9)
    with pytest.raises(LocalFault):
        Assets.load(tmp_path)
