"""SIGKILL at random instants of commit, checkout, switch, merge and gc: every version that had landed
reads back to the byte, what had not is absent or whole, and the next command goes on. Other verbs are in
test_killed_more.py."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from kamld.store.gc import collect, look
from tests.cli.conftest import Kamld
from tests.cli.test_switch import shape
from tests.cli.victims import KILLS, KILLS_LONG, Victims, content, usual, victims_in
from tests.store.hubs import files_of


@pytest.fixture
def victims(kamld: Kamld, here: Path, hub: Path) -> Iterator[Victims]:
    with victims_in(kamld, here, hub) as given:
        yield given


def edit(victims: Victims, folder: Path, number: int) -> None:
    numbers = victims.chance
    (folder / "a" / f"{number % 5}").write_bytes(numbers.randbytes(numbers.choice((3, 5000, 70_000))))
    if number % 3 == 0:
        (folder / "large").write_bytes(numbers.randbytes(numbers.choice((10, 1_200_000))))


def commits(victims: Victims, kills: int) -> None:
    folder, times = victims.here / "d", []
    for number in range(3):
        edit(victims, folder, number)
        times.append(victims.let("commit d -m more")[1])
        victims.known[victims.head()] = content(folder)
    for number in range(kills):
        before = victims.head()
        edit(victims, folder, number)
        said = victims.kill(usual(times), number, kills, "commit d -m more")
        status = victims.kamld("status d --json").json
        now, there = victims.head(), content(folder)
        assert status["commit"] == now
        assert bool(status["changes"]) == (now == before)
        assert now != before or not said
        assert files_of(victims.repository, now) == (victims.known[before] if now == before else there)
        if now != before:
            assert [parent for parent, _ in victims.repository.log(now)][1] == before
            victims.known[now] = there
        victims.check(number)
    victims.kamld("commit d -m last")
    assert files_of(victims.repository, victims.head()) == content(folder)
    victims.repository.rebuild_index()


def checkouts(victims: Victims, kills: int) -> None:
    many = victims.known[victims.head()] | {b"many/%d/%d" % (n % 7, n): b"%d" % n * n for n in range(300)}
    victims.land(many, victims.head())
    times = [victims.let(f"checkout d new-{number}")[1] for number in range(3)]
    for number in range(kills):
        place = victims.here / f"new-{number}"
        shutil.rmtree(place, ignore_errors=True)
        done = victims.kill(usual(times), number, kills, f"checkout d {place.name}")
        assert place.exists() or not done
        if place.exists():
            assert content(place) == many
            assert victims.kamld(f"status {place.name} --json").json["changes"] == []
        else:
            victims.kamld(f"checkout d {place.name}")
            assert content(place) == many
        assert not list(victims.here.glob(".kamld-checkout-*"))
        shutil.rmtree(place)
    victims.check()


def switches(victims: Victims, kills: int) -> None:
    folder = victims.here / "d"
    for number in range(150):
        (folder / f"many{number}").write_text("one" * number)
    shapes = {victims.kamld("commit d -m one --json").json["commit"]: shape(folder)}
    for number in range(150):
        path = folder / f"many{number}"
        path.write_text("two" * number) if number % 3 else path.unlink()
        if number % 3 == 0:
            path.mkdir()
            (path / "in").write_text("in")
    shapes[victims.kamld("commit d -m two --json").json["commit"]] = shape(folder)
    one, two = shapes
    times = [victims.let(f"switch d {to}")[1] for to in (one, two, one)]
    at, middle = one, 0
    for number in range(kills):
        to = one if at == two else two
        done = victims.kill(usual(times), number, kills, f"switch d {to}")
        middle += (folder / ".kamld/switch").exists()
        status = victims.kamld("status d --json").json
        assert status["changes"] == []
        assert not done or status["commit"] == to
        at = status["commit"]
        assert shape(folder) == shapes[at]
        assert not (folder / ".kamld/switch").exists()
    assert middle


def merges(victims: Victims, kills: int) -> None:
    """Half of them have a conflict, which is decided by the same victim."""
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(-4, kills):
        clash, side = bool(number % 2), f"side{number % 1000}"
        start = victims.head()
        files = victims.known[start]
        base = victims.land(files | {b"both": b"%d" % number}, start)
        victims.repository.set_ref(victims.dataset, side, "branch", base, author="me")
        mine, other = {b"ours": b"%d" % number}, {b"theirs": victims.chance.randbytes(9000)}
        if clash:
            mine, other = mine | {b"both": b"ours"}, other | {b"both": b"theirs"}
        before = victims.land(victims.known[base] | mine, base)
        victims.land(victims.known[base] | other, base, branch=side)
        expected = victims.known[base] | mine | other
        words = [f"merge d {side}", *(["resolve d both --theirs"] if clash else [])]
        if number < 0:
            times[clash].append(victims.let(*words)[1])
        else:
            ended = victims.kill(usual(times[clash]), number, kills, *words)
            assert (victims.head() == before) or not clash or ended >= 1
            if victims.head() == before:
                assert ended < len(words)
                victims.let(words[0])  # lands, or waits for a decision that was not kept yet
            if victims.head() == before:
                victims.kamld(words[1])
            assert victims.kamld(f"merge d {side}").out
        assert files_of(victims.repository, victims.head()) == expected
        victims.known[victims.head()] = expected
        victims.check(number)


def collections(victims: Victims, kills: int) -> None:
    times, words = [], [f"collect {victims.hub}"] * 3
    for number in range(-3, kills):
        last = victims.head()
        victims.land(victims.known[last] | {b"n": b"%d" % number}, last)
        repository = victims.repository
        with repository.writer() as writer:
            for _ in range(3):  # what nobody names, and what is beside it in a pack
                writer.put(victims.chance.randbytes(victims.chance.choice((100, 40_000, 200_000))))
            if number % 2:
                writer.flush()
        if number < 0:
            times.append(victims.let(*words)[1])
        else:
            victims.kill(usual(times), number, kills, *words)
            for identifier, files in victims.known.items():
                assert files_of(victims.repository, identifier) == files
        victims.check(number)
    for _ in range(4):
        collect(victims.repository, 30, timedelta(0))
    assert look(victims.repository, 30, timedelta(0)).bytes == 0


VERBS = {
    "commit": commits, "checkout": checkouts, "switch": switches, "merge": merges, "gc": collections,
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
