"""`kamld gc` as a person types it."""

from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


def test_from_a_removed_branch_to_its_room(
    kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kamld("commit digits -m first")
    kamld("branch digits trial")
    kamld("checkout digits@trial tried")
    Path("tried/new").write_bytes(bytes(range(256)) * 50)
    trial = kamld("commit tried -m trial").out.split()[0]
    assert kamld(f"gc --why digits@{trial} --json").json["kept_by"] == ["branch default/digits@trial"]
    kamld("branch digits trial --remove")
    assert kamld("gc --dry-run").out == "There is nothing to give back.\n"
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
    assert kamld("gc -n --json").json["packs"] == 1
    assert "Marked for deletion" in kamld("gc").out


def test_a_wrong_age(kamld: Kamld) -> None:
    assert "no age" in kamld("gc --older-than soon", status=2).err
    assert "too short" in kamld("gc --older-than 59m", status=2).err
