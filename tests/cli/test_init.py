"""init: a dataset or model that has no files yet."""

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
    assert kamld("commit net -m one --json").json["version"] == 1
    (here / "net/weights").write_text("2")
    assert kamld("commit net -m two --json").json["version"] == 2
    assert [tag["name"] for tag in kamld("tag vision/resnet --json").json] == ["v1", "v2"]


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
