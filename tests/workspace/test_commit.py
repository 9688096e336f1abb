import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import Conflict, Invalid, NotFound, SystemFault
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name, Reference
from kamld.store import Repository, open_hub
from kamld.workspace import CommitResult, commit_folder, folder_status, read_binding
from kamld.workspace.binding import write_binding

Commit = Callable[..., CommitResult]


def paths(repository: Repository, result: CommitResult) -> list[str]:
    assert result.committed
    entries = repository.tree(result.committed.commit).entries()
    return [os.fsdecode(path) for path in entries.paths]


def test_the_first_commit_makes_the_dataset_and_binds_the_folder(
    repository: Repository, folder: Path, commit: Commit
) -> None:
    result = commit()
    assert result.created
    assert result.dataset.kind == "dataset"
    assert "nothing in it" in paths(repository, result)
    assert "link" in paths(repository, result)
    binding = read_binding(folder)
    assert binding
    assert result.committed
    assert (binding.branch, binding.commit) == ("main", result.committed.commit_id)


def test_a_commit_without_a_change_makes_no_version(commit: Commit) -> None:
    first = commit()
    again = commit("again")
    assert first.committed
    assert again.committed is None
    assert again.base == first.committed.commit_id
    assert again.bytes_added == 0


def test_touching_a_file_is_no_change(folder: Path, commit: Commit) -> None:
    commit()
    os.utime(folder / "labels.csv")
    assert commit().committed is None


def test_a_second_commit_adds_only_what_changed(folder: Path, commit: Commit) -> None:
    commit()
    big = folder / "2/deep/c.bin"
    big.write_bytes(b"x" + big.read_bytes())
    (folder / "1/a.txt").unlink()
    (folder / "3").mkdir()
    (folder / "3/new").write_bytes(b"new")
    result = commit("two")
    assert [(os.fsdecode(c.path), c.sort) for c in result.changes] == [
        ("1/a.txt", "removed"),
        ("2/deep/c.bin", "changed"),
        ("3/new", "added"),
    ]
    assert result.bytes_added < 200_000  # of 256 KB


def test_the_mode_alone_is_a_change(folder: Path, commit: Commit) -> None:
    commit()
    (folder / "1/a.txt").chmod(0o755)
    assert [c.path for c in commit("executable").changes] == [b"1/a.txt"]


def test_equal_content_is_an_equal_tree_whatever_the_history(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    first = commit()
    extra = folder / "extra"
    extra.write_bytes(b"extra")
    commit("more")
    extra.unlink()
    back = commit("less")
    assert first.committed
    assert back.committed
    assert back.committed.commit.tree == first.committed.commit.tree


def test_a_name_that_is_taken_is_refused_with_the_ways_out(
    tmp_path: Path, commit: Commit, repository: Repository
) -> None:
    commit()
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_bytes(b"1")
    with pytest.raises(Conflict, match=r"--name.*checkout") as caught:
        commit(top=other)
    assert caught.value.code == "name_taken"
    assert read_binding(other) is None


def test_a_bound_folder_keeps_its_dataset(folder: Path, commit: Commit) -> None:
    commit()
    with pytest.raises(Conflict) as caught:
        commit(name="another")
    assert caught.value.code == "bound_elsewhere"


def test_an_empty_folder_is_no_dataset(repository: Repository, tmp_path: Path, commit: Commit) -> None:
    (tmp_path / "void").mkdir()
    with pytest.raises(Invalid):
        commit(top=tmp_path / "void")
    assert repository.names.all() == []


def test_what_kamldignore_names_is_left_out(repository: Repository, folder: Path, commit: Commit) -> None:
    (folder / ".kamldignore").write_text("*.txt\n!1/b.txt\n/2/\n")
    kept = paths(repository, commit())
    assert "1/b.txt" in kept
    assert "1/a.txt" not in kept
    assert not any(path.startswith("2/") for path in kept)
    assert ".kamldignore" in kept


def test_hubs_and_records_of_other_folders_are_left_out(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    (folder / "1/.kamld").mkdir()
    (folder / "1/.kamld/folder.json").write_text("{}")
    (folder / "hub").mkdir()
    (folder / "hub/kamld-hub.json").write_text("{}")
    kept = paths(repository, commit())
    assert not [path for path in kept if "kamld" in path or path.startswith("hub")]


def test_names_that_are_no_utf8_are_kept(repository: Repository, folder: Path, commit: Commit) -> None:
    odd = os.fsencode(folder) + b"/\xff\xfe.bin"
    with open(odd, "wb") as file:
        file.write(b"odd")
    result = commit()
    assert result.committed
    assert b"\xff\xfe.bin" in repository.tree(result.committed.commit).entries().paths


@pytest.mark.parametrize("sort", ["FIFO", "socket"])
def test_what_no_version_can_hold_is_refused_by_name(
    repository: Repository, folder: Path, commit: Commit, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sort == "FIFO":
        os.mkfifo(folder / "1/special")
    else:
        monkeypatch.chdir(folder / "1")  # a socket's path must be short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("special")
    with pytest.raises(Invalid, match=f"1/special is a {sort}") as caught:
        commit()
    assert "kamldignore" in caught.value.hint
    assert repository.names.all() == []
    (folder / ".kamldignore").write_text("special\n")
    assert commit().created


def test_a_file_that_changes_while_it_is_read_is_refused(
    repository: Repository, folder: Path, commit: Commit
) -> None:
    busy = folder / "busy.log"
    busy.write_bytes(b"x" * 5_000_000)
    script = (
        "import sys, time\nwith open(sys.argv[1], 'ab', 0) as file:\n"
        "    while True: file.write(b'more'); time.sleep(0.0001)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(busy)]) as writer:
        try:
            while busy.stat().st_size == 5_000_000:
                pass  # until the writer has begun
            with pytest.raises(SystemFault) as caught:
                commit("while it is written")
        finally:
            writer.kill()
    assert caught.value.code == "changing_file"
    assert "busy.log" in caught.value.message


def test_two_folders_of_one_branch_both_keep_their_changes(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    from kamld.workspace import check_out

    commit()
    resolved = repository.resolve(Reference(Name("default", "photos")))
    entries = repository.tree(resolved.commit).entries()
    mine, theirs = folder, tmp_path / "theirs"
    assert check_out(repository, resolved, entries, theirs, threads=2)
    (mine / "mine").write_bytes(b"1")
    (theirs / "theirs").write_bytes(b"2")
    commit("theirs", top=theirs, name=None)
    merged = commit("mine", name=None)
    assert merged.committed
    assert merged.committed.landed.how == "merged"
    head = repository.resolve(Reference(Name("default", "photos")))
    there = repository.tree(head.commit).entries().paths
    assert b"mine" in there
    assert b"theirs" in there

    (mine / "labels.csv").write_bytes(b"my labels")
    (theirs / "labels.csv").write_bytes(b"their labels")
    commit("theirs again", top=theirs, name=None)
    kept = commit("mine again", name=None)
    assert kept.committed
    assert kept.committed.landed.how == "kept"
    assert kept.committed.landed.conflicts == (b"labels.csv",)
    assert kept.committed.landed.branch.startswith("main-conflict-")
    assert read_binding(mine).branch == kept.committed.landed.branch  # type: ignore[union-attr]


def test_a_failure_while_landing_leaves_the_name_free(
    repository: Repository, folder: Path, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise SystemFault("no_space", "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Repository, "land_on", refuse)
        with pytest.raises(SystemFault):
            commit()
    assert read_binding(folder) is None
    assert commit().created


def test_a_part_of_a_datasets_folder_is_no_dataset_of_its_own(
    repository: Repository, folder: Path, commit: Commit
) -> None:
    commit()
    with pytest.raises(Conflict) as caught:
        commit(top=folder / "2/deep", name="deep")
    assert caught.value.code == "inside_another"
    assert f"kamld commit {folder}" in caught.value.hint
    assert f"/2/deep/ into {folder}/.kamldignore" in caught.value.hint


@pytest.mark.parametrize("pattern", ["/2/deep/", "2/", "deep"])
def test_what_the_folder_above_ignores_may_be_a_dataset_of_its_own(
    repository: Repository, folder: Path, commit: Commit, pattern: str
) -> None:
    commit()
    (folder / ".kamldignore").write_text(f"{pattern}\n")
    assert commit(top=folder / "2/deep", name="deep").created
    assert "2/deep/c.bin" not in paths(repository, commit("two", name=None))


@pytest.mark.parametrize("sort", ["file", "link"])
def test_a_file_called_kamld_is_refused_by_name(folder: Path, commit: Commit, sort: str) -> None:
    if sort == "file":
        (folder / "1/.kamld").write_text("mine")
    else:
        (folder / "1/.kamld").symlink_to("a.txt")
    with pytest.raises(Invalid, match=r"1/\.kamld is a file with the name of") as caught:
        commit()
    assert caught.value.code == "special_file"
    (folder / ".kamldignore").write_text(".kamld\n")
    assert commit().created


def test_a_name_that_was_made_anew_does_not_take_the_commits(
    repository: Repository, folder: Path, commit: Commit
) -> None:
    commit()
    binding = read_binding(folder)
    assert binding
    write_binding(folder, msgspec.structs.replace(binding, dataset="0" * 32))
    (folder / "new").touch()
    with pytest.raises(Conflict) as caught:
        commit("two", name=None)
    assert caught.value.code == "other_dataset"
    with pytest.raises(Conflict, match="made anew"):
        folder_status(folder, msgspec.structs.replace(binding, dataset="0" * 32), repository)


def test_two_first_commits_of_one_name_are_not_mixed(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "theirs").touch()
    create = Repository.create

    def slow(self: Repository, name: Name, kind: Kind) -> Dataset:
        made = create(self, name, kind)
        monkeypatch.setattr(Repository, "create", create)
        commit("faster", top=other)
        return made

    monkeypatch.setattr(Repository, "create", slow)
    with pytest.raises(Conflict) as caught:
        commit()
    assert caught.value.code == "name_taken"
    head = repository.resolve(Reference(Name("default", "photos")))
    assert repository.tree(head.commit).entries().paths == [b"theirs"]
    assert commit("mine", name="mine").created


def test_files_known_from_a_commit_that_never_landed_are_put_again(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    commit()
    time.sleep(0.05)
    commit("nothing", name=None)  # every file is known now
    (folder / ".kamld/folder.json").unlink()
    elsewhere = open_hub(FolderBlobs(tmp_path / "elsewhere"), 2)
    name = Name("default", "other")
    with pytest.raises(NotFound, match="is lost"):
        commit_folder(elsewhere, folder, "m", name=name, kind="dataset", author="me")
    assert elsewhere.names.all() == []
    (folder / ".kamld").rename(tmp_path / "away")
    made = commit_folder(elsewhere, folder, "m", name=Name("default", "photos"), kind="dataset", author="me")
    assert made.committed
    for entry in elsewhere.tree(made.committed.commit).entries().rows():
        elsewhere.objects.read(entry.id)
