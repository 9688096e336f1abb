"""What people do with working folders."""

from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from tests.cli.every_verb.machine import Typed, contents, files, has_folder, names, paths, ref_names
from tests.cli.every_verb.model import Dataset, Folder, changes


class Folders(Typed):
    @initialize(name=names, wanted=files)
    def first(self, name: str, wanted: dict[str, str]) -> None:
        self.new_dataset(name, wanted)

    @precondition(has_folder)
    @rule(data=st.data(), path=paths, content=contents)
    def edit(self, data: st.DataObject, path: str, content: str) -> None:
        name, folder = self.some_folder(data)
        folder.files |= self.write(Path(name), {path: content})

    @precondition(has_folder)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        name, folder = self.some_folder(data)
        if len(folder.files) < 2:
            return
        path = data.draw(st.sampled_from(sorted(folder.files)), label="path")
        self.remove(Path(name), path)
        del folder.files[path]

    def remove(self, folder: Path, path: str) -> None:
        (folder / path).unlink()
        for above in Path(path).parents:
            if above != Path() and not any((folder / above).iterdir()):
                (folder / above).rmdir()

    @rule(name=names, wanted=files)
    def new_dataset(self, name: str, wanted: dict[str, str]) -> None:
        place = self.fresh()
        written = self.write(place, wanted)
        words = ("commit", str(place), "-m", "first", "--name", name)
        if any(dataset.name == name for dataset in self.model.live()):
            self.refused("name_taken", *words)
            return
        said = self.say(*words)
        assert said["created"]
        dataset = Dataset(name)
        dataset.put("main", "branch", said["commit"])
        self.model.datasets.append(dataset)
        self.model.add(said["commit"], written, (), "first")
        self.model.folders[str(place)] = Folder(dataset, "main", said["commit"], written)

    @precondition(has_folder)
    @rule(data=st.data(), path=paths, content=contents)
    def edit_and_commit(self, data: st.DataObject, path: str, content: str) -> None:
        name, folder = self.some_folder(data)
        folder.files |= self.write(Path(name), {path: content})
        self.commit_folder(name, folder, f"{content} in {path}")

    @precondition(has_folder)
    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        self.commit_folder(*self.some_folder(data), "more")

    def commit_folder(self, name: str, folder: Folder, message: str) -> None:
        words = ("commit", name, "-m", message)
        if folder.branch is None:
            self.refused("no_branch", *words)
            return
        said = self.say(*words)
        if folder.files == self.model.versions[folder.base].files:
            assert not said["changed"]
            return
        assert said["changed"]
        assert said["parents"] == [folder.base]
        self.model.add(said["commit"], folder.files, [folder.base], message)
        self.landed(folder, said)

    @precondition(has_folder)
    @rule(data=st.data(), new=ref_names, path=paths, content=contents)
    def commit_to_a_new_branch(self, data: st.DataObject, new: str, path: str, content: str) -> None:
        name, folder = self.some_folder(data)
        folder.files |= self.write(Path(name), {path: content})
        words = ("commit", name, "-m", f"begins {new}", "-b", new)
        there = folder.dataset.refs.get(new)
        if there and there.now:
            self.refused("name_taken", *words)
            return
        said = self.say(*words)
        changed = folder.files != self.model.versions[folder.base].files
        assert said["changed"] == changed
        if changed:
            assert said["parents"] == [folder.base]
            self.model.add(said["commit"], folder.files, [folder.base], f"begins {new}")
        folder.dataset.put(new, "branch", said["commit"])
        folder.branch, folder.base = new, said["commit"]
        self.check_folder(name)

    @precondition(has_folder)
    @rule(data=st.data(), path=paths, content=contents, keep_last=st.sampled_from([None, 1, 3]))
    def amend(self, data: st.DataObject, path: str, content: str, keep_last: int | None) -> None:
        name, folder = self.some_folder(data)
        folder.files |= self.write(Path(name), {path: content})
        words = ["commit", name, "--amend", "-m", f"with {content}"]
        words += ["--keep-last", str(keep_last)] if keep_last else []
        if folder.branch is None or folder.dataset.refs[folder.branch].now != folder.base:
            assert self.say(*words, status=1)["error"]["code"] in ("no_branch", "not_newest")
            return
        made_otherwise = any(folder.base in ids for ids in self.model.imported.values())
        if made_otherwise and folder.files != self.model.versions[folder.base].files:
            self.refused("not_by_hand", *words)
            return
        said = self.say(*words)
        if said["changed"]:
            assert (said["amended"], said["landed"]) == (folder.base, "moved")
            parents = self.model.versions[folder.base].parents
            assert tuple(said["parents"]) == parents
            self.model.add(said["commit"], folder.files, parents, f"with {content}")
            self.model.amended.add(folder.base)
            for brought in self.model.imported.values():
                if folder.base in brought:
                    brought.add(said["commit"])
            folder.dataset.put(folder.branch, "branch", said["commit"])
            folder.base = said["commit"]
        else:
            assert folder.files == self.model.versions[folder.base].files
        self.check_folder(name)

    @rule(name=names)
    def init(self, name: str) -> None:
        place = self.fresh()
        place.mkdir()
        words = ("init", str(place), "--name", name)
        if any(dataset.name == name for dataset in self.model.live()):
            self.refused("name_taken", *words)
            return
        said = self.say(*words)
        dataset = Dataset(name)
        dataset.put("main", "branch", said["commit"])
        self.model.datasets.append(dataset)
        self.model.add(said["commit"], {}, (), "")
        self.model.folders[str(place)] = Folder(dataset, "main", said["commit"], {})

    @rule(data=st.data(), new=st.sampled_from(["", "dev", "fix"]), path=paths, content=contents)
    def others_work(self, data: st.DataObject, new: str, path: str, content: str) -> None:
        """Somebody else changes a file on a branch, or on a new one."""
        dataset = self.some_dataset(data)
        branch = data.draw(st.sampled_from(dataset.live("branch")), label="branch")
        if new and new not in dataset.refs:
            self.say("branch", f"{dataset.name}@{branch}", new)
            dataset.put(new, "branch", dataset.head(branch))
            branch = new
        place, head = self.fresh(), dataset.head(branch)
        self.say("checkout", f"{dataset.name}@{branch}", str(place))
        folder = Folder(dataset, branch, head, dict(self.model.versions[head].files))
        folder.files |= self.write(place, {path: content})
        self.commit_folder(str(place), folder, f"their {content} in {path}")

    @rule(data=st.data())
    def checkout(self, data: st.DataObject) -> None:
        dataset = self.some_dataset(data)
        ref = data.draw(st.sampled_from(dataset.live()), label="ref")
        place = self.fresh()
        said = self.say("checkout", f"{dataset.name}@{ref}", str(place))
        head = dataset.head(ref)
        assert said["commit"] == head
        assert said["bound"] == (dataset.refs[ref].kind == "branch")
        assert self.read(place) == self.model.versions[head].files
        if said["bound"]:
            self.model.folders[str(place)] = Folder(dataset, ref, head, dict(self.model.versions[head].files))

    @precondition(has_folder)
    @rule(data=st.data())
    def switch(self, data: st.DataObject) -> None:
        name, folder = self.some_folder(data)
        ref = data.draw(st.sampled_from(folder.dataset.live()), label="ref")
        head = folder.dataset.head(ref)
        if folder.mounted:
            self.refused("is_a_mount", "switch", name, ref)
            return
        was, to = self.model.versions[folder.base].files, self.model.versions[head].files
        own = changes(was, folder.files)
        lost = [p for p in changes(was, to) if p in own and folder.files.get(p) != to.get(p)]
        if lost:
            error = self.say("switch", name, ref, status=1)["error"]
            assert error["code"] in ("unsaved_changes", "in_the_way")
            return
        self.say("switch", name, ref)
        for path in changes(was, to):
            folder.files.pop(path, None)
            if path in to:
                folder.files[path] = to[path]
        folder.base = head
        folder.branch = ref if folder.dataset.refs[ref].kind == "branch" else None
        self.check_folder(name)

    @precondition(has_folder)
    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        name, folder = self.some_folder(data)
        base = self.model.versions[folder.base].files
        path = data.draw(st.sampled_from(sorted({"a.txt", *base, *folder.files})), label="path")
        if path not in base:
            self.refused("unknown_path", "restore", name, path)
            return
        if folder.mounted:
            self.refused("is_a_mount", "restore", name, path)
            return
        self.say("restore", name, path)
        folder.files[path] = base[path]
        self.check_folder(name)

    @precondition(has_folder)
    @rule(data=st.data())
    def status(self, data: st.DataObject) -> None:
        self.check_folder(self.some_folder(data)[0])
