"""Every verb, in any order, against a plain model of what it is to do.

Each step is a command as a person types it. What it answers, what is on disk and what the hub gives
back must be what the model says. A few thousand steps here; many more with `--long`.
"""

import contextlib
import io
import shutil

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from kamld.cli.main import run
from tests.cli.every_verb.folders import Folders
from tests.cli.every_verb.machine import contents, files, names, paths, ref_names, taken
from tests.cli.every_verb.model import Dataset, Files, Folder, Version, changes
from tests.cli.every_verb.mounts import Mounts, inside
from tests.counts import tried

VERBS = {
    "init", "commit", "status", "diff", "log", "show", "ls", "checkout", "restore",
    "branch", "switch", "merge", "resolve", "undo", "tag", "alias", "import", "export",
    "split", "mv", "rm", "purge", "gc", "fsck", "rebuild", "du", "doctor",
}  # fmt: skip


class EveryVerb(Folders):
    @rule(data=st.data(), new=ref_names, kind=st.sampled_from(["branch", "tag", "alias"]))
    def name_a_version(self, data: st.DataObject, new: str, kind: str) -> None:
        dataset = self.some_dataset(data)
        at = data.draw(st.sampled_from(dataset.live()), label="at")
        there = dataset.refs.get(new)
        words = (kind, f"{dataset.name}@{at}", new)
        if there and there.now and (there.kind != kind or kind != "alias"):
            assert self.say(*words, status=1)["error"]["code"] in ("name_taken", "ref_kind")
        else:
            assert self.say(*words)["commit"] == dataset.head(at)
            dataset.put(new, kind, dataset.head(at))

    @rule(data=st.data(), side=st.sampled_from(["", "", "--ours", "--theirs"]), path=paths, content=contents)
    def merge(self, data: st.DataObject, side: str, path: str, content: str) -> None:
        self.others_work(data, "dev", path, content)
        dataset = self.some_dataset(data)
        source = data.draw(st.sampled_from(dataset.live()), label="from")
        into = data.draw(st.sampled_from(dataset.live("branch")), label="into")
        ours, theirs = dataset.head(into), dataset.head(source)
        words = ["merge", dataset.name, source, "--into", into, *([side] if side else [])]
        waits = self.model.waiting.get((dataset.name, into))
        if waits and waits != theirs and waits not in self.model.past(ours):
            self.refused("merge_waiting", *words)
            return
        self.model.waiting.pop((dataset.name, into), None)
        if theirs in self.model.past(ours):
            assert self.say(*words)["result"] == "nothing"
            return
        if ours in self.model.past(theirs):
            assert self.say(*words)["result"] == "moved"
            self.merged(dataset, into, source, theirs, theirs)
            return
        joined = self.joined(ours, theirs)
        if not side and (joined is None or joined[1]):
            said = self.say(*words, status=1 if joined else self.any_status(words))
            if joined:
                assert [c["path"] for c in said["conflicts"]] == joined[1]
            if said["result"] == "waits":
                self.model.waiting[dataset.name, into] = theirs
                return
        else:
            said = self.say(*words)
        assert said["result"] == "merged"
        wanted = self.decided(ours, theirs, side) if joined else self.read_version(dataset, into)
        self.merged(dataset, into, source, theirs, self.learn(dataset, into, wanted, (ours, theirs)))

    @rule(data=st.data(), path=paths, side=st.sampled_from(["ours", "theirs"]))
    def disagree(self, data: st.DataObject, path: str, side: str) -> None:
        """Two people change one file differently; the merge waits, and a decision lands it."""
        dataset = self.some_dataset(data)
        into = data.draw(st.sampled_from(dataset.live("branch")), label="into")
        if (dataset.name, into) in self.model.waiting:
            return
        base = dataset.head(into)
        before = self.model.versions[base].files
        self.made += 1
        other = f"other-{self.made}"
        self.say("branch", f"{dataset.name}@{into}", other)
        dataset.put(other, "branch", base)
        for branch in (into, other):
            place = self.fresh()
            self.say("checkout", f"{dataset.name}@{branch}", str(place))
            folder = Folder(dataset, branch, base, before | {path: f"of {branch}, {self.made}\n".encode()})
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_bytes(folder.files[path])
            self.commit_folder(str(place), folder, f"as {branch} has it")
        ours, theirs = dataset.head(into), dataset.head(other)
        words = ("merge", dataset.name, other, "--into", into)
        assert [c["path"] for c in self.say(*words, status=1)["conflicts"]] == [path]
        assert dataset.head(into) == self.say("show", f"{dataset.name}@{into}")["commit"]  # nothing has moved
        assert self.say("resolve", dataset.name, path, "--into", into, f"--{side}")["result"] == "merged"
        chosen = self.model.versions[ours if side == "ours" else theirs].files
        dataset.put(into, "branch", self.learn(dataset, into, chosen, (ours, theirs)))

    def any_status(self, words: list[str]) -> int:
        """That of the same merge when it is only tried."""
        with contextlib.redirect_stdout(io.StringIO()):
            return run([*words, "--dry-run", "--json"])

    def decided(self, ours: str, theirs: str, side: str) -> Files:
        joined = self.joined(ours, theirs)
        assert joined
        files, conflicts = dict(joined[0]), joined[1]
        chosen = self.model.versions[ours if side == "--ours" else theirs].files
        return files | {path: chosen[path] for path in conflicts if path in chosen}

    def merged(self, dataset: Dataset, into: str, source: str, theirs: str, to: str) -> None:
        dataset.put(into, "branch", to)
        if source.startswith(f"{into}-conflict-") and dataset.head(source) == theirs:
            dataset.refs[source].move(None)  # it has had its use
            dataset.refs[source].merged = True

    @precondition(lambda self: self.model.waiting)
    @rule(data=st.data(), side=st.sampled_from(["ours", "theirs"]))
    def resolve(self, data: st.DataObject, side: str) -> None:
        name, into = data.draw(st.sampled_from(sorted(self.model.waiting)), label="merge")
        dataset = next((d for d in self.model.live() if d.name == name), None)
        theirs = self.model.waiting[name, into]
        if dataset is None or dataset.refs[into].now is None:
            return
        ours = dataset.head(into)
        joined = self.joined(ours, theirs)
        if joined is None or not joined[1] or {ours, theirs} & self.model.past(ours) - {ours}:
            return
        for path in joined[1][:-1]:
            said = self.say("resolve", name, path, "--into", into, f"--{side}")
            assert said["result"] == "waits"
        said = self.say("resolve", name, joined[1][-1], "--into", into, f"--{side}")
        assert said["result"] == "merged"
        del self.model.waiting[name, into]
        wanted = self.decided(ours, theirs, f"--{side}")
        self.merged(dataset, into, said["source"], theirs, self.learn(dataset, into, wanted, (ours, theirs)))

    @rule(data=st.data())
    def undo(self, data: st.DataObject) -> None:
        dataset = self.some_dataset(data)
        ref = data.draw(st.sampled_from(sorted(dataset.refs)), label="ref")
        past = dataset.refs[ref].past
        words = ("undo", f"{dataset.name}@{ref}")
        if ref == "main" and len(past) == 1:
            self.refused("first_version", *words)
            return
        was = dataset.refs[ref].now
        said = self.say(*words)
        assert said["commit"] == dataset.refs[ref].undo()
        before = self.model.past(was) if was else set()
        now = self.model.past(said["commit"]) if said["commit"] else set()
        kept = {n: r for n, r in dataset.refs.items() if n.startswith(f"{ref}-conflict-") and r.merged}
        assert set(said["gone"]) == {name for name, apart in kept.items() if apart.now in now}
        assert set(said["returned"]) == {
            name for name, apart in kept.items()
            if apart.now is None and apart.past[-2] in before and apart.past[-2] not in now
        }  # fmt: skip
        for name in (*said["gone"], *said["returned"]):
            kept[name].undo()

    @rule(data=st.data(), new=names)
    def mv(self, data: st.DataObject, new: str) -> None:
        dataset = self.some_dataset(data)
        if dataset.name == new:
            assert self.say("mv", new, new, status=2)["error"]["code"] == "usage"
            return
        if any(other.name == new for other in self.model.live()):
            self.refused("name_taken", "mv", dataset.name, new)
            return
        self.say("mv", dataset.name, new)
        for key in [key for key in self.model.waiting if key[0] == dataset.name]:
            self.model.waiting[new, key[1]] = self.model.waiting.pop(key)
        dataset.name = new

    @precondition(lambda self: len(self.model.live()) > 1)
    @rule(data=st.data())
    def rm(self, data: st.DataObject) -> None:
        dataset = self.some_dataset(data)
        self.say("rm", dataset.name)
        dataset.removed = True
        self.refused("unknown_name", "ls", dataset.name)
        self.say("undo", dataset.name)
        dataset.removed = False
        self.check_version(dataset, "main")

    @rule(data=st.data())
    def diff(self, data: st.DataObject) -> None:
        dataset = self.some_dataset(data)
        one, two = (data.draw(st.sampled_from(dataset.live())) for _ in range(2))
        said = self.say("diff", f"{dataset.name}@{one}", f"{dataset.name}@{two}")
        old, new = (self.model.versions[dataset.head(ref)].files for ref in (one, two))
        assert {c["path"]: c["change"] for c in said} == changes(old, new)

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        dataset = self.some_dataset(data)
        ref = data.draw(st.sampled_from(dataset.live()), label="ref")
        head = dataset.head(ref)
        version: Version = self.model.versions[head]
        reference = f"{dataset.name}@{ref}"
        assert {v["commit"] for v in self.say("log", reference, "-n", "10000")} == self.model.past(head)
        shown = self.say("show", reference)
        assert (shown["commit"], tuple(shown["parents"])) == (head, version.parents)
        assert shown["files"] == len(version.files)
        assert {n for n in shown["names"] if n in dataset.refs} == {
            name for name in dataset.live() if dataset.head(name) == head
        }
        assert {d["name"] for d in self.say("ls") if not d["name"].startswith("part-of")} == {
            d.name for d in self.model.live()
        }
        short = f"{dataset.name}@{head[:12]}"
        assert self.say("show", short)["commit"] == head

    @rule(data=st.data(), new=names, wanted=files)
    def bring(self, data: st.DataObject, new: str, wanted: dict[str, str]) -> None:
        """import, of a folder: it follows what was imported from there before, and lands beside what
        was done here since."""
        source = self.top / f"delivered-{new}"
        shutil.rmtree(source, ignore_errors=True)
        written = self.write(source, wanted)
        words = ("import", str(source), new)
        dataset = next((d for d in self.model.live() if d.name == new), None)
        before = dataset and self.model.newest(dataset.head("main"), self.model.imported[str(source)])
        if dataset and before is None:
            self.refused("name_taken", *words)
            return
        said = self.say(*words)
        if dataset and before and self.model.versions[before].files == written:
            assert not said["changed"]
            return
        assert said["created"] == (dataset is None)
        assert said["parents"] == ([before] if before else [])
        self.model.imported[str(source)].add(said["commit"])
        self.model.add(said["commit"], written, said["parents"], said["message"])
        if dataset is None:
            dataset = Dataset(new)
            self.model.datasets.append(dataset)
        self.landed(Folder(dataset, "main", before or said["commit"], written), said)

    @rule(data=st.data(), seed=st.integers(0, 3))
    def split(self, data: st.DataObject, seed: int) -> None:
        dataset = self.some_dataset(data)
        self.made += 1
        words = ["split", dataset.name, "--parts", "one=0.5,two=0.5", "--seed", str(seed)]
        words += ["--prefix", f"part-of-{self.made}"]
        if not self.model.versions[dataset.head("main")].files:
            self.refused("nothing_to_split", *words)
            return
        found: Files = {}
        for part in self.say(*words)["parts"]:
            place = self.fresh()
            self.say("export", f"{part['name']}@{part['commit'][:16]}", str(place))
            files = self.read(place)
            assert len(files) == part["examples"]
            assert not found.keys() & files.keys()
            found |= files
        assert found == self.model.versions[dataset.head("main")].files

    @rule(wanted=files)
    def purge(self, wanted: dict[str, str]) -> None:
        """A file that nobody else has: gone from both versions, and all else is as it was."""
        place = self.fresh()
        written = self.write(place, wanted)
        secret = b"secret of %d\n" % self.made
        (place / "secret.txt").write_bytes(secret)
        name = f"part-of-{self.made}"
        self.say("commit", str(place), "-m", "with it", "--name", name)
        (place / "other.txt").write_bytes(b"")
        self.say("commit", str(place), "-m", "still")
        self.say("purge", f"{name}:secret.txt", "--reason", "asked", "--yes")
        for revision in ("main", "main~1"):
            out = self.fresh()
            self.say("export", f"{name}@{revision}", str(out))
            assert self.read(out) == written | ({"other.txt": b""} if revision == "main" else {})
        hub = self.top / "home" / ".local/share/kamld/hub"
        assert not any(secret in path.read_bytes() for path in (hub / "packs").rglob("*.pack"))

    @precondition(lambda self: self.made % 4 == 0)
    @rule()
    def care(self) -> None:
        self.made += 1
        assert self.say("fsck")["sound"]
        self.say("gc")
        self.say("rebuild")
        self.say("doctor")
        assert {d["name"] for d in self.say("du")["datasets"]} >= {d.name for d in self.model.live()}


class EveryVerbAndMounts(Mounts, EveryVerb):
    pass


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("examples", "steps"), [(40, 50), pytest.param(600, 100, marks=pytest.mark.long)])
def test_every_verb_does_what_the_model_says(
    examples: int, steps: int, capfd: pytest.CaptureFixture[str]
) -> None:
    play(EveryVerb, examples, steps, capfd)
    assert not VERBS - taken.keys(), "so many steps try each verb"


@pytest.mark.needs("fuse")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("examples", "steps"), [(10, 40), pytest.param(200, 100, marks=pytest.mark.long)])
def test_every_verb_beside_mounts(examples: int, steps: int, capfd: pytest.CaptureFixture[str]) -> None:
    play(EveryVerbAndMounts, examples, steps, capfd)
    assert {"mount", "umount", "commit", "switch", "status"} <= taken.keys()
    assert {"umount", "commit", "status"} <= inside.keys()


def play(
    machine: type[RuleBasedStateMachine], examples: int, steps: int, capfd: pytest.CaptureFixture[str]
) -> None:
    taken.clear()
    inside.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    tried(sum(taken.values()), "commands held against a model")
    with capfd.disabled():
        each = ", ".join(f"{count} {verb}" for verb, count in taken.most_common())
        mounted = f"; {sum(inside.values()):,} of them in mounts" if inside else ""
        print(f"\n{sum(taken.values()):,} commands: {each}{mounted}")
