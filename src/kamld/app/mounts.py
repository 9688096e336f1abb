"""Mounts, wired to a hub: where they are kept, and how the process is started that serves one."""

import sys
from pathlib import Path

from kamld.app import App
from kamld.mount import LIBRARY, MountRecord, check_possible, prepare, start
from kamld.store.refs.revisions import Resolved


def mounts_folder(app: App) -> Path:
    return app.local / "mounts"


def mount(app: App, resolved: Resolved, revision: str, folder: Path, *, writable: bool) -> MountRecord:
    """Mount in the background. Raises as `check_possible`, `prepare` and `start`."""
    check_possible()
    place, record, _ = prepare(
        mounts_folder(app), app.repository, resolved, revision, folder, writable=writable
    )
    command = [*server_command(app, record), "--json", *(["--made"] if record.made else [])]
    return start(place, command, server_environment(app))


def server_command(app: App, record: MountRecord) -> list[str]:
    return [
        sys.executable, "-m", "kamld", "--hub", app.settings.hub, "mount-process",
        f"{record.project}/{record.name}@{record.revision}", record.folder,
        *(["--write"] if record.writable else []),
    ]  # fmt: skip


def server_environment(app: App) -> dict[str, str]:
    """mfusepy takes the first library that it finds, which may be an older libfuse."""
    return {"FUSE_LIBRARY_PATH": LIBRARY, **app.environment}
