"""What somebody who is new met: what is asked again, lost, in the way, or taken for something else."""

from pathlib import Path

import pytest

import kamld as python
from kamld.errors import UsageError
from tests.cli.conftest import Kamld


@pytest.fixture
def shots(kamld: Kamld, here: Path) -> Path:
    folder = here / "shots"
    folder.mkdir()
    for n in range(20):
        (folder / f"{n}.png").write_text(f"shot {n}")
    kamld("commit shots -m one")
    return folder


def names(kamld: Kamld) -> list[str]:
    return [one["name"] for one in kamld("ls --json").json]


def grown(kamld: Kamld, folder: Path, n: int = 20) -> None:
    (folder / f"{n}.png").write_text(f"shot {n}")
    kamld(f"commit {folder.name} -m more")


def test_the_rule_is_found_whatever_the_source_is_called(kamld: Kamld, shots: Path) -> None:
    kamld("split shots --test 0.3 --seed 7")
    before = {one["path"] for one in kamld("ls shots-test --json").json}
    kamld("mv shots pictures")
    grown(kamld, shots)
    told = kamld("split pictures").out
    assert "By the rule of before: --test 0.3 --seed 7" in told
    assert names(kamld) == ["pictures", "shots-test", "shots-train"]
    sides = [{one["path"] for one in kamld(f"ls shots-{part} --json").json} for part in ("train", "test")]
    assert before <= sides[1]
    assert sides[0] | sides[1] == {f"{n}.png" for n in range(21)}
    assert not sides[0] & sides[1]
    assert "as before" in kamld("split pictures").out


def test_the_rule_is_found_whatever_the_parts_are_called(kamld: Kamld, shots: Path) -> None:
    kamld("split shots --parts learn=0.5,val=0.25,held=0.25")
    kamld("mv shots-held shown-to-nobody")
    grown(kamld, shots)
    parts = {one["part"]: one["name"] for one in kamld("split shots --json").json["parts"]}
    assert parts == {"learn": "shots-learn", "val": "shots-val", "held": "shown-to-nobody"}
    assert len(names(kamld)) == 4


def test_of_several_splits_one_is_to_be_named(kamld: Kamld, shots: Path) -> None:
    kamld("split shots --test 0.3 --prefix a")
    kamld("split shots --test 0.3 --prefix b")
    said = kamld("split shots", 1).err
    assert "(several_splits)" in said
    assert "a-train" in said
    assert "--prefix" in said
    assert "as before" in kamld("split shots --prefix b").out
    assert len(names(kamld)) == 5


def test_changes_of_a_parts_own_are_not_split_away(kamld: Kamld, shots: Path, here: Path) -> None:
    kamld("split shots --test 0.3")
    kamld("checkout shots-train mine")
    (here / "mine/own.png").write_text("own")
    told = kamld("commit mine -m 'my own'")
    assert "kamld undo shots-train" in told.err
    (here / "mine/own.png").write_text("own again")
    assert "split" not in kamld("commit mine -m again").err
    said = kamld("split shots", 1).err
    assert "(part_changed)" in said
    assert "again" in said
    assert "kamld undo shots-train" in said
    assert "--prefix" in said
    kamld("undo shots-train --to main~2")
    assert "as before" in kamld("split shots").out


def test_the_top_folder_is_named_so(kamld: Kamld, shots: Path) -> None:
    (shots / "deep").mkdir()
    for n in range(1, 20):
        (shots / f"{n}.png").rename(shots / f"deep/{n}.png")
    kamld("commit shots -m deeper")
    assert "too few files for every part: the top folder." in kamld("split shots --stratify folder").out


def test_a_folder_that_lost_its_record_is_not_begun_anew(kamld: Kamld, shots: Path) -> None:
    other = shots.rename(shots.parent / "elsewhere")
    (other / ".kamld/folder.json").unlink()
    for words in ("commit elsewhere -m x", "commit elsewhere --name new -m x", "init elsewhere"):
        said = kamld(words, 1).err
        assert "folder.json is lost" in said
        assert "--bind NAME" in said
    assert names(kamld) == ["shots"]
    kamld("init elsewhere --bind shots")
    kamld("commit elsewhere -m x")


def test_an_empty_message_is_none(kamld: Kamld, shots: Path) -> None:
    for words in ("-m ''", "-m ' '", "--amend -m ''"):
        grown = shots / "grown.png"
        grown.write_text(words)
        assert "message is empty" in kamld(f"commit shots {words}", 2).err
    with pytest.raises(UsageError, match="message is empty"):
        python.dataset("shots").commit(shots, "")
    assert len(kamld("log shots --json").json) == 1


def test_names_are_sorted_as_names(kamld: Kamld, here: Path) -> None:
    for name in ("data-a", "data", "data.b"):
        (here / name).mkdir()
        (here / name / "1").write_text(name)
        kamld(f"commit {name} -m one")
    assert names(kamld) == ["data", "data-a", "data.b"]


def test_an_ignored_file_that_is_the_same_is_not_in_the_way(kamld: Kamld, shots: Path) -> None:
    (shots / ".kamldignore").write_text("0.png\n")
    told = kamld("status shots")
    assert "ignored now  0.png" in told.out
    assert "removed" not in told.out
    assert kamld("status shots --json").json["ignored"] == ["0.png"]
    kamld("commit shots -m 'without one'")
    kamld("switch shots main~1")
    assert (shots / "0.png").read_text() == "shot 0"
    assert "Nothing has changed" in kamld("status shots").out


def test_an_ignored_file_that_is_another_is_in_the_way(kamld: Kamld, shots: Path) -> None:
    (shots / ".kamldignore").write_text("0.png\n")
    kamld("commit shots -m 'without one'")
    (shots / "0.png").write_text("Shot 0")
    for words in ("switch shots main~1", "restore shots 0.png --from main~1"):
        said = kamld(words, 1).err
        assert "0.png (in the way)" in said
        assert "move them away" in said
        assert "kamld restore" not in said
    assert (shots / "0.png").read_text() == "Shot 0"


def test_restore_finds_the_folder_above(kamld: Kamld, shots: Path) -> None:
    (shots / "deep").mkdir()
    (shots / "deep/1.txt").write_text("1")
    kamld("commit shots -m deeper")
    (shots / "deep/1.txt").unlink()
    (shots / "0.png").write_text("else")
    kamld("restore shots/deep/1.txt shots/0.png")
    assert ((shots / "deep/1.txt").read_text(), (shots / "0.png").read_text()) == ("1", "shot 0")


def test_switch_takes_a_revision_as_diff_does(kamld: Kamld, shots: Path) -> None:
    grown(kamld, shots)
    assert "on no branch" in kamld("switch shots @main~1").out
    assert "on main" in kamld("switch shots @main").out


def test_what_cat_cannot_show_is_named(kamld: Kamld, shots: Path) -> None:
    (shots / "deep").mkdir()
    (shots / "deep/1.txt").write_text("1")
    (shots / "deep/link").symlink_to("1.txt")
    kamld("commit shots -m deeper")
    assert "is a folder" in kamld("cat shots:deep", 1).err
    said = kamld("cat shots:deep/link", 1).err
    assert "is a link to 1.txt" in said
    assert "kamld cat default/shots@main:deep/1.txt" in said


def test_what_was_removed_is_shown_the_way_to(kamld: Kamld, shots: Path) -> None:
    (shots / "0.png").unlink()
    kamld("commit shots -m fewer")
    gone, had = (one["commit"][:12] for one in kamld("log shots --json").json)
    said = kamld("show shots:0.png", 1).err
    assert f"It was removed in {gone}." in said
    assert f"kamld log shots@{had}:0.png" in said
    assert "removed in" not in kamld("show shots:none.png", 1).err


def test_a_copy_of_a_version_is_said_to_be_bound_to_nothing(kamld: Kamld, shots: Path) -> None:
    grown(kamld, shots)
    assert "bound to nothing" in kamld("checkout shots@main~1 old").out
    assert "branch" not in kamld("checkout shots@main~1:0.png one").out


def test_init_counts_what_is_there(kamld: Kamld, here: Path) -> None:
    (here / "g/deep").mkdir(parents=True)
    for name in ("1", "deep/2"):
        (here / "g" / name).write_text(name)
    assert "the first commit takes the 2 files that are there" in kamld("init g").out
    assert "Put some into h" in kamld("init h").out


def test_ages_that_gc_takes(kamld: Kamld, shots: Path) -> None:
    hints = {kamld(f"gc --older-than {age}", 2).err.splitlines()[-1] for age in ("bla", "30m")}
    assert hints == {"Write 1h or more, such as 6h or 1d."}


def test_a_purge_without_a_reason_shows_what_it_would_do(kamld: Kamld, shots: Path) -> None:
    said = kamld("purge shots:0.png", 2)
    assert "Removes" in said.out
    assert "kamld purge shots:0.png --reason" in said.err
    assert "needs a --reason" in kamld("purge --help").out


def test_removed_datasets_are_marked(kamld: Kamld, shots: Path, here: Path) -> None:
    (here / "more").mkdir()
    (here / "more/same.png").write_text("shot 0")
    kamld("commit more -m one")
    kamld("rm shots")
    assert "default/shots (removed)" in kamld("purge more:same.png --dry-run").out
    places = kamld("purge more:same.png --dry-run --json").json["places"]
    assert {one["name"]: one["removed"] for one in places} == {"more": False, "shots": True}


def test_lost_files_of_a_removed_dataset_are_marked(kamld: Kamld, here: Path) -> None:
    (here / "left").mkdir()
    (here / "left/1.txt").write_text("1")
    kamld("import left ref --reference")
    (here / "left/1.txt").unlink()
    assert "(removed)" not in kamld("fsck", 3).out
    kamld("rm ref")
    assert "default/ref (removed) cannot be had whole" in kamld("fsck", 3).out
    assert [one["removed"] for one in kamld("fsck --json", 3).json["affected"]] == [True]


def test_files_left_elsewhere_are_told(kamld: Kamld, here: Path) -> None:
    (here / "left").mkdir()
    for n in range(3):
        (here / f"left/{n}.txt").write_text(str(n))
    where = str((here / "left").resolve())
    assert f"3 files left in {where}; the hub has no copy." in kamld("import left ref --reference").out
    assert f"3 files in {where}, of which the hub has no copy" in kamld("show ref").out
    assert f"3 files of these left in {where}" in kamld("ls ref").out
    assert kamld("show ref --json").json["left"] == 3
    (here / "left/1.txt").unlink()
    said = kamld("checkout ref", 3).err
    assert "kamld checkout default/ref@main:PATH FOLDER" in said
    kamld("checkout ref:2.txt two")
    kamld("import left ref --reference")
    kamld("import --fetch ref")
    version = kamld("log ref --json").json[0]["commit"][:12]
    assert f"The hub has all of ref, version {version}, already." in kamld("import --fetch ref").out
    assert "no copy" not in kamld("show ref").out + kamld("ls ref").out
    assert "Nothing is left elsewhere" in kamld("import left again --reference").out


def test_an_import_kept_apart_is_found_again(kamld: Kamld, here: Path) -> None:
    (here / "src").mkdir()
    (here / "src/t.txt").write_text("1")
    kamld("import src data")
    kamld("checkout data mine")
    (here / "mine/t.txt").write_text("mine")
    kamld("commit mine -m mine")
    (here / "src/t.txt").write_text("theirs")
    first = kamld("import src data").out
    branch = next(one["ref"] for one in kamld("branch data --json").json if "conflict" in one["ref"])
    way = f"Bring it in: kamld merge data {branch}"
    assert way in first
    again = kamld("import src data").out
    assert "Nothing has changed" in again
    assert f"kept as branch {branch}" in again
    assert way in again
    assert kamld("import src data --json").json["branch"] == branch
    assert len(kamld("branch data --json").json) == 2
    (here / "src/t.txt").write_text("theirs, newer")
    assert "kept as branch" in kamld("import src data").out
    assert len(kamld("branch data --json").json) == 3
