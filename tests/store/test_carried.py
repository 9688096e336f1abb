"""Commits made from a version that is its branch's no more: what was taken back or replaced stays away, what
was changed since is there, and the versions that folders have stay as long as they are of use."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.changes.undo import undo
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.gc import collect
from kamld.store.refs.landing import Landed, gone_from
from tests.store.hubs import AUTHOR, check_whole, commit, files_of, fresh, head, put

NAME = Name("p", "d")
Plain = dict[bytes, bytes]


def parents(repository: Repository, commit_id: str) -> tuple[str, ...]:
    return repository.commit(commit_id).parents


def test_what_was_taken_back_stays_away() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    undo(repository, NAME, "main", author=AUTHOR)
    three = commit(repository, dataset, {b"a": b"2", b"b": b"1"}, two, message="more")
    assert (three.landed.how, three.landed.gone and three.landed.gone.how) == ("carried", "taken back")
    assert files_of(repository, head(repository, dataset)) == {b"a": b"1", b"b": b"1"}
    assert parents(repository, head(repository, dataset)) == (one,)
    assert repository.commit(head(repository, dataset)).message == "more"

    four = commit(repository, dataset, {b"a": b"2", b"b": b"2"}, three.commit_id)  # once more from there
    assert (four.landed.how, four.landed.gone and four.landed.gone.how) == ("carried", "carried")
    assert files_of(repository, head(repository, dataset)) == {b"a": b"1", b"b": b"2"}
    assert two not in {identifier for identifier, _ in repository.log(head(repository, dataset))}


def test_changing_what_was_taken_back_is_kept_apart() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    undo(repository, NAME, "main", author=AUTHOR)
    landed = commit(repository, dataset, {b"a": b"3"}, two).landed
    assert (landed.how, landed.conflicts, landed.gone and landed.gone.how) == ("kept", (b"a",), "taken back")
    assert head(repository, dataset) == one


def test_what_was_merged_and_taken_back_stays_away() -> None:
    """It was the branch's, though never its head."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    theirs = commit(repository, dataset, {b"a": b"1", b"b": b"1"}, one).commit_id
    mine = commit(repository, dataset, {b"a": b"1", b"c": b"1"}, one)
    assert mine.landed.how == "merged"
    undo(repository, NAME, "main", author=AUTHOR)
    assert head(repository, dataset) == theirs
    landed = commit(repository, dataset, {b"a": b"1", b"c": b"1", b"d": b"1"}, mine.commit_id).landed
    assert landed.how == "carried"
    assert files_of(repository, head(repository, dataset)) == {b"a": b"1", b"b": b"1", b"d": b"1"}


def test_a_run_s_output_is_merged_as_it_is() -> None:
    """Its record says which files were made, so no other version may say that of itself."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    undo(repository, NAME, "main", author=AUTHOR)
    made = commit(repository, dataset, {b"a": b"2", b"b": b"1"}, two, run="0" * 32)
    assert made.landed.how == "merged"
    assert files_of(repository, head(repository, dataset)) == {b"a": b"1", b"b": b"1"}
    assert made.commit_id in parents(repository, head(repository, dataset))


def test_a_model_gets_the_next_number() -> None:
    repository, dataset = fresh(kind="model")
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    undo(repository, NAME, "main", author=AUTHOR)
    three = commit(repository, dataset, {b"a": b"2", b"b": b"1"}, two)
    assert three.landed.move.version == 3
    assert repository.refs.versions(dataset) == {1: one, 2: two, 3: three.landed.head}


@pytest.mark.parametrize("moves", [3, 70])  # the log's newest part has 64
def test_it_is_known_however_long_ago(moves: int) -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"0"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    undo(repository, NAME, "main", author=AUTHOR)
    at = one
    for number in range(moves):
        at = commit(repository, dataset, {b"a": b"0", b"n": b"%d" % number}, at).commit_id
    landed = commit(repository, dataset, {b"a": b"2", b"b": b"1"}, two).landed
    assert landed.how == "carried"
    assert files_of(repository, landed.head) == {b"a": b"0", b"n": b"%d" % (moves - 1), b"b": b"1"}


def test_collections_keep_what_a_folder_has() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2" * 5000}, one).commit_id
    undo(repository, NAME, "main", author=AUTHOR)
    files = {b"a": b"2" * 5000, b"b": b"1" * 5000}
    three = commit(repository, dataset, files, two)
    for _ in range(2):
        collect(repository, 30, timedelta(0))
    again = open_hub(repository.blobs)
    assert files_of(again, three.commit_id) == files
    commit(again, dataset, {b"a": b"1", b"b": b"2"}, three.landed.head)
    for _ in range(2):
        collect(again, 0, timedelta(0))
    last = open_hub(repository.blobs)
    assert not last.objects.has(bytes.fromhex(three.commit_id))  # its time is over
    assert files_of(last, three.landed.head) == {b"a": b"1", b"b": b"1" * 5000}


@dataclass
class Folder:
    base: str
    was: Plain  # the files of `base`
    files: Plain


@dataclass
class World:
    """A branch, three folders, and what the branch should have."""

    repository: Repository
    dataset: Dataset
    wanted: list[Plain]
    folders: list[Folder] = field(default_factory=list)

    def commit(self, number: int) -> None:
        folder, now = self.folders[number], self.wanted[-1]
        if folder.files == folder.was:
            return
        with self.repository.writer() as writer:
            entries = put(writer, folder.files)
            version = self.repository.write_version(
                writer, entries, parents=(folder.base,), author=AUTHOR, message="m"
            )
        done = self.repository.land_version(self.dataset, "main", version, author=AUTHOR)
        changed = {p for p in {*folder.was, *folder.files} if folder.was.get(p) != folder.files.get(p)}
        clash = any(now.get(p) not in (folder.was.get(p), folder.files.get(p)) for p in changed)
        assert (done.landed.how == "kept") == clash
        folder.base, folder.was = version.commit_id, dict(folder.files)
        if clash:
            self.fresh_folder(number)
            return
        rows: dict[bytes, bytes | None] = {**now, **{p: folder.files.get(p) for p in changed}}
        self.wanted.append({path: data for path, data in rows.items() if data is not None})

    def undo(self) -> None:
        undo(self.repository, NAME, "main", author=AUTHOR)
        self.wanted.append(self.wanted[-2])

    def fresh_folder(self, number: int) -> None:
        at = head(self.repository, self.dataset)
        self.folders[number] = Folder(at, dict(self.wanted[-1]), dict(self.wanted[-1]))


steps = st.one_of(
    st.tuples(st.sampled_from(["edit"]), st.integers(0, 2), st.sampled_from([b"a", b"b", b"c", b"d"])),
    st.tuples(st.sampled_from(["commit", "commit", "undo", "switch"]), st.integers(0, 2), st.just(b"")),
)


@given(st.lists(steps, max_size=24))
def test_a_branch_has_what_was_not_taken_back_and_every_change_since(
    plan: list[tuple[str, int, bytes]],
) -> None:
    repository, dataset = fresh()
    files: Plain = {b"x": b"0"}
    one = commit(repository, dataset, files).commit_id
    world = World(repository, dataset, [files], [Folder(one, dict(files), dict(files)) for _ in range(3)])
    for at, (step, number, path) in enumerate(plan):
        if step == "edit":
            world.folders[number].files[path] = b"%d" % at
        elif step == "commit":
            world.commit(number)
        elif step == "switch":
            world.fresh_folder(number)
        elif len(world.wanted) > 1:
            world.undo()
        assert files_of(repository, head(repository, dataset)) == world.wanted[-1]
    check_whole(repository, dataset)


def test_what_never_was_the_branch_s_is_not_gone_from_it() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    other = commit(repository, dataset, {b"b": b"1"}, one, branch="other").commit_id
    assert gone_from(repository.objects, repository.refs, dataset, "main", other) is None
    landed: Landed = commit(repository, dataset, {b"b": b"2"}, other).landed
    assert (landed.how, landed.head) == ("moved", head(repository, dataset))
