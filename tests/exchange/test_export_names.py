"""How an archive gets its name: whole, never in another's place, also where there are no hard links."""

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from kamld.errors import Conflict
from kamld.exchange.export import _beside


def no_links(*_: object, **_options: object) -> NoReturn:
    raise OSError(errno.EPERM, "as on FAT")


@pytest.fixture(params=[False, True], ids=["links", "no links"])
def target(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    if request.param:
        monkeypatch.setattr(os, "link", no_links)
    return tmp_path / "it.zip"


def test_it_is_there_when_it_is_whole(target: Path) -> None:
    with _beside(target) as file:
        file.write(b"all")
        assert not target.exists()
    assert target.read_bytes() == b"all"
    assert os.listdir(target.parent) == [target.name]


def test_what_came_there_meanwhile_stays(target: Path) -> None:
    def write() -> None:
        with _beside(target) as file:
            file.write(b"all")
            target.write_bytes(b"another")

    with pytest.raises(Conflict, match="is there already"):
        write()
    assert target.read_bytes() == b"another"
    assert os.listdir(target.parent) == [target.name]
