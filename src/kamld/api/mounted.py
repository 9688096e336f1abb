"""A version that is mounted, for as long as somebody needs it."""

from pathlib import Path

from kamld.api.spoken import Spoken
from kamld.app import App
from kamld.app.mounts import mount, mounts_folder
from kamld.mount import end, find
from kamld.store.refs.revisions import Resolved


class Mounted(Spoken):
    """`with version.mount("there") as folder:` unmounts at the end; else `umount` does."""

    def __init__(self, folder: Path, mounts: Path) -> None:
        self.folder = folder
        self._mounts = mounts

    def umount(self, *, discard: bool = False) -> bool:
        """End it; whether changes are left that were not committed. They are kept, and there again when the
        same is mounted at the same folder; `discard` throws them away. Raises Conflict (in_use), NotFound
        (not_mounted), SystemFault."""
        return end(find(self._mounts, self.folder), discard=discard).has_changes

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(self, *_: object) -> None:
        self.umount()

    def __repr__(self) -> str:
        return f"<mounted at {self.folder}>"


def mounted(app: App, resolved: Resolved, folder: Path, *, write: bool) -> Mounted:
    """Raises as `kamld.app.mounts.mount`."""
    folder = folder.resolve()
    revision = resolved.branch if write and resolved.branch else resolved.commit_id
    mount(app, resolved, revision, folder, writable=write)
    return Mounted(folder, mounts_folder(app))
