"""Finding fields in llama.cpp's parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.llama_cpp import FieldNotFound, find_library, flash_attention_word, kv_type_word

MINUS_ONE, MINUS_ONE_F32 = 0xFFFFFFFF, 0xBF800000


def defaults(extra: int = 0, more: int = 0) -> list[int]:
    """llama_context_params' defaults as words, with further fields before and after the threads."""
    words = [512, 2048, 512, 1, *[0] * extra, 4, 4, 0, *[MINUS_ONE] * 4, 0, 0]
    words += [MINUS_ONE_F32] * 4 + [0, MINUS_ONE_F32] + [0] * more
    words += [0] * (len(words) % 2) + [0, 0, 0, 0] + [1, 1] + [0] * 20
    return words + [0] * (256 - len(words))


@pytest.mark.parametrize("extra", [0, 1, 3, 4])
def test_fields_are_found_wherever_a_version_has_them(extra: int) -> None:
    words = defaults(extra)
    flash, kv = flash_attention_word(words), kv_type_word(words)
    assert words[flash - 3 : flash + 1] == [MINUS_ONE] * 4 and words[flash + 1] == 0
    assert words[kv : kv + 2] == [1, 1]


def test_a_struct_unlike_any_known_one_is_refused() -> None:
    with pytest.raises(FieldNotFound, match="flash_attn_type"):
        flash_attention_word([0] * 256)
    with pytest.raises(FieldNotFound, match="type_k"):
        kv_type_word([0] * 256)
    with pytest.raises(FieldNotFound, match="type_k"):
        kv_type_word(defaults(more=12))


def test_a_library_is_found_in_a_folder_or_named(tmp_path: Path) -> None:
    place = tmp_path / "lib" / "libllama.so"
    place.parent.mkdir()
    place.touch()
    assert find_library(tmp_path) == place
    assert find_library(place) == place
    with pytest.raises(FileNotFoundError, match=r"libllama\.so"):
        find_library(place.parent.parent / "elsewhere")
