"""What was purged cannot be read in a mount, also one that was there before and has shown it; everything else
can."""

import errno
import json
import mmap
import os
import time
from pathlib import Path

import pytest

from kamld.store import HEED_S
from tests.mount.conftest import Hub

pytestmark = pytest.mark.needs("fuse")
LARGE = bytes(range(256)) * 2000


@pytest.fixture
def folder(hub: Hub) -> Path:
    made = hub.here / "data"
    (made / "sub").mkdir(parents=True)
    for number in range(6):
        (made / f"sub/{number}").write_bytes(b"content %d\n" % number)
    (made / "large").write_bytes(LARGE)
    hub("commit data -m one")
    return made


def refused(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError as error:
        return error.errno == errno.EIO
    return False


def test_a_mount_beside_a_purge(hub: Hub, folder: Path) -> None:
    before = hub.mount(folder="before")
    assert (before / "sub/1").read_bytes() == b"content 1\n"
    hub("purge data:sub/3 --reason x --yes")
    after = hub.mount(folder="after")
    time.sleep(HEED_S + 0.5)  # what lives long looks for purges as often
    for mounted in (before, after):
        assert sorted(path.name for path in (mounted / "sub").iterdir()) == [*"012345"]
        assert refused(mounted / "sub/3")
        for number in (0, 1, 2, 4, 5):
            assert (mounted / f"sub/{number}").read_bytes() == b"content %d\n" % number


def test_what_the_system_keeps_of_it_goes_too(hub: Hub, folder: Path) -> None:
    """Read before, by everybody, so that neither the mount nor the kernel has to ask anybody."""
    reading, writing = hub.mount(folder="reading"), hub.mount(folder="writing", write=True)
    (writing / "sub/3").rename(writing / "moved")
    seen = [reading / "sub/3", writing / "moved", reading / "large", writing / "large"]
    for path in seen:
        assert path.read_bytes()
    with (reading / "large").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area:
        assert area[:1000] == LARGE[:1000]
        said = hub("purge data:sub/3 --reason x --yes") + hub("purge data:large --reason x --yes")
        assert f"Mounted at {reading}" in said
        assert f"Mounted at {writing}" in said
        end = time.monotonic() + 2 * HEED_S
        while not all(map(refused, seen)):
            assert time.monotonic() < end
            time.sleep(0.2)
        with pytest.raises(OSError, match="Input/output error"):
            file.read(100)
    assert (reading / "sub/1").read_bytes() == b"content 1\n"
    assert (writing / "sub/1").read_bytes() == b"content 1\n"


def test_what_a_commit_refuses_is_named_as_it_is_in_the_mount(hub: Hub, folder: Path) -> None:
    secret = (folder / "sub/3").read_bytes()
    mounted = hub.mount(folder="writing", write=True)
    hub("purge data:sub/3 --reason x --yes")
    (mounted / "again").write_bytes(secret)
    (mounted / "again-large").write_bytes(LARGE)
    said = hub("commit writing -m again", status=1)
    assert "again has content that Ann" in said
    assert "layer" not in said


def test_what_was_written_to_a_mount_is_named(hub: Hub, folder: Path) -> None:
    """It is the person's own; no commit takes it, and it goes as they throw it away."""
    small, large = (folder / "sub/3").read_bytes(), LARGE
    (folder / "large").unlink()
    (folder / "sub/3").unlink()
    hub("commit data -m two")
    mounted, other = hub.mount(folder="writing", write=True), hub.mount(folder="kept", write=True)
    (mounted / "new folder").mkdir()
    (mounted / "new folder/a b").write_bytes(small)
    (mounted / "new folder").rename(mounted / "sub/moved")
    (mounted / "overwritten").write_bytes(small)
    (mounted / "as large").write_bytes(b"x" * len(small))
    (mounted / "as large").rename(mounted / "overwritten")
    (mounted / "sub/4").write_bytes(large)
    (mounted / "removed").write_bytes(small)
    (mounted / "removed").unlink()
    (other / "sub/5").write_bytes(small)
    hub("umount kept")
    said = hub("purge data@main~1:sub/3 --reason x --yes")
    assert f"Your own copy, written to the mount at {mounted}, stays: {mounted}/sub/moved/a b\n" in said
    assert f"Your own copy, written to the mount at {other}, stays: {other}/sub/5\n" in said
    assert said.count("Your own copy") == 2
    assert f"kamld umount {mounted} --discard" in said
    assert f"kamld umount {other} --discard" in said
    done = json.loads(hub("purge data@main~1:large --reason x --yes --json"))
    assert done["written"] == [f"{mounted}/sub/4"]
    assert sorted(json.loads(hub("purge --finish --json"))["written"]) == sorted(
        [f"{mounted}/sub/4", f"{mounted}/sub/moved/a b", f"{other}/sub/5"]
    )
    assert "purged_content" in hub("commit writing -m again", status=1)
    (mounted / "sub/moved/a b").unlink()
    hub("umount writing --discard")
    hub("umount kept --discard")
    again = hub("purge data@main~1:sub/3 --reason x --yes") + hub("purge --finish")
    assert "Your own copy" not in again


def test_libfuse_is_spoken_to_only_while_it_waits_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever unmounts asks nobody, and then what libfuse had is gone."""
    import mfusepy  # which looks for libfuse at once

    from kamld.mount.kernel import Kernel

    dropped: list[bytes] = []
    monkeypatch.setattr(
        mfusepy._libfuse, "fuse_invalidate_path", lambda _, path: dropped.append(path) or 0, raising=False
    )

    class Unmounted(Kernel):
        def __init__(self) -> None:
            self._folder, self._to_drop, self._fuse = str(tmp_path), frozenset[bytes](), None

    kernel = Unmounted()
    kernel.drop([])
    with pytest.raises(OSError, match=os.strerror(errno.ENOTCONN)):
        kernel.drop([b"a"])
    assert dropped == []
    monkeypatch.setattr(os, "statvfs", lambda _: kernel._drop())  # as an answer does
    kernel.drop([b"b"])
    assert sorted(dropped) == [b"/a", b"/b"]
