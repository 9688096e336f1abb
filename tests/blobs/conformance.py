"""What every place for bytes must do: kamld/blobs/interface.py, as tests.

A backend's test module has a class of its own that inherits these:

    class TestFolder(Conformance):
        @pytest.fixture
        def open(self, tmp_path): return lambda: FolderBlobs(tmp_path / "hub")

`open` gives a fresh client of the same place each time, as another process would have.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from kamld.blobs import Blobs, Changed, Listed, Missing
from kamld.errors import NotFound, SystemFault

Open = Callable[[], Blobs]
SIZES = [0, 1, 4096, 1024 * 1024, 1024 * 1024 + 1, 5_000_000]


class Conformance:
    @pytest.fixture
    def open(self) -> Open:
        raise NotImplementedError

    # put, get, view

    @pytest.mark.parametrize("size", SIZES)
    def test_put_then_get(self, open: Open, size: int) -> None:
        blobs, value = open(), bytes(range(256)) * (size // 256 + 1)
        blobs.put("packs/ab/x.pack", [value[:size]])
        blobs.flush()
        for reader in (blobs, open()):
            assert reader.get("packs/ab/x.pack") == value[:size]
            assert reader.view("packs/ab/x.pack") == value[:size]

    def test_a_part_of_it(self, open: Open) -> None:
        blobs = open()
        blobs.put("packs/ab/x.pack", [b"0123456789"])
        blobs.flush()
        assert blobs.part("packs/ab/x.pack", 2, 3) == b"234"
        assert blobs.part("packs/ab/x.pack", 8, 100) == b"89"
        assert blobs.part("packs/ab/x.pack", 10, 5) == b""
        with pytest.raises(Missing):
            blobs.part("packs/ab/y.pack", 0, 1)

    def test_parts_are_joined(self, open: Open) -> None:
        blobs = open()
        parts = [b"a", memoryview(b"bcd")[1:], bytearray(b"efg"), b"", *[b"%05d" % n for n in range(3000)]]
        blobs.put("k", parts)
        blobs.flush()
        assert blobs.get("k") == b"".join(parts)

    def test_put_is_idempotent(self, open: Open) -> None:
        blobs = open()
        for _ in range(3):
            blobs.put("k", [b"same"])
            blobs.flush()
        open().put("k", [b"same"])
        assert blobs.get("k") == b"same"

    def test_put_leaves_what_is_there(self, open: Open) -> None:
        blobs = open()
        blobs.put("k", [b"one meaning"])
        blobs.flush()
        blobs.put("k", [b"same meaning"])
        blobs.flush()
        assert blobs.get("k") == b"one meaning"

    @pytest.mark.parametrize("ask", ["get", "view"])
    def test_missing(self, open: Open, ask: str) -> None:
        blobs = open()
        blobs.put("a/b", [b"1"])
        blobs.flush()
        for key in ("nothing", "a/c", "b/b/b", "a/b/c"):
            with pytest.raises(Missing) as missing:
                getattr(blobs, ask)(key)
            assert missing.value.key == key
            assert isinstance(missing.value, NotFound)

    def test_view_outlives_its_object(self, open: Open) -> None:
        blobs = open()
        blobs.put("k", [b"still here" * 1000])
        blobs.flush()
        view = blobs.view("k")
        blobs.delete("k")
        assert view == b"still here" * 1000
        assert view.readonly

    def test_flush_without_put(self, open: Open) -> None:
        open().flush()

    def test_batches_are_the_same_place(self, open: Open) -> None:
        blobs = open()
        batch = blobs.batch()
        batch.put("k", [b"v" * 3_000_000])
        blobs.flush()
        batch.flush()
        assert blobs.get("k") == b"v" * 3_000_000

    @pytest.mark.parametrize(
        "key", ["", "/a", "a/", "a//b", ".", "..", "a/../b", "../x", "a/./b", "ä", "a\n", "a\0b"]
    )
    def test_bad_keys(self, open: Open, key: str) -> None:
        blobs = open()
        for ask in (blobs.get, blobs.view, blobs.delete):
            with pytest.raises(SystemFault) as bad:
                ask(key)
            assert bad.value.code == "bad_key"
        with pytest.raises(SystemFault):
            blobs.put(key, [b""])
        with pytest.raises(SystemFault):
            blobs.swap(key, None, b"")

    # list, delete

    def test_list(self, open: Open) -> None:
        blobs = open()
        keys = ["a/b", "a.b", "a/c/d", "a/c.d", "a/c/d.e", "ab/c", "a/c-d/e", "z"]
        for key in keys:
            blobs.put(key, [key.encode()])
        blobs.flush()
        under = ["a/b", "a/c-d/e", "a/c.d", "a/c/d", "a/c/d.e"]
        assert list(blobs.list("a/")) == [Listed(key, len(key)) for key in under]
        assert [listed.key for listed in blobs.list("a/c/")] == ["a/c/d", "a/c/d.e"]
        assert [listed.key for listed in blobs.list("")] == sorted(keys)
        assert list(blobs.list("nothing/")) == []
        assert list(blobs.list("a/b/")) == []

    def test_list_an_empty_place(self, open: Open) -> None:
        assert list(open().list("")) == []

    def test_delete(self, open: Open) -> None:
        blobs = open()
        blobs.put("a/b", [b"1"])
        blobs.flush()
        for _ in range(2):
            blobs.delete("a/b")
            assert list(blobs.list("a/")) == []
        blobs.delete("never/was")
        blobs.delete("a/b/c")
        blobs.put("a/b", [b"2"])
        blobs.flush()
        assert blobs.get("a/b") == b"2"

    # swap

    def test_swap(self, open: Open) -> None:
        blobs = open()
        blobs.swap("refs/1/main", None, b"one")
        blobs.swap("refs/1/main", b"one", b"two")
        assert open().get("refs/1/main") == b"two"

    @pytest.mark.parametrize("expected", [None, b"", b"on", b"onee"])
    def test_swap_that_expects_something_else(self, open: Open, expected: bytes | None) -> None:
        blobs = open()
        blobs.swap("k", None, b"one")
        with pytest.raises(Changed) as changed:
            blobs.swap("k", expected, b"two")
        assert (changed.value.key, changed.value.value) == ("k", b"one")
        assert blobs.get("k") == b"one"

    def test_swap_of_what_is_not_there(self, open: Open) -> None:
        blobs = open()
        with pytest.raises(Changed) as changed:
            blobs.swap("k", b"one", b"two")
        assert changed.value.value is None
        with pytest.raises(Missing):
            blobs.get("k")

    def test_empty_is_not_nothing(self, open: Open) -> None:
        blobs = open()
        blobs.swap("k", None, b"")
        with pytest.raises(Changed):
            blobs.swap("k", None, b"x")
        blobs.swap("k", b"", b"x")

    # many at once

    def test_one_of_many_swaps_wins(self, open: Open) -> None:
        clients = [open() for _ in range(8)]
        start = threading.Barrier(len(clients))

        def attempt(number: int) -> bool:
            start.wait()
            try:
                clients[number].swap("k", None, b"%d" % number)
            except Changed:
                return False
            return True

        with ThreadPoolExecutor(len(clients)) as threads:
            won = list(threads.map(attempt, range(len(clients))))
        assert won.count(True) == 1
        assert open().get("k") == b"%d" % won.index(True)

    def test_a_counter_loses_nothing(self, open: Open) -> None:
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: count(open(), 10), range(8)))
        assert open().get("counter") == b"80"

    # turns

    def test_a_turn_is_one_persons(self, open: Open) -> None:
        one, other = open(), open()
        with one.turn("index", 5) as alone:
            assert alone
            with other.turn("index", 0) as too, other.turn("land a", 0) as elsewhere:
                assert (too, elsewhere) == (False, True)
            with other.turn("index", 0.05) as too:
                assert not too
        with other.turn("index", 0) as alone:
            assert alone

    def test_a_turn_ends_with_an_error(self, open: Open) -> None:
        with pytest.raises(ZeroDivisionError), open().turn("index", 0):
            raise ZeroDivisionError
        with open().turn("index", 0) as alone:
            assert alone

    def test_turns_are_waited_for_and_never_overlap(self, open: Open) -> None:
        inside: list[int] = []
        most: list[int] = []

        def work(number: int) -> None:
            blobs = open()
            for _ in range(10):
                with blobs.turn("index", 60) as alone:
                    assert alone
                    inside.append(number)
                    most.append(len(inside))
                    time.sleep(0.001)
                    inside.remove(number)

        with ThreadPoolExecutor(8) as threads:
            for done in [threads.submit(work, number) for number in range(8)]:
                done.result()
        assert most == [1] * 80

    def test_readers_see_all_or_nothing(self, open: Open) -> None:
        """One writer swaps and puts; readers meanwhile never see a part, nor nothing in between."""
        writer, reader = open(), open()
        writer.swap("k", None, b"0" * 100_000)
        stop = threading.Event()
        seen: list[bool] = []

        def read() -> None:
            while not stop.is_set():
                values = [reader.get("k"), *(reader.get(listed.key) for listed in reader.list("p/"))]
                seen.extend(value == value[:1] * 100_000 for value in values)

        with ThreadPoolExecutor(2) as threads:
            reading = [threads.submit(read) for _ in range(2)]
            for number in range(1, 30):
                old, new = (b"%d" % (n % 10) * 100_000 for n in (number - 1, number))
                writer.swap("k", old, new)
                writer.put(f"p/{number}", [new])
                writer.flush()
            stop.set()
            for done in reading:
                done.result()
        assert seen
        assert all(seen)


def count(blobs: Blobs, times: int) -> None:
    """Add one to a counter, so often, beside others who do the same."""
    for _ in range(times):
        while True:
            try:
                present: bytes | None = blobs.get("counter")
            except Missing:
                present = None
            try:
                blobs.swap("counter", present, b"%d" % (int(present or b"0") + 1))
                break
            except Changed:
                continue
