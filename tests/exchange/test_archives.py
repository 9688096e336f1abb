"""Laws of reading archives: what is good comes as it is; what is not is refused by name, in little memory."""

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.exchange.archives import members
from kamld.exchange.items import checked
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data, "tar.gz": lambda data: gzip.compress(data, 1, mtime=0),
    "tar.bz2": lambda data: bz2.compress(data, 1), "tar.xz": lambda data: lzma.compress(data, preset=0),
    "tar.zst": lambda data: zstandard.ZstdCompressor(1).compress(data), "zip": lambda data: data,
}  # fmt: skip
Found = dict[bytes, tuple[int, bytes]]


def read(data: bytes, kind: str) -> Found:
    """As an import takes it: each item's content before the next item."""
    found: Found = {}
    for item in checked("it", members(lambda: io.BytesIO(data), f"it.{kind}", "it")):
        if item.same_as:
            found[item.path] = found[item.same_as]
        else:
            found[item.path] = item.kind, b"".join(item.pieces())
    return found


def packed(entries: Found, kind: str) -> bytes:
    out = io.BytesIO()
    if kind == "zip":
        modes = {FILE: 0o100644, EXECUTABLE: 0o100755, SYMLINK: 0o120777, FOLDER: 0o040755}
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, (sort, data) in entries.items():
                info = zipfile.ZipInfo(path.decode() + "/" * (sort == FOLDER))
                info.create_system, info.external_attr = 3, modes[sort] << 16
                archive.writestr(info, data)
        return out.getvalue()
    types = {SYMLINK: tarfile.SYMTYPE, FOLDER: tarfile.DIRTYPE}
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, (sort, data) in entries.items():
            info = tarfile.TarInfo(os.fsdecode(path))
            info.type, info.mode = types.get(sort, tarfile.REGTYPE), 0o755 if sort == EXECUTABLE else 0o644
            if sort == SYMLINK:
                info.linkname = os.fsdecode(data)
            elif sort != FOLDER:
                info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return PACKERS[kind](out.getvalue())


words = st.text("ab.é ", min_size=1, max_size=4).filter(lambda word: word.strip(".") and word.strip())
contents = st.binary(max_size=300) | st.just(bytes(200_000))
sorts = st.sampled_from([FILE, EXECUTABLE])


@st.composite
def trees(draw: st.DrawFn) -> Found:
    """Files in folders of one level, links between files, empty folders."""
    files = draw(st.dictionaries(words, st.tuples(sorts, contents), max_size=6))
    found = {f"f{number % 2}/{name}".encode(): entry for number, (name, entry) in enumerate(files.items())}
    for number, path in enumerate(list(found)[: draw(st.integers(0, 2))]):
        found[f"f0/to{number}".encode()] = SYMLINK, b"../" + path
    if draw(st.booleans()):
        found[b"void"] = FOLDER, b""
    return found or {b"only": (FILE, b"")}


@given(trees(), st.sampled_from(list(PACKERS)))
def test_what_was_packed_comes(tree: Found, kind: str) -> None:
    assert read(packed(tree, kind), kind) == tree


@given(trees(), st.sampled_from(list(PACKERS)), st.data())
def test_any_damage_is_told_or_harmless(tree: Found, kind: str, data: st.DataObject) -> None:
    """Where there is a checksum, a change is told; a plain tar has none of contents."""
    whole = packed(tree, kind)
    how = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    at = data.draw(st.integers(0, len(whole) - 1))
    flipped = bytes([whole[at] ^ data.draw(st.integers(1, 255))])
    middle, rest = {"cut": (b"", b""), "insert": (b"?", whole[at:]), "flip": (flipped, whole[at + 1 :])}[how]
    try:
        found = read(whole[:at] + middle + rest, kind)
    except Invalid as error:
        told = error.code in ("damaged_archive", "unsafe_path", "archive_bomb", "encrypted_archive")
        assert told, error  # noqa: PT017 - no error is as good
        return
    if kind in ("tar.gz", "tar.bz2", "tar.xz") and found != tree:
        pytest.fail("a change behind a checksum was taken for content")
    for path in found:
        assert b".." not in path.split(b"/")


hostile_names = st.text("./a\\\0é", min_size=1, max_size=8) | st.sampled_from(
    ["/etc/x", "../x", "a/../../x", "./.kamld/x", ".kamld", "a//b", "C:\\x", "a\\..\\..\\x"]
)


@given(st.lists(st.tuples(hostile_names, st.sampled_from([0, 1, 2, 3, 5, 6]), hostile_names), max_size=5),
       st.sampled_from(["tar", "zip"]))  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_whatever_its_names_nothing_leads_outside(rows: list[tuple[str, int, str]], kind: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar, zipfile.ZipFile(zipped := io.BytesIO(), "w") as archive:
        for name, sort, target in rows:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = str(sort).encode(), target
            tar.addfile(info, io.BytesIO())
            link = zipfile.ZipInfo(name)
            link.create_system, link.external_attr = 3, (0o120777 if sort == 2 else 0o100644) << 16
            archive.writestr(link, target)
    try:
        found = read(out.getvalue() if kind == "tar" else zipped.getvalue(), kind)
    except (Invalid, KeyError):  # a KeyError: a hard link to nothing, which an import refuses by name
        return
    for path, (sort, data) in found.items():
        parts = path.split(b"/")
        assert path
        assert not {b"", b".", b"..", b".kamld"} & set(parts)
        assert not any(b"/".join(parts[:n]) in found for n in range(1, len(parts))
                       if found.get(b"/".join(parts[:n]), (FOLDER,))[0] != FOLDER)  # fmt: skip
        if sort == SYMLINK:
            reached = os.path.normpath(b"/top/" + os.path.dirname(path) + b"/" + data)
            assert reached == b"/top" or reached.startswith(b"/top/")


# --- bombs: each in a process of its own, whose memory is bounded

BOMB = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1_200_000_000,) * 2)
from kamld.errors import Invalid
from kamld.exchange.archives import members
try:
    for item in members(lambda: open(sys.argv[1], "rb"), sys.argv[1], "it"):
        for piece in item.pieces():
            pass
except Invalid as error:
    peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(error.code, int(peak.split()[1]) // 1000)
"""


def exploded(path: Path) -> tuple[str, int]:
    done = subprocess.run([sys.executable, "-c", BOMB, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    code, megabytes = done.stdout.split()
    return code, int(megabytes)


class Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self.left = size

    def read(self, size: int = -1) -> bytes:
        count = min(size, self.left)
        self.left -= count
        return bytes(count)


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "tar.zst"])
@pytest.mark.parametrize("what", ["content", "description"])
def test_bombs_end_early_in_little_memory(kind: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / f"bomb.{kind}"
    openers = {"tar.gz": gzip.open, "tar.bz2": bz2.open, "tar.xz": lzma.open, "tar.zst": zstandard.open}
    with openers[kind](path, "wb") as out, tarfile.open(fileobj=out, mode="w|") as tar:
        info = tarfile.TarInfo("bomb")
        info.size = 400_000_000
        info.type = tarfile.REGTYPE if what == "content" else tarfile.XHDTYPE
        tar.addfile(info, Zeros(info.size))  # type: ignore[arg-type]
    code, megabytes = exploded(path)
    assert code == "archive_bomb"
    assert megabytes < 200


def test_a_sparse_file_of_nothing_is_a_bomb(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(10**12)
    subprocess.run(["tar", "-Scf", "bomb.tar", "sparse"], cwd=tmp_path, check=True)
    assert (tmp_path / "bomb.tar").stat().st_size < 20_000
    code, megabytes = exploded(tmp_path / "bomb.tar")
    assert code == "archive_bomb"
    assert megabytes < 200


def test_a_small_sparse_file_comes(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(1_000_000)
        file.write(b"x")
    subprocess.run(["tar", "-Scf", "it.tar", "sparse"], cwd=tmp_path, check=True)
    found = read((tmp_path / "it.tar").read_bytes(), "tar")
    assert found == {b"sparse": (FILE, (tmp_path / "sparse").read_bytes())}


def test_a_zip_whose_files_overlap(tmp_path: Path) -> None:
    """One packed content that a thousand names have: a directory may say what it likes."""
    kernel = zipfile.ZipInfo("k")
    kernel.compress_type = zipfile.ZIP_DEFLATED
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(kernel, bytes(20_000_000), compresslevel=9)
        for number in range(1000):
            copy = zipfile.ZipInfo(f"k{number}")
            for what in ("compress_type", "CRC", "compress_size", "file_size", "header_offset"):
                setattr(copy, what, getattr(kernel, what))
            archive.filelist.append(copy)
    code, megabytes = exploded(path)
    assert code in ("archive_bomb", "damaged_archive")
    assert megabytes < 200


def test_a_tar_that_was_cut_between_two_files_is_no_whole_one() -> None:
    data = packed({b"a": (FILE, b"1" * 700), b"b": (FILE, b"2" * 600), b"c": (FILE, b"")}, "tar")
    end = len(data.rstrip(b"\0")) // 512 * 512 + 512  # the last header, the empty file's
    for at in range(0, end + 1, 512):
        with pytest.raises(Invalid) as caught:
            read(data[:at], "tar")
        assert caught.value.code == "damaged_archive"
    assert len(read(data[: end + 512], "tar")) == 3
