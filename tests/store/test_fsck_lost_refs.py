"""Refs, and parts of their logs, that no copy has: what they may have named gets names, then they are written
down as lost; a collection deletes nothing before that.
"""

import copy
import os
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import Blobs, FolderBlobs, MemoryBlobs
from kamld.changes.undo import undo
from kamld.errors import Conflict, NotFound, SystemFault
from kamld.records.history import Dataset, Named, SealedMoves
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.envelope import seal, unseal
from kamld.store.fsck import HubSource, Mended, Report, Source, repair
from kamld.store.fsck import check as check_blobs
from kamld.store.gc import collect
from kamld.store.leases import COLLECTING, REPAIRING
from kamld.store.refs.moves import MOVES_MAX
from kamld.store.refs.seen import note_refs
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan
from tests.store.hubs import AUTHOR, commit, files_of, fresh, head
from tests.store.test_fsck import cut, delete, files_in, fill, flip

NOW = timedelta(0)


def check(blobs: Blobs) -> Report:
    return check_blobs(blobs, threads=2, progress=lambda *_: None)


def mend(blobs: Blobs, *sources: Source) -> Mended:
    return repair(blobs, sources, threads=2, progress=lambda *_: None)


def lose(blobs: Blobs, prefix: str, word: str = "") -> dict[str, bytes]:
    lost = {one.key: blobs.get(one.key) for one in blobs.list(prefix) if one.key.endswith(word)}
    assert lost
    for key in lost:
        blobs.delete(key)
    return lost


def recovered(repository: Repository, dataset: Dataset) -> dict[str, str]:
    return {
        ref.name: ref.commit or ""
        for ref in repository.refs.all(dataset)
        if ref.name.startswith("recovered-")
    }


def long_log(blobs: Blobs | None = None, parts: int = 3) -> tuple[Repository, Dataset, str, list[str]]:
    """A branch whose log has sealed parts; the second of them alone names a version that was taken back."""
    repository, dataset = fresh(blobs)
    first = commit(repository, dataset, {b"a": b"first"}).commit_id
    other = commit(repository, dataset, {b"a": b"other"}, first, branch="other").commit_id
    hidden = commit(repository, dataset, {b"a": b"hidden"}, first, branch="away").commit_id
    at = first
    for n in range(MOVES_MAX * parts + 5):
        to = hidden if n == MOVES_MAX + 5 else other if at != other else first
        repository.refs.move(
            dataset, "main", "branch", to, expected=at, author=AUTHOR, reason=f"move {n}"
        )  # fmt: skip
        at = to
    ref = repository.refs.find(dataset, "away")
    assert ref
    for listed in list(repository.blobs.list("refs/")):
        if listed.key.endswith("/away"):
            repository.blobs.delete(listed.key)
    keys = sorted(one.key for one in repository.blobs.list("log/"))
    assert len(keys) == parts
    return repository, dataset, hidden, keys


# --- parts of a log


@pytest.mark.parametrize("damaged", [False, True])
def test_a_lost_part_of_a_log(damaged: bool) -> None:
    repository, dataset, hidden, keys = long_log()
    before = list(repository.refs.history(dataset, "main"))
    data = repository.blobs.get(keys[1])
    repository.blobs.delete(keys[1])
    if damaged:
        repository.blobs.put(keys[1], [data.replace(b"move", b"MOVE")])
        repository.blobs.flush()
    with pytest.raises(SystemFault) as told:
        list(repository.refs.history(dataset, "main"))
    assert told.value.code == ("damaged_record" if damaged else "lost_log")
    for _ in range(2):
        with pytest.raises(SystemFault):
            collect(open_hub(repository.blobs), 0, NOW)
    assert not check(repository.blobs).sound

    done = mend(repository.blobs)
    assert done.report.sound
    assert [step.key for step in done.steps] == [f"p/d@recovered-{hidden[:12]}", keys[1]]
    assert any("a part of its log is lost" in note for note in done.report.notes)
    after = list(repository.refs.history(dataset, "main"))
    lost = unseal(data, SealedMoves, "it").moves
    gap = [move for move in after if move.lost]
    assert [(move.seq, move.time) for move in gap] == [(lost[-1].seq, before[-lost[-1].seq - 1].time)]
    assert [move for move in after if not move.lost] == [
        move for move in before if not lost[0].seq <= move.seq <= lost[-1].seq
    ]
    assert mend(repository.blobs).steps == []
    for _ in range(2):
        collect(open_hub(repository.blobs), 0, NOW)
    assert recovered(repository, dataset) == {f"recovered-{hidden[:12]}": hidden}
    assert files_of(open_hub(repository.blobs), hidden) == {b"a": b"hidden"}


def test_several_parts_that_follow_each_other() -> None:
    repository, dataset, hidden, keys = long_log(parts=4)
    for key in keys[:3]:
        repository.blobs.delete(key)
    assert mend(repository.blobs).report.sound
    moves = list(repository.refs.history(dataset, "main"))
    assert moves[-1].lost
    assert sum(move.lost for move in moves) == 1
    assert list(recovered(repository, dataset).values()) == [hidden]


def test_a_copy_that_turns_up_later_has_the_true_part(tmp_path: Path) -> None:
    repository, dataset, _, keys = long_log(FolderBlobs(tmp_path / "hub"))
    before = list(repository.refs.history(dataset, "main"))
    kept = MemoryBlobs()
    for listed in repository.blobs.list(""):
        kept.put(listed.key, [repository.blobs.get(listed.key)])
    kept.flush()
    repository.blobs.delete(keys[1])
    mend(repository.blobs)
    assert any(move.lost for move in repository.refs.history(dataset, "main"))
    done = mend(repository.blobs, HubSource(kept, is_copy=True))
    assert done.report.sound
    assert list(repository.refs.history(dataset, "main")) == before


# --- refs


def test_a_branch_that_was_lost_before_the_first_collection() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    side = commit(repository, dataset, {b"a": b"3"}, one, branch="side").commit_id
    lose(repository.blobs, "refs/", "/main")
    report = check(repository.blobs)
    assert report.sound  # a dataset that is just being made looks like this
    assert report.notes
    done = mend(repository.blobs)
    assert [step.key for step in done.steps] == [f"p/d@recovered-{two[:12]}"]
    assert "m, with" not in done.steps[0].what
    assert recovered(repository, dataset) == {f"recovered-{two[:12]}": two}
    assert head(repository, dataset, "side") == side
    repository.set_ref(dataset, "main", "branch", two, author=AUTHOR)
    assert check(repository.blobs).notes == []
    assert mend(repository.blobs).steps == []


def test_all_refs_of_all_datasets() -> None:
    """The only version that is older tells whose it is; nobody can tell of others that were made at once."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    other = repository.create(Name("p", "e"), "dataset")
    two = commit(repository, other, {b"a": b"2"}).commit_id
    lose(repository.blobs, "refs/")
    done = mend(repository.blobs)
    assert {step.key for step in done.steps} == {f"p/recovered@recovered-{n[:12]}" for n in (one, two)}
    found = repository.names.get(Name("p", "recovered"))
    assert set(recovered(repository, found).values()) == {one, two}
    assert mend(repository.blobs).steps == []


def test_the_time_tells_whose_it_is() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    other = repository.create(Name("p", "e"), "dataset")
    lose(repository.blobs, "refs/")
    key = f"names/p/{other.name}.json"
    named = repository.blobs.get(key)
    repository.blobs.swap(key, named, _made_in(named, "2001-01-01T00:00:00.000000Z"))
    done = mend(repository.blobs)
    assert [step.key for step in done.steps] == [f"p/d@recovered-{one[:12]}"]


def _made_in(named: bytes, time: str) -> bytes:
    return seal(msgspec.structs.replace(unseal(named, Named, "it"), created=time))


@pytest.mark.parametrize("damaged", [False, True])
def test_a_ref_that_a_collection_saw(damaged: bool) -> None:
    repository, dataset = fresh(kind="model")
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one, branch="side").commit_id
    note_refs(repository.blobs)
    lost = lose(repository.blobs, "refs/", "/side")
    if damaged:
        for key, data in lost.items():
            repository.blobs.put(key, [data[:-5]])
        repository.blobs.flush()
    with pytest.raises(SystemFault) as told:
        collect(open_hub(repository.blobs), 0, NOW)
    assert told.value.code == ("damaged_record" if damaged else "lost_refs")
    assert "kamld fsck --repair" in told.value.hint
    done = mend(repository.blobs)
    assert done.report.sound
    (key,) = lost
    assert [step.key for step in done.steps] == [f"p/d@recovered-{two[:12]}", key]
    for _ in range(2):
        collect(open_hub(repository.blobs), 0, NOW)
    assert files_of(open_hub(repository.blobs), two) == {b"a": b"2"}
    assert mend(repository.blobs).steps == []


def test_no_number_of_a_model_is_given_twice() -> None:
    repository, dataset = fresh(kind="model")
    last = commit(repository, dataset, {b"a": b"0"}).commit_id
    for n in range(1, MOVES_MAX + 3):
        last = commit(repository, dataset, {b"a": b"%d" % n}, last).commit_id
    lose(repository.blobs, "refs/", "/main")
    assert mend(repository.blobs).report.sound
    move = repository.refs.move(
        dataset, "main", "branch", last, expected=None, author=AUTHOR, reason="had back"
    )  # fmt: skip
    assert move.version == MOVES_MAX + 1  # of those that are known: the sealed part's
    assert len([one for one in repository.refs.history(dataset, "main") if not one.lost]) == MOVES_MAX + 1


def test_a_version_with_lost_files_is_named_and_one_of_which_nothing_is_left_is_not() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"first content", b"b": b"the other one"}).commit_id
    for listed in list(repository.blobs.list("packs/")):
        data = repository.blobs.get(listed.key)
        repository.blobs.delete(listed.key)
        repository.blobs.put(listed.key, [data.replace(b"first content", b"FIRST CONTENT")])
    repository.blobs.flush()
    lose(repository.blobs, "refs/")
    done = mend(repository.blobs)
    assert "1 of its files are lost" in done.steps[-1].what
    assert [(found.version, found.files) for found in done.report.affected] == [(f"recovered-{one[:12]}", 1)]


def test_beside_others() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"1"})
    note_refs(repository.blobs)
    lose(repository.blobs, "refs/")
    with repository.writer() as writer:
        writer.put(b"of somebody who is at work")
        done = mend(repository.blobs)
        assert done.steps == []
        assert "Somebody writes" in done.report.notes[-1]
    with repository.leases.take(REPAIRING), pytest.raises(Conflict, match="repairs this hub"):
        collect(open_hub(repository.blobs), 0, NOW)
    with repository.leases.take(COLLECTING), pytest.raises(Conflict, match="gives room back") as told:
        mend(repository.blobs)
    assert told.value.code == "collecting"
    assert mend(repository.blobs).report.sound


def test_what_cannot_be_undone_is_said() -> None:
    """A tag has no version before it but in its log."""
    repository, dataset = fresh()
    at = [commit(repository, dataset, {b"a": b"1"}).commit_id]
    at.append(commit(repository, dataset, {b"a": b"2"}, *at).commit_id)
    repository.refs.move(dataset, "t", "tag", at[0], expected=None, author=AUTHOR, reason="0")
    for n in range(MOVES_MAX):
        here, to = at[n % 2], at[(n + 1) % 2]
        repository.refs.move(dataset, "t", "tag", to, expected=here, author=AUTHOR, reason=f"{n}")
    (part,) = (one.key for one in repository.blobs.list("log/"))
    repository.blobs.delete(part)
    mend(repository.blobs)
    with pytest.raises(NotFound, match="that part of its log was lost"):
        undo(repository, Name("p", "d"), "t", author=AUTHOR)


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_write_and_run_again(kind: str) -> None:
    start = MemoryBlobs()
    repository, _, hidden, keys = long_log(start)
    other = repository.create(Name("p", "e"), "dataset")
    away = commit(repository, other, {b"a": b"of another"}).commit_id
    start.delete(keys[1])
    lose(start, f"refs/{other.id}/")

    def attempt(plan: Plan) -> MemoryBlobs:
        blobs = MemoryBlobs()
        blobs._objects = copy.copy(start._objects)
        with suppress(Killed, SystemFault):
            mend(FaultyBlobs(blobs, plan))
        for listed in list(blobs.list("leases/")):  # its holder is gone; here it lives
            blobs.delete(listed.key)
        return blobs

    counted = Plan()
    attempt(counted)
    assert len(counted.writes) > 4
    for at in range(1, len(counted.writes) + 1):
        blobs = attempt(Plan(at, kind))
        assert mend(blobs).report.findings == [], counted.writes[at - 1]
        again = open_hub(blobs)
        named = {commit for one in again.names.all() for commit in recovered(again, one).values()}
        assert named == {hidden, away}, counted.writes[at - 1]
        collect(again, 0, NOW)


# --- the law


def commits(repository: Repository) -> set[str]:
    """All that refs and their logs lead to, whose ever they are."""
    datasets = [*repository.names.all(), *(one.dataset for one in repository.names.removed())]
    starts = {
        move.commit
        for dataset in datasets
        for ref in repository.refs.ever(dataset)
        for move in repository.refs.history(dataset, ref.name)
        if move.commit
    }
    return {commit_id for start in starts for commit_id, _ in repository.log(start)}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    hub = tmp_path_factory.mktemp("sound") / "hub"
    fill(FolderBlobs(hub))
    return hub


@given(st.data())
def test_whatever_refs_and_logs_are_lost_every_version_can_be_had(
    sound: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    before = commits(open_hub(FolderBlobs(sound)))
    place = tmp_path_factory.mktemp("damaged") / "hub"
    shutil.copytree(sound, place, copy_function=os.link)
    try:
        names = [name for name in files_in(sound) if name.startswith(("refs/", "log/"))]
        some = data.draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
        for name in some:
            harm = data.draw(st.sampled_from([flip, cut, delete]))
            harm(place / name, data.draw(st.integers(0, 10**7)), data.draw(st.integers(0, 7)))
        done = mend(FolderBlobs(place))
        assert done.report.findings == []
        for _ in range(2):
            assert commits(open_hub(FolderBlobs(place))) >= before
            collect(open_hub(FolderBlobs(place)), 30, NOW)
        assert mend(FolderBlobs(place)).steps == []
    finally:
        shutil.rmtree(place)
