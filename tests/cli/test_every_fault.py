"""Each write of each verb goes wrong once: refused, done but its reply lost, cut off by a kill.

Afterwards every name gives a whole version: the one before or the one after. The same command again
brings what it would have brought, and the hub is sound. The long run tries every kind at every write.
"""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import kamld.app
from kamld.blobs import FolderBlobs
from kamld.cli.main import run
from kamld.store import open_hub
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan

HUB = "home/.local/share/kamld/hub"
Contents = dict[str, object]  # of every name, of every folder, and of merges that wait

BEGIN = """
    write a/one.txt first
    write a/two.txt first
    commit a -m first --name t
"""
TWO_BRANCHES = f"""{BEGIN}
    branch t dev
    checkout t@dev b
    write a/one.txt ours
    commit a -m ours
    write b/two.txt theirs
    commit b -m theirs
"""
CONFLICT = f"""{TWO_BRANCHES}
    write b/one.txt theirs
    commit b -m more
"""


@dataclass(frozen=True)
class Case:
    """What comes before, and the command that is interfered with."""

    before: str
    words: str


CASES = {
    "first commit": Case("write a/one.txt first", "commit a -m first --name t"),
    "commit": Case(f"{BEGIN}\nwrite a/one.txt second\nwrite a/new/three.txt third", "commit a -m second"),
    "commit beside others": Case(
        f"{BEGIN}\ncheckout t@main b\nwrite b/two.txt theirs\ncommit b -m theirs\nwrite a/one.txt ours",
        "commit a -m ours",
    ),
    "commit against others": Case(
        f"{BEGIN}\ncheckout t@main b\nwrite b/one.txt theirs\ncommit b -m theirs\nwrite a/one.txt ours",
        "commit a -m ours",
    ),
    "branch": Case(BEGIN, "branch t dev"),
    "tag": Case(BEGIN, "tag t v1"),
    "alias": Case(f"{TWO_BRANCHES}\nalias t@dev prod", "alias t@main prod"),
    "merge forward": Case(
        f"{BEGIN}\nbranch t dev\nwrite a/one.txt x\ncommit a -m x", "merge t main --into dev"
    ),
    "merge": Case(TWO_BRANCHES, "merge t dev"),
    "merge that waits": Case(CONFLICT, "merge t dev"),
    "resolve": Case(f"{CONFLICT}\nmerge t dev", "resolve t one.txt --theirs"),
    "undo": Case(f"{BEGIN}\nwrite a/one.txt x\ncommit a -m x", "undo t"),
    "mv": Case(BEGIN, "mv t u"),
    "rm": Case(BEGIN, "rm t"),
    "undo of rm": Case(f"{BEGIN}\nrm t", "undo t"),
    "import": Case("write new/one.txt first\nwrite new/two.txt second", "import new t"),
    "import again": Case(
        "write new/one.txt first\nimport new t\nwrite new/one.txt other\nwrite new/two.txt second",
        "import new t",
    ),
    "split": Case(f"{BEGIN}\nwrite a/three.txt x\nwrite a/four.txt y\ncommit a -m x", "split t --test 0.5"),
    "switch": Case(TWO_BRANCHES, "switch a dev"),
    "restore": Case(f"{BEGIN}\nwrite a/one.txt x", "restore a one.txt"),
    "checkout": Case(BEGIN, "checkout t@main c"),
    "export": Case(BEGIN, "export t out"),
    "gc": Case(TWO_BRANCHES, "gc"),
    "rebuild": Case(TWO_BRANCHES, "rebuild"),
    "fsck": Case(BEGIN, "fsck"),
}


class Place:
    """A folder with a hub and working folders in it."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self._monkeypatch = monkeypatch

    def enter(self) -> None:
        (self.top / "home").mkdir(parents=True, exist_ok=True)
        self._monkeypatch.chdir(self.top)
        self._monkeypatch.setenv("HOME", str(self.top / "home"))

    def play(self, script: str) -> None:
        for line in filter(str.strip, script.splitlines()):
            verb, *words = line.split()
            if verb == "write":
                path = self.top / words[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(words[1] + "\n")
            else:
                self.say(line)

    def say(self, line: str, plan: Plan | None = None) -> tuple[int, str]:
        """(status, what it said); -9 where it was killed."""
        self._monkeypatch.setattr(kamld.app, "FolderBlobs", _opener(plan))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                return run(shlex.split(f"{line} --json")), out.getvalue()
            except Killed:
                return -9, ""

    def contents(self) -> Contents:
        """What everybody sees, times and ids of versions aside."""
        found: Contents = {}
        hub = self.top / HUB
        if (hub / "kamld-hub.json").exists():
            repository = open_hub(FolderBlobs(hub), threads=1)
            for dataset in repository.names.all():
                for ref in repository.live_refs(dataset):
                    if ref.commit:
                        commit = repository.commit(ref.commit)
                        rows = repository.tree(commit).entries().rows()
                        files = {row.path: repository.objects.read(row.id) for row in rows}
                        message = _without_ids(commit.message)
                        found[_without_ids(f"{dataset.name}@{ref.name}")] = (
                            message,
                            len(commit.parents),
                            files,
                        )
            for waiting in repository.merges.all():
                found[f"merge into {waiting.branch}"] = waiting.source
        for name in ("a", "b", "c", "out"):
            if (self.top / name).exists():
                found[name] = {
                    str(path): path.read_bytes()
                    for path in sorted((self.top / name).rglob("*"))
                    if path.is_file() and ".kamld" not in path.parts
                }
        return found


def _without_ids(text: str) -> str:
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", text)


def _opener(plan: Plan | None) -> Callable[[Path], object]:
    return lambda folder: FaultyBlobs(FolderBlobs(folder), plan) if plan else FolderBlobs(folder)


def _copied(place: Place, to: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The very same, under the very same path: folders know where their hub is."""
    shutil.rmtree(place.top, ignore_errors=True)
    shutil.copytree(to, place.top, symlinks=True)
    place.enter()
    return place


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
def test_a_fault_at_any_write(
    name: str, every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    case = CASES[name]
    start, place = tmp_path / "start", Place(tmp_path / "place", monkeypatch)
    place.enter()
    place.play(case.before)
    before = place.contents()
    shutil.copytree(place.top, start, symlinks=True)
    counted = Plan()
    wanted_status, said = place.say(case.words, counted)
    assert wanted_status in (0, 1), said
    after = place.contents()
    tried = 0
    for at in range(1, len(counted.writes) + 1):
        for kind in KINDS if every else [KINDS[at % len(KINDS)], KINDS[(at + 2) % len(KINDS)]]:
            if kind == "lost" and not counted.writes[at - 1].startswith("swap"):
                continue
            _copied(place, start, monkeypatch)
            _one_fault(place, case.words, Plan(at, kind), before, after, wanted_status)
            tried += 1
    assert tried or not counted.writes


def _one_fault(
    place: Place, words: str, plan: Plan, before: Contents, after: Contents, wanted_status: int
) -> None:
    status, said = place.say(words, plan)
    where = f"{plan.kind} at write {plan.at} ({plan.writes[-1] if plan.writes else ''})\n{said}"
    now = place.contents()
    if status == wanted_status and status == 0:
        assert now == after, where
    if status not in (0, -9):
        assert json.loads(said)["error"]["code"] != "internal", where
    for key, value in now.items():
        assert value in (before.get(key), after.get(key)), f"{key}: {where}"
    if now != after:
        status, said = place.say(words)
        assert status == wanted_status, f"again after {where}\n{said}"
        assert place.contents() == after, f"again after {where}\n{said}"
    status, said = place.say("fsck")
    assert json.loads(said).get("sound"), f"{where}\n{said}"
    assert os.listdir(place.top / HUB / "tmp") == [] if (place.top / HUB / "tmp").exists() else True
