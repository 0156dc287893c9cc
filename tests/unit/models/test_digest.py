"""The digest of a model file: the same for copies, another one for anything else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from swarmnode.models.digest import DIGEST_BYTES, file_digest
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_random_model(tmp_path_factory.mktemp("model") / "m.gguf", RandomModel())


def test_a_copy_under_another_name_has_the_same(model: Path, tmp_path: Path) -> None:
    copy = shutil.copy(model, tmp_path / "other.gguf")
    assert file_digest(copy) == file_digest(model)
    assert len(file_digest(model)) == DIGEST_BYTES


@pytest.mark.parametrize(
    "changed",
    [RandomModel(seed=2), RandomModel(layers=4), RandomModel(weights="F16"), RandomModel(vocab=321)],
    ids=["other numbers", "deeper", "other types", "other vocabulary"],
)
def test_another_model_has_another(model: Path, tmp_path: Path, changed: RandomModel) -> None:
    assert file_digest(write_random_model(tmp_path / "m.gguf", changed)) != file_digest(model)


def test_the_header_counts_to_its_last_byte(model: Path, tmp_path: Path) -> None:
    data = bytearray(model.read_bytes())
    with GgufFile(model) as gguf:
        first = min(tensor.offset for tensor in gguf.tensors.values())
    data[data.index(b"token_embd.weight", 0, first)] ^= 1
    renamed = tmp_path / "renamed.gguf"
    renamed.write_bytes(data)
    assert file_digest(renamed) != file_digest(model)


def test_a_longer_file_has_another(model: Path, tmp_path: Path) -> None:
    longer = tmp_path / "longer.gguf"
    longer.write_bytes(model.read_bytes() + bytes(32))
    assert file_digest(longer) != file_digest(model)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile):
        file_digest(tmp_path / "missing.gguf")
