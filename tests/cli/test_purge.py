"""`kamld purge`: what is shown before, asked for, said after; and all other verbs afterwards."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld, process

SECRET = "this must not be kept: anna@example.org\n"


@pytest.fixture
def people(kamld: Kamld, digits: Path, hub: Path) -> Path:
    """Two versions that have a file which must go, a split and a run that used it."""
    (digits / "0/anna.txt").write_text(SECRET)
    kamld("commit digits -m one")
    (digits / "1/new.txt").write_text("new\n")
    kamld("commit digits -m two")
    kamld("tag digits@main~1 first")
    kamld("run --name look -i digits -- cat digits/labels.csv")
    return digits


def traces(place: Path, text: str = SECRET) -> list[Path]:
    return [p for p in place.rglob("*") if p.is_file() and text.strip().encode() in p.read_bytes()]


PURGE = "purge digits:0/anna.txt --reason 'consent withdrawn'"


def test_what_it_would_do(kamld: Kamld, people: Path, hub: Path) -> None:
    said = kamld("purge digits:0/anna.txt --dry-run").out.splitlines()
    assert said == [
        "digits:0/anna.txt   1 content, 40 B",
        "  default/digits  0/anna.txt  main, first",
        "  runs that used or made such a version: default/1",
        "Removes 40 B from 1 pack.",
    ]
    found = kamld("purge digits:0/anna.txt --dry-run --json").json
    assert found["places"] == [
        {
            "project": "default", "name": "digits", "kind": "dataset", "path": "0/anna.txt",
            "revisions": ["main", "first"], "removed": False,
        }
    ]  # fmt: skip
    assert traces(hub)


def test_purged(kamld: Kamld, people: Path, hub: Path, here: Path) -> None:
    before = {commit["commit"] for commit in kamld("log digits --json").json}
    said = kamld(f"{PURGE} --yes").out.splitlines()
    assert said[0] == "Purged 1 content: 40 B from 1 pack."
    assert said[-1].startswith("Copies that kamld does not know of may remain")
    assert traces(hub) == []
    assert {commit["commit"] for commit in kamld("log digits --json").json} == before
    error = kamld("cat digits:0/anna.txt", status=1).err
    assert "default/digits:0/anna.txt was purged by ann on" in error
    assert "consent withdrawn" in error
    assert "purged_file" in error
    assert kamld("cat digits:0/a.txt").out == "0/a\n"
    assert "consent withdrawn" in kamld("purge --list").out
    assert kamld("purge --list --json").json[0]["places"][0]["path"] == "0/anna.txt"
    assert kamld(f"{PURGE} --yes").out  # again: there is nothing left to be removed
    assert "1 file purged: left out on purpose" in kamld("fsck").out
    kamld("gc")
    assert kamld("doctor --json").json["ok"]


def test_all_versions_can_still_be_had_without_it(kamld: Kamld, people: Path, here: Path) -> None:
    kamld(f"{PURGE} --yes")
    said = kamld("checkout digits out")
    assert "Left out 0/anna.txt: default/digits:0/anna.txt was purged by ann" in said.err
    assert sorted(os.listdir(here / "out/0")) == ["a.txt", "b.txt", "c.txt"]
    assert kamld("checkout digits@first old --json").json["purged"] == ["0/anna.txt"]
    said = kamld("status out")
    assert "Left out 0/anna.txt: default/digits:0/anna.txt was purged by ann" in said.err
    assert "The next commit lists 1 purged no more." in said.out
    assert "removed" not in said.out
    status = kamld("status out --json").json
    assert (status["changes"], status["purged"]) == ([], ["0/anna.txt"])
    kamld("export digits out.tar")
    kamld("export digits plain")
    assert not (here / "plain/0/anna.txt").exists()
    kamld("split digits --test 0.5 --seed 1")
    kamld("checkout digits-train train")
    kamld("diff digits@first digits")
    kamld("show digits@first")
    kamld("switch out main~1")
    kamld("branch digits side")
    said = kamld("commit out -b bare -m bare")  # without anna, for the folder has not got it
    assert "Left out 0/anna.txt: default/digits:0/anna.txt was purged by ann" in said.err
    assert "the same files, 1 purged left out" in said.out
    said = kamld("switch out main")
    assert "Left out 0/anna.txt" in said.err
    assert "What you had changed" not in said.out
    assert not (here / "out/0/anna.txt").exists()
    (here / "out/mine.txt").write_text("mine")
    done = kamld("switch out bare --json").json
    assert (done["own_changes"], done["purged"]) == (1, [])
    kamld("switch out main")
    (here / "out/mine.txt").unlink()
    kamld("switch out bare")
    (here / "out/more.txt").write_text("more")
    kamld("commit out -m more")
    kamld("merge digits bare")
    said = kamld("run --name again -i digits@first -- true")
    assert "1 of the files of digits was purged, and left out." in said.out + said.err
    kamld("commit out -b without -m 'without it'")
    assert "anna" not in kamld("ls digits@without:0").out


def test_committing_it_again_is_refused_by_name(kamld: Kamld, people: Path, hub: Path, here: Path) -> None:
    kamld(f"{PURGE} --yes")
    (people / "1/more.txt").write_text("more\n")
    said = kamld("commit digits -m again", status=1).err
    assert "0/anna.txt has content that ann purged on" in said
    assert "Remove the file, or name it in .kamldignore." in said
    shutil.copytree(people, here / "other", ignore=shutil.ignore_patterns(".kamld"))
    assert "anna.txt has content" in kamld("commit other -m new", status=1).err
    assert traces(hub) == []
    (people / "0/anna.txt").unlink()
    kamld("commit digits -m 'without it'")


def test_status_names_what_is_still_on_the_disk(kamld: Kamld, people: Path) -> None:
    kamld(f"{PURGE} --yes")
    said = kamld("status digits")
    assert "0/anna.txt here was purged (20" in said.out
    assert ", by ann, consent withdrawn): remove it." in said.out
    assert "A commit is refused until that is removed, or named in .kamldignore." in said.out
    assert "Nothing has changed" not in said.out
    assert kamld("status digits --json").json["refused"] == ["0/anna.txt"]
    (people / "0/anna.txt").rename(people / "1/copy.txt")  # new, and nobody has read it yet
    found = kamld("status digits --json").json
    assert (found["refused"], found["purged"]) == (["1/copy.txt"], ["0/anna.txt"])
    assert "Commit with" not in kamld("status digits").out
    (people / "1/copy.txt").write_text("x" * len(SECRET))
    assert kamld("status digits --json").json["refused"] == []
    assert "Commit with" in kamld("status digits").out


def test_show_names_what_was_purged_of_a_version(kamld: Kamld, people: Path) -> None:
    assert "purged" not in kamld("show digits").out
    kamld(f"{PURGE} --yes")
    (line,) = (line for line in kamld("show digits").out.splitlines() if "purged" in line)
    assert "0/anna.txt (20" in line
    assert "by ann, consent withdrawn)" in line
    assert kamld("show digits --json").json["purged"] == ["0/anna.txt"]


def test_asked_for_and_answered(kamld: Kamld, people: Path, hub: Path) -> None:
    assert "--yes" in kamld(PURGE, status=2).err  # nobody is there
    kamld("purge digits:0/anna.txt --yes", status=2)  # no reason
    kamld("purge digits --reason x --yes", status=1)
    kamld("purge --reason x", status=2)
    kamld("purge digits:0/nobody.txt --reason x --yes", status=1)
    kamld("purge digits:0 --finish", status=2)
    assert kamld("purge --finish").out == "There was nothing to be ended.\n"
    assert traces(hub)
    assert kamld("purge --list").out == "Nothing was purged in this hub.\n"


@pytest.mark.parametrize(("typed", "status"), [("digits\n", 0), ("no\n", 1)])
def test_the_name_is_typed(people: Path, here: Path, hub: Path, typed: str, status: int) -> None:
    import pty

    leader, follower = pty.openpty()
    with process(PURGE, cwd=here, stdin=follower) as command:
        os.write(leader, typed.encode())
        out, err = command.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert command.returncode == status, err
    assert "This cannot be undone. Type digits to go on" in out
    assert bool(traces(hub)) == bool(status)


def test_checked_out_inputs_of_runs_go_too(kamld: Kamld, people: Path, hub: Path) -> None:
    assert traces(hub / "local")
    kamld(f"{PURGE} --yes")
    assert traces(hub / "local") == []


def test_an_old_hub_asks_for_its_upgrade(kamld: Kamld, hub: Path) -> None:
    shutil.copytree(Path(__file__).parents[1] / "compat/hub-v1", hub)
    path = "garden/flowers:measured.csv"
    assert "kamld doctor --upgrade" in kamld(f"purge {path} --reason x --yes", status=1).err
    kamld("doctor --upgrade")
    kamld(f"purge {path} --every-version --reason x --yes")
    assert kamld("fsck").out.splitlines()[-1] == "Everything is sound."


def test_restore_says_that_it_is_gone(kamld: Kamld, people: Path) -> None:
    kamld(f"{PURGE} --yes")
    (people / "0/anna.txt").unlink(missing_ok=True)
    said = kamld("restore digits 0/anna.txt")
    assert "Left out 0/anna.txt: default/digits:0/anna.txt was purged" in said.err
    assert said.out == ""
    (people / "labels.csv").unlink()
    answer = kamld("restore digits . --json").json
    assert [one["path"] for one in answer["changes"]] == ["labels.csv"]
    assert answer["purged"] == ["0/anna.txt"]
    assert not (people / "0/anna.txt").exists()


def test_another_content_of_a_purged_path_comes_with_its_version(
    kamld: Kamld, people: Path, here: Path
) -> None:
    """What is missing for it was purged is no change of anybody's, so nothing is in the way."""
    (people / "0/anna.txt").write_text("anna agreed")
    kamld("commit digits -m again")
    kamld("purge digits@main~1:0/anna.txt --reason x --yes")
    kamld("checkout digits out")
    kamld("switch out main~1")
    assert not (here / "out/0/anna.txt").exists()
    assert kamld("switch out main --json").json["own_changes"] == 0
    assert (here / "out/0/anna.txt").read_text() == "anna agreed"
    kamld("restore out --from main~1 0/anna.txt")


def test_purged_again(kamld: Kamld, people: Path, hub: Path) -> None:
    kamld(f"{PURGE} --yes")
    for words in ("purge digits:0/anna.txt", f"{PURGE} --yes", "purge digits:0/anna.txt --dry-run"):
        said = kamld(words).out.splitlines()
        assert said[0].startswith("default/digits:0/anna.txt was purged by ann on ")
        assert said[0].endswith(": consent withdrawn.")
        assert said[1:] == ["There is nothing left of it to remove."]
    again = kamld("purge digits:0/anna.txt --json").json
    assert (len(again["holes"]), again["bytes_freed"], again["in_use"]) == (1, 0, [])
    assert len(kamld("purge --list --json").json) == 1


def test_what_could_not_be_removed_is_told(kamld: Kamld, people: Path, hub: Path) -> None:
    (hub / "tmp/odd").mkdir()
    os.utime(hub / "tmp/odd", (0, 0))
    (lock,) = (hub / "local/trees").glob("*.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        said = kamld(f"{PURGE} --yes").out.splitlines()
    assert f"Still there, for somebody uses it: {lock.with_suffix('')}." in said[1]
    assert f"Still there, for Is a directory: {hub / 'tmp/odd'}." in said[2]
    assert traces(hub)
    assert kamld("purge --finish").out.splitlines()[1:] == said[2:3]
    assert not traces(hub)


def test_purged_again_beside_somebody_who_writes(kamld: Kamld, people: Path, hub: Path) -> None:
    """What is in tmp/ since the purge may be a living writer's: nobody has waited for that one."""
    (lock,) = (hub / "local/trees").glob("*.lock")
    with lock.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        kamld(f"{PURGE} --yes")
    writes, left = hub / "tmp/of-a-writer", hub / "tmp/of-one-who-was-killed"
    for path in (writes, left):
        path.write_text("x")
    os.utime(left, (0, 0))
    for words in ("--dry-run", "--dry-run --json"):
        kamld(f"purge digits:0/anna.txt {words}")
        assert writes.exists()
        assert left.exists()
        assert lock.with_suffix("").exists()
    kamld("purge digits:0/anna.txt")
    assert not left.exists()
    assert not lock.with_suffix("").exists()
    kamld("purge --finish")
    assert writes.exists()


def test_what_was_left_elsewhere_is_named(kamld: Kamld, here: Path) -> None:
    """The hub had only the address of it, and forgets that; the file stays where it is."""
    (here / "taken").mkdir()
    (here / "taken/anna.txt").write_text(SECRET)
    (here / "taken/ben.txt").write_text("ben")
    kamld("import taken --reference")
    place = str(here / "taken/anna.txt")
    told = ["It was left elsewhere, where kamld does not remove what is not its own:"]
    said = kamld("purge taken:anna.txt --dry-run").out.splitlines()
    assert said[-2:] == [*told, f"  {place}, still there"]
    assert kamld("purge taken:anna.txt --dry-run --json").json["elsewhere"] == [place]
    said = kamld("purge taken:anna.txt --reason x --yes").out.splitlines()
    assert said[1:3] == [*told, f"  {place}, still there"]
    assert Path(place).read_text() == SECRET
    (here / "taken/ben.txt").unlink()
    said = kamld("purge taken:ben.txt --reason x --yes").out.splitlines()
    assert said[2] == f"  {here / 'taken/ben.txt'}, not seen from here"


def test_a_removed_dataset_is_purged_where_it_is(kamld: Kamld, people: Path, hub: Path, here: Path) -> None:
    """Nobody has to publish again what must go."""
    kamld("checkout digits out")
    kamld("rm digits")
    assert "unknown_path" in kamld("purge digits:0/none.txt --dry-run", status=1).err
    said = kamld("purge digits:0/anna.txt --dry-run").out.splitlines()
    assert said[1] == "  default/digits (removed)  0/anna.txt  main, first"
    (here / "other/0").mkdir(parents=True)
    (here / "other/0/anna.txt").write_text("another anna")
    kamld("commit other --name digits -m other")
    first = kamld("log digits --json").json[0]["commit"]
    kamld("rm digits")
    refused = kamld("purge digits:0/anna.txt --dry-run", status=1).err
    assert "2 datasets that were removed had the name default/digits" in refused
    assert f"digits@{first[:12]}" in refused
    kamld(f"purge digits@{first[:12]}:0/anna.txt --reason x --yes")
    kamld("purge digits@first:0/anna.txt --every-version --reason x --yes")
    assert traces(hub) == []
    kamld("undo digits")
    assert "purged_file" in kamld("cat digits:0/anna.txt", status=1).err


def test_a_purge_reaches_removed_datasets_and_says_so(
    kamld: Kamld, people: Path, hub: Path, here: Path
) -> None:
    (here / "other").mkdir()
    (here / "other/a.txt").write_text(SECRET)
    kamld("commit other -m other")
    kamld("rm digits")
    said = kamld("purge other:a.txt --reason x --yes").out.splitlines()
    assert said[1] == "The same content went from default/digits (removed):0/anna.txt."
    assert traces(hub) == []
