"""Somebody changes a folder while it is committed, or while a version is written into it."""

import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest

from kamld.errors import Conflict, KamldError, SystemFault
from kamld.records.names import parse_reference
from kamld.store.objects import Objects
from kamld.workspace import check_out, commit_folder
from kamld.workspace.switch import switch
from tests.workspace.hostile import before_reading, get, keep, read, refused


def swap(folder: Path, outside: Path) -> None:
    """A link to `outside` where the folder was."""
    folder.rename(folder.parent / "moved away")
    folder.symlink_to(outside)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Just the names that are in the folders of these tests, with what must not get in or be touched."""
    place = tmp_path / "outside"
    (place / "in").mkdir(parents=True)
    (place / "file").write_text("secret")
    (place / "in" / "file").write_text("secret")
    (place / "in" / "link").symlink_to("secret")
    return place


@pytest.mark.parametrize("which", ["sub", "sub/in"])
def test_a_link_comes_where_a_folder_was_while_it_is_looked_at(
    top: Path, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    (top / "sub" / "in").mkdir(parents=True)
    (top / "sub" / "in" / "file").write_text("mine")
    real, target = os.open, top / "sub" / "in"

    def opening(path: object, flags: int, *rest: object, **more: object) -> int:
        if path == str(target) and not (top / which).is_symlink():
            swap(top / which, outside if which == "sub" else outside / "in")
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", opening)
    refused(top, tmp_path, "changing_folder", str(target))


@pytest.mark.parametrize("which", ["sub", "sub/in"])
def test_another_folder_comes_where_one_was_while_it_is_looked_at(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """It is one of this tree, so it is taken as it is; as are those of file systems that give a folder
    another number each time."""
    (top / "sub" / "in").mkdir(parents=True)
    (top / "sub" / "in" / "file").write_text("before")
    real, target = os.open, top / "sub" / "in"

    def opening(path: object, flags: int, *rest: object, **more: object) -> int:
        if path == str(target) and not (tmp_path / "before").exists():
            (top / which).rename(tmp_path / "before")
            target.mkdir(parents=True)
            (target / "file").write_text("after")
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", opening)
    get(keep(top, tmp_path), tmp_path / "back")
    assert (tmp_path / "back/sub/in/file").read_text() == "after"


@pytest.mark.parametrize("name", ["file", "link"])
@pytest.mark.parametrize("which", ["sub", "sub/in"])
def test_a_link_comes_where_a_folder_was_before_its_files_are_read(
    top: Path, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, which: str, name: str
) -> None:
    (top / "sub" / "in").mkdir(parents=True)
    if name == "file":
        (top / "sub" / "in" / "file").write_text("mine")
        before_reading(monkeypatch, lambda: swap(top / which, outside if which == "sub" else outside / "in"))
        refused(top, tmp_path, "changing_file", str(top / "sub/in/file"))
    else:
        (top / "sub" / "in" / "link").symlink_to("mine")
        module = sys.modules["kamld.workspace.snapshot"]
        looked = module.scan

        def scanned(*words: object, **options: object) -> object:
            found = looked(*words, **options)  # type: ignore[arg-type]
            swap(top / which, outside if which == "sub" else outside / "in")
            return found

        monkeypatch.setattr(module, "scan", scanned)
        with pytest.raises(SystemFault):
            keep(top, tmp_path)


def test_a_file_that_is_replaced_before_it_is_read_is_kept_as_it_is(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "file").write_text("before")

    def replaced() -> None:
        (top / "new").write_text("after")
        (top / "new").rename(top / "file")

    before_reading(monkeypatch, replaced)
    get(keep(top, tmp_path), tmp_path / "back")
    assert read(tmp_path / "back") == {b"file": ("file", b"after")}


def test_a_file_that_never_rests_is_refused_or_kept_as_it_was_at_one_moment(
    top: Path, tmp_path: Path
) -> None:
    """It is written page by page, each time with the next number, so that it was at every moment some
    pages of one number and then pages of the one before."""
    stop, told, pages = threading.Event(), list[str](), 8

    def writing() -> None:
        number, file = 0, os.open(top / "busy", os.O_WRONLY)
        while not stop.is_set():
            number += 1
            for page in range(pages):
                os.pwrite(file, b"%08d" % number * 512, page * 4096)
        os.close(file)

    (top / "busy").write_bytes(b"%08d" % 0 * 512 * pages)
    writer = threading.Thread(target=writing)
    writer.start()
    try:
        for attempt in range(5):
            with suppress(FileNotFoundError):
                shutil.rmtree(top / ".kamld")
            try:
                repository = keep(top, tmp_path / str(attempt))
            except SystemFault as fault:
                told.append(f"{fault.code} {fault.message}")
                continue
            (row,) = repository.tree(repository.resolve(parse_reference("d", "p")).commit).entries().rows()
            content = repository.objects.read(row.id)
            numbers = [int(content[page * 4096 :][:8]) for page in range(pages)]
            assert content == b"".join(b"%08d" % number * 512 for number in numbers)
            assert numbers == sorted(numbers, reverse=True)
            assert numbers[0] - numbers[-1] <= 1
            told.append("kept")
    finally:
        stop.set()
        writer.join()
    assert all(one == "kept" or f"changing_file {top / 'busy'} changes" in one for one in told)


@pytest.mark.parametrize("size", [20_000, 200_000], ids=["kept whole", "kept in chunks"])
def test_a_write_within_one_tick_of_the_clock_is_noticed(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """What was written just now is written again while it is read: the stamps of both are equal where the
    clock of the file system ticks every ten milliseconds, as it does below many kernels."""
    real, real_stat, file = os.read, os.fstat, top / "busy"

    def coarse(handle: int) -> SimpleNamespace:
        state = real_stat(handle)
        fields = {name: getattr(state, name) for name in dir(state) if name.startswith("st_")}
        for stamp in ("st_mtime_ns", "st_ctime_ns"):
            fields[stamp] -= fields[stamp] % 10_000_000
        return SimpleNamespace(**fields)

    def reading(handle: int, count: int) -> bytes:
        if count < 10_000 or os.readlink(f"/proc/self/fd/{handle}") != str(file):
            return real(handle, count)
        first = real(handle, count // 2)
        if turns:
            file.write_bytes(turns.pop() * size)
        return first + real(handle, count - len(first))

    monkeypatch.setattr(os, "read", reading)
    monkeypatch.setattr(os, "fstat", coarse)
    file.write_bytes(b"x")
    turns = [b"b"]
    before_reading(monkeypatch, lambda: file.write_bytes(b"a" * size))
    repository = keep(top, tmp_path)
    (row,) = repository.tree(repository.resolve(parse_reference("d", "p")).commit).entries().rows()
    assert set(repository.objects.read(row.id)) == set(b"b")


def while_writing(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Once, when folders are made and files are about to be written."""
    read_many, done = Objects.read_many, list[bool]()

    def acted(self: Objects, identifiers: list[bytes]) -> Iterator[object]:
        for found in read_many(self, identifiers):
            if not done:
                done.append(True)
                act()
            yield found

    monkeypatch.setattr(Objects, "read_many", acted)


@pytest.mark.parametrize("which", ["sub", "sub/in"])
@pytest.mark.parametrize("there", [True, False], ids=["into an empty folder", "into a new one"])
def test_a_link_comes_where_a_checkout_writes(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str, there: bool
) -> None:
    (top / "sub" / "in").mkdir(parents=True)
    (top / "sub" / "in" / "new").write_text("mine")
    (top / "sub" / "in" / "link").symlink_to("x")
    repository = keep(top, tmp_path)
    resolved = repository.resolve(parse_reference("d", "p"))
    entries = repository.tree(resolved.commit).entries()
    target, elsewhere = tmp_path / "work" / "target", tmp_path / "elsewhere"
    (elsewhere / "in").mkdir(parents=True)
    (target if there else target.parent).mkdir(parents=True)

    def swapped() -> None:
        (staged,) = (target if there else target.parent).glob(".kamld-checkout-*")
        swap(staged / which, elsewhere if which == "sub" else elsewhere / "in")

    while_writing(monkeypatch, swapped)
    with pytest.raises(SystemFault):
        check_out(repository, resolved, entries, target, threads=1)
    assert read(elsewhere) == {b"in": ("folder", b"")}
    assert read(tmp_path / "work") == ({b"target": ("folder", b"")} if there else {})


def test_a_link_comes_where_the_target_was(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "file").write_text("mine")
    repository = keep(top, tmp_path)
    resolved = repository.resolve(parse_reference("d", "p"))
    entries = repository.tree(resolved.commit).entries()
    target, elsewhere = tmp_path / "work" / "target", tmp_path / "elsewhere"
    target.mkdir(parents=True)
    elsewhere.mkdir()
    while_writing(monkeypatch, lambda: swap(target, elsewhere))
    with suppress(KamldError):
        check_out(repository, resolved, entries, target, threads=1)
    assert read(elsewhere) == {}


def test_what_comes_into_the_target_meanwhile_is_kept(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "file").write_text("of the version")
    (top / "other").write_text("x")
    repository = keep(top, tmp_path)
    resolved = repository.resolve(parse_reference("d", "p"))
    entries = repository.tree(resolved.commit).entries()
    target = tmp_path / "target"
    target.mkdir()
    while_writing(monkeypatch, lambda: (target / "file").write_text("of a person"))
    with pytest.raises(Conflict) as raised:
        check_out(repository, resolved, entries, target, threads=1)
    assert raised.value.code == "target_exists"
    assert read(target) == {b"file": ("file", b"of a person")}


@pytest.mark.parametrize("call", ["rename", "unlink", "rmdir", "mkdir"])
def test_a_link_comes_where_a_switch_works(
    top: Path, tmp_path: Path, outside: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """At the last moment before it acts in the folder. What is elsewhere under the same names stays."""
    for name in ("changed", "removed", "gone/file"):
        (top / "sub" / name).parent.mkdir(parents=True, exist_ok=True)
        (top / "sub" / name).write_text("new")
    (outside / "made").mkdir()
    for name in ("changed", "removed", "made/file")[: 2 if call == "rmdir" else 3]:
        (outside / name).write_text("secret")
    repository = keep(top, tmp_path)
    resolved = repository.resolve(parse_reference("d@main", "p"))
    shutil.rmtree(top / "sub" / "gone")
    (top / "sub" / "removed").unlink()
    (top / "sub" / "changed").write_text("changed")
    (top / "sub" / "made").mkdir()
    (top / "sub" / "made" / "file").write_text("x")
    commit_folder(repository, top, "m", name=None, kind="dataset", author="me")
    before, real, done = read(outside), getattr(os, call), list[bool]()

    def acting(*words: object, **options: object) -> object:
        if not done and sys._getframe(1).f_globals["__name__"].endswith("hands"):
            done.append(True)
            swap(top / "sub", outside)
        return real(*words, **options)

    monkeypatch.setattr(os, call, acting)
    with suppress(KamldError):
        switch(repository, top, resolved)
    assert done
    assert read(outside) == before
