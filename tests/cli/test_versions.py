"""Commit, look, go back, split: what a person sees."""

import os
import re
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.cli.conftest import Kamld


def plain(text: str) -> str:
    """Without what differs from run to run: ids and times."""
    text = re.sub(r"\b[0-9a-f]{12}\b", "<commit>", text)
    text = re.sub(r"\S+ [KM]?B (new|of lists)", r"<size> \1", text)
    return re.sub(r"\d+ seconds ago", "just now", text)


def test_a_first_hour(kamld: Kamld, digits: Path, snapshot: SnapshotAssertion) -> None:
    told = [kamld("commit digits -m 'as delivered'").out]
    (digits / "0/a.txt").write_text("corrected\n")
    (digits / "0/b.txt").unlink()
    (digits / "2").mkdir()
    for number in range(14):
        (digits / f"2/{number:02}.txt").write_text("new\n")
    told += [kamld("status digits").out, kamld("diff digits --patch").out]
    told += [kamld("commit digits -m 'corrected'").out, kamld("status digits").out]
    told += [kamld("commit digits -m 'again'").out, kamld("log digits").out]
    told += [kamld("checkout digits@main~1 before").out, kamld("checkout digits work").out]
    told += [kamld("diff digits@main~1 @main").out, kamld("ls").out, kamld("ls digits").out]
    told += [kamld("ls digits:2 -r").out, kamld("split digits --test 0.25 --seed 7").out]
    assert plain("\n".join(told)) == snapshot


def test_refs(kamld: Kamld, digits: Path, snapshot: SnapshotAssertion) -> None:
    kamld("commit digits -m one")
    told = [kamld("tag digits delivered").out, kamld("branch digits clean").out]
    (digits / "new").write_text("x")
    kamld("commit digits -m two")
    told += [kamld("alias digits best").out, kamld("alias digits@main~1 best").out]
    told += [kamld("branch digits").out, kamld("tag digits").out, kamld("alias digits").out]
    told += [kamld("log digits").out, kamld("tag digits delivered --remove").out, kamld("tag digits").out]
    assert plain("\n".join(told)) == snapshot
    kamld("checkout digits@clean clean")
    (Path("clean") / "mine").write_text("y")
    kamld("commit clean -m three")
    assert [c["message"] for c in kamld("log digits@clean --json").json] == ["three", "one"]


def test_json_of_a_commit(kamld: Kamld, digits: Path) -> None:
    said = kamld("commit digits -m one --json").json
    assert said["message"] == "one"
    assert (said["created"], said["changed"], said["files"]) == (True, True, 7)
    assert said["parents"] == []
    assert said["time"].endswith("Z")
    history = kamld("log digits --json").json
    assert [set(c) >= {"commit", "message", "author", "time", "parents"} for c in history] == [True]
    assert history[0]["commit"] == said["commit"]
    again = kamld("commit digits -m two --json").json
    assert (again["commit"], again["changed"]) == (said["commit"], False)


def test_steps_back_from_the_first(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    said = kamld("show digits@main~1", status=1).err
    assert "digits@main~1 goes back too far: main is the first version." in said
    (digits / "0/a.txt").unlink()
    kamld("commit digits -m two")
    said = kamld("show digits@main~5", status=1).err
    assert "digits@main~5 goes back too far: main~1 is the first version." in said


def test_json_of_the_rest(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").unlink()
    status = kamld("status digits --json").json
    assert [(c["path"], c["change"]) for c in status["changes"]] == [("0/a.txt", "removed")]
    assert kamld("hub --json").json["path"] == str(hub)
    assert kamld("ls --json").json[0]["name"] == "digits"
    assert {f["path"] for f in kamld("ls digits --json").json} >= {"0/a.txt", "labels.csv"}
    assert [p["examples"] for p in kamld("split digits --test 0.5 --json").json["parts"]] == [3, 3]
    assert kamld("checkout digits out --json").json["bound"]
    assert kamld("diff digits --json").json[0]["change"] == "removed"
    assert kamld("tag digits t --json").json["ref"] == "t"
    assert kamld("branch digits --json").json[0]["ref"] == "main"
    assert set(kamld("rebuild --json").json) == {"objects", "damaged_packs", "catalog"}


def test_names_of_another_project(kamld: Kamld, digits: Path) -> None:
    kamld("--project vision commit digits -m one")
    assert kamld("log vision/digits --json").json[0]["message"] == "one"
    assert "vision/digits" in kamld("log digits@main", status=1).err


def test_the_hub_of_the_nearest_settings_file(kamld: Kamld, digits: Path, here: Path) -> None:
    (here / "kamld.toml").write_text('hub = "our hub"\nproject = "vision"\n')
    kamld("commit digits -m one")
    assert (here / "our hub/kamld-hub.json").is_file()
    assert kamld("status digits --json").json["project"] == "vision"


def test_a_bound_folder_knows_its_hub(
    kamld: Kamld, digits: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAMLD_HUB", str(here / "one"))
    kamld("commit digits -m one")
    monkeypatch.setenv("KAMLD_HUB", str(here / "two"))
    (digits / "new").write_text("x")
    assert kamld("commit digits -m two --json").json["changed"]
    assert len(kamld("log digits --json").json) == 2
    assert not (here / "two/refs").exists()


def test_hidden_characters_in_names_are_shown_escaped(kamld: Kamld, digits: Path) -> None:
    (digits / "a\x1b[31mred\n.txt").write_text("x")
    kamld("commit digits -m one")
    assert "\x1b" not in kamld("ls digits").out
    assert "\\x1b" in kamld("ls digits").out


def test_changed_lines_of_a_file_with_an_odd_name(kamld: Kamld, digits: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(digits) + b"/odd\xff.txt"))
    odd.write_text("before\n")
    kamld("commit digits -m one")
    odd.write_text("after\n")
    said = kamld("diff digits --patch").out
    assert "-before" in said
    assert "+after" in said
    odd.unlink()
    assert "odd\\xff.txt" in kamld("diff digits --patch").out


def test_log_from_deep_in_a_folder(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kamld("commit digits -m one")
    monkeypatch.chdir(digits / "0")
    assert [commit["message"] for commit in kamld("log --json").json] == ["one"]


@pytest.mark.parametrize("how", ["damaged", "a circle"])
def test_a_name_does_not_hang_on_a_broken_folder(kamld: Kamld, digits: Path, how: str) -> None:
    kamld("commit digits -m one")
    record = digits / ".kamld/folder.json"
    record.unlink()
    if how == "damaged":
        record.write_text("{")
    else:
        record.symlink_to(record.name)
    assert "one" in kamld("log digits").out
    if how == "damaged":
        assert "damaged_record" in kamld("log ./digits", status=3).err


def test_a_name_alone_is_its_main(
    kamld: Kamld, digits: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def logged(words: str) -> list[str]:
        return [one["message"] for one in kamld(f"log {words} --json").json]

    kamld("commit digits -m one")
    kamld("switch digits side -c")
    assert "The folder digits is on side: kamld log ./digits" in kamld("log digits").err
    (digits / "new").write_text("new")
    kamld("commit digits -m two")
    assert logged("digits") == logged("digits@main") == ["one"]
    assert logged("./digits") == logged("digits/") == logged("digits@side") == ["two", "one"]
    assert kamld("show digits --json").json["message"] == "one"
    monkeypatch.chdir(digits / "0")
    assert logged("") == logged(".") == logged("..") == ["two", "one"]
    monkeypatch.chdir(here)
    digits.rename(here / "elsewhere")
    said = kamld("log elsewhere")
    assert "two" in said.out
    assert "elsewhere is a folder of digits, on side." in said.err
    kamld("tag digits first")
    kamld("switch elsewhere first")
    assert "on no branch" in kamld("log elsewhere").err
    (here / "plain").mkdir()
    assert "unknown_name" in kamld("log plain", status=1).err
    (here / "elsewhere").rename(digits)
    kamld("rm digits")
    (here / "digits2").mkdir()
    (here / "digits2/x").write_text("x")
    kamld("commit digits2 --name digits -m another")
    said = kamld("log digits")
    assert "another" in said.out
    assert "The folder digits is of default/digits on no branch: kamld log ./digits" in said.err
    assert kamld("log digits@main").err == ""
