"""The reader on damaged files: an error that names the file, and never anything else."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarmnode.models.facts import read_facts
from swarmnode.models.gguf import BadModelFile, GgufFile
from swarmnode.testing.random_model import RandomModel, write_random_model
from swarmnode.values.errors import Refused

FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
#: A reader that believed a count or length it should not would take far more.
MAX_BYTES = 8 << 20

ODD = st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 1 << 16, 1 << 31, 0xFFFFFFFF, 1 << 62, (1 << 64) - 1])


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model = RandomModel(layers=1, hidden=32, feed_forward=32, heads=2, vocab=270)
    return write_random_model(tmp_path_factory.mktemp("models") / "good.gguf", model).read_bytes()


@pytest.fixture(scope="module")
def header_bytes(good: bytes, tmp_path_factory: pytest.TempPathFactory) -> int:
    path = tmp_path_factory.mktemp("models") / "good.gguf"
    path.write_bytes(good)
    with GgufFile(path) as gguf:
        return min(info.offset for info in gguf.tensors.values())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    tracemalloc.start()
    yield tmp_path / "damaged.gguf"
    tracemalloc.stop()


def read_all(path: Path, content: bytes) -> None:
    """Read everything there is; only the two named errors may come, and little memory may go."""
    path.write_bytes(content)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        with GgufFile(path) as gguf:
            dict(gguf.metadata)
            for info in gguf.tensors.values():
                assert len(gguf.data(info)) == info.nbytes
            read_facts(gguf)
    except BadModelFile as error:
        assert error.message.startswith(path.name + ": ")
    except Refused as error:
        assert error.code == "unsupported_architecture" and path.name in error.message
    _, peak = tracemalloc.get_traced_memory()
    assert peak - before < MAX_BYTES


def test_the_file_itself_is_read(good: bytes, place: Path) -> None:
    place.write_bytes(good)
    with GgufFile(place) as gguf:
        assert read_facts(gguf).layers == 1


@FUZZ
@given(share=st.floats(0, 1))
def test_truncated_anywhere(good: bytes, place: Path, share: float) -> None:
    cut = int(share * (len(good) - 1))
    read_all(place, good[:cut])
    with pytest.raises(BadModelFile):
        GgufFile(place)


@FUZZ
@given(data=st.data())
def test_numbers_overwritten_in_the_header(
    good: bytes, header_bytes: int, place: Path, data: st.DataObject
) -> None:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(4, header_bytes - 8))
        width = data.draw(st.sampled_from([1, 4, 8]))
        value = data.draw(ODD) & ((1 << 8 * width) - 1)
        content[where : where + width] = value.to_bytes(width, "little")
    read_all(place, bytes(content))


@FUZZ
@given(data=st.data())
def test_bytes_cut_out_or_put_in(good: bytes, header_bytes: int, place: Path, data: st.DataObject) -> None:
    where = data.draw(st.integers(0, header_bytes))
    gone = data.draw(st.integers(0, 64))
    new = data.draw(st.binary(max_size=64))
    read_all(place, good[:where] + new + good[where + gone :])


@FUZZ
@given(rest=st.binary(max_size=400), version=st.sampled_from([2, 3]))
def test_anything_after_the_magic(place: Path, rest: bytes, version: int) -> None:
    read_all(place, b"GGUF" + version.to_bytes(4, "little") + rest)
