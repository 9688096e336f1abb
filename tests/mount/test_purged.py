"""What was purged cannot be read in a mount, also one that was there before; everything else can."""

import errno
import time

import pytest

from kamld.store.objects.read import HEED_S
from tests.mount.conftest import Hub

pytestmark = pytest.mark.needs("fuse")


def test_a_mount_beside_a_purge(hub: Hub) -> None:
    folder = hub.here / "data"
    (folder / "sub").mkdir(parents=True)
    for number in range(6):
        (folder / f"sub/{number}").write_bytes(b"content %d\n" % number)
    hub("commit data -m one")
    before = hub.mount(folder="before")
    assert (before / "sub/1").read_bytes() == b"content 1\n"
    hub("purge data:sub/3 --reason x --yes")
    after = hub.mount(folder="after")
    time.sleep(HEED_S + 0.5)  # what lives long looks for purges as often; what it has read it may keep
    for mounted in (before, after):
        assert sorted(path.name for path in (mounted / "sub").iterdir()) == [*"012345"]
        with pytest.raises(OSError) as refused:
            (mounted / "sub/3").read_bytes()
        assert refused.value.errno == errno.EIO
        for number in (0, 1, 2, 4, 5):
            assert (mounted / f"sub/{number}").read_bytes() == b"content %d\n" % number
