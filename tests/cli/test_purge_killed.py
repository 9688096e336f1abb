"""`kamld purge` and `kamld fsck --repair` as processes that are killed at random moments, then run again."""

import random
import shutil
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld, process

pytestmark = pytest.mark.long
KILLS = 25
_RANDOM = random.Random(11)


@pytest.fixture
def work(here: Path, kamld: Kamld) -> Path:
    folder = here / "work"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.bin").write_bytes(_RANDOM.randbytes(3000))
    (folder / "secret.bin").write_bytes(_RANDOM.randbytes(900_000))
    for message in ("one", "two", "three"):
        (folder / message).write_text(message)
        kamld(f"commit work -m {message}")
    return folder


def killed(words: str, here: Path) -> None:
    with process(words, cwd=here) as command:
        time.sleep(0.2 + _RANDOM.random())
        command.kill()
        command.communicate()


def test_purge(kamld: Kamld, work: Path, hub: Path, here: Path) -> None:
    whole, secret = here / "whole", (work / "secret.bin").read_bytes()
    shutil.copytree(hub, whole)
    for _ in range(KILLS):
        shutil.rmtree(hub)
        shutil.copytree(whole, hub)
        killed("purge work:secret.bin --reason x --yes", here)
        kamld("purge --finish")
        kamld("purge work:secret.bin --reason x --yes")
        assert kamld("fsck").out.splitlines()[-1] == "Everything is sound."
        pieces = [secret[at : at + 50] for at in range(0, len(secret), 20_000)]
        for path in hub.rglob("*"):
            assert not path.is_file() or not any(piece in path.read_bytes() for piece in pieces), path
        assert "purged_file" in kamld("cat work:secret.bin", status=1).err


def test_repair(kamld: Kamld, work: Path, hub: Path, here: Path) -> None:
    whole = here / "whole"
    shutil.copytree(hub, whole)
    for _ in range(KILLS):
        shutil.rmtree(hub)
        shutil.copytree(whole, hub)
        packs = sorted(hub.glob("packs/*/*.pack"), key=lambda path: path.stat().st_size)
        data = bytearray(packs[-1].read_bytes())
        for _ in range(5):
            data[_RANDOM.randrange(len(data))] ^= 4
        packs[-1].write_bytes(data)
        packs[0].unlink()
        killed("fsck --repair --from whole", here)
        kamld("fsck --repair --from whole")
        shutil.rmtree(here / "out", ignore_errors=True)
        kamld("checkout work out")
        for path in work.iterdir():
            assert not path.is_file() or (here / "out" / path.name).read_bytes() == path.read_bytes()
