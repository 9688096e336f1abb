"""Where a folder's version stands beside its branch, and a commit of what is left of it that was killed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from kamld.changes.undo import undo
from kamld.errors import SystemFault
from kamld.records.names import Name, Reference
from kamld.store import Repository
from kamld.workspace import CommitResult, Wish, check_out, commit_folder, read_binding, settle
from kamld.workspace.committing import landing
from kamld.workspace.committing.standing import standing

Commit = Callable[..., CommitResult]
NAME = Name("default", "photos")


def how(repository: Repository, folder: Path) -> str:
    binding = read_binding(folder)
    assert binding
    return standing(repository, repository.names.get(NAME), binding).how


def test_where_a_folder_stands(repository: Repository, folder: Path, tmp_path: Path, commit: Commit) -> None:
    commit()
    assert how(repository, folder) == "newest"
    resolved = repository.resolve(Reference(NAME))
    theirs = tmp_path / "theirs"
    check_out(repository, resolved, repository.tree(resolved.commit).entries(), theirs, threads=1)
    (folder / "new").write_bytes(b"1")
    commit("two", name=None)
    assert (how(repository, folder), how(repository, theirs)) == ("newest", "behind")

    undo(repository, NAME, "main", author="me")
    assert (how(repository, folder), how(repository, theirs)) == ("taken back", "newest")
    undo(repository, NAME, "main", author="me")
    assert (how(repository, folder), how(repository, theirs)) == ("newest", "behind")

    amend = partial(commit_folder, repository, name=None, kind="dataset", author="me", wish=Wish(amend=True))
    resolved = repository.resolve(Reference(NAME))
    late = tmp_path / "late"
    check_out(repository, resolved, repository.tree(resolved.commit).entries(), late, threads=1)
    amend(folder, "two, really")
    assert (how(repository, folder), how(repository, late)) == ("newest", "replaced")
    (late / "late").write_bytes(b"1")
    done = commit("late", top=late, name=None)
    assert done.committed
    assert (done.committed.landed.how, how(repository, late)) == ("carried", "carried")
    assert how(repository, folder) == "behind"

    repository.set_ref(
        repository.names.get(NAME), "try", "branch", done.committed.commit_id, author="me", known=True
    )
    assert how(repository, late) == "carried"


def test_a_carried_commit_that_was_cut_off_is_finished(
    repository: Repository, folder: Path, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit()
    (folder / "wrong").write_bytes(b"1")
    commit("two", name=None)
    undo(repository, NAME, "main", author="me")
    (folder / "right").write_bytes(b"1")

    def stop(*_: object) -> None:
        raise SystemFault("no_space", "The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(landing, "finish", stop)
        with pytest.raises(SystemFault):
            commit("three", name=None)
    binding = settle(folder, lambda *_: repository)
    head = repository.resolve(Reference(NAME))
    assert head.commit.message == "three"
    assert binding
    assert (binding.branch, repository.commit(binding.commit).message) == ("main", "three")
    assert how(repository, folder) == "carried"
    assert commit("nothing", name=None).committed is None
