"""Real folders that are hard to keep: each is committed and comes back faithfully, or is refused by name.
Nothing is left out in silence, and nothing is ever written outside of the target."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import FolderBlobs
from kamld.errors import Invalid, SystemFault
from kamld.records.names import parse_reference
from kamld.scan.marks import PATH_MAX
from kamld.store import Repository, open_hub
from kamld.workspace import folder_status, read_binding
from tests.conftest import Unprivileged
from tests.workspace.hostile import before_reading, comes_back, get, keep, read, refused

# --- names


ODD_NAMES = [
    b"n" * 255, "é".encode() * 127, b"\xff\xfe not UTF-8", b"\x01\x1b[31m\x7f", b"line\nbreak", b" ", b"-rf",
    b"~", b"$HOME", b"*", b"a\\b", b"CON", b"nul.txt", b"a:b", b"trailing.", b"trailing ", b"...", b"..a",
    b".git", b".kamldx", b"kamld-hub.json.txt", b"A", b"a", "é".encode(), "e\u0301".encode(),
    "\u202egpj.exe".encode(), b"'\"`", b".kamld-checkout-1", b"\xed\xa0\x80",
]  # fmt: skip


def test_odd_names_come_back(top: Path, tmp_path: Path) -> None:
    for name in ODD_NAMES:
        place = os.fsencode(top) + b"/" + name
        Path(os.fsdecode(place)).write_bytes(name)
        os.mkdir(os.fsencode(top) + b"/in " + name[:200])
        Path(os.fsdecode(os.fsencode(top) + b"/in " + name[:200] + b"/" + name)).write_bytes(name)
    comes_back(top, tmp_path)


ANY_NAME = st.binary(min_size=1, max_size=255).map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))


@given(st.sets(st.lists(ANY_NAME, min_size=1, max_size=4).map(tuple), min_size=1, max_size=8))
def test_any_names_come_back_or_are_refused(paths: set[tuple[bytes, ...]]) -> None:
    with TemporaryDirectory() as place:
        top = Path(place, "data")
        top.mkdir()
        for parts in sorted(paths):
            with suppress(OSError):  # ".", "..", a file where a folder is
                folder = b"/".join([os.fsencode(top), *parts[:-1]])
                if not {b".", b".."}.intersection(parts):
                    os.makedirs(folder, exist_ok=True)
                    Path(os.fsdecode(folder + b"/" + parts[-1])).write_bytes(parts[-1])
        if not any(sort == "file" for sort, _ in read(top).values()):
            return
        comes_back(top, Path(place))


def test_a_file_with_the_name_of_our_own_folder(top: Path, tmp_path: Path) -> None:
    (top / "in").mkdir()
    (top / "in" / ".kamld").write_text("x")
    with pytest.raises(Invalid) as raised:
        keep(top, tmp_path)
    assert str(top / "in/.kamld") in raised.value.message


# --- links, and what is no file


def test_links_are_kept_and_never_followed(top: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    targets = [
        "/etc/passwd",
        "..",
        "../outside",
        "../outside/secret",
        "nowhere",
        "loop",
        "in",
        "/",
        "x" * 4000,
    ]
    (top / "in").mkdir()
    (top / "in" / "file").write_text("x")
    for number, target in enumerate(targets):
        (top / f"link {number}").symlink_to(target)
    (top / "loop").symlink_to("loop")
    (top / "bytes").symlink_to(os.fsdecode(b"\xff\n"))
    repository = comes_back(top, tmp_path)
    entries = repository.tree(repository.resolve(parse_reference("d", "p")).commit).entries()
    assert len(entries) == len(targets) + 3
    contents = {row.path: repository.objects.read(row.id) for row in entries.rows()}
    assert contents[b"in/file"] == b"x"
    assert b"secret" not in contents.values()


def test_hard_links_come_back_as_files_of_their_own(top: Path, tmp_path: Path) -> None:
    (top / "one").write_text("same")
    os.link(top / "one", top / "two")
    comes_back(top, tmp_path)
    assert (tmp_path / "back/one").stat().st_nlink == 1


@contextmanager
def short(path: Path) -> Iterator[Path]:
    """The same place by a name that fits into the address of a socket."""
    with TemporaryDirectory(dir="/tmp") as place:
        link = Path(place, "l")
        link.symlink_to(path)
        yield link


def test_what_is_no_file_is_refused_by_name(top: Path, tmp_path: Path) -> None:
    (top / "file").write_text("x")
    (top / "in").mkdir()
    pipe, plug = top / "in" / "pipe", top / "in" / "plug"
    os.mkfifo(pipe)
    refused(top, tmp_path, "special_file", f"{pipe} is a FIFO")
    pipe.unlink()
    with short(top / "in") as link, socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(link / "plug"))
        refused(top, tmp_path, "special_file", f"{plug} is a socket")
        os.mkfifo(pipe)
        refused(top, tmp_path, "special_file", "and 1 more")
    (top / ".kamldignore").write_text("pipe\nplug\n")
    keep(top, tmp_path)


def test_a_file_that_became_a_pipe_is_not_waited_for(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "file").write_text("x")

    def replaced() -> None:
        (top / "file").unlink()
        os.mkfifo(top / "file")

    before_reading(monkeypatch, replaced)
    refused(top, tmp_path, "unreadable_file", str(top / "file"))


# --- depth


def deep(top: Path, length: int) -> bytes:
    """A file whose path below `top` has this many bytes, made from folder to folder."""
    handle, path = os.open(top, os.O_RDONLY | os.O_DIRECTORY), b""
    while len(path) + 201 < length - 1:
        name = b"d" * min(200, length - len(path) - 3)
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle, path = inner, path + name + b"/"
    name = b"f" * (length - len(path))
    file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o666, dir_fd=handle)
    os.write(file, b"deep")
    os.close(file)
    os.close(handle)
    return path + name


def test_as_deep_as_paths_may_be(top: Path, tmp_path: Path) -> None:
    room = PATH_MAX - len(os.fsencode(tmp_path / "back")) - 2
    path = deep(top, room - len(b"/.kamld-checkout-") - 32)
    repository = comes_back(top, tmp_path)
    assert repository.tree(repository.resolve(parse_reference("d", "p")).commit).entries().paths == [path]


@pytest.mark.parametrize("over", [0, 1, 150, 3000])
def test_deeper_than_paths_may_be(top: Path, tmp_path: Path, over: int) -> None:
    deep(top, PATH_MAX - len(os.fsencode(top)) - 1 + over)
    refused(top, tmp_path, "special_file", "is deeper than paths may be", "dddd")
    (top / ".kamldignore").write_text("d*\n")
    keep(top, tmp_path)


def test_a_version_too_deep_for_the_target(top: Path, tmp_path: Path) -> None:
    deep(top, PATH_MAX - len(os.fsencode(top)) - 100)
    repository = keep(top, tmp_path)
    target = tmp_path / "far" / ("away" * 30)
    with pytest.raises(Invalid) as raised:
        get(repository, target)
    assert raised.value.code == "path_too_long"
    assert "dddd" in raised.value.message
    assert not (tmp_path / "far").exists()


# --- large and empty


def sparse(path: Path, size: int) -> None:
    with open(path, "wb") as file:
        file.seek(size // 2)
        file.write(b"middle")
        file.truncate(size)


COMMIT = """
import re, sys
from pathlib import Path
from tests.workspace.hostile import keep
keep(Path(sys.argv[1]), Path(sys.argv[2]))
# Its own: what getrusage tells begins with its parent's.
print(re.search(r"VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1])
"""


def commit_of_sparse(top: Path, place: Path, size: int) -> tuple[int, int]:
    """(peak memory, size of the hub) in bytes."""
    sparse(top / "sparse", size)
    root = Path(__file__).resolve().parent.parent.parent
    words = [sys.executable, "-c", COMMIT, str(top), str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=root)
    hub = sum(path.stat().st_size for path in (place / "hub").rglob("*") if path.is_file())
    return int(done.stdout) * 1024, hub


def test_a_sparse_file_takes_no_room(top: Path, tmp_path: Path) -> None:
    memory, hub = commit_of_sparse(top, tmp_path, 1_000_000_000)
    assert memory < 300_000_000
    assert hub < 1_000_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_large_sparse_file_comes_back(top: Path, tmp_path: Path) -> None:
    memory, hub = commit_of_sparse(top, tmp_path, 10_000_000_000)
    assert memory < 300_000_000
    assert hub < 5_000_000
    get(open_hub(FolderBlobs(tmp_path / "hub"), 2), tmp_path / "back")
    state = (tmp_path / "back/sparse").stat()
    assert state.st_size == 10_000_000_000
    assert state.st_blocks * 512 < 10_000_000
    assert folder_status_of(tmp_path / "back", open_hub(FolderBlobs(tmp_path / "hub"), 2)) == []


def folder_status_of(folder: Path, repository: Repository) -> list[object]:
    binding = read_binding(folder)
    assert binding is not None
    return list(folder_status(folder, binding, repository).changes)


# --- what may not be read or written


def test_what_may_not_be_read_is_refused_by_name(
    top: Path, tmp_path: Path, unprivileged: Unprivileged
) -> None:
    (top / "in").mkdir()
    (top / "in" / "file").write_text("x")
    (top / "other").write_text("x")
    (top / "in" / "file").chmod(0)
    with unprivileged.here():
        refused(top, tmp_path, "unreadable_file", str(top / "in/file"))
    (top / "in" / "file").chmod(0o644)
    for mode in (0, 0o444):  # nothing of it, and only its names
        (top / "in").chmod(mode)
        with unprivileged.here():
            refused(top, tmp_path, "no_permission", str(top / "in"))
    (top / ".kamldignore").write_text("in/\n")
    with unprivileged.here():
        keep(top, tmp_path)
    (top / "in").chmod(0o755)


def test_folders_that_may_not_be_written(top: Path, tmp_path: Path, unprivileged: Unprivileged) -> None:
    (top / "in").mkdir()
    (top / "in" / "file").write_text("x")
    (top / "in" / "file").chmod(0o444)
    (top / "in").chmod(0o555)
    with unprivileged.here():
        repository = comes_back(top, tmp_path)
        (tmp_path / "locked").mkdir(0o555)
        with pytest.raises(SystemFault) as raised:
            get(repository, tmp_path / "locked" / "out")
        assert raised.value.code == "no_permission"
        assert "locked" in raised.value.message
        with pytest.raises(SystemFault, match="locked"):
            get(repository, tmp_path / "locked")
    assert list((tmp_path / "locked").iterdir()) == []
    (top / "in").chmod(0o755)


def test_a_folder_that_takes_no_binding(top: Path, tmp_path: Path, unprivileged: Unprivileged) -> None:
    (top / "file").write_text("x")
    top.chmod(0o555)
    with unprivileged.here(), pytest.raises(SystemFault) as raised:
        keep(top, tmp_path)
    assert raised.value.code == "no_permission"
    assert str(top) in raised.value.message
    top.chmod(0o755)
