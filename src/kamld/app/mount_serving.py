"""What the process does that serves a mount; only it loads libfuse."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from kamld.app import App
from kamld.app.mounts import mounts_folder
from kamld.mount import prepare
from kamld.mount.serve import serve
from kamld.store.refs.revisions import Resolved


def serve_mount(
    app: App, resolved: Resolved, revision: str, folder: Path, *,
    writable: bool, made: bool, ready: Callable[[], None],
) -> None:  # fmt: skip
    """Mount, and return when it is unmounted. Raises as `prepare` and `serve`."""
    place, record, binding = prepare(
        mounts_folder(app), app.repository, resolved, revision, folder, writable=writable
    )
    record = msgspec.structs.replace(record, made=made or record.made)
    serve(app.repository, place, record, binding, ready)
