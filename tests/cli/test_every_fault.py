"""Each write of each verb goes wrong once: refused, done but its reply lost, cut off by a kill, with no
room left, half written, or so slow that gc runs meanwhile.

Afterwards every name gives a whole version: the one before or the one after. The same command again
brings what it would have brought, and the hub is sound. The long run tries every kind at every write.
A commit in a mount is in tests/mount/test_faults.py.
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
from datetime import timedelta
from functools import partial
from pathlib import Path

import msgspec
import pytest

import kamld.app
import kamld.app.repairing
import kamld.cli.verb_gc
from kamld.blobs import FolderBlobs
from kamld.blobs.foreign import Foreign
from kamld.cli.main import run
from kamld.errors import KamldError
from kamld.store import Holes, Repository, open_hub
from kamld.store.envelope import seal
from kamld.store.gc import collect
from kamld.store.hub import HUB as HUB_RECORD
from kamld.store.index import as_ids
from tests.exchange.dvc_repositories import Repository as DvcRepository
from tests.exchange.dvc_repositories import description, keep
from tests.store.faults import KINDS, FaultyBlobs, Killed, Plan

_ALL = (*KINDS, "slow")
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
SECRET = "secret-of-ann"
WITH_SECRET = f"""{BEGIN}
    write a/secret.txt {SECRET}
    commit a -m more
    write a/one.txt second
    commit a -m second
"""
BESIDE_A_COPY = f"""{TWO_BRANCHES}
    copy
"""
FROM_COPY = "fsck --repair --from copy"


@dataclass(frozen=True)
class Case:
    """What comes before, and the command that is interfered with."""

    before: str
    words: str
    again: bool = False  # it is run again whatever can be seen of it, for it does what is not seen
    gone: str = ""  # no file of the hub has this at the end
    needs: str = ""  # of the machine


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
    "commit to a new branch": Case(f"{BEGIN}\nwrite a/one.txt x", "commit a -m x -b new"),
    "amend": Case(f"{BEGIN}\nwrite a/one.txt x\ncommit a -m x\nwrite a/one.txt y", "commit a --amend -m y"),
    "amend the first": Case(f"{BEGIN}\nwrite a/one.txt y", "commit a --amend -m y"),
    "checkpoint": Case(f"{BEGIN}\nwrite a/one.txt x", "commit a -m x --keep-last 1"),
    "init": Case("", "init a --name t"),
    "branch": Case(BEGIN, "branch t dev"),
    "branch removed": Case(TWO_BRANCHES, "branch t dev --remove"),
    "protect": Case(BEGIN, "branch t@main --protect --require schema --check true"),
    "unprotect": Case(f"{BEGIN}\nbranch t@main --protect --require schema", "branch t@main --unprotect"),
    "merge into what is protected": Case(
        f"{TWO_BRANCHES}\nbranch t@main --protect --require schema --check true", "merge t dev"
    ),
    "tag": Case(BEGIN, "tag t v1"),
    "alias": Case(f"{TWO_BRANCHES}\nalias t@dev prod", "alias t@main prod"),
    "merge forward": Case(
        f"{BEGIN}\nbranch t dev\nwrite a/one.txt x\ncommit a -m x", "merge t main --into dev"
    ),
    "merge": Case(TWO_BRANCHES, "merge t dev"),
    "merge that waits": Case(CONFLICT, "merge t dev"),
    "resolve": Case(f"{CONFLICT}\nmerge t dev", "resolve t one.txt --theirs"),
    "undo": Case(f"{BEGIN}\nwrite a/one.txt x\ncommit a -m x", "undo t"),
    "undo of several": Case(
        f"{BEGIN}\nwrite a/one.txt x\ncommit a -m x\nwrite a/one.txt y\ncommit a -m y", "undo t --to main~2"
    ),
    "mv": Case(BEGIN, "mv t u"),
    "rm": Case(BEGIN, "rm t"),
    "undo of rm": Case(f"{BEGIN}\nrm t", "undo t"),
    "import": Case("write new/one.txt first\nwrite new/two.txt second", "import new t"),
    "import again": Case(
        "write new/one.txt first\nimport new t\nwrite new/one.txt other\nwrite new/two.txt second",
        "import new t",
    ),
    "import by reference": Case(
        "write new/one.txt first\nwrite new/two.txt second", "import new t --reference"
    ),
    "import of an archive": Case(f"{BEGIN}\nexport t new.tar", "import new.tar u"),
    "import of a DVC repository": Case("dvc new", "import new t", needs="git"),
    "fetch": Case("write new/one.txt first\nimport new t --reference", "import --fetch t"),
    "split": Case(f"{BEGIN}\nwrite a/three.txt x\nwrite a/four.txt y\ncommit a -m x", "split t --test 0.5"),
    "split of rows": Case(
        "write a/t.csv k\\n1\\n2\\n3\\n4\ncommit a -m first --name t", "split t --rows t.csv --test 0.5"
    ),
    "switch": Case(TWO_BRANCHES, "switch a dev"),
    "restore": Case(f"{BEGIN}\nwrite a/one.txt x", "restore a one.txt"),
    "checkout": Case(BEGIN, "checkout t@main c"),
    "export": Case(BEGIN, "export t out"),
    "gc": Case(TWO_BRANCHES, "gc"),
    "gc that deletes": Case(
        f"{TWO_BRANCHES}\nwrite c/secret.txt {SECRET}\ncommit c -m x --name u\nrm u\ngc --older-than 0s",
        "gc --older-than 0s", again=True, gone=SECRET,
    ),
    "purge": Case(WITH_SECRET, "purge t:secret.txt --reason asked --yes", again=True, gone=SECRET),
    "rebuild": Case(TWO_BRANCHES, "rebuild"),
    "upgrade": Case(f"{BEGIN}\nolder", "doctor --upgrade"),
    "fsck": Case(BEGIN, "fsck"),
    "repair of lost packs": Case(f"{BESIDE_A_COPY}\nlose packs/*/*", FROM_COPY, again=True),
    "repair of flipped bits": Case(f"{BESIDE_A_COPY}\nflip packs/*/*", FROM_COPY, again=True),
    "repair of scratched packs": Case(f"{TWO_BRANCHES}\nscratch packs/*/*", "fsck --repair", again=True),
    "repair of a lost index": Case(f"{BESIDE_A_COPY}\nlose index/*", "fsck --repair", again=True),
    "repair of a damaged index": Case(f"{BESIDE_A_COPY}\nflip index/*", "fsck --repair", again=True),
    "repair of lost refs": Case(f"{BESIDE_A_COPY}\nlose refs/*/*", FROM_COPY, again=True),
    "repair of damaged refs": Case(f"{BESIDE_A_COPY}\nflip refs/*/*", FROM_COPY, again=True),
    "repair of a lost name": Case(f"{BESIDE_A_COPY}\nlose names/*/*", FROM_COPY, again=True),
    "repair of the lost record of the hub": Case(
        f"{BESIDE_A_COPY}\nlose {HUB_RECORD}", FROM_COPY, again=True
    ),
}  # fmt: skip


def dvc_repository(top: Path) -> None:
    """Two versions, of which the second adds a file."""
    made = DvcRepository(top, by_dvc=False)
    for name in ("one", "two"):
        made.write({f"{name}.dvc": description(keep(top / ".dvc/cache", name.encode()), name)})
        made.commit(name)


class Place:
    """A folder with a hub and working folders in it."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top = top
        self._monkeypatch = monkeypatch

    def enter(self) -> None:
        (self.top / "home").mkdir(parents=True, exist_ok=True)
        self._monkeypatch.chdir(self.top)
        self._monkeypatch.setenv("HOME", str(self.top / "home"))

    @property
    def hub(self) -> Path:
        return self.top / HUB

    def play(self, script: str) -> None:
        for line in filter(str.strip, script.splitlines()):
            verb, *words = line.split()
            if verb == "write":
                path = self.top / words[0]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(words[1].replace("\\n", "\n") + "\n")
            elif verb == "dvc":
                dvc_repository(self.top / words[0])
            elif verb == "copy":
                shutil.copytree(self.hub, self.top / "copy")
            elif verb in ("lose", "flip", "scratch"):
                self.harm(verb, words[0])
            elif verb == "older":
                hub = msgspec.structs.replace(open_hub(FolderBlobs(self.hub)).hub, format=1)
                (self.hub / HUB_RECORD).write_bytes(seal(hub))
            else:
                status, said = self.say(line)
                assert status in (0, 1), f"{line}\n{said}"

    def harm(self, how: str, pattern: str) -> None:
        """`scratch`: only the first byte is another, which nothing is lost by."""
        found = list(self.hub.glob(pattern))
        assert found
        for path in found:
            data = bytearray(path.read_bytes())
            path.unlink()
            data[0 if how == "scratch" else len(data) // 2] ^= 4
            if how != "lose":
                path.write_bytes(data)

    def say(self, line: str, plan: Plan | None = None) -> tuple[int, str]:
        """(status, what it said); -9 where it was killed."""
        for module in (kamld.app, kamld.app.repairing):
            self._monkeypatch.setattr(module, "FolderBlobs", _opener(plan))
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            try:
                return run(shlex.split(f"{line} --json")), out.getvalue()
            except Killed:
                for lease in self.hub.glob("leases/*"):  # its holder is gone; here it lives
                    lease.unlink()
                return -9, ""

    def contents(self) -> Contents:
        """What everybody sees, times and ids of versions aside."""
        found: Contents = {}
        if (self.hub / HUB_RECORD).exists():
            repository = open_hub(FolderBlobs(self.hub), threads=1)
            repository.objects.foreign = Foreign(os.environ)
            found["format"] = repository.hub.format
            found["purged"] = len(list(Holes(repository.blobs).all()))
            for dataset in repository.names.all():
                found[dataset.name] = dataset.kind
                with contextlib.suppress(KamldError):  # what is damaged is seen by nobody
                    for ref in repository.live_refs(dataset):
                        if ref.commit:
                            key = _without_ids(f"{dataset.name}@{ref.name}")
                            found[key] = _version(repository, ref.commit)
                            found[f"protection of {key}"] = ref.protection and (
                                ref.protection.require, ref.protection.checks,
                            )  # fmt: skip
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


def _version(repository: Repository, identifier: str) -> object:
    """One that is damaged in part is as good as none."""
    files: dict[bytes, object] = {}
    try:
        commit = repository.commit(identifier)
        for row in repository.tree(commit).entries().rows():
            try:
                data, here = repository.objects.read(row.id), repository.index.find(as_ids([row.id])).found[0]
                files[row.path] = data if here else ("left elsewhere", data)
            except KamldError as error:
                if error.code != "purged_file":
                    raise
                files[row.path] = error.code
    except KamldError:
        return "damaged"
    return _without_ids(commit.message), len(commit.parents), files


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


def _marked(name: str) -> object:
    needs = CASES[name].needs
    return pytest.param(name, marks=pytest.mark.needs(needs)) if needs else name


@pytest.mark.parametrize("name", [_marked(name) for name in CASES])
@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.long)], ids=["some", "all"])
def test_a_fault_at_any_write(
    name: str, every: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setattr(kamld.cli.verb_gc, "SHORTEST", timedelta(0))
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
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
    assert not case.gone or _has(place.hub, case.gone) < _has(start / HUB, case.gone)
    tried = 0
    for at in range(1, len(counted.writes) + 1):
        for kind in _ALL if every else [_ALL[(at + more) % len(_ALL)] for more in (0, 2, 5)]:
            if kind == "lost" and not counted.writes[at - 1].startswith("swap"):
                continue
            _copied(place, start, monkeypatch)
            plan = Plan(at, kind, for_good=True, meanwhile=partial(_collect, place.hub))
            _one_fault(place, case, plan, before, after, wanted_status)
            tried += 1
    assert tried or not counted.writes


def _one_fault(
    place: Place, case: Case, plan: Plan, before: Contents, after: Contents, wanted_status: int
) -> None:
    status, said = place.say(case.words, plan)
    where = f"{plan.kind} at write {plan.at} ({plan.writes[-1] if plan.writes else ''})\n{said}"
    now = place.contents()
    if plan.kind == "slow":
        assert status == wanted_status, where
    if status == wanted_status and status == 0:
        assert now == after, where
    if status not in (0, -9):
        assert json.loads(said).get("error", {}).get("code") != "internal", where
    for key, value in now.items():
        assert value in (before.get(key), after.get(key)), f"{key}: {where}"
    if now != after or (case.again and status != wanted_status):
        status, said = place.say(case.words)
        assert status == wanted_status, f"again after {where}\n{said}"
        assert place.contents() == after, f"again after {where}\n{said}"
    if plan.kind == "slow" and case.words.startswith("gc"):
        for _ in range(2):  # the other one, which keeps more, may have kept it
            place.say(case.words)
    assert not case.gone or not _has(place.hub, case.gone), where
    status, said = place.say("fsck")
    assert json.loads(said).get("sound"), f"{where}\n{said}"
    assert plan.kind == "torn" or not (place.hub / "tmp").exists() or os.listdir(place.hub / "tmp") == []


def _collect(hub: Path) -> None:
    """Somebody else gives room back, at once."""
    with contextlib.suppress(KamldError):  # one who finds another at it leaves it to that one
        for _ in range(2):
            collect(open_hub(FolderBlobs(hub), threads=1), 30, timedelta(0))


def _has(hub: Path, text: str) -> int:
    """How many of its files have this in them."""
    return sum(text.encode() in path.read_bytes() for path in hub.rglob("*") if path.is_file())
