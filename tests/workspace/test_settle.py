"""Commits of a folder that are killed, or fail half way, at every gap: nothing is lost or locked."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.names import Name, Reference
from kamld.store import Repository, open_hub
from kamld.store.refs.landing import conflict_branch
from kamld.workspace import (
    Binding,
    CommitResult,
    check_out,
    find_binding,
    folder_status,
    read_binding,
    settle,
)
from kamld.workspace.committing import landing
from kamld.workspace.committing.rebind import rebind
from kamld.workspace.landed import landed_on
from tests.conftest import SmallDisk
from tests.workspace.killed import STATUS

Commit = Callable[..., CommitResult]
ROOT = Path(__file__).resolve().parents[2]
LANDED = {
    "before:kamld.workspace.committing.landing:finish": True,
    "after:kamld.workspace.committing.landing:finish": True,
    "after:kamld.store.repository:Repository.land_on": True,
    "before:kamld.store.repository:Repository.land_on": False,
    "before:kamld.workspace.settle:_sync": False,
    "after:kamld.store.repository:Repository.create": False,
    "before:kamld.store.repository:Repository.create": False,
}


def killed(when: str, repository: Repository, folder: Path, name: str = "photos", *how: str) -> None:
    words = [sys.executable, "-m", "tests.workspace.killed", when, repository.blobs.location]
    words += [str(folder), name, *how]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == STATUS, done.stderr


def hub_of(repository: Repository) -> Callable[[Path, Binding], Repository]:
    return lambda folder, binding: repository


@pytest.mark.parametrize("when", LANDED)
def test_a_first_commit_that_was_killed(
    repository: Repository, folder: Path, commit: Commit, when: str
) -> None:
    killed(when, repository, folder)
    made = commit("again")
    assert (made.created, made.committed is None) == (not LANDED[when], LANDED[when])
    binding = read_binding(folder)
    assert binding
    assert folder_status(folder, binding, repository).changes == []
    head = repository.resolve(Reference(Name("default", "photos")))
    assert binding.commit == head.commit_id
    assert len(list(repository.log(head.commit_id))) == 1
    assert sorted(path.name for path in (folder / ".kamld").iterdir() if "landing" in path.name) == []


@pytest.mark.parametrize("when", LANDED)
def test_a_killed_first_commits_name_is_free_for_another_folder_if_it_never_landed(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit, when: str
) -> None:
    killed(when, repository, folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").touch()
    if LANDED[when]:
        with pytest.raises(Conflict, match="already"):
            commit(top=other)
        return
    assert commit(top=other).created
    with pytest.raises(Conflict) as caught:  # what was to land here is not taken for landed
        commit()
    assert caught.value.code == "name_taken"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_later_commit_that_was_killed(
    repository: Repository, folder: Path, commit: Commit, moment: str
) -> None:
    first = commit()
    (folder / "new").write_text("new")
    killed(f"{moment}:kamld.store.repository:Repository.land_version", repository, folder)
    top, binding = find_binding(folder / "1", hub_of(repository))
    assert top == folder
    changes = folder_status(folder, binding, repository).changes
    assert first.committed
    assert (binding.commit != first.committed.commit_id, changes == []) == (moment == "after",) * 2
    assert list((folder / ".kamld").glob("landing*")) == []


@pytest.mark.parametrize("how", ["amend", "try"])
@pytest.mark.parametrize("when", [when for when in LANDED if "create" not in when])
def test_an_amending_or_a_new_branch_that_was_killed(
    repository: Repository, folder: Path, commit: Commit, when: str, how: str
) -> None:
    first = commit()
    assert first.committed
    (folder / "new").write_text("new")
    killed(when, repository, folder, "photos", how)
    binding = settle(folder, hub_of(repository))
    assert binding
    landed = LANDED[when]
    assert (folder_status(folder, binding, repository).changes == []) == landed
    assert binding.branch == ("try" if landed and how == "try" else "main")
    history = list(repository.log(binding.commit))
    assert (binding.commit != first.committed.commit_id) == landed
    assert len(history) == (2 if landed and how == "try" else 1)
    assert list((folder / ".kamld").glob("landing*")) == []
    assert repository.refs.find(first.dataset, binding.branch).commit == binding.commit  # type: ignore[union-attr]


def test_a_killed_commit_that_others_had_merged_or_that_was_kept_apart(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    commit()
    resolved = repository.resolve(Reference(Name("default", "photos")))
    theirs = tmp_path / "theirs"
    check_out(repository, resolved, repository.tree(resolved.commit).entries(), theirs, threads=2)
    (theirs / "theirs").touch()
    commit("theirs", top=theirs, name=None)
    (folder / "mine").touch()
    killed("after:kamld.store.repository:Repository.land_version", repository, folder)
    binding = settle(folder, hub_of(repository))
    assert binding
    assert binding.branch == "main"
    assert folder_status(folder, binding, repository).changes == []

    (theirs / "labels.csv").write_text("theirs")
    commit("theirs", top=theirs, name=None)
    (folder / "labels.csv").write_text("mine")
    killed("after:kamld.store.repository:Repository.land_version", repository, folder)
    binding = settle(folder, hub_of(repository))
    assert binding
    assert binding.branch.startswith("main-conflict-")
    assert folder_status(folder, binding, repository).changes == []


def test_status_of_a_folder_whose_first_commit_was_killed(repository: Repository, folder: Path) -> None:
    killed("before:kamld.workspace.committing.landing:finish", repository, folder)
    with pytest.raises(NotFound):
        find_binding(folder)
    assert find_binding(folder, hub_of(repository))[0] == folder


def test_a_commit_that_goes_on_is_not_settled_by_others(
    repository: Repository, folder: Path, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    move = Repository.land_on

    def meddled(*words: object, **named: object) -> object:
        seen.append((settle(folder, hub_of(repository)), len(list((folder / ".kamld").glob("landing*")))))
        return move(*words, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Repository, "land_on", meddled)
    commit()
    assert seen == [(None, 1)]


def test_a_failure_after_landing_says_that_it_is_committed(
    repository: Repository, folder: Path, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise SystemFault("no_space", "The disk is full. Nothing was changed.")

    with monkeypatch.context() as patch:
        patch.setattr(landing, "finish", full)
        with pytest.raises(SystemFault) as caught:
            commit()
    head = repository.resolve(Reference(Name("default", "photos")))
    assert f"Committed as {head.commit_id[:12]}, but {folder} could not be bound" in caught.value.message
    assert "Nothing was changed" not in str(caught.value)
    assert commit("again").committed is None


def test_a_commit_to_another_hub_that_was_interrupted(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:

    other = open_hub(FolderBlobs(tmp_path / "elsewhere"), 2)
    killed("before:kamld.workspace.committing.landing:finish", other, folder)
    with pytest.raises(Conflict, match="was interrupted") as caught:
        commit()
    assert str(tmp_path / "elsewhere") in caught.value.hint
    assert settle(folder, hub_of(other))


def test_a_commit_kept_under_a_second_name_is_found(repository: Repository, commit: Commit) -> None:
    made = commit()
    assert made.committed
    first, refs = made.committed.commit_id, repository.refs
    with repository.writer() as writer:
        entries = repository.tree(made.committed.commit).entries()
        other = repository.write_version(writer, entries, parents=(), author="me", message="other")
    name = conflict_branch("main", other.commit_id)
    assert landed_on(repository, made.dataset, "main", other.commit_id) is None
    refs.move(made.dataset, name, "tag", first, expected=None, author="me", reason="tag")
    refs.move(
        made.dataset, f"{name}-again", "branch", other.commit_id, expected=None, author="me", reason="branch"
    )
    assert landed_on(repository, made.dataset, "main", other.commit_id) == f"{name}-again"
    assert landed_on(repository, made.dataset, "main", first) == "main"


def test_a_full_disk_under_the_folder_while_the_hub_has_room(small_disk: SmallDisk, tmp_path: Path) -> None:
    """What is said is true: nothing was changed, and the name is free."""
    hub, folder = tmp_path / "hub", small_disk.path / "photos"
    repository = open_hub(FolderBlobs(hub), 2)
    words = ["env", f"--chdir={ROOT}", sys.executable, "-m", "tests.workspace.killed", "never"]
    small_disk.run("sh", "-c", f"mkdir '{folder}'; echo x > '{folder}/x'; cat /dev/zero > '{folder}/../big'")
    done = small_disk.run(*words, hub, folder, "photos")
    assert done.returncode == 3, done.stderr
    assert "Nothing was changed" in done.stderr
    dataset = repository.names.find(Name("default", "photos"))
    assert dataset is None or not repository.is_made(dataset)
    small_disk.run("rm", small_disk.path / "big")
    done = small_disk.run(*words, hub, folder, "photos")
    assert done.returncode == 0, done.stderr


def damage_announced(folder: Path, how: str) -> Path:
    (path,) = (folder / ".kamld").glob("landing.*.json")
    whole = path.read_bytes()
    other = whole.replace(path.name.split(".")[1].encode(), b"0" * 64)
    assert other != whole
    path.write_bytes({"cut": whole[:20], "empty": b"", "noise": bytes(range(256)), "other": other}[how])
    return path


@pytest.mark.parametrize("how", ["cut", "empty", "noise", "other"])
@pytest.mark.parametrize("branch", ["main", "try"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_damaged_announcement_of_a_later_commit(
    repository: Repository, folder: Path, commit: Commit, moment: str, branch: str, how: str
) -> None:
    """Told once, with what is known from the hub; then the folder goes on."""
    first = commit()
    assert first.committed
    (folder / "new").write_text("new")
    words = ["photos", *(["try"] if branch == "try" else [])]
    landing_by = "land_on" if branch == "try" else "land_version"
    killed(f"{moment}:kamld.store.repository:Repository.{landing_by}", repository, folder, *words)
    path = damage_announced(folder, how)
    with pytest.raises(SystemFault) as told:
        settle(folder, hub_of(repository))
    assert told.value.code == "damaged_landing"
    said = "never landed" if moment == "before" else f"The hub has it on {branch} of default/photos"
    assert str(path) in told.value.message
    assert said in told.value.message
    binding = settle(folder, hub_of(repository))
    assert binding
    landed = moment == "after"
    assert (folder_status(folder, binding, repository).changes == []) == landed
    assert (binding.commit != first.committed.commit_id) == landed
    assert binding.branch == (branch if landed else "main")
    assert (commit("again").committed is None) == landed
    assert list((folder / ".kamld").glob("landing*")) == []
    assert path.with_name(f"damaged-{path.name}").exists()


def test_a_damaged_announcement_of_a_commit_that_was_merged_or_kept_apart(
    repository: Repository, folder: Path, tmp_path: Path, commit: Commit
) -> None:
    commit()
    resolved = repository.resolve(Reference(Name("default", "photos")))
    theirs = tmp_path / "theirs"
    check_out(repository, resolved, repository.tree(resolved.commit).entries(), theirs, threads=2)
    for name, branch in (("mine", "main"), ("labels.csv", "main-conflict-")):
        (theirs / "labels.csv").write_text(f"theirs {name}")
        commit("theirs", top=theirs, name=None)
        (folder / name).write_text("mine")
        killed("after:kamld.store.repository:Repository.land_version", repository, folder)
        damage_announced(folder, "cut")
        with pytest.raises(SystemFault, match=f"The hub has it on {branch}"):
            settle(folder, hub_of(repository))
        binding = settle(folder, hub_of(repository))
        assert binding
        assert binding.branch.startswith(branch)
        assert folder_status(folder, binding, repository).changes == []


@pytest.mark.parametrize("landed", [True, False])
def test_a_damaged_announcement_of_a_first_commit(
    repository: Repository, folder: Path, commit: Commit, landed: bool
) -> None:
    side = "after" if landed else "before"
    killed(f"{side}:kamld.store.repository:Repository.land_on", repository, folder)
    damage_announced(folder, "cut")
    with pytest.raises(SystemFault, match="Nothing else in") as told:
        commit("again")
    assert told.value.code == "damaged_landing"
    if not landed:
        assert commit("again").created
        return
    with pytest.raises(Conflict) as taken:
        commit("again")
    assert taken.value.code == "name_taken"
    rebind(repository, folder, repository.resolve(Reference(Name("default", "photos"))), hub_of(repository))
    assert commit("again").committed is None


def test_one_whose_folder_has_lost_its_own_record_too(
    repository: Repository, folder: Path, commit: Commit
) -> None:
    commit()
    (folder / "new").write_text("new")
    killed("after:kamld.store.repository:Repository.land_version", repository, folder)
    damage_announced(folder, "noise")
    (folder / ".kamld" / "folder.json").write_bytes(b"{")
    resolved = repository.resolve(Reference(Name("default", "photos")))
    with pytest.raises(SystemFault, match="Nothing else in"):
        rebind(repository, folder, resolved, hub_of(repository))
    assert rebind(repository, folder, resolved, hub_of(repository)).differ == 0


def test_a_damaged_journal_of_a_switch(repository: Repository, folder: Path, commit: Commit) -> None:
    commit()
    place = folder / ".kamld" / "switch"
    (place / "files").mkdir(parents=True)
    (place / "files" / "0").write_text("was to be put there")
    (place / "steps.json").write_bytes(b"[")
    with pytest.raises(SystemFault, match="may be of another version") as told:
        settle(folder, hub_of(repository))
    assert (told.value.code, str(place / "steps.json") in told.value.message) == ("damaged_switch", True)
    binding = settle(folder, hub_of(repository))
    assert binding
    assert folder_status(folder, binding, repository).changes == []
    (kept,) = (folder / ".kamld").glob("damaged-switch-*/files/0")
    assert kept.read_text() == "was to be put there"
