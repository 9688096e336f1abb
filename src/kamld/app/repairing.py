"""`kamld fsck` wired: what was left elsewhere is looked for with this person's credentials, and their folders
and hubs are places to bring things back from.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from kamld.app import App
from kamld.blobs import FolderBlobs
from kamld.errors import Invalid, NotFound, SystemFault
from kamld.scan.listing import scan
from kamld.scan.marks import HUB_MARK
from kamld.store import Repository, open_hub
from kamld.store.fsck import (
    FolderFile,
    FolderSource,
    HubSource,
    LeftFiles,
    Mended,
    Report,
    Source,
    Step,
    check,
    repair,
    restore_hub,
)


def check_hub(
    app: App, names: Sequence[str], progress: Callable[[int, int], None], *, quick: bool
) -> Report:  # fmt: skip
    """`names`: only what these datasets need; none: everything. Raises Invalid, NotFound, SystemFault."""
    only = frozenset(app.dataset(name).id for name in names) or None
    repository = app.repository
    left = LeftFiles(repository.objects.foreign, app.threads, quick=quick, progress=progress)
    return check(repository.blobs, threads=app.threads, progress=progress, only=only, quick=quick, left=left)


def repair_hub(app: App, places: Sequence[str], progress: Callable[[int, int], None]) -> Mended:
    """Mend the hub with what it has itself, then with what these folders and hubs have, in that order.

    Raises NotFound (no_such_folder), SystemFault.
    """
    folders = [_folder(app, place) for place in places]
    hubs = [folder for folder in folders if (folder / HUB_MARK).exists()]
    repository, first = _opened(app, hubs)
    sources = [_source(repository, folder, is_hub=folder in hubs) for folder in folders]
    left = LeftFiles(repository.objects.foreign, app.threads, progress=progress)
    done = repair(repository.blobs, sources, threads=app.threads, progress=progress, left=left)
    done.steps[:0] = first
    return done


def _folder(app: App, place: str) -> Path:
    folder = Path(app.folder, place)
    if not folder.is_dir():
        raise NotFound("no_such_folder", f"There is no folder {place}.", "Name a folder, or a hub's folder.")
    if folder.resolve() == Path(app.settings.hub).resolve():
        raise Invalid("same_hub", f"{place} is the hub itself.", "Name a copy of it.")
    return folder


def _opened(app: App, hubs: Sequence[Path]) -> tuple[Repository, list[Step]]:
    try:
        return app.repository, []
    except (SystemFault, Invalid, NotFound) as error:
        if error.code not in ("damaged_record", "not_a_hub", "no_hub", "hub_record_lost"):
            raise
        blobs = FolderBlobs(Path(app.settings.hub))
        for hub in hubs:
            if step := restore_hub(blobs, FolderBlobs(hub)):
                return app.new_repository, [step]
        raise


def _source(repository: Repository, folder: Path, *, is_hub: bool) -> Source:
    if is_hub:
        other = open_hub(FolderBlobs(folder))
        return HubSource(other.blobs, is_copy=other.hub.id == repository.hub.id)
    found, top = scan(folder), os.fsencode(folder) + b"/"
    files = [
        FolderFile(path, kind, top + path)
        for path, kind in zip(found.paths, found.kinds.tolist(), strict=True)
    ]
    return FolderSource(folder, files, repository.hub.chunking)
