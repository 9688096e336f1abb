"""Where the checks of protected branches run: a folder of their own beside the hub, for as long as they
take."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from kamld.app import App
from kamld.changes.checks import Room
from kamld.errors import filesystem_fault
from kamld.store import Entries
from kamld.workspace.leftovers import left_in, make_folder, remove_left
from kamld.workspace.placing.files import materialise


def check_room(app: App) -> Room:
    environment = {**app.environment, "KAMLD_HUB": app.repository.blobs.location}
    return Room(partial(_folder, app), environment)


@contextmanager
def _folder(app: App, entries: Entries) -> Iterator[Path]:
    """Raises Invalid (unsafe_path), SystemFault."""
    home = app.local / "checks"
    try:
        home.mkdir(parents=True, exist_ok=True)
        remove_left(left_in(home))
        place, lock = make_folder(home)
    except OSError as error:
        raise filesystem_fault(error, str(home)) from None
    try:
        folder = place / "files"
        folder.mkdir()
        materialise(app.repository.objects, entries, folder, threads=app.threads)
        yield folder
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)
