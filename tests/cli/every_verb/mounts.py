"""What people do with versions that are folders without a copy."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from kamld.mount.launch import unmount
from kamld.mount.records import mounted_folders
from tests.cli.every_verb.folders import Folders
from tests.cli.every_verb.machine import CONTENTS, contents, paths
from tests.cli.every_verb.model import Folder

AT_ONCE = 2  # of each kind; every one is a process
inside = Counter[str]()  # steps of each verb in a folder that is a mount


class Mounts(Folders):
    """A mount that is written to is a folder as any other: all rules about folders are about it too."""

    def teardown(self) -> None:
        try:
            for name in self.model.read_only:
                self.check_read_only(name)
        finally:
            super().teardown()

    def clean_up(self) -> None:
        for mounted in [name for name in mounted_folders() if name.startswith(f"{self.top}/")]:
            try:
                self.say("umount", mounted, "--discard")
            except AssertionError:
                unmount(Path(mounted), gone=True)
        super().clean_up()

    def say(self, *words: str, status: int = 0) -> Any:
        if any(word in self.model.folders and self.model.folders[word].mounted for word in words):
            inside[words[0]] += 1
        return super().say(*words, status=status)

    @precondition(lambda self: len(self.model.read_only) < AT_ONCE)
    @rule(data=st.data())
    def mount_to_read(self, data: st.DataObject) -> None:
        dataset = self.some_dataset(data)
        ref = data.draw(st.sampled_from(dataset.live()), label="ref")
        place, head = self.fresh(), dataset.head(ref)
        said = self.say("mount", f"{dataset.name}@{ref}", str(place))
        assert (said["commit"], said["writable"], said["change_count"]) == (head, False, 0)
        assert said["files"] == len(self.model.versions[head].files)
        self.model.read_only[str(place)] = head
        self.check_read_only(str(place))

    def check_read_only(self, name: str) -> None:
        """It stays what it was, whatever others did since."""
        assert self.read(Path(name)) == self.model.versions[self.model.read_only[name]].files
        with pytest.raises(OSError, match="Read-only"):
            (Path(name) / "a.txt").write_bytes(b"mine")

    @precondition(lambda self: self.model.read_only)
    @rule(data=st.data())
    def umount_what_is_read(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.model.read_only)), label="mount")
        self.check_read_only(name)
        said = self.say("umount", name)
        assert (said["commit"], said["uncommitted"]) == (self.model.read_only.pop(name), False)
        assert not Path(name).exists()

    @precondition(lambda self: len(self.writable()) < AT_ONCE)
    @rule(data=st.data(), path=paths, content=contents)
    def mount_to_write(self, data: st.DataObject, path: str, content: str) -> None:
        name, folder = self.new_mount(data)
        folder.files |= self.write(Path(name), {path: content})
        self.check_folder(name)

    def new_mount(self, data: st.DataObject) -> tuple[str, Folder]:
        dataset = self.some_dataset(data)
        branch = data.draw(st.sampled_from(dataset.live("branch")), label="branch")
        place, head = self.fresh(), dataset.head(branch)
        assert self.say("mount", f"{dataset.name}@{branch}", str(place), "--write")["commit"] == head
        folder = Folder(dataset, branch, head, dict(self.model.versions[head].files), mounted=True)
        self.model.folders[str(place)] = folder
        self.check_folder(str(place))
        return str(place), folder

    def writable(self) -> list[str]:
        return sorted(n for n, f in self.model.folders.items() if f.mounted and not f.dataset.removed)

    def some_mount(self, data: st.DataObject) -> tuple[str, Folder]:
        if not self.writable():
            return self.new_mount(data)
        name = data.draw(st.sampled_from(self.writable()), label="mount")
        return name, self.model.folders[name]

    @rule(data=st.data(), path=paths, content=contents)
    def change_and_commit_a_mount(self, data: st.DataObject, path: str, content: str) -> None:
        name, folder = self.some_mount(data)
        before = folder.files.get(path, b"")
        with suppress(FileNotFoundError), open(Path(name, path), "ab") as file:  # where its folder is there
            file.write(CONTENTS[content])
            folder.files[path] = before + CONTENTS[content]
        self.commit_folder(name, folder, f"{content} added to {path}")

    @rule(data=st.data(), discard=st.booleans())
    def umount_and_mount_again(self, data: st.DataObject, discard: bool) -> None:
        """What was not committed is there again, or is gone, as one says."""
        name, folder = self.some_mount(data)
        base = self.model.versions[folder.base].files
        said = self.say("umount", name, *(["--discard"] if discard else []))
        if discard:
            assert said["layer"] is None
            del self.model.folders[name]
            return
        if folder.files == base or folder.branch is None or not folder.dataset.refs[folder.branch].now:
            self.say("umount", name, "--discard", status=1 if not said["uncommitted"] else 0)
            del self.model.folders[name]
            return
        assert said["uncommitted"]
        again = self.say("mount", f"{folder.dataset.name}@{folder.branch}", name, "--write")
        assert again["commit"] == folder.base
        assert again["change_count"] == len(self.say("status", name)["changes"])
        self.check_folder(name)
