"""commit -b, --amend and --keep-last, as a person sees them."""

import random
import signal
import time
from datetime import timedelta
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.store import gc, open_hub
from tests.cli.conftest import Kamld, process


def keys(hub: Path) -> set[str]:
    return {str(path.relative_to(hub)) for path in hub.rglob("*") if path.is_file()}


def subjects(kamld: Kamld, name: str) -> list[str]:
    return [commit["message"] for commit in kamld(f"log {name} --json").json]


# -b


def test_from_no_branch_to_a_new_one(kamld: Kamld, digits: Path, hub: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    (digits / "0/a.txt").write_text("two")
    kamld("commit digits -m two")
    kamld("switch digits main~1")
    (digits / "0/b.txt").write_text("mine")
    assert "kamld commit digits -b NEW" in kamld("status digits").out
    there = keys(hub)
    said = kamld("commit digits -m lost", status=1).err
    assert "no_branch" in said
    assert "-b NEW" in said
    assert keys(hub) == there  # refused before anything was written
    made = kamld("commit digits -b try -m tried --json").json
    assert (made["branch"], made["parents"], made["landed"]) == ("try", [one], "moved")
    assert kamld("status digits --json").json["branch"] == "try"
    assert subjects(kamld, "digits@try") == ["tried", "one"]
    assert subjects(kamld, "digits@main") == ["two", "one"]
    (digits / "0/c.txt").write_text("more")
    assert kamld("commit digits -m more --json").json["branch"] == "try"


def test_a_branch_that_cannot_be_begun(kamld: Kamld, digits: Path, hub: Path) -> None:
    assert "first_commit" in kamld("commit digits -b try -m one", status=1).err
    kamld("commit digits -m one")
    kamld("tag digits delivered")
    (digits / "0/a.txt").write_text("two")
    there = keys(hub)
    assert "name_taken" in kamld("commit digits -b main -m x", status=1).err
    assert "name_taken" in kamld("commit digits -b delivered -m x", status=1).err
    assert "bad_name" in kamld("commit digits -b a/b -m x", status=1).err
    assert "bad_name" in kamld("commit digits -b '' -m x", status=1).err
    assert keys(hub) == there
    kamld("commit digits -b delivered2 -m x")
    kamld("commit digits --model -m x", status=1)


def test_a_new_branch_for_nothing_new(kamld: Kamld, digits: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    said = kamld("commit digits -b try -m x").out
    assert "no new version" in said
    assert "The folder is on try now, a new branch." in said
    status = kamld("status digits --json").json
    assert (status["branch"], status["commit"], status["changes"]) == ("try", one, [])


def test_a_protected_branch(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("branch digits@main --protect")
    (digits / "0/a.txt").write_text("two")
    assert f"kamld commit {digits} -b NEW" in kamld("commit digits -m two", status=1).err
    assert "kamld commit digits -b NEW" in kamld("status digits").out
    assert "protected_branch" in kamld("commit digits --amend", status=1).err
    assert "The folder is on two now" in kamld("commit digits -b two -m two").out
    kamld("merge digits two")
    assert kamld("cat digits:0/a.txt").out == "two"


def test_a_removed_branch_may_be_made_again(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("branch digits try")
    kamld("branch digits try --remove")
    (digits / "0/a.txt").write_text("two")
    assert kamld("commit digits -b try -m two --json").json["branch"] == "try"


# --amend


def test_the_newest_version_is_replaced(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").write_text("two")
    two = kamld("commit digits -m two --json").json
    (digits / "0/b.txt").write_text("forgotten")
    said = kamld("commit digits --amend").out
    assert f"It takes the place of {two['commit'][:12]}." in said
    assert "kamld undo digits" in said
    log = kamld("log digits --json").json
    assert [commit["message"] for commit in log] == ["two", "one"]
    assert log[0]["parents"] == two["parents"]
    assert log[0]["time"] > two["time"]
    assert kamld("status digits --json").json["changes"] == []
    assert kamld("cat digits:0/b.txt").out == "forgotten"
    done = kamld("commit digits --amend -m 'two, really' --json").json
    assert (done["amended"], done["message"]) == (log[0]["commit"], "two, really")
    assert done["tree"] == log[0]["tree"]
    assert subjects(kamld, "digits") == ["two, really", "one"]
    kamld("undo digits")
    kamld("undo digits")  # takes back taking back
    kamld("undo digits")
    assert kamld("log digits --json").json == log


def test_amending_what_is_as_it_should_be(kamld: Kamld, digits: Path, hub: Path) -> None:
    one = kamld("commit digits -m one --json").json["commit"]
    there = keys(hub)
    assert "no new version" in kamld("commit digits --amend").out
    assert kamld("commit digits --amend -m one --json").json["commit"] == one
    assert keys(hub) == there
    first = kamld("commit digits --amend -m first --json").json
    assert (first["parents"], first["amended"]) == ([], one)
    assert subjects(kamld, "digits") == ["first"]


def test_what_cannot_be_amended(kamld: Kamld, digits: Path, here: Path) -> None:
    assert "not_bound" in kamld("commit digits --amend", status=1).err
    assert "Missing option" in kamld("commit digits", status=2).err
    kamld("commit digits -m one")
    assert "usage" in kamld("commit digits --amend -b try", status=2).err
    kamld("split digits --test 0.5 --seed 1")
    kamld("checkout digits-train train")
    (here / "train/new").write_text("new")
    said = kamld("commit train --amend", status=1).err
    assert "not_by_hand" in said
    kamld("restore train .")
    (here / "train/new").unlink()
    assert kamld("commit train --amend -m 'for training' --json").json["split"]["part"] == "train"


def test_others_have_gone_on(kamld: Kamld, digits: Path, here: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    kamld("checkout digits theirs")
    (here / "theirs/theirs").write_text("x")
    kamld("commit theirs -m theirs")
    (digits / "mine").write_text("x")
    there = keys(hub)
    said = kamld("commit digits --amend", status=1).err
    assert "not_newest" in said
    assert "Commit without --amend" in said
    assert keys(hub) == there
    assert kamld("commit digits -m mine --json").json["landed"] == "merged"


def test_who_began_with_what_was_amended(kamld: Kamld, digits: Path, here: Path) -> None:
    """Their change is what they did since then, so it does not clash with the amending, nor does it bring
    back what was replaced."""
    kamld("commit digits -m one")
    (digits / "labels.csv").write_text("file,label\n0/a.txt,1\n")
    kamld("commit digits -m two")
    kamld("checkout digits theirs")
    (here / "theirs/theirs").write_text("x")
    (digits / "labels.csv").write_text("file,label\n0/a.txt,2\n")
    kamld("commit digits --amend")
    assert kamld("commit theirs -m theirs --json").json["landed"] == "carried"
    assert subjects(kamld, "digits") == ["theirs", "two", "one"]
    newest = kamld("log digits --json").json[0]
    assert newest["parents"] == [kamld("show digits@main~1 --json").json["commit"]]
    assert "carried" in kamld("status theirs --json").json["standing"]
    assert kamld("cat digits:labels.csv").out == "file,label\n0/a.txt,2\n"
    assert kamld("cat digits:theirs").out == "x"
    (digits / "labels.csv").write_text("file,label\n0/a.txt,3\n")
    assert "not_newest" in kamld("commit digits --amend", status=1).err
    (here / "theirs/labels.csv").write_text("theirs")
    assert kamld("commit theirs -m clash --json").json["landed"] == "kept"


def test_many_amend_and_commit_at_once(kamld: Kamld, digits: Path, here: Path) -> None:
    """Of those who amend one version at most one wins; all who commit are there, beside what it had."""
    kamld("commit digits -m one")
    for n in range(6):
        kamld(f"checkout digits w{n}")
        (here / f"w{n}/by{n}").write_text(str(n))
    many = [process(f"commit w{n} " + ("--amend" if n % 2 else f"-m {n}")) for n in range(6)]
    ends = [(one.communicate()[1], one.returncode) for one in many]
    amended = [n for n in (1, 3, 5) if ends[n][1] == 0]
    assert len(amended) <= 1
    for n, (said, status) in enumerate(ends):
        assert status == 0 or (n % 2 and "not_newest" in said), said
    assert [one["ref"] for one in kamld("branch digits --json").json] == ["main"]
    names = {entry["path"] for entry in kamld("ls digits --json").json}
    assert {name for name in names if name.startswith("by")} == {f"by{n}" for n in (0, 2, 4, *amended)}


def test_numbers_of_a_model_are_never_given_twice(kamld: Kamld, here: Path) -> None:
    net = here / "net"
    net.mkdir()
    (net / "weights").write_text("1")
    kamld("commit net --model -m one")
    (net / "weights").write_text("2")
    kamld("commit net -m two")
    (net / "weights").write_text("3")
    assert kamld("commit net --amend --json").json["version"] == "v3"
    assert [tag["ref"] for tag in kamld("tag net --json").json] == ["v1", "v3"]
    assert kamld("cat net@v2:weights").out == "2"  # while it is there, it is what it was
    kamld("undo net")
    assert kamld("show net --json").json["message"] == "two"
    assert [tag["ref"] for tag in kamld("tag net --json").json] == ["v1", "v2", "v3"]


# --keep-last


def stored(hub: Path) -> int:
    return sum(path.stat().st_size for path in (hub / "packs").rglob("*") if path.is_file())


def collect(hub: Path) -> None:
    """Both phases, without waiting; the command leaves an hour between them at least."""
    repository = open_hub(FolderBlobs(hub), 2)
    for _ in range(2):
        gc.collect(repository, 30, timedelta(0))


def saved(net: Path, epoch: int) -> str:
    """Other bytes at each epoch, which nothing can make smaller."""
    net.mkdir(exist_ok=True)
    (net / "weights").write_bytes(random.Random(epoch).randbytes(200_000))
    return f"commit net --model --keep-last 3 -m 'epoch {epoch}' --json"


def test_a_training_that_saves_often_does_not_fill_the_disk(kamld: Kamld, here: Path, hub: Path) -> None:
    highest = 0
    for epoch in range(40):
        made = kamld(saved(here / "net", epoch)).json
        assert made["checkpoint"] == {"keep_last": 3}
        if epoch % 8 == 7:
            collect(hub)
            highest = max(highest, stored(hub))
    assert highest < 6 * 200_000  # of 40; three are kept, and little more where a pack has but few of others
    assert subjects(kamld, "net -n 100")[::-1] == [f"epoch {n}" for n in range(40)]
    for back in range(3):
        kamld(f"checkout net@main~{back} back{back}")
        assert (here / f"back{back}/weights").read_bytes() == random.Random(39 - back).randbytes(200_000)
    said = kamld("checkout net@main~3 gone", status=1).err
    assert "expired_checkpoint" in said
    assert 'The checkpoint "epoch 36" expired; the last 3 are kept.' in said
    assert not (here / "gone").exists()
    for words in ("cat net@v3:weights", "ls net@v3", "diff net@v3 net", "tag net@v3 x", "deploy net@v3"):
        assert "expired_checkpoint" in kamld(words, status=1).err, words
    assert kamld("log net").out.count("expired") == 17
    assert "expired: its files are not kept" in kamld("show net@v3").out
    assert kamld("log net").out.count("a checkpoint") == 3
    kamld(saved(here / "net", 40))
    assert "a checkpoint: 3 newer ones follow, so its files go with the next gc" in kamld("show net@v38").out
    kamld("undo net")
    assert "  kept    a checkpoint: its files go once 3 newer ones follow" in kamld("show net").out
    assert [one["expired"] for one in kamld("log net --json").json] == [False] * 3 + [True] * 17
    assert kamld("show net@v3 --json").json["expired"]
    for words in (
        "show net@v38",
        "rebuild",
        "ls",
        "du",
        "why net",
        "why net@v3",
        "gc --why net@v3",
        "log net:weights",
        "log net@v3",
    ):
        kamld(words)
    for words in ("export net@v3 out", "split net@v3 --test 0.5", "run -i net@v3 -- true", "mount net@v3 m"):
        assert "expired_checkpoint" in kamld(words, status=1).err, words
    assert "It was a checkpoint, and expired" in kamld("gc --why net@v3").out
    assert "expired" not in kamld("gc --why net").out
    said = kamld("purge net@v3:weights --dry-run", status=1).err
    assert "expired_checkpoint" in said
    assert kamld("fsck --json").json["findings"] == []


def test_a_tag_keeps_a_checkpoint_for_good(kamld: Kamld, here: Path, hub: Path) -> None:
    for epoch in range(6):
        kamld(saved(here / "net", epoch))
        if epoch == 1:
            kamld("tag net best")
    collect(hub)
    kamld("checkout net@best best")
    assert (here / "best/weights").read_bytes() == random.Random(1).randbytes(200_000)
    assert "expired_checkpoint" in kamld("checkout net@v1 gone", status=1).err
    assert "expired_checkpoint" in kamld("checkout net@v3 gone", status=1).err
    kamld("tag net best --remove")
    collect(hub)
    assert "expired_checkpoint" in kamld("checkout net@v2 gone", status=1).err


def test_amended_checkpoints_take_no_room(kamld: Kamld, here: Path, hub: Path) -> None:
    """One a minute within an epoch, and three epochs kept."""
    for epoch in range(5):
        kamld(saved(here / "net", epoch))
        for minute in range(4):
            saved(here / "net", 1000 + 10 * epoch + minute)
            assert kamld("commit net --amend --json").json["checkpoint"] == {"keep_last": 3}
    (here / "net/notes").write_text("the best one")
    kamld("commit net -m done")
    collect(hub)
    history = kamld("log net --json").json
    assert (history[0]["message"], len(history)) == ("done", 6)
    assert stored(hub) < 6 * 200_000
    assert kamld("fsck --json").json["findings"] == []


def test_a_folder_that_stands_at_an_expired_checkpoint(kamld: Kamld, here: Path, hub: Path) -> None:
    kamld(saved(here / "net", 0))
    kamld("checkout net theirs")
    for epoch in range(1, 6):
        kamld(saved(here / "net", epoch))
    collect(hub)
    (here / "theirs/notes").write_text("mine")
    for words in ("status theirs", "switch theirs main", "commit theirs -m x", "commit theirs --amend"):
        said = kamld(words, status=1).err
        assert "expired_checkpoint" in said, words
        assert "kamld commit" in said, words
        assert "-b NEW" in said, words
    made = kamld("commit theirs -b old -m 'was good' --json").json
    assert kamld("status theirs --json").json["changes"] == []
    assert kamld("cat net@old:notes").out == "mine"
    assert len(made["parents"]) == 1
    kamld("log net@old")
    kamld("show net@old")


def test_how_many_are_kept_must_be_one_or_more(kamld: Kamld, digits: Path) -> None:
    assert "--keep-last" in kamld("commit digits -m x --keep-last 0", status=2).err
    kamld("commit digits -m x --keep-last 1")
    assert "no new version" in kamld("commit digits -m y --keep-last 1").out


def test_a_merge_of_lines_that_began_with_an_expired_checkpoint(kamld: Kamld, here: Path, hub: Path) -> None:
    """Nobody knows what each had before, so all that differs is to be decided."""
    kamld(saved(here / "net", 0))
    kamld("checkout net@main side")
    for n in range(1, 5):
        saved(here / "side", n)
        kamld(f"commit side {'-b side' if n == 1 else ''} --keep-last 2 -m {n}")
        kamld(saved(here / "net", 10 + n))
    (here / "side/notes").write_text("of the side")
    kamld("commit side -m notes")
    collect(hub)
    assert "expired_checkpoint" in kamld("ls net@v1", status=1).err
    assert "weights" in kamld("merge net side", status=1).out
    kamld("merge net side --theirs")
    assert kamld("cat net:notes").out == "of the side"
    kamld("checkout net merged")
    assert (here / "merged/weights").read_bytes() == random.Random(4).randbytes(200_000)


@pytest.mark.long
def test_killed_at_any_moment(kamld: Kamld, digits: Path) -> None:
    """Sixty times: a commit of any sort is there or it is not, and the folder knows which."""
    began = time.monotonic()
    process("commit digits -m one").communicate()
    whole, landed, shown = time.monotonic() - began, 0, random.Random(7)
    for attempt in range(60):
        (digits / f"{attempt % 5}.bin").write_bytes(shown.randbytes(100_000))
        before = kamld("status digits --json").json
        sort = ("--amend", f"-b b{attempt}", "-m plain", "-m x --keep-last 3")[attempt % 4]
        victim = process(f"commit digits {sort}")
        time.sleep(whole * shown.uniform(0.4, 1.4))
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
        after = kamld("status digits --json").json
        is_there = after["commit"] != before["commit"]
        landed += is_there
        assert (after["changes"] == []) == is_there
        made = kamld(f"log digits@{after['branch']} --json").json
        assert made[0]["commit"] == after["commit"]
        if is_there:
            parent = kamld(f"show digits@{before['commit']} --json").json["parents"]
            assert made[0]["parents"] == (parent if sort == "--amend" else [before["commit"]])
            assert after["branch"] == (sort[3:] if sort.startswith("-b") else before["branch"])
        assert list((digits / ".kamld").glob("landing*")) == []
    assert 5 < landed < 60
    assert kamld("fsck --json").json["findings"] == []
