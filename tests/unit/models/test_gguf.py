"""The reader on files written by gguf's own writer and by hand, and on damaged ones."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest

from swarmnode.models import header
from swarmnode.models.gguf import BadModelFile, GgufFile, first_parts

U32, U64 = struct.Struct("<I").pack, struct.Struct("<Q").pack


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return U64(len(raw)) + raw


def key(name: str, kind: int, packed: bytes) -> bytes:
    return text(name) + U32(kind) + packed


def tensor(name: str, shape: tuple[int, ...], kind: int = 0, offset: int = 0) -> bytes:
    return text(name) + U32(len(shape)) + b"".join(map(U64, reversed(shape))) + U32(kind) + U64(offset)


def file_of(
    keys: tuple[bytes, ...] = (),
    tensors: tuple[bytes, ...] = (),
    data: bytes = b"",
    *,
    magic: bytes = b"GGUF",
    version: bytes = U32(3),
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    tensor_count, key_count = counts or (len(tensors), len(keys))
    head = magic + version + U64(tensor_count) + U64(key_count) + b"".join(keys) + b"".join(tensors)
    return head + b"\0" * (-len(head) % alignment) + data


def opened(folder: Path, content: bytes, name: str = "m.gguf") -> GgufFile:
    path = folder / name
    path.write_bytes(content)
    return GgufFile(path)


def fault(folder: Path, content: bytes) -> str:
    with pytest.raises(BadModelFile) as caught:
        opened(folder, content)
    assert caught.value.message.startswith("m.gguf: ")
    assert caught.value.code == "bad_model_file" and caught.value.hint
    return caught.value.message


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(str(path), "llama")
    for kind, value in (("uint8", 200), ("int8", -7), ("uint16", 60000), ("int16", -30000)):
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    for kind, value in (("uint32", 4_000_000_000), ("int32", -2_000_000_000), ("float32", 0.5)):
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    for kind, value in (("uint64", 1 << 63), ("int64", -(1 << 62)), ("float64", 1e300), ("bool", True)):
        getattr(writer, f"add_{kind}")(f"x.{kind}", value)
    writer.add_string("x.string", "Straße")
    writer.add_array("x.texts", ["a", "", "äöü"])
    writer.add_array("x.numbers", [1, -2, 3])
    writer.add_array("x.floats", [0.25, -1.5])
    writer.add_tensor("square", np.arange(12, dtype=np.float32).reshape(3, 4))
    writer.add_tensor("half", np.arange(5, dtype=np.float16))
    packed = gguf.quants.quantize(np.ones((2, 64), np.float32), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("packed", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_metadata_of_every_type(written: Path) -> None:
    with GgufFile(written) as file:
        got = {name: file.metadata[f"x.{name}"] for name in ("uint8", "int8", "uint16", "int16", "bool")}
        assert got == {"uint8": 200, "int8": -7, "uint16": 60000, "int16": -30000, "bool": True}
        assert (file.metadata["x.uint32"], file.metadata["x.int32"]) == (4_000_000_000, -2_000_000_000)
        assert (file.metadata["x.uint64"], file.metadata["x.int64"]) == (1 << 63, -(1 << 62))
        assert (file.metadata["x.float32"], file.metadata["x.float64"]) == (0.5, 1e300)
        assert file.metadata["x.string"] == "Straße"
        assert file.metadata["x.texts"] == ["a", "", "äöü"]
        assert file.metadata["x.numbers"] == [1, -2, 3]
        assert file.metadata["x.floats"] == [0.25, -1.5]


def test_arrays_are_counted_without_being_read(written: Path) -> None:
    with GgufFile(written) as file:
        assert file.metadata.array_length("x.texts") == 3
        assert file.metadata.array_length("x.string") is None
        assert "x.texts" in file.metadata and file.metadata.get("x.nothing") is None


def test_tensors_lie_where_the_reader_says(written: Path) -> None:
    with GgufFile(written) as file:
        assert file.tensors["square"].shape == (3, 4)
        np.testing.assert_array_equal(np.frombuffer(file.data("square"), np.float32), np.arange(12))
        np.testing.assert_array_equal(np.frombuffer(file.data("half"), np.float16), np.arange(5))
        info = file.tensors["packed"]
        assert (info.type_name, info.shape, info.nbytes, info.elements) == ("Q8_0", (2, 64), 136, 128)
        file.release("square")
        np.testing.assert_array_equal(np.frombuffer(file.data("square"), np.float32), np.arange(12))


def test_the_reader_agrees_with_gguf_on_real_files(shared: Path) -> None:
    path = shared / "data/tiny-models/Qwen3.f32.gguf"
    reference = gguf.GGUFReader(path)
    with GgufFile(path) as file:
        assert {t.name: (int(t.data_offset), int(t.n_bytes)) for t in reference.tensors} == {
            name: (info.offset, info.nbytes) for name, info in file.tensors.items()
        }
        assert set(file.metadata) == {name for name in reference.fields if not name.startswith("GGUF.")}


def test_version_2_and_an_alignment_of_its_own(tmp_path: Path) -> None:
    content = file_of(
        (key("general.alignment", 4, U32(256)),),
        (tensor("a", (3,)), tensor("b", (2,), offset=256)),
        struct.pack("<3f", 1, 2, 3) + bytes(244) + struct.pack("<2f", 4, 5),
        version=U32(2),
        alignment=256,
    )
    file = opened(tmp_path, content)
    assert file.version == 2
    assert np.frombuffer(file.data("b"), np.float32).tolist() == [4, 5]
    assert file.tensors["a"].offset % 256 == 0


def test_bytes_that_are_not_utf8_survive(tmp_path: Path) -> None:
    file = opened(tmp_path, file_of((key("x", 8, text(b"\xff\xfe")),)))
    assert file.metadata["x"].encode("utf-8", "surrogateescape") == b"\xff\xfe"


GOOD = (tensor("a", (4,)),)
DATA = bytes(16)

FAULTS = {
    "not a GGUF": (file_of(GOOD, magic=b"GGML"), "is not a GGUF: it begins with b'GGML'"),
    "empty": (b"", "0 bytes are too few"),
    "a few bytes": (b"GGUF\3\0\0\0", "8 bytes are too few"),
    "big-endian": (file_of(version=b"\0\0\0\3"), "big-endian"),
    "version 1": (file_of(version=U32(1)), "GGUF version 1"),
    "version 4": (file_of(version=U32(4)), "GGUF version 4"),
    "too many tensors": (file_of(counts=(1 << 60, 0)), f"claims {1 << 60} tensors"),
    "too many keys": (file_of(counts=(0, 1 << 60)), f"claims {1 << 60} metadata keys"),
    "tensors that are not there": (file_of(counts=(60000, 0)), "ends in the middle"),
    "keys that are not there": (file_of(counts=(0, 60000)), "ends in the middle"),
    "a key that is too long": (file_of((U64(1 << 40),)), "a text of"),
    "a text beyond the end": (file_of((key("x", 8, U64(1 << 20)),)), "ends in the middle"),
    "a text that is too long": (file_of((key("x", 8, U64(1 << 60)),)), "a text of"),
    "an unknown type": (file_of((key("x", 13, b""),)), "unknown type 13"),
    "a list of lists": (file_of((key("x", 9, U32(9) + U64(1)),)), "list of values of unknown type 9"),
    "a list that is too long": (file_of((key("x", 9, U32(4) + U64(1 << 61)),)), "a list of"),
    "a list beyond the end": (file_of((key("x", 9, U32(4) + U64(1 << 20)),)), "ends in the middle"),
    "texts beyond the end": (file_of((key("x", 9, U32(8) + U64(2) + U64(1 << 62)),)), "ends in the middle"),
    "a last text beyond the end": (file_of((key("x", 9, U32(8) + U64(1) + U64(1 << 62)),)), "beyond the end"),
    "a key twice": (file_of((key("x", 0, b"\1"), key("x", 0, b"\1"))), "'x' occurs twice"),
    "an alignment of nought": (file_of((key("general.alignment", 4, U32(0)),)), "not a power of two"),
    "an alignment in words": (file_of((key("general.alignment", 8, text("32")),)), "not a power of two"),
    "no dimension": (file_of((), (tensor("a", ()),)), "0 dimensions"),
    "five dimensions": (file_of((), (tensor("a", (1,) * 5),)), "5 dimensions"),
    "an empty dimension": (file_of((), (tensor("a", (4, 0)),)), "impossible shape"),
    "a product beyond reason": (file_of((), (tensor("a", (1 << 60, 1 << 60)),)), "impossible shape"),
    "an unknown weight type": (file_of((), (tensor("a", (4,), kind=99),)), "unknown type 99"),
    "rows that are no blocks": (file_of((), (tensor("a", (33,), kind=8),)), "rows of 33"),
    "data beyond the end": (file_of((), GOOD, DATA[:15]), "the download is probably incomplete"),
    "an offset beyond the end": (
        file_of((), (tensor("a", (4,), offset=1 << 62),), DATA),
        "probably incomplete",
    ),
    "an offset between": (file_of((), (tensor("a", (1,), offset=4),), DATA), "not a multiple of 32"),
    "an overlap": (file_of((), (tensor("a", (9,)), tensor("b", (1,), offset=32)), bytes(64)), "overlap"),
    "a name twice": (
        file_of((), (tensor("a", (4,)), tensor("a", (4,), offset=32)), bytes(64)),
        "two tensors are called 'a'",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults_are_named(tmp_path: Path, case: str) -> None:
    content, said = FAULTS[case]
    assert said in fault(tmp_path, content)


def test_the_smallest_good_file_is_good(tmp_path: Path) -> None:
    assert opened(tmp_path, file_of((), GOOD, DATA)).tensors["a"].nbytes == 16


def test_texts_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header, "MAX_TEXTS_BYTES", 100)
    single = tuple(key(f"k{i}", 8, text("x" * 40)) for i in range(3))
    assert "more than 100 bytes" in fault(tmp_path, file_of(single))
    listed = key("x", 9, U32(8) + U64(3) + text("x" * 40) * 3)
    assert "more than 100 bytes" in fault(tmp_path, file_of((listed,)))


@pytest.mark.parametrize("place", ["nothing", "folder", "pipe"])
def test_what_is_no_file(tmp_path: Path, place: str) -> None:
    path = tmp_path / place
    if place == "folder":
        path.mkdir()
    if place == "pipe":
        os.mkfifo(path)
    with pytest.raises(BadModelFile, match=place):
        GgufFile(path)


def part(number: int, of: int, said: int | None = None, tensors: int | None = None) -> bytes:
    keys = [key("split.count", 2, struct.pack("<H", of))]
    keys.append(key("split.no", 2, struct.pack("<H", number if said is None else said)))
    if tensors is not None:
        keys.append(key("split.tensors.count", 5, struct.pack("<i", tensors)))
    return file_of(tuple(keys), (tensor(f"t{number}", (4,)),), struct.pack("<4f", *[number] * 4))


def split(folder: Path, *parts: bytes) -> Path:
    for number, content in enumerate(parts, 1):
        (folder / f"m-{number:05}-of-{len(parts):05}.gguf").write_bytes(content)
    return folder / f"m-00001-of-{len(parts):05}.gguf"


def test_the_parts_of_a_split_file_are_one(tmp_path: Path) -> None:
    first = split(tmp_path, part(0, 3, tensors=3), part(1, 3), part(2, 3))
    with GgufFile(first) as file:
        assert [path.name[:7] for path in file.files] == ["m-00001", "m-00002", "m-00003"]
        for number in range(3):
            assert np.frombuffer(file.data(f"t{number}"), np.float32).tolist() == [number] * 4


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((part(0, 2), part(1, 2, said=0)), "says that it is part 0 of 2"),
        ((part(0, 2), part(1, 3)), "says that it is part 1 of 3"),
        ((part(0, 2, tensors=5), part(1, 2)), "hold 2 tensors, not 5"),
        ((part(0, 2), part(0, 2, said=1)), "two tensors are called 't0'"),
        ((part(0, 2), b"GGUF"), "too few"),
        ((part(0, 5000), part(1, 2)), "not named"),
    ],
)
def test_parts_that_contradict_one_another(tmp_path: Path, parts: tuple[bytes, ...], said: str) -> None:
    with pytest.raises(BadModelFile, match=said):
        GgufFile(split(tmp_path, *parts))


def test_a_missing_part_and_a_later_part_are_named(tmp_path: Path) -> None:
    first = split(tmp_path, part(0, 2), part(1, 2))
    second = tmp_path / "m-00002-of-00002.gguf"
    with pytest.raises(BadModelFile, match="is part 2 of 2; name the first"):
        GgufFile(second)
    second.unlink()
    with pytest.raises(BadModelFile, match=r"m-00002-of-00002\.gguf is missing"):
        GgufFile(first)


def test_a_split_file_under_another_name(tmp_path: Path) -> None:
    assert "not named NAME-00001-of-00002.gguf" in fault(tmp_path, part(0, 2))


def test_of_many_names_the_first_parts_stand_for_models() -> None:
    names = ["a.gguf", "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]
    assert first_parts(names) == names[:2]


def test_a_file_that_is_not_there_is_not_to_be_downloaded_again(tmp_path: Path) -> None:
    with pytest.raises(BadModelFile, match="gone.gguf: cannot be read: No such file") as caught:
        GgufFile(tmp_path / "gone.gguf")
    assert caught.value.hint == f"Check the path {tmp_path / 'gone.gguf'}."
