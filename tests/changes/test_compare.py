"""What a change to a file is for people, in a hub and beside it; what lies is compared by its bytes."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kamld.changes.compare import BytesDiff, Comparison, Wanted, compare_change, text_of_one
from kamld.formats.models import ModelDiff
from kamld.formats.pictures import PictureDiff
from kamld.formats.tables import TableDiff
from kamld.formats.text import TextDiff
from kamld.records.kinds import FILE, SYMLINK
from kamld.store import Change, Repository
from kamld.store.trees.entries import Entry
from tests.store.hubs import fresh


@pytest.fixture
def repository() -> Repository:
    return fresh()[0]


def kept(repository: Repository, path: str, data: bytes, kind: int = FILE) -> Entry:
    with repository.writer() as writer:
        identifier = writer.put(data)
        writer.flush()
    return Entry(path.encode(), kind, len(data), identifier)


def compared(
    repository: Repository, path: str, old: bytes, new: bytes, folder: Path | None = None, **wanted: Any
) -> Comparison:
    if folder:
        (folder / path).write_bytes(new)
        after = Entry(path.encode(), FILE, len(new), bytes(32))
    else:
        after = kept(repository, path, new)
    change = Change(path.encode(), kept(repository, path, old), after)
    found = compare_change(repository, change, folder, Wanted(**wanted))
    assert found is not None
    return found


def picture(size: tuple[int, int], colour: int = 0, form: str = "PNG", mode: str = "L") -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, colour).save(out, form)
    return out.getvalue()


def npy(*values: float) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array(values))
    return out.getvalue()


@pytest.mark.parametrize("in_hub", [True, False])
def test_each_kind_as_what_it_is(repository: Repository, tmp_path: Path, *, in_hub: bool) -> None:
    folder = None if in_hub else tmp_path
    table = compared(repository, "a.CSV", b"id,x\na,1\n", b"id,x\na,2\n", folder).inside
    assert isinstance(table, TableDiff)
    assert (table.key, table.changed) == (("id",), 1)
    model = compared(repository, "a.npy", npy(1), npy(2), folder).inside
    assert isinstance(model, ModelDiff)
    assert len(model.arrays) == 1
    image = compared(repository, "a.png", picture((4, 4)), picture((4, 4), 9), folder, thumbnail=2).inside
    assert isinstance(image, PictureDiff)
    assert image.pixels == 16
    assert image.new.thumbnail is not None
    assert Image.open(io.BytesIO(image.new.thumbnail)).size == (2, 2)
    text = compared(repository, "a.txt", b"a\nb\n", b"a\nc\n", folder).inside
    assert text == TextDiff(1, 1, ["@@ -1,2 +1,2 @@", " a", "-b", "+c"])
    shared = 0 if in_hub else None
    assert compared(repository, "a", b"\0a", b"\0bc", folder).inside == BytesDiff(2, 3, shared)


def test_bytes_in_common(repository: Repository) -> None:
    data = np.random.default_rng(1).bytes(3_000_000)
    inside = compared(repository, "a.bin", data, b"\0" + data[1:]).inside
    assert isinstance(inside, BytesDiff)
    assert inside.shared is not None
    assert 2_000_000 < inside.shared < 3_000_000


@pytest.mark.parametrize(
    "path", ["a.csv", "a.jsonl", "a.parquet", "a.npy", "a.npz", "a.safetensors", "a.onnx", "a.skops", "a.png"]
)
@pytest.mark.parametrize("data", [b"", b"\0\xff\xfe lies", b"PK\3\4 lies", b"\x89PNG\r\n\x1a\n\0"])
def test_what_is_not_as_its_name_says_is_bytes_with_a_remark(
    repository: Repository, path: str, data: bytes
) -> None:
    found = compared(repository, path, data, data + b"\xff\0")
    assert isinstance(found.inside, BytesDiff)
    assert found.remark


def test_a_table_that_has_no_such_key_is_text_with_a_remark(repository: Repository) -> None:
    found = compared(repository, "a.csv", b"x\na\n", b"x\nb\n", key=["nope"])
    assert isinstance(found.inside, TextDiff)
    assert 'no column "nope"' in found.remark


def test_a_picture_that_says_that_it_is_huge_is_not_opened(repository: Repository) -> None:
    honest = picture((10, 10))
    lying = honest[:16] + (100_000).to_bytes(4, "big") * 2 + honest[24:]
    found = compared(repository, "a.png", honest, lying)
    assert isinstance(found.inside, BytesDiff)


def test_other_sorts_are_not_looked_into(repository: Repository, tmp_path: Path) -> None:
    file, link = kept(repository, "a", b"x\n"), kept(repository, "a", b"y\n", SYMLINK)
    for old, new in ((None, file), (file, None), (file, link), (file, file)):
        assert compare_change(repository, Change(b"a", old, new), None, Wanted()) is None
    gone = Change(b"gone", file, Entry(b"gone", FILE, 1, bytes(32)))
    assert compare_change(repository, gone, tmp_path, Wanted()) is None
    removed = text_of_one(repository, Change(b"a", file, None), None)
    assert removed == TextDiff(0, 1, ["@@ -1 +0,0 @@", "-x"])


def test_many_other_lines_are_counted(repository: Repository) -> None:
    old, new = (b"".join(b"%d\n" % (n * k) for n in range(20_000)) for k in (1, 2))
    inside = compared(repository, "a.txt", old, new).inside
    assert inside == TextDiff(10_000, 10_000, aligned=False)


def test_line_numbers_behind_a_long_beginning(repository: Repository) -> None:
    same = b"same\n" * 1000
    inside = compared(repository, "a.txt", same + b"a\n" + same, same + b"b\n" + same).inside
    assert inside == TextDiff(1, 1, ["@@ -1000,3 +1000,3 @@", " same", "-a", "+b", " same"])
