"""Commands typed one after the other, and a look at what each did, beside the model."""

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from kamld.cli.main import run
from tests.cli.every_verb.model import Dataset, Files, Folder, Model, changes, three_way

# No path is both a file and a folder; one name is not ASCII, one needs quotes.
paths = st.sampled_from(["a.txt", "b.txt", "c/x.txt", "c/y.txt", "d/e/f.txt", "naïve café.txt"])
CONTENTS = {
    "empty": b"", "one": b"one\n", "two": b"two\n", "three": b"three\n", "binary": b"\x00\xff" * 7,
    "large": b"large\n" * 20_000,
}  # fmt: skip
contents = st.sampled_from(sorted(CONTENTS))
files = st.dictionaries(paths, contents, min_size=1, max_size=4)
names = st.sampled_from(["north", "south", "east"])
ref_names = st.sampled_from(["dev", "fix", "try", "v1", "prod"])
taken = Counter[str]()  # steps of each verb


class Typed(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.top = Path(tempfile.mkdtemp(prefix="every-verb-"))
        self.environment = pytest.MonkeyPatch()
        self.environment.setenv("HOME", str(self.top / "home"))
        self.environment.setenv("LOGNAME", "ann")
        (self.top / "home").mkdir()
        self.model = Model()
        self.made = 0

    def teardown(self) -> None:
        try:
            for dataset in self.model.live():
                for ref in dataset.live():
                    self.check_version(dataset, ref)
            for folder in self.model.folders:
                self.check_folder(folder)
            assert self.say("fsck")["sound"]
        finally:
            self.clean_up()

    def clean_up(self) -> None:
        self.environment.undo()
        shutil.rmtree(self.top)

    # Words to kamld, and looking at what it did

    def say(self, *words: str, status: int = 0) -> Any:
        taken[words[0]] += 1
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            got = run([*words, "--json"])
        said = out.getvalue() or err.getvalue()
        assert got == status, f"kamld {shlex.join(words)}\n{said}"
        return json.loads(said)

    def refused(self, code: str, *words: str) -> None:
        assert self.say(*words, status=1)["error"]["code"] == code

    def fresh(self) -> Path:
        self.made += 1
        return self.top / f"folder-{self.made}"

    def read(self, folder: Path) -> Files:
        found = {}
        for above, folders, inside in os.walk(folder):
            folders[:] = [name for name in folders if name != ".kamld"]
            assert folders or inside or above == str(folder), f"{above} is empty"
            for name in inside:
                path = Path(above, name)
                found[str(path.relative_to(folder))] = path.read_bytes()
        return found

    def write(self, folder: Path, wanted: dict[str, str]) -> Files:
        for path, content in wanted.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(CONTENTS[content])
        return {path: CONTENTS[content] for path, content in wanted.items()}

    def check_folder(self, name: str) -> None:
        folder = self.model.folders[name]
        assert self.read(Path(name)) == folder.files
        if folder.dataset.removed:
            return
        said = self.say("status", name)
        assert (said["commit"], said["branch"]) == (folder.base, folder.branch)
        assert {c["path"]: c["change"] for c in said["changes"]} == changes(
            self.model.versions[folder.base].files, folder.files
        )

    def check_version(self, dataset: Dataset, ref: str) -> None:
        place = self.fresh()
        head = dataset.head(ref)
        assert self.say("export", f"{dataset.name}@{ref}", str(place))["commit"] == head
        assert self.read(place) == self.model.versions[head].files
        shutil.rmtree(place, ignore_errors=True)

    def learn(self, dataset: Dataset, ref: str, wanted: Files, parents: tuple[str, ...] | None = None) -> str:
        """The newest version of a ref, which must be this; its id."""
        said = self.say("show", f"{dataset.name}@{ref}")
        if parents is not None:
            assert tuple(said["parents"]) == parents
        self.model.add(said["commit"], wanted, said["parents"], said["message"])
        return str(said["commit"])

    def some_dataset(self, data: st.DataObject) -> Dataset:
        name = data.draw(st.sampled_from(sorted(d.name for d in self.model.live())), label="dataset")
        return self.model.named(name)

    def some_folder(self, data: st.DataObject) -> tuple[str, Folder]:
        usable = sorted(name for name, f in self.model.folders.items() if not f.dataset.removed)
        name = data.draw(st.sampled_from(usable), label="folder")
        return name, self.model.folders[name]

    def landed(self, folder: Folder, said: dict[str, Any]) -> None:
        dataset, new = folder.dataset, said["commit"]
        branch = folder.branch = self.goes_to(folder)
        head = dataset.refs[branch].now if branch in dataset.refs else None
        is_apart = head is not None and folder.base not in self.model.past(head)
        if head and is_apart and self.model.was_on(dataset.refs[branch], folder.base):
            self.carried(folder, said, head)
            return
        if head is None or head in self.model.past(new):
            assert (said["landed"], said["branch"]) == ("moved", branch)
            dataset.put(branch, "branch", new)
        else:
            joined = self.joined(head, new)
            if said["landed"] == "kept":
                assert joined is None or joined[1]
                dataset.put(said["branch"], "branch", new)
                folder.branch = said["branch"]
            else:
                assert said["landed"] == "merged"
                assert joined is None or not joined[1]
                wanted = joined[0] if joined else self.read_version(dataset, branch)
                dataset.put(branch, "branch", self.learn(dataset, branch, wanted, (head, new)))
        folder.base = new

    def goes_to(self, folder: Folder) -> str:
        """A branch that was made to keep a commit apart, was merged and has gone: where that was merged."""
        refs, branch = folder.dataset.refs, folder.branch or ""
        while branch in refs and refs[branch].now is None and "-conflict-" in branch:
            branch = re.sub(r"-conflict-[0-9a-f]{12}(-again)*$", "", branch)
        head = refs[branch].now if branch in refs else None
        return branch if head and folder.base in self.model.past(head) else folder.branch or ""

    def carried(self, folder: Folder, said: dict[str, Any], head: str) -> None:
        """What the folder came from was taken back or replaced: only what it changed since lands."""
        versions, new, ref = self.model.versions, said["commit"], folder.dataset.refs[folder.branch or ""]
        wanted, clashes = three_way(versions[folder.base].files, versions[head].files, folder.files)
        if said["landed"] == "kept":
            assert clashes
            folder.dataset.put(said["branch"], "branch", new)
            folder.branch = said["branch"]
        else:
            assert (said["landed"], clashes) == ("carried", [])
            ref.move(self.learn(folder.dataset, folder.branch or "", wanted, (head,)))
            ref.carried.add(new)
            assert said["head"] == ref.now
        folder.base = new

    def read_version(self, dataset: Dataset, ref: str) -> Files:
        """For what the model leaves open: several versions that both sides of a merge came from."""
        place = self.fresh()
        self.say("export", f"{dataset.name}@{ref}", str(place))
        return self.read(place)

    def joined(self, ours: str, theirs: str) -> tuple[Files, list[str]] | None:
        """None where the model leaves it open: several common versions, or one that was amended."""
        if self.model.amended & (self.model.past(ours) | self.model.past(theirs)):
            return None
        return self.model.joined(ours, theirs)


def has_folder(machine: Typed) -> bool:
    return any(not folder.dataset.removed for folder in machine.model.folders.values())
