"""A hub in which nothing is lost, and much of what was removed is still there: a repair leaves that to the
collections, whoever has no version yet.
"""

import random
from collections.abc import Iterator

import msgspec
import pytest

from kamld.blobs import Blobs, Listed
from kamld.errors import SystemFault
from kamld.records.history import Dataset, Named
from kamld.records.names import Name
from kamld.records.run import Run, RunOutput
from kamld.store import Repository, open_hub
from kamld.store.envelope import seal, unseal
from kamld.store.gc import collect
from kamld.store.refs.seen import check_refs, forget_refs, note_refs
from tests.store.hubs import AUTHOR, commit, files_of, fresh, put
from tests.store.test_fsck_lost_refs import NOW, check, long_log, lose, mend, recovered

LONG_AGO = "2001-01-01T00:00:00.000000Z"


def empty(repository: Repository, created: str | None = None) -> Dataset:
    """One without a version, as `kamld init` makes it."""
    made = repository.create(Name("p", "empty"), "dataset")
    if created:
        _made_in(repository.blobs, made, created)
    return made


def _made_in(blobs: Blobs, dataset: Dataset, created: str) -> None:
    key = f"names/{dataset.project}/{dataset.name}.json"
    data = blobs.get(key)
    blobs.swap(key, data, seal(msgspec.structs.replace(unseal(data, Named, key), created=created)))


def forgotten() -> tuple[Repository, str]:
    """A hub with a dataset that lives, and the version of one that was removed and forgotten."""
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"kept"})
    other = repository.create(Name("p", "other"), "dataset")
    gone = commit(repository, other, {b"a": b"of the other"}).commit_id
    repository.names.remove(other, author=AUTHOR)
    with repository.writer() as writer:
        writer.put(random.Random(1).randbytes(5000))  # what is not named is condemned
    assert collect(repository, 30, NOW).condemned == 1
    assert collect(repository, 0, NOW).forgotten == ("p/other",)
    assert list(repository.blobs.list("removed/"))
    assert files_of(repository, gone) == {b"a": b"of the other"}
    return open_hub(repository.blobs), gone


@pytest.mark.parametrize("created", [None, LONG_AGO])
@pytest.mark.parametrize("has_empty", [False, True])
def test_what_was_forgotten_is_not_taken_for_lost(has_empty: bool, created: str | None) -> None:
    repository, _ = forgotten()
    if has_empty:
        empty(repository, created)
    report = check(repository.blobs)
    assert report.findings == []
    assert [note.partition(" has ")[0] for note in report.notes] == ["p/empty"] * has_empty
    done = mend(repository.blobs)
    assert done.steps == []
    assert {one.name for one in repository.names.all()} == {"d", *["empty"] * has_empty}


def begun() -> tuple[Repository, str]:
    """A hub whose collection was killed when it had decided to forget a dataset; with the key of its ref."""
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"kept"})
    other = repository.create(Name("p", "other"), "dataset")
    commit(repository, other, {b"a": b"of the other"})
    repository.names.remove(other, author=AUTHOR)
    (removed,) = repository.names.removed()
    assert repository.names.forget(removed)
    (ref,) = repository.blobs.list(f"refs/{other.id}/")
    return open_hub(repository.blobs), ref.key


def test_a_collection_that_was_killed_before_the_refs_were_gone() -> None:
    repository, _ = begun()
    assert (check(repository.blobs).findings, check(repository.blobs).notes) == ([], [])
    assert mend(repository.blobs).steps == []


def test_a_collection_that_was_killed_before_the_logs_were_gone() -> None:
    repository, key = begun()
    repository.blobs.delete(key)
    repository.blobs.put(key.replace("refs/", "log/", 1) + "/0000000001-x", [b"some"])
    repository.blobs.flush()
    assert (check(repository.blobs).findings, check(repository.blobs).notes) == ([], [])
    assert mend(repository.blobs).steps == []


def test_a_lost_part_of_the_log_of_one_that_is_forgotten() -> None:
    repository, _, _, keys = long_log()
    repository.names.remove(repository.names.get(Name("p", "d")), author=AUTHOR)
    (removed,) = repository.names.removed()
    assert repository.names.forget(removed)
    repository.blobs.delete(keys[1])
    assert mend(repository.blobs).steps == []


def test_what_is_damaged_of_one_that_is_forgotten_goes_with_it() -> None:
    repository, key = begun()
    data = repository.blobs.get(key)
    repository.blobs.swap(key, data, data[:-5])
    empty(repository)
    note_refs(repository.blobs)
    assert mend(repository.blobs).steps == []
    with repository.writer() as writer:
        writer.put(random.Random(1).randbytes(5000))
    for _ in range(2):
        collect(repository, 30, NOW)
    assert check(repository.blobs).findings == []


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_never_landed_is_nobodys(goes_on: bool) -> None:
    """Neither of who has no version yet, nor of who has all its refs."""
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"a": b"1"}).commit_id
    made = _unlanded(repository, (first,) if goes_on else ())
    assert not repository.leases.all()
    assert files_of(open_hub(repository.blobs), made) == {b"a": b"2"}
    note_refs(repository.blobs)
    empty(repository, None if goes_on else LONG_AGO)
    assert mend(repository.blobs).steps == []


def _unlanded(repository: Repository, parents: tuple[str, ...]) -> str:
    with repository.writer() as writer:
        entries = put(writer, {b"a": b"2"})
        made = repository.write_version(writer, entries, parents=parents, author=AUTHOR, message="m")
        writer.flush()
    return made.commit_id


def test_a_run_says_whose_it_was_and_means_who_has_the_name_now() -> None:
    repository, old = fresh()
    commit(repository, old, {b"a": b"1"})
    repository.names.remove(old, author=AUTHOR)
    new = repository.create(Name("p", "d"), "dataset")
    one = commit(repository, new, {b"a": b"2"}).commit_id
    repository.sealed.seal_run(
        Run(
            id="ab" * 16, project="p", number=repository.sealed.claim_number("p", "ab" * 16), name="r",
            state="succeeded", command=("x",), author=AUTHOR, started=LONG_AGO, ended=LONG_AGO,
            outputs=(RunOutput(label="m", project="p", name="d", kind="dataset", commit=one),),
        )
    )  # fmt: skip
    lose(repository.blobs, f"refs/{new.id}/")
    note_refs(repository.blobs)
    _made_in(repository.blobs, new, LONG_AGO)
    mend(repository.blobs)
    assert recovered(repository, new) == {f"recovered-{one[:12]}": one}


def test_a_version_that_was_lost_since_the_last_collection_is_named_where_something_speaks_for_it() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"1"})
    note_refs(repository.blobs)
    other = repository.create(Name("p", "new"), "dataset")
    one = commit(repository, other, {b"a": b"2"}).commit_id
    lose(repository.blobs, f"refs/{other.id}/")
    assert [step.key for step in mend(repository.blobs).steps] == [f"p/new@recovered-{one[:12]}"]
    assert recovered(repository, other) == {f"recovered-{one[:12]}": one}


@pytest.mark.parametrize("noted", [True, False])
def test_a_collection_beside_one_that_forgets_takes_nothing_for_lost(
    monkeypatch: pytest.MonkeyPatch, noted: bool
) -> None:
    """Two that begin at once may both go on: one reads what was forgotten, then the other forgets."""
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"kept"})
    other = repository.create(Name("p", "other"), "dataset")
    commit(repository, other, {b"a": b"of the other"})
    _made_in(repository.blobs, other, LONG_AGO)
    if noted:
        note_refs(repository.blobs)
    repository.names.remove(repository.names.get(Name("p", "other")), author=AUTHOR)
    (removed,) = repository.names.removed()
    blobs, names, found = repository.blobs, repository.names, repository.blobs.list

    def forget() -> None:
        assert names.forget(removed)
        forget_refs(blobs, other.id)
        for one in list(found(f"refs/{other.id}/")):
            blobs.delete(one.key)
        if not noted:  # and somebody brings it back, who is about to find that out
            key = "names/p/other.json"
            data = blobs.get(key)
            blobs.swap(key, data, seal(msgspec.structs.replace(unseal(data, Named, key), gone="", by="")))

    def late(prefix: str) -> Iterator[Listed]:
        if prefix == "refs/":
            monkeypatch.undo()
            forget()
        return found(prefix)

    monkeypatch.setattr(blobs, "list", late)
    check_refs(blobs, names)
    check_refs(blobs, names)
    lose(blobs, "refs/")
    if noted:
        with pytest.raises(SystemFault, match="p/d@main"):
            check_refs(blobs, names)
