"""Whatever is done in a mount does what it does in a plain folder: the same files, the same errors."""

import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from kamld.mount.layer import EXCHANGE, NOREPLACE
from tests.mount.conftest import Hub, kill, server_of
from tests.mount.systemcalls import rename

pytestmark = pytest.mark.needs("fuse")

NAMES = ["a", "b", "c", "ä b", ".hidden", os.fsdecode(b"\xff\n")]
State = dict[str, tuple[object, ...]]


def kept(state: State) -> State:
    """What of it a version keeps: folders have no permissions there."""
    return {path: about[:1] if about[0] == "folder" else about for path, about in state.items()}


def state_of(top: Path) -> State:
    """All that a version keeps, and what else a program can see of it."""
    found: State = {}
    for folder, folders, files in os.walk(top):
        if ".kamld" in folders:  # a mount has one, too, but shows it to nobody who does not ask
            folders.remove(".kamld")
        for name in [*folders, *files]:
            path = Path(folder, name)
            about = path.lstat()
            shown = str(path.relative_to(top))
            if stat.S_ISLNK(about.st_mode):
                found[shown] = ("link", os.readlink(path), about.st_size)
            elif stat.S_ISDIR(about.st_mode):
                found[shown] = ("folder", stat.S_IMODE(about.st_mode))
            else:
                found[shown] = ("file", path.read_bytes(), about.st_size, bool(about.st_mode & stat.S_IXUSR))
    return found


class Hand:
    """Does one thing after the other, in any folder; the same seed does the same."""

    def __init__(self, seed: int, *, keeps_open: bool = True) -> None:
        self._random = random.Random(seed)
        self._keeps_open = keeps_open
        self.open: dict[Path, dict[int, int]] = {}

    def path(self) -> str:
        return "/".join(self._random.choice(NAMES) for _ in range(self._random.choice([1, 1, 2, 2, 3])))

    def steps(self) -> Callable[[Path], object]:
        """The next thing to do, the same for every folder."""
        pick = self._random
        what = pick.choice([
            "write", "write", "append", "patch", "truncate", "truncate", "mkdir", "mkdir", "unlink", "rmdir",
            "rename", "rename", "rename", "exchange", "noreplace", "chmod", "symlink", "exclusive", "hold",
            "through", "drop", "utime", "sparse", "sync", "link",
        ])  # fmt: skip
        a, b, size, at = self.path(), self.path(), pick.choice([0, 5, 5000, 150_000]), pick.randrange(100_000)
        data, slot = pick.randbytes(size), pick.randrange(4)

        def do(top: Path) -> object:
            one, two = top / a, top / b
            held = self.open.setdefault(top, {})
            if what == "write":
                return one.write_bytes(data)
            if what == "append":
                with open(one, "ab") as file:
                    return file.write(data)
            if what in ("patch", "sync"):
                with open(one, "r+b") as file:
                    file.seek(at)
                    file.write(data[:70_000])
                    file.flush()
                    return os.fsync(file.fileno()) if what == "sync" else None
            if what == "sparse":
                with open(one, "wb") as file:
                    file.seek(at)
                    return file.write(b"x")
            if what == "truncate":
                return os.truncate(one, at)
            if what == "mkdir":
                return one.mkdir()
            if what == "unlink":
                return one.unlink()
            if what == "rmdir":
                return one.rmdir()
            if what == "rename":
                return os.rename(one, two)
            if what == "exchange":
                return rename(one, two, EXCHANGE)
            if what == "noreplace":
                return rename(one, two, NOREPLACE)
            if what == "chmod":
                return one.chmod(pick_mode)
            if what == "symlink":
                return one.symlink_to(b)
            if what == "exclusive":
                with open(one, "xb") as file:
                    return file.write(data)
            if what == "link" and os.path.isdir(one):
                return os.listdir(one) and None
            if what == "hold" and self._keeps_open:
                if slot in held:
                    os.close(held.pop(slot))
                held[slot] = os.open(one, os.O_RDWR)
                return None
            if what == "through" and slot in held:
                os.pwrite(held[slot], data[:9000], at)
                return os.pread(held[slot], 50, at), os.fstat(held[slot]).st_size
            if what == "drop" and slot in held:
                return os.close(held.pop(slot))
            if what == "utime":
                os.utime(one, ns=(at * 1000, at * 1000))
                return one.stat().st_mtime_ns
            return None

        pick_mode = pick.choice([0o644, 0o755, 0o600])
        return do

    def close(self) -> None:
        for held in self.open.values():
            for file in held.values():
                os.close(file)


def outcome(do: Callable[[Path], object], top: Path) -> object:
    try:
        return do(top)
    except OSError as error:
        return OSError, error.errno


START = {
    "a/a": b"one", "a/b": b"two" * 30_000, "b": b"three",
    "c/a/b": b"four", "c/a/c": b"", "c/b": b"five" * 2000,
}  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_things_done(hub: Hub, make: Callable[..., Path], seed: int) -> None:
    """Compared after every 25 things; then, by chance, what is there is committed and compared again."""
    plain = make(START, links={"ä b": "a/a"}, empty=["empty"])
    mounted, hand, pick = hub.mount(write=True), Hand(seed), random.Random(-seed)
    done = []
    for number in range(250):
        do = hand.steps()
        results = outcome(do, plain), outcome(do, mounted)
        done.append(results[0])
        assert results[0] == results[1], number
        if number % 25 == 24:
            expected = state_of(plain)
            assert state_of(mounted) == expected, number
            if pick.random() < 0.5:
                hub("commit m -m more")
                assert "Nothing has changed" in hub("status m")
                assert state_of(mounted) == expected, f"{number}, committed"
                hub("checkout data copy")
                assert kept(state_of(hub.here / "copy")) == kept(expected), f"{number}, checked out"
                shutil.rmtree(hub.here / "copy")
    hand.close()
    before = state_of(plain)
    assert state_of(mounted) == before
    hub("umount m")
    assert kept(state_of(hub.mount(write=True))) == kept(before)
    assert sum(not isinstance(result, tuple) for result in done) > 50, "most things could not be done"


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_server_loses_nothing(hub: Hub, make: Callable[..., Path], seed: int) -> None:
    """What a program was told is done is there when the folder is mounted again."""
    plain = make(START, links={"ä b": "a/a"}, empty=["empty"])
    hand = Hand(seed + 100, keeps_open=False)
    for _ in range(4):
        mounted = hub.mount(write=True)
        for _ in range(40):
            do = hand.steps()
            assert outcome(do, plain) == outcome(do, mounted)
        kill(server_of(hub, mounted))
        assert "Nobody served it any more" in hub("umount m")
    assert state_of(hub.mount(write=True)) == state_of(plain)
    hub("commit m -m 'all of it'")
    hub("checkout data copy")
    assert kept(state_of(hub.here / "copy")) == kept(state_of(plain))
