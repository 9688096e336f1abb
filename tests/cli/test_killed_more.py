"""SIGKILL at random instants of the verbs that test_killed.py leaves: the same must hold."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kamld.records.names import Name
from tests.cli.conftest import Kamld
from tests.cli.victims import KILLS, KILLS_LONG, Files, Victims, content, usual, victims_in
from tests.store.hubs import files_of


@pytest.fixture
def victims(kamld: Kamld, here: Path, hub: Path) -> Iterator[Victims]:
    with victims_in(kamld, here, hub) as given:
        yield given


def newest(victims: Victims, name: str, branch: str = "main") -> tuple[str, Files] | None:
    """What a name gives; None where it has nothing yet."""
    repository = victims.repository
    dataset = repository.names.find(Name("default", name))
    ref = repository.refs.find(dataset, branch) if dataset else None
    return (ref.commit, files_of(repository, ref.commit)) if ref and ref.commit else None


def amends(victims: Victims, kills: int) -> None:
    folder, times = victims.here / "d", []
    (folder / "a/new").write_bytes(b"first")
    victims.kamld("commit d -m second")
    (parent,) = victims.repository.commit(victims.head()).parents
    for number in range(-3, kills):
        before, was = victims.head(), files_of(victims.repository, victims.head())
        (folder / "a/new").write_bytes(victims.chance.randbytes(100_000) + b"%d" % number)
        words = "commit d --amend" if number % 2 else "commit d --amend --keep-last 2"
        if number < 0:
            times.append(victims.let(words)[1])
            continue
        done = victims.kill(usual(times), number, kills, words)
        now, there = victims.head(), content(folder)
        assert files_of(victims.repository, now) == (was if now == before else there)
        assert now != before or not done
        assert victims.repository.commit(now).parents == (parent,)
        assert bool(victims.kamld("status d --json").json["changes"]) == (now == before)
        victims.kamld("commit d --amend -m again")
        assert files_of(victims.repository, victims.head()) == there
        assert victims.repository.commit(victims.head()).parents == (parent,)
        victims.check(number)


def inits(victims: Victims, kills: int) -> None:
    times = [victims.let(f"init before{number}")[1] for number in range(3)]
    for number in range(kills):
        folder = victims.here / f"new{number}"
        done = victims.kill(usual(times), number, kills, f"init {folder.name}")
        there = newest(victims, folder.name)
        assert there is None or there[1] == {}
        assert there or not done
        made = victims.kamld(f"init {folder.name} --json").json
        assert (made["name"], made["branch"]) == (folder.name, "main")
        (folder / "file").write_bytes(b"one")
        victims.kamld(f"commit {folder.name} -m one")
        assert newest(victims, folder.name) == (victims.head_of(folder.name), {b"file": b"one"})
    victims.check()


def imports(victims: Victims, kills: int) -> None:
    """A folder, into the hub or left where it is; what is left changes by new files alone."""
    times = []
    for number in range(-4, kills):
        name = "left" if number % 2 else "taken"
        source, words = victims.here / name, f"import {name}{' --reference' if number % 2 else ''}"
        source.mkdir(exist_ok=True)
        (source / f"{number}").write_bytes(victims.chance.randbytes(300_000))
        (source / "first").write_bytes(b"%d" % (0 if number % 2 else number))
        before, wanted = newest(victims, name), content(source)
        if number < 0:
            times.append(victims.let(words)[1])
            continue
        done = victims.kill(usual(times), number, kills, words)
        now = newest(victims, name)
        assert now
        assert now == before or now[1] == wanted
        assert now != before or not done
        victims.kamld(words)
        after = newest(victims, name)
        assert after
        assert after[1] == wanted
        assert after == now or now == before, "it had landed, and nothing is new"
        victims.known[after[0]] = wanted
        victims.check(number)
    aside = {path.suffix for path in (victims.hub / "local/imports").rglob("*") if path.is_file()}
    assert aside <= {".notes"}


def splits(victims: Victims, kills: int) -> None:
    times, words = [], "split d --parts one=0.5,two=0.5"
    for number in range(-3, kills):
        files = victims.known[victims.head()] | {b"f%d-%d" % (number, n): os.urandom(200) for n in range(30)}
        victims.land(files, victims.head())
        before = {part: newest(victims, f"d-{part}") for part in ("one", "two")}
        if number < 0:
            times.append(victims.let(words)[1])
            continue
        done = victims.kill(usual(times), number, kills, words)
        for part, was in before.items():
            now = newest(victims, f"d-{part}")
            assert now
            assert now == was or now[1].items() <= files.items()
            assert now != was or not done
        victims.kamld(words)
        one, two = (newest(victims, f"d-{part}") for part in before)
        assert one
        assert two
        assert one[1] | two[1] == files
        assert not one[1].keys() & two[1].keys()
        for part, after in (("one", one), ("two", two)):
            was = before[part]
            assert was is None or was[1].keys() <= after[1].keys(), "what was on one side stays there"
            victims.known[after[0]] = after[1]
        victims.check(number)


def restores(victims: Victims, kills: int) -> None:
    folder = victims.here / "d"
    for number in range(200):
        (folder / f"many{number}").write_bytes(b"as committed %d\n" % number * 500)
    victims.kamld("commit d -m many")
    committed = content(folder)
    times = []
    for number in range(-3, kills):
        for n in range(number % 3, 200, 3):
            path = folder / f"many{n}"
            path.unlink() if n % 2 else path.write_bytes(b"changed %d\n" % number * 400)
        (folder / "mine").write_bytes(b"new, and stays")
        changed = content(folder)
        if number < 0:
            times.append(victims.let("restore d .")[1])
        else:
            done = victims.kill(usual(times), number, kills, "restore d .")
            now = content(folder)
            assert now.keys() <= committed.keys() | {b"mine"}, "nothing half-written stays"
            assert all(data in (changed.get(path), committed.get(path)) for path, data in now.items())
            assert changed.keys() <= now.keys(), "nothing is lost on the way"
            assert not done or now == committed | {b"mine": b"new, and stays"}
            victims.kamld("restore d .")
        assert content(folder) == committed | {b"mine": b"new, and stays"}
        changes = victims.kamld("status d --json").json["changes"]
        assert [change["path"] for change in changes] == ["mine"]
    victims.check()


def undos(victims: Victims, kills: int) -> None:
    first = victims.head()
    second = victims.land({b"second": b"2"}, first)
    times = [victims.let("undo d")[1] for _ in range(4)]
    for number in range(kills):
        before = victims.head()
        done = victims.kill(usual(times), number, kills, "undo d")
        now = victims.head()
        assert now in (first, second)
        assert now != before or not done
        moves = list(victims.repository.refs.history(victims.dataset, "main"))
        assert [move.seq for move in moves] == list(range(len(moves), 0, -1))
        victims.check(number)


def renames(victims: Victims, kills: int) -> None:
    names, commit = ("d", "e"), victims.head()
    times = [victims.let(f"mv {old} {new}")[1] for old, new in (names, names[::-1]) * 2]
    for number in range(kills):
        old, new = names if newest(victims, "d") else names[::-1]
        done = victims.kill(usual(times), number, kills, f"mv {old} {new}")
        (live,) = [name for name in names if newest(victims, name)]
        assert live == new or not done
        assert [dataset.name for dataset in victims.repository.names.all()] == [live]
        assert victims.head_of(live) == commit
        assert victims.kamld("status d --json").json["name"] == live
        victims.check(number)
    if newest(victims, "e"):
        victims.kamld("mv e d")


def removals(victims: Victims, kills: int) -> None:
    commit, both = victims.head(), ("rm d", "undo d")
    times = [victims.let(*both)[1] for _ in range(3)]
    for number in range(kills):
        ended = victims.kill(usual(times), number, kills, *both)
        there = newest(victims, "d")
        assert there or ended < 2
        if not there:
            victims.kamld("undo d")
        assert victims.head() == commit
        assert [dataset.name for dataset in victims.repository.names.all()] == ["d"]
        assert not victims.kamld("status d --json").json["changes"]
        victims.check(number)


def names(victims: Victims, kills: int) -> None:
    """Branches, tags and aliases: each is there or is not, and none names anything else."""
    times = [victims.let(f"branch d before{n}", f"tag d v{n}x", f"alias d a{n}x")[1] for n in range(3)]
    for number in range(kills):
        wanted = (f"branch d b{number}", f"tag d t{number}", f"alias d a{number}")
        ended = victims.kill(usual(times), number, kills, *wanted)
        for at, words in enumerate(wanted):
            kind, _, name = words.split()
            ref = victims.repository.refs.find(victims.dataset, name)
            assert at >= ended or ref
            assert at <= ended or not ref
            if ref is None:
                victims.kamld(words)
                ref = victims.repository.refs.find(victims.dataset, name)
            assert ref
            assert (ref.kind, ref.commit) == (kind, victims.head())
    victims.check()


def exports(victims: Victims, kills: int) -> None:
    files = victims.known[victims.head()] | {b"many/%d/%d" % (n % 7, n): b"%d" % n * n for n in range(300)}
    victims.land(files, victims.head())
    archive = victims.here / "whole.tar"
    victims.kamld("export d whole.tar")
    times = {kind: [victims.let(f"export d {n}{kind}")[1] for n in range(3)] for kind in ("", ".tar")}
    for path in victims.here.glob("[012]*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    beside = {path.name for path in victims.here.iterdir()}
    for number in range(kills):
        kind = ".tar" if number % 2 else ""
        out = victims.here / f"out{kind}"
        done = victims.kill(usual(times[kind]), number, kills, f"export d {out.name}")
        assert out.exists() or not done
        if not out.exists():
            victims.kamld(f"export d {out.name}")
        assert out.read_bytes() == archive.read_bytes() if kind else content(out) == files
        shutil.rmtree(out) if out.is_dir() else out.unlink()
    victims.kamld("export d last.tar")
    assert {path.name for path in victims.here.iterdir()} - beside == {"last.tar"}, "what kills left is gone"
    victims.check()


def models(victims: Victims, kills: int) -> None:
    """Their versions have numbers, which are given once, each to a version that is there."""
    folder, times = victims.here / "net", []
    folder.mkdir()
    (folder / "weights").write_bytes(b"0")
    victims.kamld("commit net --model -m 0")
    for number in range(-3, kills):
        (folder / "weights").write_bytes(victims.chance.randbytes(200_000))
        both = ("commit net -m more", "undo net", "undo net")
        if number < 0:
            times.append(victims.let(*both)[1])
            continue
        victims.kill(usual(times), number, kills, *both)
        dataset = victims.repository.names.get(Name("default", "net"))
        moves = list(victims.repository.refs.history(dataset, "main"))[::-1]
        given = {move.version: move.commit for move in moves if move.version}
        assert [*given] == [*range(1, len(given) + 1)]
        assert {(move.version, move.commit) for move in moves if move.version} == {*given.items()}
        for version, commit in given.items():
            assert victims.kamld(f"show net@v{version} --json").json["commit"] == commit
        victims.check(number)


def purges(victims: Victims, kills: int) -> None:
    times = []
    for number in range(-3, kills):
        secret = victims.chance.randbytes(90_000)
        rest = victims.known[victims.head()] | {b"n": b"%d" % number}
        del victims.known[victims.land(rest | {b"secret": secret}, victims.head())]
        words = "purge d:secret --reason asked --yes"
        if number < 0:
            times.append(victims.let(words)[1])
        else:
            victims.kill(usual(times), number, kills, words)
            victims.kamld("purge --finish")
            victims.kamld(words)
        assert "purged_file" in victims.kamld("cat d:secret", status=1).err
        for path in victims.hub.rglob("*"):
            assert not path.is_file() or secret[1000:1050] not in path.read_bytes(), path
        victims.land(rest, victims.head())
        victims.check(number)


VERBS = {
    "amend": amends, "init": inits, "import": imports, "split": splits, "restore": restores, "undo": undos,
    "mv": renames, "rm": removals, "names": names, "export": exports, "models": models, "purge": purges,
}  # fmt: skip


@pytest.mark.timeout(120)
@pytest.mark.parametrize("verb", VERBS)
def test_killed_at_random_instants(victims: Victims, verb: str) -> None:
    VERBS[verb](victims, KILLS)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verb", VERBS)
def test_killed_hundreds_of_times(victims: Victims, verb: str) -> None:
    VERBS[verb](victims, KILLS_LONG)
    print(f"{verb}: {victims.killed} killed, {victims.ended} had ended")
