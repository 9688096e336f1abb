"""`kamld fsck`: what is said of a sound hub and of a damaged one, and what is done then."""

import re
import shutil
from pathlib import Path

from kamld.blobs import FolderBlobs
from kamld.store import open_hub
from tests.cli.conftest import Kamld


def spoil(hub: Path, content: bytes) -> Path:
    """One file's content in its pack becomes another."""
    (pack,) = (path for path in hub.glob("packs/*/*.pack") if content in path.read_bytes())
    pack.write_bytes(pack.read_bytes().replace(content, content[::-1]))
    return pack


def test_a_sound_hub(kamld: Kamld, digits: Path) -> None:
    (digits / "large").write_bytes(bytes(range(256)) * 4096)
    kamld("commit digits -m one")
    kamld("run --name look -i digits -- true")
    said = kamld("fsck").out.splitlines()
    assert said[0].startswith("Verified ")
    assert said[1:] == ["Everything is sound."]
    assert kamld("fsck --quick").out.splitlines()[1:] == ["All is there, by sizes and records."]
    assert kamld("fsck digits").out.splitlines()[1:] == ["Everything is sound."]
    assert kamld("fsck --json").json["sound"]


def test_a_damaged_file(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    (digits / "new.txt").write_text("new\n")
    kamld("commit digits -m two")
    pack = spoil(hub, b"file,label\n0/a.txt,0\n")
    said = kamld("fsck", status=3).out.splitlines()
    assert said[2:] == [
        "1 thing damaged or lost in the hub:",
        f"  {pack.relative_to(hub)}",
        "    bytes in it are not what they were; 1 of its 10 objects cannot be read",
        "",
        "default/digits cannot be had whole:",
        "  main    1 of 8 files is lost",
        "    labels.csv",
        "  main~1  1 of 7 files is lost",
        "    labels.csv",
        "",
        "The rest is sound; 0 of 2 versions can be had whole.",
        "Next: kamld fsck --repair, with --from a copy of the hub or a folder that has the files",
    ]
    found = kamld("fsck digits --json", status=3).json
    assert [one["paths"] for one in found["affected"]] == [["labels.csv"]] * 2
    assert not found["rebuild_is_enough"]


def test_restored_from_a_copy(kamld: Kamld, digits: Path, hub: Path, here: Path) -> None:
    kamld("commit digits -m one")
    shutil.copytree(hub, here / "copy")
    shutil.rmtree(hub / "packs")
    assert "all of it is lost" in kamld("fsck", status=3).out
    shutil.copytree(here / "copy/packs", hub / "packs")
    kamld("rebuild")
    kamld("fsck")


def test_an_index_made_anew_is_enough(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    for path in (hub / "index").iterdir():
        path.write_bytes(b"")
    said = kamld("fsck", status=3).out
    assert said.splitlines()[-1] == "No content is lost. This makes the index anew: kamld fsck --repair"
    assert kamld("fsck --repair").out.splitlines()[0:2] == ["  index", "    made anew from the packs"]
    kamld("fsck")


def test_repaired_from_the_folder(kamld: Kamld, digits: Path, hub: Path, here: Path) -> None:
    kamld("commit digits -m one")
    pack = spoil(hub, b"file,label\n0/a.txt,0\n")
    assert kamld("fsck --repair", status=3).out.splitlines()[-1].endswith("kamld fsck --repair --from PLACE")
    said = kamld("fsck --repair --from digits").out.splitlines()
    assert said[:3] == [f"  {digits}", "    1 lost object fetched from there", ""]
    assert said[-1] == "Everything is sound."
    assert not pack.exists()
    assert [path.name for path in (hub / "damaged").rglob("*.pack")] == [pack.name]
    kamld("checkout digits out")
    assert (here / "out/labels.csv").read_bytes() == (digits / "labels.csv").read_bytes()
    assert kamld("fsck --repair").out.splitlines()[0] == "Nothing had to be put right."


def test_the_record_of_the_hub_comes_back_from_a_copy(
    kamld: Kamld, digits: Path, hub: Path, here: Path
) -> None:
    kamld("commit digits -m one")
    shutil.copytree(hub, here / "copy")
    for data in (None, b"{}"):
        (hub / "kamld-hub.json").unlink()
        if data is not None:
            (hub / "kamld-hub.json").write_bytes(data)
        kamld("fsck", status=3)
        kamld("fsck --repair --from digits", status=3)
        kamld("fsck --repair --from copy")
        kamld("fsck digits")


def test_what_a_repair_is_not(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    kamld("fsck --from digits", status=2)
    kamld("fsck --repair --quick", status=2)
    assert "nowhere" in kamld("fsck --repair --from nowhere", status=1).err
    assert "itself" in kamld(f"fsck --repair --from {hub}", status=1).err


def test_a_name_that_is_not_there(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    assert "digits" in kamld("fsck digit", status=1).err


def test_files_left_elsewhere(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("import digits left --reference")
    assert kamld("fsck").out.splitlines()[1:] == [
        "7 files left elsewhere, as they were.",
        "Everything is sound.",
    ]
    assert "as they were by size and time." in kamld("fsck --quick").out
    (digits / "labels.csv").write_text("file,label\n0/a.txt,1\n")
    said = kamld("fsck", status=3).out.splitlines()
    assert said[1:] == [
        "7 files left elsewhere, 1 of them not as then.",
        "",
        "Left elsewhere, and not there as it was:",
        f"  {digits}/labels.csv",
        said[5],
        "",
        "default/left cannot be had whole:",
        "  main  1 of 7 files is lost",
        "    labels.csv",
        "",
        "The rest is sound; 0 of 1 version can be had whole.",
        said[-1],
    ]
    assert said[-1].endswith("what a folder has of them: kamld fsck --repair --from FOLDER")
    assert said[5].startswith("    changed since: left there on ")
    assert kamld("fsck left --json", status=3).json["left_lost"] == 1
    kamld("fsck --quick", status=3)
    (here / "kept").mkdir()
    (here / "kept/any").write_text("file,label\n0/a.txt,0\n")
    assert kamld("fsck --repair --from kept").out.splitlines()[-1] == "Everything is sound."


def test_a_lost_list_of_files(kamld: Kamld, digits: Path, hub: Path) -> None:
    (digits / "many").mkdir()
    for n in range(3000):
        (digits / f"many/{n:04d}").touch()
    kamld("commit digits -m one")
    repository = open_hub(FolderBlobs(hub))
    tree = repository.tree(repository.commit(kamld("log digits --json").json[0]["commit"]))
    pages = tree.pages
    stored = bytes(repository.objects.stored(pages[1].id)[1])
    (pack,) = (path for path in hub.glob("packs/*/*.pack") if stored in path.read_bytes())
    pack.write_bytes(pack.read_bytes().replace(stored, stored[::-1]))
    said = kamld("fsck", status=3).out
    assert f"  main  the list of {pages[1].count:,} of 3,007 files is lost" in said


def test_refs_and_logs_that_no_copy_has(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    (digits / "labels.csv").write_text("other\n")
    version = kamld("commit digits -m 'the second' --json").json["commit"]
    (ref,) = hub.glob("refs/*/main")
    ref.unlink()
    assert "none yet, or lost. kamld fsck --repair looks for it." in kamld("fsck").err
    said = kamld("fsck --repair").out.splitlines()
    assert said[0] == f"  default/digits@recovered-{version[:12]}"
    assert said[1].startswith("    the name for a version that nothing led to: ")
    assert said[1].endswith("ann: the second, with 1 before it")
    assert f"  kamld branch default/digits@recovered-{version[:12]} main" in said
    assert said[-1] == "Everything is sound."
    kamld(f"branch digits@recovered-{version[:12]} main")
    assert kamld("log digits --json").json[0]["commit"] == version
    kamld("status digits")
    for n in range(70):
        kamld(f"alias digits@main{'~1' * (n % 2)} now")
    (part,) = hub.glob("log/*/now/*")
    part.unlink()
    error = kamld("gc", status=3).err
    assert "lost_log" in error
    assert "kamld fsck --repair" in error
    kamld("rebuild", status=3)
    assert "written down as lost" in kamld("fsck --repair").out
    kamld("gc")
    kamld("rebuild")
    assert "a part of its log is lost" in kamld("fsck").err


def test_damage_in_what_was_removed_is_damage_while_it_can_come_back(
    kamld: Kamld, digits: Path, hub: Path
) -> None:  # fmt: skip
    kamld("commit digits -m one")
    (digits / "labels.csv").write_text("another\n")
    kamld("import digits gone")
    kamld("rm gone")
    spoil(hub, b"another\n")
    said = kamld("fsck", status=3).out
    assert "default/gone (removed) cannot be had whole:" in said
    assert "Unless it is to come back, leave it: kamld gc forgets it in its time." in said
    assert not kamld("fsck --json", status=3).json["sound"]


def test_what_nobody_can_know_is_no_more_than_noted_by_both(kamld: Kamld, digits: Path, hub: Path) -> None:
    """All refs of a dataset are gone; a first commit that was stopped leaves the same behind."""
    kamld("commit digits -m one")
    kamld("import digits other")
    shutil.rmtree(next(path for path in (hub / "refs").iterdir()))
    checked = kamld("fsck")
    assert "has no version: none yet, or lost" in checked.err
    said = kamld("doctor").out.splitlines()
    assert said[-1] == "Nothing has to be done; 1 note."
    assert any(line.startswith("note   versions     none known of default/") for line in said)


def test_damage_is_told_with_the_file_and_a_tag(kamld: Kamld, digits: Path, hub: Path, here: Path) -> None:
    kamld("commit digits -m one")
    kamld("tag digits v1")
    (digits / "new").write_text("new")
    kamld("commit digits -m two")
    spoil(hub, b"file,label\n0/a.txt,0\n")
    said = kamld("checkout digits@v1 out", status=3).err
    assert re.search(r"labels.csv of digits@[0-9a-f]{12} cannot be had\. The object [0-9a-f]{12} is", said)
    assert not (here / "out").exists()
    lines = kamld("fsck", status=3).out.splitlines()
    assert "  v1    1 of 7 files is lost" in lines
    assert not [line for line in lines if "main~1" in line]


def test_what_is_lost_is_told_with_the_way_out(kamld: Kamld, digits: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    for pack in hub.glob("packs/*/*.pack"):
        pack.unlink()
    assert "kamld fsck --repair --from PLACE brings it back" in kamld("checkout digits out", status=3).err
