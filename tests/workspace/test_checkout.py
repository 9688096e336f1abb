import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamld.blobs import FolderBlobs
from kamld.errors import Conflict, Invalid, SystemFault
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.records.names import Name, parse_reference
from kamld.store import Entries, Repository, open_hub
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace import CommitResult, check_out, commit_folder, folder_status, materialise, read_binding
from kamld.workspace.leftovers import make_folder
from kamld.workspace.placing.paths import check_paths

Commit = Callable[..., CommitResult]


def contents(top: Path) -> dict[str, tuple[str, bytes]]:
    """What is in a folder, apart from kamld's own: sort and bytes of everything."""
    found: dict[str, tuple[str, bytes]] = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        if name.split("/")[0] == ".kamld":
            continue
        if path.is_symlink():
            found[name] = ("link", os.fsencode(os.readlink(path)))
        elif path.is_dir():
            if not any(path.iterdir()):
                found[name] = ("folder", b"")
        else:
            sort = "executable" if path.stat().st_mode & stat.S_IXUSR else "file"
            found[name] = (sort, path.read_bytes())
    return found


def out(repository: Repository, revision: str, target: Path) -> bool:
    resolved = repository.resolve(parse_reference(revision, "default"))
    entries = repository.tree(resolved.commit).entries()
    return check_out(repository, resolved, entries, target, threads=2)


def test_every_byte_comes_back(repository: Repository, folder: Path, tmp_path: Path, commit: Commit) -> None:
    before = contents(folder)
    commit()
    (folder / "1/a.txt").write_bytes(b"changed")
    commit("two")
    assert not out(repository, "photos@main~1", tmp_path / "before")
    assert contents(tmp_path / "before") == before
    assert not (tmp_path / "before/.kamld").exists()


def test_a_branch_binds_the_folder_and_is_clean(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    commit()
    work = tmp_path / "work"
    assert out(repository, "photos", work)
    binding = read_binding(work)
    assert binding
    assert folder_status(work, binding, repository).changes == []


def test_an_empty_folder_is_filled_and_stays_the_same_folder(
    repository: Repository, tmp_path: Path, folder: Path, commit: Commit
) -> None:
    commit()
    target = tmp_path / "there"
    target.mkdir()
    inode = target.stat().st_ino
    out(repository, "photos", target)
    assert target.stat().st_ino == inode
    assert contents(target) == contents(folder)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hub", "photos", "there"]


@pytest.mark.parametrize("what", ["folder", "file", "dangling link"])
def test_what_is_there_is_not_overwritten(
    repository: Repository, tmp_path: Path, commit: Commit, what: str
) -> None:
    commit()
    target = tmp_path / "there"
    if what == "folder":
        target.mkdir()
        (target / "mine").write_bytes(b"mine")
    elif what == "file":
        target.write_bytes(b"mine")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Conflict) as caught:
        out(repository, "photos", target)
    assert caught.value.code == "target_exists"
    assert not (tmp_path / "elsewhere").exists()


def test_part_of_a_version(repository: Repository, tmp_path: Path, commit: Commit) -> None:
    commit()
    resolved = repository.resolve(parse_reference("photos", "default"))
    entries = repository.tree(resolved.commit).under(b"1")
    assert not check_out(repository, resolved, entries, tmp_path / "part", threads=2)
    assert set(contents(tmp_path / "part")) == {"1/a.txt", "1/b.txt", "1/run.sh"}


def hostile(*rows: tuple[bytes, int]) -> Entries:
    return entries_of([Entry(path, kind, 0, bytes(32)) for path, kind in rows])


@pytest.mark.parametrize(
    "entries",
    [
        hostile((b"../out", FILE)),
        hostile((b"/etc/out", FILE)),
        hostile((b"a/../../out", FILE)),
        hostile((b"a//b", FILE)),
        hostile((b"./a", FILE)),
        hostile((b"a/.", FILE)),
        hostile((b"", FILE)),
        hostile((b".kamld/folder.json", FILE)),
        hostile((b"sub/.kamld/folder.json", FILE)),
        hostile((b"a\0b", FILE)),
        hostile((b"a", SYMLINK), (b"a/b", FILE)),
        hostile((b"a", FILE), (b"a-b", FILE), (b"a/b", FILE)),
        hostile((b"a", FILE), (b"a", FILE)),
        hostile((b"a", 9)),
    ],
)
def test_a_hostile_tree_writes_nothing(repository: Repository, tmp_path: Path, entries: Entries) -> None:
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(Invalid) as caught:
        materialise(repository.objects, entries, target, threads=1)
    assert caught.value.code == "unsafe_path"
    assert list(target.iterdir()) == []


@given(st.lists(st.lists(st.sampled_from(["a", "b", "..", ".", "", "c d", "é"]), max_size=4), max_size=6))
def test_what_passes_the_check_stays_below(parts: list[list[str]]) -> None:
    paths = sorted({"/".join(words).encode() for words in parts})
    entries = hostile(*((path, FILE) for path in paths))
    try:
        check_paths(entries)
    except Invalid:
        return
    for path in paths:
        assert os.path.normpath(b"/top/" + path) == b"/top/" + path


def test_a_lost_object_leaves_nothing_behind(repository: Repository, tmp_path: Path, commit: Commit) -> None:
    commit()
    resolved = repository.resolve(parse_reference("photos", "default"))
    entries = repository.tree(resolved.commit).entries()
    ids = entries.ids.copy()
    ids[0] = 7
    broken = Entries(entries.paths, entries.kinds, entries.sizes, ids)
    with pytest.raises(SystemFault) as caught:
        check_out(repository, resolved, broken, tmp_path / "out", threads=2)
    assert caught.value.code == "missing_object"
    assert caught.value.message.startswith(f"{entries.paths[0].decode()} of ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hub", "photos"]


def test_read_only_files_for_runs(repository: Repository, tmp_path: Path, commit: Commit) -> None:
    commit()
    resolved = repository.resolve(parse_reference("photos", "default"))
    entries = repository.tree(resolved.commit).entries()
    (tmp_path / "input").mkdir()
    materialise(repository.objects, entries, tmp_path / "input", threads=2, read_only=True)
    modes = {
        p.name: p.stat().st_mode & 0o777
        for p in (tmp_path / "input").rglob("*")
        if p.is_file() and not p.is_symlink()
    }
    assert modes.pop("run.sh") == 0o555
    assert set(modes.values()) == {0o444}


def test_kinds_survive(repository: Repository, folder: Path, commit: Commit) -> None:
    result = commit()
    assert result.committed
    entries = repository.tree(result.committed.commit).entries()
    kinds = dict(zip(entries.paths, entries.kinds.tolist(), strict=True))
    assert kinds[b"1/run.sh"] == EXECUTABLE
    assert kinds[b"link"] == SYMLINK
    assert kinds[b"nothing in it"] == FOLDER
    assert np.all(entries.sizes[entries.kinds == FOLDER] == 0)
    assert Name("default", "photos") == Name(result.dataset.project, result.dataset.name)


NAMES = st.sampled_from(["a", "b", ".kamld", ".kamldignore", ".kamld-checkout-" + "0" * 32, "é", "-", " "])


@settings(deadline=None, max_examples=40)
@given(files=st.sets(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=6))
def test_what_commits_checks_out(files: set[tuple[str, ...]]) -> None:
    with TemporaryDirectory() as place:
        top, out_folder = Path(place, "data"), Path(place, "out")
        for words in sorted(files):
            with suppress(OSError):  # it is a folder already, or below a file
                top.joinpath(*words[:-1]).mkdir(parents=True, exist_ok=True)
                top.joinpath(*words).touch(exist_ok=False)
        repository = open_hub(FolderBlobs(Path(place, "hub")), 1)
        name = Name("default", "data")
        try:
            commit_folder(repository, top, "m", name=name, kind="dataset", author="me")
        except Invalid as error:
            assert error.code in ("special_file", "empty_folder")  # noqa: PT017 - the only ones allowed
            return
        out(repository, "data", out_folder)
        binding = read_binding(out_folder)
        assert binding
        assert folder_status(out_folder, binding, repository).changes == []


KILLED = """
import os, sys
from pathlib import Path
from kamld.blobs import FolderBlobs
from kamld.records.names import parse_reference
from kamld.store import open_hub
from kamld.workspace import check_out
hub, target, moves = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
repository = open_hub(FolderBlobs(hub), 2)
resolved = repository.resolve(parse_reference("photos", "default"))
entries = repository.tree(resolved.commit).entries()
rename, made = os.rename, []
def counted(name, to, **folders):
    if len(made) == moves:
        os._exit(9)
    made.append(to)
    return rename(name, to, **folders)
os.rename = counted
check_out(repository, resolved, entries, target, threads=2)
"""


def killed(repository: Repository, target: Path, moves: int) -> int:
    words = [sys.executable, "-c", KILLED, repository.blobs.location, str(target), str(moves)]
    return subprocess.run(words, check=False).returncode


@pytest.mark.parametrize("moves", [0, 1, 2, 7])
def test_killed_while_an_empty_folder_is_filled(
    repository: Repository, tmp_path: Path, commit: Commit, moves: int
) -> None:
    commit()
    target = tmp_path / "there"
    target.mkdir()
    assert killed(repository, target, moves) == 9
    assert read_binding(target) is None
    assert len([p for p in target.iterdir() if p.name.startswith(".kamld-checkout-")]) == 1
    if not moves:
        assert out(repository, "photos", target)
        assert not [p for p in target.iterdir() if p.name.startswith(".kamld-checkout-")]
        return
    made = commit(top=target, name="part")
    assert made.committed
    entries = repository.tree(made.committed.commit).entries()
    assert not [path for path in entries.paths if b".kamld" in path]
    assert not [p for p in target.iterdir() if p.name.startswith(".kamld-checkout-")]


def test_what_a_killed_checkout_left_below_a_folder_is_no_part_of_it(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    commit()
    assert killed(repository, folder / "2/deep/new", 0) == 9
    [left] = (folder / "2/deep").glob(".kamld-checkout-*")
    binding = read_binding(folder)
    assert binding
    busy, lock = make_folder(folder / "1")
    (busy / "half").touch()
    assert folder_status(folder, binding, repository).changes == []
    os.close(lock)
    assert not left.exists()
    assert busy.exists()  # somebody was filling it
    assert commit("again", name=None).committed is None
    assert not busy.exists()


def test_long_runs_of_zeros_come_back_as_holes(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    size = 8 * 1024 * 1024
    with open(folder / "sparse", "wb") as file:
        file.seek(size // 2)
        file.write(b"middle")
        file.truncate(size)
    commit()
    out(repository, "photos", tmp_path / "work")
    written = tmp_path / "work/sparse"
    assert written.read_bytes() == (folder / "sparse").read_bytes()
    assert written.stat().st_blocks * 512 < size // 4
