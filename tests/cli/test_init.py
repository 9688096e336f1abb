"""init: a dataset or model that has no files yet."""

import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld


def test_a_folder_begins_a_dataset(kamld: Kamld, digits: Path) -> None:
    said = kamld("init digits").out
    assert 'Created dataset default/digits (project "default"; change it with --project).' in said
    assert 'kamld commit digits -m "…"' in said
    assert len(kamld("status digits --json").json["changes"]) == 7
    assert kamld("ls digits --json").json == []
    assert [(one["name"], one["files"]) for one in kamld("ls --json").json] == [("digits", 0)]
    made = kamld("commit digits -m 'as delivered' --json").json
    assert (made["created"], made["files"], len(made["parents"])) == (False, 7, 1)
    assert [one["message"] for one in kamld("log digits --json").json] == [
        "as delivered", "begun, without files",
    ]  # fmt: skip
    kamld("log digits")
    assert kamld("diff digits@main~1 digits").out.startswith("digits")
    kamld("switch digits main~1")
    assert not (digits / "labels.csv").exists()
    kamld("switch digits main")
    assert kamld("fsck --json").json["findings"] == []


def test_again_is_no_mistake(kamld: Kamld, here: Path) -> None:
    made = kamld("init new --json").json
    assert made["created"]
    assert (here / "new").is_dir()
    again = kamld("init new --json").json
    assert again == made | {"created": False}
    assert "new is a folder of default/new already, on main" in kamld("init new").out
    assert "bound_elsewhere" in kamld("init new --name other", status=1).err
    assert "other_kind" in kamld("init new --model", status=1).err
    assert "Nothing has changed" in kamld("commit new -m x").out


def test_a_model_gets_its_number_with_its_first_files(kamld: Kamld, here: Path) -> None:
    kamld("init net --model --project vision --name resnet")
    assert kamld("tag vision/resnet --json").json == []
    (here / "net/weights").write_text("1")
    assert kamld("commit net -m one --json").json["version"] == "v1"
    (here / "net/weights").write_text("2")
    assert kamld("commit net -m two --json").json["version"] == "v2"
    assert [tag["ref"] for tag in kamld("tag vision/resnet --json").json] == ["v1", "v2"]


def test_where_one_is(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    assert kamld("init --json").json["name"] == "sub"


def test_what_cannot_be_begun(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    assert "inside_another" in kamld("init digits/0", status=1).err
    assert "inside_another" in kamld("init digits/new", status=1).err
    assert not (digits / "new").exists()
    assert "name_taken" in kamld("init other --name digits", status=1).err
    assert not (here / "other").exists()
    assert "no_such_folder" in kamld("init no/where", status=1).err
    (here / "file").write_text("x")
    assert "no_such_folder" in kamld("init file", status=1).err
    assert "bad_name" in kamld("init 'a b'", status=1).err
    assert not (here / "a b").exists()


# --bind


@pytest.mark.parametrize("how", ["lost", "damaged", "all of .kamld"])
def test_a_record_that_is_gone_is_made_anew(kamld: Kamld, digits: Path, here: Path, how: str) -> None:
    """At the version that the files are from, though others have gone on."""
    kamld("commit digits -m one")
    (digits / "new").write_text("x")
    two = kamld("commit digits -m two --json").json["commit"]
    kamld("checkout digits theirs")
    (here / "theirs/0/b.txt").write_text("theirs")
    three = kamld("commit theirs -m three --json").json["commit"]
    (digits / "0/a.txt").write_text("mine")

    record = digits / ".kamld/folder.json"
    if how == "lost":
        record.unlink()
    elif how == "damaged":
        record.write_bytes(record.read_bytes()[:40])
    else:
        shutil.rmtree(digits / ".kamld")
    if how != "all of .kamld":
        for words in ("status digits", "status digits/0", "switch digits main"):
            assert f"kamld init {digits} --bind NAME" in kamld(words, status=3 if how == "damaged" else 1).err
    if how != "damaged":
        assert f"kamld init {digits} --bind digits" in kamld("commit digits -m x", status=1).err

    said = kamld("init digits --bind digits").out
    assert f"digits is a folder of default/digits, on main, {two[:12]}  two" in said
    assert "7 files are as in that version, 1 file differs: kamld status digits" in said
    status = kamld("status digits --json").json
    assert [change["path"] for change in status["changes"]] == ["0/a.txt"]
    assert (status["standing"], status["head"]) == ("behind", three)
    assert kamld("commit digits -m mine --json").json["landed"] == "merged"
    assert kamld("cat digits:0/b.txt").out == "theirs"


def test_the_hub_was_restored_from_an_older_backup(kamld: Kamld, digits: Path, here: Path, hub: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    shutil.copytree(hub, here / "backup")
    (digits / "new").write_text("x")
    two = kamld("commit digits -m two --json").json["commit"]
    shutil.rmtree(hub)
    shutil.move(here / "backup", hub)
    for words in ("status digits", "commit digits -m x", "switch digits main", "restore digits new"):
        said = kamld(words, status=1).err
        assert f"{two[:12]}, which this hub has never had" in said
        assert f"kamld init {digits} --bind digits" in said
    assert kamld("init digits --bind digits --json").json["commit"] == one
    assert "new  new  1 B" in kamld("status digits").out
    assert kamld("commit digits -m 'two, again' --json").json["parents"] == [one]
    assert kamld("cat digits:new").out == "x"
    assert kamld("fsck --json").json["findings"] == []


def test_a_hub_that_is_elsewhere_now(kamld: Kamld, digits: Path, here: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    shutil.move(hub, here / "hub")
    assert f"kamld --hub PLACE init {digits} --bind digits" in kamld("status digits", status=1).err
    kamld("--hub hub init digits --bind digits")
    assert "Nothing has changed" in kamld("status digits").out


@pytest.mark.parametrize("landed", [True, False])
@pytest.mark.parametrize("record", ["there", "lost"])
def test_a_commit_was_killed_and_then_the_hub_moved(
    kamld: Kamld, digits: Path, here: Path, hub: Path, landed: bool, record: str
) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    own = digits / ".kamld"
    before = (own / "folder.json").read_bytes()
    (digits / "new").write_text("x")
    two = kamld("commit digits -m two --json").json["commit"]
    announced = two if landed else "0" * 64
    (own / f"landing.{announced}.json").write_bytes(before.replace(one.encode(), announced.encode()))
    (own / "folder.json").write_bytes(before)
    if record == "lost":
        (own / "folder.json").unlink()
    shutil.move(hub, here / "hub")
    assert "hub_gone" in kamld("status digits", status=1).err
    assert kamld("--hub hub init digits --bind digits --json").json["commit"] == two
    status = kamld("status digits --json").json
    assert (status["commit"], status["changes"], status["standing"]) == (two, [], "newest")
    assert "bound_elsewhere" in kamld("--hub hub init digits --bind digits", status=1).err
    assert "Nothing has changed" in kamld("--hub hub commit digits -m x").out


def test_a_killed_commit_to_another_hub_is_not_forgotten(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("--hub theirs commit digits -m theirs")
    own = digits / ".kamld"
    two = kamld("--hub theirs show digits --json").json["id"]
    (own / "folder.json").rename(own / f"landing.{two}.json")
    shutil.copytree(digits, here / "again", ignore=shutil.ignore_patterns(".kamld"))
    kamld("commit again --name digits -m ours")
    assert "unfinished_elsewhere" in kamld("init digits --bind digits", status=1).err
    assert kamld("--hub theirs status digits --json").json["commit"] == two


def test_a_part_of_a_folder_is_not_bound_apart(kamld: Kamld, digits: Path, here: Path) -> None:
    """The next commit of the folder would leave out what it has there."""
    shutil.copytree(digits / "0", here / "zeros")
    kamld("commit zeros -m zeros")
    kamld("commit digits -m one")
    said = kamld("init digits/0 --bind zeros", status=1).err
    assert "inside_another" in said
    assert "write /0/ into" in said
    assert kamld("status digits --json").json["apart"] == []
    assert "Nothing has changed" in kamld("commit digits -m two").out
    (digits / ".kamldignore").write_text("/0/\n")
    kamld("init digits/0 --bind zeros")


@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_a_folder_in_a_folder_is_bound_again(kamld: Kamld, digits: Path, here: Path, how: str) -> None:
    (here / "zeros").mkdir()
    (here / "zeros/a").write_text("a")
    kamld("commit zeros -m zeros")
    shutil.move(here / "zeros", digits / "zeros")
    kamld("commit digits -m one")
    record = digits / "zeros/.kamld/folder.json"
    record.unlink()
    if how == "damaged":
        record.write_text("{")
    kamld("init digits/zeros --bind zeros")
    assert "zeros/ is bound to default/zeros: left out." in kamld("commit digits -m two").out


def test_what_cannot_be_bound(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    assert "bound_elsewhere" in kamld("init digits --bind digits", status=1).err
    (here / "other").mkdir()
    assert "nothing_in_common" in kamld("init other --bind digits", status=1).err
    (here / "other/0").mkdir()
    (here / "other/0/a.txt").write_text("another")
    assert "nothing_in_common" in kamld("init other --bind digits", status=1).err
    assert not (here / "other/.kamld").exists()
    assert "unknown_name" in kamld("init other --bind nosuch", status=1).err
    assert "no_such_folder" in kamld("init nosuch --bind digits", status=1).err
    assert "usage" in kamld("init other --bind digits --name x", status=2).err
    (here / "other/0/a.txt").write_text("0/a\n")
    kamld("tag digits first")
    assert kamld("init other --bind digits@first --json").json["branch"] is None
