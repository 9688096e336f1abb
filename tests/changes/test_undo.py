"""Undo: there and back again, for every sort of move; versions keep their numbers."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.changes.merging import Request, merge
from kamld.changes.undo import undo
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Dataset
from kamld.records.names import MAIN, Name, parse_revision
from kamld.store import Repository, open_hub
from kamld.store.fsck import repair
from kamld.store.refs import Refs
from kamld.store.refs.moves import MOVES_MAX
from kamld.store.refs.seen import note_refs
from tests.store.faults import KINDS, NOT_DONE, FaultyBlobs, Killed, Plan
from tests.store.hubs import AUTHOR, commit, files_of, fresh, head

NAME = Name("p", "d")


def where(repository: Repository, ref: str = MAIN) -> str | None:
    found = repository.refs.find(repository.names.get(NAME), ref)
    return found.commit if found else None


def test_there_and_back_again() -> None:
    repository, dataset = fresh(kind="model")
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    for expected, reason in ((one, "undo: commit: m"), (two, "redo: commit: m"), (one, "undo: commit: m")):
        done = undo(repository, NAME, MAIN, author=AUTHOR)
        assert done.commit == where(repository) == expected
        last = next(repository.refs.history(dataset, MAIN))
        assert (last.reason, last.version) == (reason, 1 if expected == one else 2)
    assert repository.refs.versions(dataset) == {1: one, 2: two}
    assert files_of(repository, head(repository, dataset)) == {b"a": b"1"}


def test_a_ref_that_was_made_goes_and_comes_back() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    repository.set_ref(dataset, "t", "tag", one, author=AUTHOR)
    for expected in (None, one, None):
        assert undo(repository, NAME, "t", author=AUTHOR).commit == where(repository, "t") == expected


def test_what_cannot_be_taken_back_says_what_to_do() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"1"})
    with pytest.raises(Conflict) as first:
        undo(repository, NAME, MAIN, author=AUTHOR)
    assert (first.value.code, "kamld rm p/d" in first.value.hint) == ("first_version", True)
    with pytest.raises(NotFound) as never:
        undo(repository, NAME, "never", author=AUTHOR)
    assert never.value.code == "unknown_revision"
    with pytest.raises(NotFound) as unknown:
        undo(repository, Name("p", "other"), MAIN, author=AUTHOR)
    assert unknown.value.code == "unknown_name"


def lose_main(repository: Repository, dataset: Dataset) -> None:
    """A repair writes down that nobody knows what main was."""
    note_refs(repository.blobs)
    repository.blobs.delete(f"refs/{dataset.id}/{MAIN}")
    repair(repository.blobs, [], threads=2, progress=lambda *_: None)


def test_a_known_version_is_had_back_over_a_loss() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    three = commit(repository, dataset, {b"a": b"3"}, two).commit_id
    lose_main(repository, dataset)
    repository.refs.move(dataset, MAIN, "branch", three, expected=None, author=AUTHOR, reason="branch")
    assert undo(repository, NAME, MAIN, author=AUTHOR, to=parse_revision("main~2")).commit == one
    done = undo(repository, NAME, MAIN, author=AUTHOR)
    assert (done.commit, done.lost) == (three, False)


def test_over_a_loss_it_is_the_newest_known_that_comes_back() -> None:
    """No log is left: what the version was made from. It can be undone too, and then there is none before."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    lose_main(repository, dataset)
    repository.refs.move(dataset, MAIN, "branch", two, expected=None, author=AUTHOR, reason="branch")
    for expected, lost in ((one, True), (two, False), (one, False)):
        done = undo(repository, NAME, MAIN, author=AUTHOR)
        assert (done.commit, done.lost, where(repository)) == (expected, lost, expected)
    lose_main(repository, dataset)
    repository.refs.move(dataset, MAIN, "branch", one, expected=None, author=AUTHOR, reason="branch")
    with pytest.raises(NotFound) as refused:
        undo(repository, NAME, MAIN, author=AUTHOR)
    assert refused.value.code == "lost_log"


@pytest.mark.parametrize("later", [True, False])
def test_over_a_loss_the_log_before_it_counts(later: bool) -> None:
    """Of the log before the loss, and of what the version comes from, the later one."""
    repository, dataset = fresh()
    log = [commit(repository, dataset, {b"a": b"0"}).commit_id]
    for number in range(MOVES_MAX + 3):
        log.append(commit(repository, dataset, {b"a": b"%d" % number}, log[-1]).commit_id)
    kept = log[MOVES_MAX - 1]  # the last of the part of the log that stays
    parent = log[-1] if later else log[5]
    now = commit(repository, dataset, {b"b": b"now"}, parent, branch="now").commit_id
    lose_main(repository, dataset)
    repository.refs.move(dataset, MAIN, "branch", now, expected=None, author=AUTHOR, reason="branch")
    done = undo(repository, NAME, MAIN, author=AUTHOR)
    assert (done.commit, done.lost) == (log[-1] if later else kept, True)
    assert undo(repository, NAME, MAIN, author=AUTHOR).commit == now


def test_a_removed_dataset_comes_back_with_its_refs() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    repository.set_ref(dataset, "t", "tag", one, author=AUTHOR)
    repository.names.remove(dataset, author=AUTHOR)
    with pytest.raises(NotFound):
        undo(repository, NAME, "t", author=AUTHOR)
    assert undo(repository, NAME, MAIN, author=AUTHOR).back is None
    assert (where(repository), where(repository, "t")) == (one, one)


@given(st.lists(st.sampled_from(["commit", "undo"]), max_size=10))
def test_two_undos_are_none(steps: list[str]) -> None:
    repository, dataset = fresh()
    now = before = commit(repository, dataset, {b"a": b"0"}).commit_id
    for number, step in enumerate(["commit", *steps]):
        if step == "commit":
            before, now = now, commit(repository, dataset, {b"a": b"%d" % number}, now).commit_id
        else:
            undo(repository, NAME, MAIN, author=AUTHOR)
            before, now = now, before
        assert where(repository) == now
        assert repository.refs.at(dataset, MAIN, next(repository.refs.history(dataset, MAIN)).time) == now


def test_who_commits_at_the_same_moment_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    real, meddled = Refs.move, []

    def move(self: Refs, *words: object, **more: object) -> object:
        if not meddled:  # to and fro: the ref names what it named before, and yet it has moved
            meddled.append(1)
            real(self, dataset, MAIN, "branch", one, expected=two, author="b", reason="away")
            real(self, dataset, MAIN, "branch", two, expected=one, author="b", reason="back")
        return real(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Refs, "move", move)
    with pytest.raises(Conflict) as moved:
        undo(repository, NAME, MAIN, author=AUTHOR)
    assert moved.value.code == "ref_moved"
    assert where(repository) == two


@pytest.mark.parametrize("kind", KINDS)
def test_a_write_that_goes_wrong_leaves_before_or_after(kind: str) -> None:
    inner = MemoryBlobs()
    repository, dataset = fresh(inner)
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    plan = Plan(1, kind)
    faulty = open_hub(inner, threads=1)
    faulty.refs = Refs(FaultyBlobs(inner, plan))
    with suppress(Killed, SystemFault):
        undo(faulty, NAME, MAIN, author=AUTHOR)
    assert plan.writes
    assert where(repository) == (two if kind in NOT_DONE else one)


def test_a_branch_is_back_before_its_work_loses_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, dataset = fresh()
    root = commit(repository, dataset, {b"x": b"0"}).commit_id
    commit(repository, dataset, {b"x": b"1"}, root)
    kept = commit(repository, dataset, {b"x": b"2"}, root).landed
    merge(repository, dataset, Request(MAIN, kept.branch, kept.head, prefer="theirs"), author=AUTHOR)
    merged = where(repository)
    real = Refs.move

    def move(self: Refs, *words: object, **more: object) -> object:
        if words[1] == MAIN:
            assert where(repository, kept.branch) == kept.head
            raise Conflict("ref_moved", "Somebody was faster.")
        return real(self, *words, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Refs, "move", move)
        with pytest.raises(Conflict):
            undo(repository, NAME, MAIN, author=AUTHOR)
    assert (where(repository), where(repository, kept.branch)) == (merged, None)
    assert undo(repository, NAME, MAIN, author=AUTHOR).returned == (kept.branch,)
    assert where(repository, kept.branch) == kept.head
