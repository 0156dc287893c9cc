"""The page's files agree with each other: texts, icons, ids, and nothing that the policy would refuse."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "web_ui"
HTML = (PAGE / "index.html").read_text(encoding="utf-8")
SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(PAGE.glob("static/js/*.js")))
TEXTS: dict[str, str] = json.loads((PAGE / "i18n" / "en.json").read_text(encoding="utf-8"))

#: Names of texts that come in the plural forms of the language: `<name>.one`, `<name>.other`.
PLURALS = {key.removesuffix(".other") for key in TEXTS if key.endswith(".other")}

#: Keys that scripts put together, by the pattern of the template that does it.
COMPOSED = [
    r"answer\.tokens\.(one|other)",
    r"key\.(busy|unreachable|wrong)",
    r"node\.(active|addresses|peer_id|peers|uptime|version|ready|starting|unreachable)",
    r"network\.(found|reach|state|trust|way)_\w+",
    r"network\.(computer|found|round_trip|since|trust|version)",
    r"network\.(connected|known|left_out|more|picture_quiet)\.(one|other)",
    r"settings\.\w+(_hint)?",
    r"theme\.(dark|light)",
    r"wait\.queued\.(one|other)",
]


def used_keys() -> set[str]:
    """Keys that the page or a script names in full."""
    in_page = re.findall(r'data-i18n(?:-label|-placeholder)?="([\w.]+)"', HTML)
    subjects = "|".join({key.split(".")[0] for key in TEXTS})
    return set(in_page) | set(re.findall(rf'"((?:{subjects})\.[a-z0-9_]+)"', SCRIPTS)) - PLURALS


def test_every_text_that_is_named_exists() -> None:
    assert used_keys() - set(TEXTS) == set()


def test_every_text_is_used() -> None:
    unused = set(TEXTS) - used_keys()
    assert {key for key in unused if not any(re.fullmatch(form, key) for form in COMPOSED)} == set()


def test_texts_are_sorted_and_their_places_well_formed() -> None:
    assert list(TEXTS) == sorted(TEXTS)
    for key, text in TEXTS.items():
        assert text.strip() == text != "", key
        names = {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}
        assert all(name.isidentifier() for name in names), key


def test_every_icon_and_element_that_is_named_exists() -> None:
    icons = set(re.findall(r'<symbol id="icon-(\w+)"', HTML))
    in_scripts = re.findall(r'\b(?:icon|iconButton)\("(\w+)"', SCRIPTS)
    assert set(re.findall(r'href="#icon-(\w+)"', HTML)) | set(in_scripts) == icons
    ids = re.findall(r'\bid="([\w-]+)"', HTML)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'byId\("([\w-]+)"\)', SCRIPTS)) <= {
        *ids,
        *re.findall(r'\bid: "([\w-]+)"', SCRIPTS),
    }


def test_every_file_that_is_named_exists_and_is_used() -> None:
    named = re.findall(r'(?:src|href)="/static/([^"#]+)"', HTML)
    imported = {f"js/{name}" for name in re.findall(r'from "\./(\w+\.js)"', SCRIPTS)}
    files = [path for path in (PAGE / "static").rglob("*") if path.is_file()]
    assert set(named) | imported == {path.relative_to(PAGE / "static").as_posix() for path in files}


def test_nothing_inline_and_nothing_that_makes_markup_of_text() -> None:
    assert re.findall(r"<script(?![^>]*\bsrc=)", HTML) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", HTML) == []
    markup = r"\.(?:innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|\beval\(|new Function"
    assert re.findall(markup, SCRIPTS) == []
    assert re.findall(r'setAttribute\("style|cssText', SCRIPTS) == []
    assert re.findall(r'(?:src|href)="(?!/static/|#)', HTML) == [], "the page loads from nowhere else"


def test_the_server_finds_its_places() -> None:
    assert HTML.count('content="{{page_nonce}}"') == 1
    assert HTML.count('data-theme="{{theme}}"') == 1


def test_lock_file_names_no_place() -> None:
    lock = (Path(__file__).parent / "package-lock.json").read_text(encoding="utf-8")
    assert "://" not in lock
    assert '"resolved"' not in lock


def test_the_guide_knows_what_the_page_suggests_to_ask() -> None:
    data = PAGE.parent / "packaging" / "guide_model" / "data" / "questions.txt"
    known = set(re.findall(r"^Q: (.+)$", data.read_text(encoding="utf-8"), re.MULTILINE))
    assert {text for key, text in TEXTS.items() if key.startswith("welcome.suggestion_")} <= known
