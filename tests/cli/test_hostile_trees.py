"""Versions and archives that name what they must not: refused by name, and nothing is written."""

import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.records.kinds import FILE, FOLDER, SYMLINK
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.store.trees.entries import Entry, entries_of
from tests.cli.conftest import Kamld

Paths = list[tuple[bytes, int]]
Evil = Callable[[Paths], None]

HOSTILE: list[tuple[Paths, str]] = [
    ([(b"../out", FILE)], "../out"),
    ([(b"/etc/kamld-out", FILE)], "/etc/kamld-out"),
    ([(b"in/../../out", FILE)], "in/../../out"),
    ([(b".kamld/folder.json", FILE)], ".kamld/folder.json"),
    ([(b".kamld", SYMLINK)], ".kamld"),
    ([(b"a", FILE), (b"a/b", FILE)], "a"),
    ([(b"a", SYMLINK), (b"a/b", FILE)], "a"),
    ([(b"a", FILE), (b"a", SYMLINK)], "a"),
    ([(b"a\0b", FILE)], "a"),
    ([(b"in/./a", FILE)], "in/./a"),
    ([(b"..", FOLDER)], ".."),
    ([(b"a", 7)], "a"),
]
IDS = [named or "empty" for _, named in HOSTILE]


@pytest.fixture
def evil(kamld: Kamld, here: Path, hub: Path) -> Evil:
    """Makes a version of `evil`, after one that is as it should be and checked out in ./work, by hand."""
    (here / "evil").mkdir()
    (here / "evil" / "good").write_text("good")
    kamld("commit evil -m good")
    (here / "evil").rename(here / "work")

    def made(paths: Paths) -> None:
        repository = open_hub(FolderBlobs(hub), 1)
        dataset = repository.names.get(Name("default", "evil"))
        ref = repository.refs.find(dataset, "main")
        assert ref is not None
        with repository.writer() as writer:
            content = writer.put(b"/etc/passwd")
            entries = entries_of([Entry(path, kind, 11, content) for path, kind in paths])
            version = repository.write_version(
                writer, entries, parents=(ref.commit or "",), author="x", message="evil"
            )
        repository.land_version(dataset, "main", version, author="x")

    return made


def there(top: Path) -> dict[str, bytes]:
    """All that is in a folder, but kamld's own in it."""
    return {
        str(path.relative_to(top)): path.read_bytes() if path.is_file() else b""
        for path in sorted(top.rglob("*"))
        if ".kamld" not in path.parts
    }


@pytest.mark.parametrize(("paths", "named"), HOSTILE, ids=IDS)
def test_a_version_that_must_not_be_written(
    evil: Evil, kamld: Kamld, here: Path, paths: Paths, named: str
) -> None:
    evil(paths)
    before = there(here.parent)
    for command in (
        "checkout evil out", "export evil out", "export evil out.tar", "export evil out.zip",
        "export evil out.tar.zst", "switch work main", "restore work . --from main", "run -i evil -- true",
    ):  # fmt: skip
        said = kamld(command, status=1)
        assert "unsafe_path" in said.err, command
        assert named in said.err, command
        assert there(here.parent) == before, command
    assert not Path("/etc/kamld-out").exists()
    for command in (
        "ls evil",
        "ls evil -r",
        "ls evil --json",
        "show evil",
        "diff evil@main",
        "log evil",
        "du",
    ):
        kamld(command)


def test_part_of_such_a_version_can_be_had(evil: Evil, kamld: Kamld, here: Path) -> None:
    evil([(b"../out", FILE), (b"good/a", FILE)])
    kamld("checkout evil:good part")
    assert there(here / "part") == {"good": b"", "good/a": b"/etc/passwd"}
    assert kamld("cat evil:good/a").out == "/etc/passwd"


def tar(path: Path, *members: tuple[str, bytes, str]) -> None:
    """Members are (name, tarfile's type, where it leads)."""
    with tarfile.open(path, "w") as archive:
        for name, sort, target in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = sort, target
            member.size = 1 if sort == tarfile.REGTYPE else 0
            archive.addfile(member, io.BytesIO(b"x"))


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ([("../out", tarfile.REGTYPE, "")], "../out"),
        ([("in/../../out", tarfile.REGTYPE, "")], "in/../../out"),
        ([(".kamld/folder.json", tarfile.REGTYPE, "")], ".kamld/folder.json"),
        ([("a", tarfile.SYMTYPE, "/etc"), ("a/passwd", tarfile.REGTYPE, "")], "a"),
        ([("a", tarfile.REGTYPE, ""), ("a/b", tarfile.REGTYPE, "")], "a"),
        ([("pipe", tarfile.FIFOTYPE, "")], "pipe"),
        ([("device", tarfile.CHRTYPE, "")], "device"),
    ],
)
def test_archives_that_name_what_they_must_not(
    kamld: Kamld, here: Path, members: list[tuple[str, bytes, str]], named: str
) -> None:
    tar(here / "evil.tar", ("good", tarfile.REGTYPE, ""), *members)
    said = kamld("import evil.tar evil", status=1)
    assert named in said.err
    assert kamld("ls --json").json == []
    assert [path.name for path in here.iterdir()] == ["evil.tar"]


@pytest.mark.parametrize("name", ["../out", "/etc/kamld-out", "in/../../out", ".kamld/x", "a\\..\\..\\out"])
def test_zips_that_name_what_they_must_not(kamld: Kamld, here: Path, name: str) -> None:
    with zipfile.ZipFile(here / "evil.zip", "w") as archive:
        archive.writestr("good", "x")
        archive.writestr(name, "x")
    error = kamld("import evil.zip evil --json", status=1).json["error"]
    assert error["code"] == "unsafe_path"
    assert name.replace("\\", "/") in error["message"]
    assert [path.name for path in here.iterdir()] == ["evil.zip"]


def test_errors_name_odd_files_in_json_too(kamld: Kamld, here: Path) -> None:
    folder = here / "odd"
    folder.mkdir()
    os.mkfifo(os.fsencode(folder) + b"/pipe\xff\x1b[2J")
    error = kamld("commit odd -m x --json", status=1).json["error"]
    assert error["code"] == "special_file"
    assert "pipe\\udcff" in error["message"]
    said = kamld("commit odd -m x", status=1).err
    assert "\x1b" not in said
    assert "pipe\\udcff\\x1b[2J is a FIFO" in said
