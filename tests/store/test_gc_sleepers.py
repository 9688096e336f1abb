"""Who slept, or was slow, while a collection went on: told so, and nothing that is gone is named."""

from datetime import timedelta

import pytest

from kamld import clock
from kamld.errors import KamldError, NotFound, SystemFault
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from kamld.store.gc import collect, look
from kamld.store.leases import Held
from tests.store.hubs import AUTHOR, commit, files_of, fresh, head, put
from tests.store.test_gc_traps import data

NOW = timedelta(0)


def test_who_slept_until_the_lease_was_lost_lands_nothing_that_is_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    repository, dataset = fresh()
    sleeper = open_hub(repository.blobs)
    with sleeper.writer() as writer:
        entries = put(writer, {b"a": data(1)})
        version = sleeper.write_version(writer, entries, parents=(), author=AUTHOR, message="m")
    for listed in list(repository.blobs.list("leases/")):
        repository.blobs.delete(listed.key)  # another machine took it for gone
    for _ in range(2):
        collect(repository, 0, NOW)
    monkeypatch.setattr(Held, "lost", property(lambda _: True))
    with pytest.raises(KamldError) as raised:
        sleeper.land_version(dataset, "main", version, author=AUTHOR)
    assert raised.value.code in ("collected", "missing_object", "missing_pack")
    assert repository.refs.find(dataset, "main") is None


@pytest.mark.parametrize("open_packs", [True, False])
def test_who_fell_asleep_just_before_landing(monkeypatch: pytest.MonkeyPatch, open_packs: bool) -> None:
    """It is written again from packs that are still open, or else taken back."""
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"0": data(0)}).commit_id
    sleeper = open_hub(repository.blobs)
    with sleeper.writer() as writer:
        entries = put(writer, {b"a": data(1)})
        version = sleeper.write_version(writer, entries, parents=(first,), author=AUTHOR, message="m")
    move = sleeper.refs.move

    def late(*given: object, **named: object) -> object:
        for listed in list(repository.blobs.list("leases/")):
            repository.blobs.delete(listed.key)
        for _ in range(2):
            collect(repository, 0, NOW)
        if not open_packs:
            sleeper.objects._open.clear()
        monkeypatch.setattr(sleeper.refs, "move", move)
        monkeypatch.setattr(Held, "lost", property(lambda held: held is version.lease))
        return move(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(sleeper.refs, "move", late)
    if open_packs:
        landed = sleeper.land_version(dataset, "main", version, author=AUTHOR).commit_id
        assert files_of(open_hub(repository.blobs), landed) == {b"a": data(1)}
    else:
        sleeper.objects._open.clear()
        with pytest.raises(SystemFault, match="slept"):
            sleeper.land_version(dataset, "main", version, author=AUTHOR)
        assert head(repository, dataset) == first
    check = open_hub(repository.blobs)
    assert files_of(check, first) == {b"0": data(0)}
    assert look(check, 30, NOW).missing == 0


def sleeps_before_the_swap(
    sleeper: Repository, others: Repository, slept: set[Held | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read the ref and looked at its lease; before it swaps, all its garbage is collected."""
    extended = sleeper.refs._extended

    def late(*given: object) -> object:
        for listed in list(others.blobs.list("leases/")):
            others.blobs.delete(listed.key)
        for _ in range(2):
            collect(others, 0, NOW)
        sleeper.objects._open.clear()
        monkeypatch.setattr(sleeper.refs, "_extended", extended)
        monkeypatch.setattr(Held, "lost", property(lambda held: held in slept))
        return extended(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(sleeper.refs, "_extended", late)


def test_what_a_sleeper_named_anew_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A branch that was not there cannot be swept. Another writer of the process, which slept too, has
    nothing to do with it."""
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"0": data(0)}).commit_id
    sleeper = open_hub(repository.blobs)
    with sleeper.writer() as other:
        other.put(data(2))
        before = set(sleeper._writing.values())
        with sleeper.writer() as writer:
            entries = put(writer, {b"a": data(1)})
            version = sleeper.write_version(writer, entries, parents=(first,), author=AUTHOR, message="m")
        sleeps_before_the_swap(sleeper, repository, {*before, version.lease}, monkeypatch)
        with pytest.raises(SystemFault, match="slept"):
            sleeper.land_on(dataset, "new", version, expected=None, author=AUTHOR)
        ref = repository.refs.find(dataset, "new")
        assert ref
        assert ref.commit is None
        again = commit(sleeper, dataset, {b"b": data(3)}, first)  # the other one's sleep matters to none
        assert files_of(open_hub(repository.blobs), again.commit_id) == {b"b": data(3)}


def test_nobody_can_build_on_what_a_sleeper_names_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has read the branch and found its lease good; it sleeps until all is collected, then moves it."""
    repository, dataset = fresh()
    first = commit(repository, dataset, {b"0": data(0)}).commit_id
    sleeper = open_hub(repository.blobs)
    with sleeper.writer() as writer:
        entries = put(writer, {b"a": data(1)})
        version = sleeper.write_version(writer, entries, parents=(first,), author=AUTHOR, message="m")
    sleeps_before_the_swap(sleeper, repository, {version.lease}, monkeypatch)
    with pytest.raises(SystemFault, match="slept"):
        sleeper.land_version(dataset, "main", version, author=AUTHOR)
    assert [move.commit for move in repository.refs.history(dataset, "main")] == [first]
    again = commit(open_hub(repository.blobs), dataset, {b"a": data(1)}, first)
    assert files_of(open_hub(repository.blobs), again.commit_id) == {b"a": data(1)}


@pytest.mark.parametrize("killed", [False, True])
def test_who_brings_back_what_is_forgotten_meanwhile(monkeypatch: pytest.MonkeyPatch, killed: bool) -> None:
    repository, dataset = fresh()
    kept = repository.create(Name("p", "kept"), "dataset")
    commit(repository, kept, {b"0": data(0)})
    commit(repository, dataset, {b"a": data(1)})
    repository.names.remove(dataset, author=AUTHOR)
    (removed,) = repository.names.removed()
    names = open_hub(repository.blobs).names
    swap = names._swap

    def late(*given: object) -> bool:
        assert "p/d" in [*collect(repository, 0, NOW).forgotten, *collect(repository, 0, NOW).forgotten]
        monkeypatch.setattr(names, "_swap", swap)
        done = swap(*given)  # type: ignore[arg-type]
        if killed:
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(names, "_swap", late)
    with pytest.raises(KeyboardInterrupt if killed else NotFound):
        names.restore(removed)
    assert (names.find(Name("p", "d")) is not None) == killed  # it has no refs any more, and goes next time
    monkeypatch.setattr(clock, "now", lambda: "2100-01-01T00:00:00.000000Z")
    collect(open_hub(repository.blobs), 0, NOW)
    assert names.find(Name("p", "d")) is None
    assert not list(repository.blobs.list(f"refs/{dataset.id}/"))


def test_who_brings_back_what_was_forgotten_long_since(monkeypatch: pytest.MonkeyPatch) -> None:
    """It slept right before it took the name, until even the record of the forgetting had gone."""
    repository, dataset = fresh()
    kept = repository.create(Name("p", "kept"), "dataset")
    commit(repository, kept, {b"0": data(0)})
    commit(repository, dataset, {b"a": data(1)})
    repository.names.remove(dataset, author=AUTHOR)
    (removed,) = repository.names.removed()
    names = open_hub(repository.blobs).names
    swap = names._swap

    def late(*given: object) -> bool:
        for number in range(2, 6):
            with repository.writer() as writer:
                writer.put(data(number))
            for _ in range(2):
                collect(repository, 0, NOW)
        assert not list(repository.blobs.list("removed/"))
        monkeypatch.setattr(names, "_swap", swap)
        return swap(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(names, "_swap", late)
    with pytest.raises(NotFound) as told:
        names.restore(removed)
    assert told.value.code == "collected"
    assert names.find(Name("p", "d")) is None
    monkeypatch.setattr(clock, "now", lambda: "2100-01-01T00:00:00.000000Z")
    collect(open_hub(repository.blobs), 0, NOW)
