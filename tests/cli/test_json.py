"""What programs read: one JSON value of every verb, in one vocabulary, with the same fields every time."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from kamld.cli import main
from tests.cli.conftest import Kamld
from tests.cli.vocabulary import FIELDS, KINDS, commits_in, words_of, wrong

# Verbs whose output is something else: bytes of a file, what a run printed, a show for people.
BYTES = {"cat", "logs", "demo"}
MOUNTS = {"mount", "umount"}  # tests/cli/test_mount.py holds them to the same words, and
# tests/cli/test_export_bucket.py exports into buckets.
# Words for what this test does not bring about: buckets, mounts, damage, tables that both sides changed,
# renamed files, names that are no UTF-8, runs that print something or have not ended.
NOT_HEARD = {
    "bytes_put", "change_count", "check", "deleted", "dry_run", "foreign", "from", "host", "key", "layer",
    "left_there", "old_state", "output", "path_bytes", "paths", "pid", "put", "row_conflicts", "rows",
    "rows_decided", "stderr", "stdout", "to", "total", "uncommitted", "writable",
}  # fmt: skip
# What other programs have relied on from the beginning; it never changes.
VERSION = {"id", "message", "author", "time", "parents"}
DEPLOYMENT = {"name", "state", "url", "grpc_url", "versions"}
RUN = {"id", "name", "state", "params", "metrics", "inputs", "outputs"}
VERBS = set(main.VERBS) - set(main.HIDDEN)

TRAIN = """
import shutil, kamld
kamld.log_metrics(accuracy=0.5 if kamld.params()["lr"] > 1 else 0.75)
shutil.copy(kamld.params()["file"], kamld.output("net"))
"""


def options(verb: str) -> list[click.Option]:
    command = import_module(f"kamld.cli.verb_{verb.replace('-', '_')}").command
    return [param for param in command.params if isinstance(param, click.Option)]


class Talk:
    """Every verb that is asked, and whether what it says is in our words."""

    def __init__(self, kamld: Kamld) -> None:
        self.kamld = kamld
        self.asked: set[str] = set()
        self.heard: set[str] = set()
        self.commits: set[str] = set()
        self.wrong: list[str] = []

    def __call__(self, words: str, status: int = 0) -> Any:
        before, dashes, command = words.partition(" -- ")
        said = self.kamld(f"{before} --json{dashes}{command}", status)
        value = json.loads(said.out)
        assert said.out.count("\n") == 1, "one value on one line"
        verb = words.split()[0]
        self.asked.add(verb)
        self.commits |= set(commits_in(value))
        self.heard |= words_of(value)
        self.wrong += [f"kamld {words}: {what}" for what in wrong(value, self.commits)]
        return value


@pytest.fixture
def say(kamld: Kamld) -> Talk:
    return Talk(kamld)


def test_every_verb_says_it_for_programs() -> None:
    having = {verb for verb in VERBS if any("--json" in option.opts for option in options(verb))}
    assert VERBS - having == BYTES


def test_every_kind_is_known() -> None:
    assert {kind.removesuffix("?") for kind in FIELDS.values()} == set(KINDS)


def test_one_letter_is_one_option() -> None:
    letters: dict[str, set[str]] = {}
    for verb in VERBS:
        for option in options(verb):
            long = next((word for word in option.opts if word.startswith("--")), option.name)
            for word in option.opts:
                if not word.startswith("--"):
                    letters.setdefault(word, set()).add(str(long))
    assert {letter: names for letter, names in letters.items() if len(names) > 1} == {}
    assert letters["-n"] == {"--limit"}


def test_all_verbs_use_the_same_words(say: Talk, here: Path, digits: Path, model: str) -> None:
    versions(say, digits)
    refs_and_merges(say, digits)
    runs_and_serving(say, here, model)
    elsewhere(say, here)
    the_hub(say)
    assert not say.wrong, "\n".join(say.wrong)
    assert say.asked | BYTES | MOUNTS == VERBS
    unsaid = set(FIELDS) - say.heard - NOT_HEARD
    assert not unsaid, f"words that nobody says any more: {sorted(unsaid)}"


def versions(say: Talk, digits: Path) -> None:
    first = say("commit digits -m one")
    assert say("gc")["since"] is None
    same = say("commit digits -m again")
    assert list(first) == list(same)
    assert first["id"] == first["commit"]
    assert set(first) >= VERSION
    assert (first["changed"], same["changed"], same["commit"]) == (True, False, first["commit"])
    assert (same["message"], same["landed"], same["time"]) == ("one", None, first["time"])
    (digits / "0/a.txt").write_text("changed")
    assert say("status digits")["files"] == 7
    assert say("diff digits")[0]["change"] == "changed"
    say("diff digits --patch")
    say("show digits:labels.csv")
    second = say("commit digits -m two")
    assert list(second) == list(first)
    newest, oldest = say("log digits")
    assert set(newest) >= VERSION
    assert (newest["names"], oldest["names"], newest["version"]) == (["main"], [], None)
    shown = say("show digits")
    assert {field: shown[field] for field in newest} == newest
    assert {"files_added", "files_changed"} <= set(say("log digits:0")[0])
    assert say("show digits:0/a.txt")["last_commit"]["commit"] == second["commit"]
    assert say("show digits:0")["kind"] == "folder"
    say("ls")
    say("ls digits")
    say("ls digits --no-recursive")
    say("checkout digits@main~1 before")
    checked = say("checkout digits:0 zeros")
    assert (checked["commit"], checked["name"], checked["files"]) == (second["commit"], "digits", 3)
    say("init empty --project other")
    (digits / ".kamld/folder.json").unlink()
    bound = say("init digits --bind digits")
    assert (bound["commit"], bound["same"], bound["differ"]) == (second["commit"], 7, 0)


def refs_and_merges(say: Talk, digits: Path) -> None:
    assert say("tag digits first")["ref_kind"] == "tag"
    assert say("alias digits@main~1 best")["old_commit"] is None
    moved = say("alias digits best")
    assert moved["old_commit"] not in (None, moved["commit"])
    say("branch digits clean")
    for kind in ("tag", "alias", "branch"):
        assert {"ref", "commit", "time"} <= set(say(f"{kind} digits")[0])
    say("branch digits@main --protect --require schema")
    say("branch digits@main --unprotect")
    back = say("switch digits main~1")
    assert (back["kind"], back["branch"], back["old_branch"]) == ("dataset", None, "main")
    say("switch digits clean")
    (digits / "0/a.txt").write_text("cleaner")
    say("commit digits -m cleaned")
    say("merge digits clean --dry-run")
    say("switch digits main")
    (digits / "0/a.txt").write_text("other")
    say("restore digits 0/a.txt --from main~1")
    (digits / "0/a.txt").write_text("other")
    say("commit digits -m other")
    waiting = say("merge digits clean", status=1)
    landed = say("resolve digits 0/a.txt --ours")
    assert list(waiting) == list(landed)
    assert say("undo digits")["old_commit"] == landed["commit"]
    say("merge digits clean", status=1)
    assert say("merge digits --abort")["result"] == "aborted"
    say("split digits --test 0.5")


def elsewhere(say: Talk, here: Path) -> None:
    (here / "given").mkdir()
    (here / "given/x").write_text("x")
    first = say("import given")
    assert set(first) >= VERSION
    same = say("import given")
    assert list(first) == list(same)
    assert (same["commit"], same["changed"], same["branch"]) == (first["commit"], False, "main")
    say("import --fetch given")
    say("export given there")
    say("export given there.tar")
    say("mv given taken")
    say("rm taken")
    say("undo taken")
    say("purge taken:x --dry-run")
    say("purge taken:x --reason private --yes")
    say("purge --list")
    assert say("show taken:x")["hole"]["reason"] == "private"
    assert say("checkout taken again")["purged"] == ["x"]


def runs_and_serving(say: Talk, here: Path, model: str) -> None:
    (here / "train.py").write_text(TRAIN)
    for rate in (1, 2):
        words = f"-i digits -o model:net -p lr={rate} -p file={here}/double/model.onnx"
        assert set(say(f"run {words} -- python train.py")) >= RUN
    assert all(set(one) >= RUN for one in say("runs"))
    say("runs --compare 1 2")
    say("diff net@v1 @v2 --metrics")
    assert [one["version"] for one in say("log net")] == ["v2", "v1"]
    assert say("ls net")
    assert {one["ref_kind"] for one in say("tag net")} == {"number"}
    assert set(say("deploy net")) >= DEPLOYMENT
    (deployed,) = say("deployments")
    assert set(deployed) >= DEPLOYMENT
    assert set(deployed["versions"][0]) >= {"version", "commit", "weight"}
    say("predict net row.json")
    traced = say("why net")
    assert traced["commit"] == say("show net")["commit"]
    say("why endpoint:net")
    say("stop net")


def the_hub(say: Talk) -> None:
    assert set(say("hub")) >= {"path", "bytes"}
    say("du")
    say("doctor")
    say("fsck")
    say("fsck --repair")
    say("rebuild")
    say("gc --dry-run")
    say("gc")
    say("gc --why digits")
    say("gc --why digits:0/b.txt")


def test_errors_have_one_shape(kamld: Kamld) -> None:
    for words, status in (("log nothing", 1), ("log --nothing", 2), ("undo nothing", 1)):
        assert set(kamld(f"{words} --json", status).json["error"]) == {"code", "message", "hint"}
