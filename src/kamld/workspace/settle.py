"""Commits that have begun to land: kept beside a folder's binding, so that none is forgotten.

Before a branch moves to a folder's commit, the binding that the folder will have then is written to
`.kamld/landing.<commit>.json`. Afterwards that file becomes the binding, which needs no room on the
disk. Who finds one later asks the hub what became of the commit: the binding is finished if it
landed, else the file goes. One that is damaged is put aside: its name says which commit it was, and
the folder's binding where that belongs.
"""

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import msgspec

from kamld import ids
from kamld.errors import Conflict, NotFound, SystemFault, filesystem_fault
from kamld.records.encoding import decode, encode
from kamld.records.history import Commit, Dataset
from kamld.scan.marks import BINDING, OWN
from kamld.store import Repository, Tree
from kamld.workspace.binding import Binding, lost, read_binding, write_binding, write_own
from kamld.workspace.landed import found_on, landed_on
from kamld.workspace.switching.journal import recover

_NAME = re.compile(r"landing\.([0-9a-f]{64})\.json")
HubOf = Callable[[Path, Binding], Repository]  # opens the hub that a folder is bound to


def settle(folder: Path, hub_of: HubOf) -> Binding | None:
    """What the folder is bound to, once what an interrupted command left is finished.

    Raises SystemFault, Conflict (folder_busy), and as `hub_of`.
    """
    finish_left(folder, hub_of)
    return read_binding(folder)


def finish_left(folder: Path, hub_of: HubOf) -> None:
    """That, whatever the folder's own record is. Raises SystemFault (damaged_landing: that was told now, and
    the next command goes on), Conflict (folder_busy), and as `hub_of`."""
    recover(folder)
    for path in _announced(folder):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            announced = _read(path)
            if announced is None:
                raise _without_it(folder, path, hub_of)
            branch = _landed_on(hub_of(folder, announced), announced)
            if branch:
                finish(folder, announced, branch)
            else:
                path.unlink(missing_ok=True)
        except (BlockingIOError, FileNotFoundError):
            pass  # that commit goes on, in another process
        except OSError as error:
            raise filesystem_fault(error, str(path)) from None
        finally:
            os.close(lock)


def same_hub(repository: Repository, folder: Path, binding: Binding) -> Repository:
    """For who works with that hub and no other. Raises Conflict (unfinished_elsewhere)."""
    if binding.hub != repository.blobs.location:
        raise Conflict(
            "unfinished_elsewhere",
            f"A commit of {folder} to the hub at {binding.hub} was interrupted.",
            f"This finishes it: kamld --hub {quote(binding.hub)} status {quote(str(folder))}",
        )
    return repository


def find_binding(start: Path, hub_of: HubOf | None = None) -> tuple[Path, Binding]:
    """The bound folder that `start` is, or is in; with `hub_of`, what an interrupted commit left is
    finished on the way. Raises NotFound (not_bound), and as `settle`."""
    for folder in (start, *start.parents):
        if binding := settle(folder, hub_of) if hub_of else read_binding(folder):
            return folder, binding
    if of_it := next((folder for folder in (start, *start.parents) if (folder / OWN).is_dir()), None):
        raise lost(of_it)
    raise NotFound(
        "not_bound",
        f"{start} is not a folder of any dataset.",
        "kamld commit FOLDER makes a dataset of it; kamld checkout NAME gets one.",
    )


def bound_dataset(repository: Repository, folder: Path, binding: Binding) -> Dataset:
    """The very dataset that the folder is bound to. Raises NotFound, Conflict (other_dataset)."""
    dataset = repository.names.bound(binding.dataset, binding.full_name)
    if dataset is None:
        repository.names.get(binding.full_name)  # tells whether nothing has that name
        raise Conflict(
            "other_dataset",
            f"{folder} is a folder of a {binding.full_name} that is not in this hub; what has that name"
            " here now was made anew.",
            f"Move {folder / OWN} away, then commit it under another name:"
            f" kamld commit {quote(str(folder))} --name …",
        )
    return dataset


def base_commit(repository: Repository, folder: Path, binding: Binding) -> Commit:
    """The version that the folder's files come from. Raises NotFound (collected, unknown_version)."""
    try:
        return repository.commit(binding.commit)
    except SystemFault as fault:
        if fault.code != "missing_object":
            raise
    anew = (
        "Bind the folder to the version that its files are most like:"
        f" kamld init {quote(str(folder))} --bind {binding.full_name.said}"
    )
    if _was_named(repository, binding):
        raise NotFound(
            "collected",
            f"{folder} comes from {ids.short(binding.commit)}, which was amended or taken back, and is not"
            " kept any more.",
            f'{anew}. Or keep what is there apart: kamld commit {quote(str(folder))} -b NEW -m "…"',
        )
    raise NotFound(
        "unknown_version",
        f"{folder} comes from {ids.short(binding.commit)}, which this hub has never had; perhaps it was"
        " restored from an older backup. All files are in the folder.",
        anew,
    )


def _was_named(repository: Repository, binding: Binding) -> bool:
    dataset = repository.names.bound(binding.dataset, binding.full_name)
    refs = repository.refs.ever(dataset) if dataset else []
    moves = (move for ref in refs if dataset for move in repository.refs.history(dataset, ref.name))
    return any(binding.commit in (move.commit, move.carries) for move in moves)


def base_tree(repository: Repository, folder: Path, binding: Binding, commit: Commit) -> Tree:
    """The files of that version. Raises NotFound (expired_checkpoint)."""
    try:
        return repository.tree(commit)
    except NotFound as error:
        message = f"{error.message} {folder} comes from it."
        raise NotFound(error.code, message, _way_on(folder, binding)) from None


def _way_on(folder: Path, binding: Binding) -> str:
    return (
        f'Keep what is there: kamld commit {quote(str(folder))} -b NEW -m "…". Get the newest:'
        f" kamld checkout {binding.full_name.said} OTHER-FOLDER"
    )


@contextmanager
def announced(folder: Path, binding: Binding) -> Iterator[None]:
    """Keep what the folder will be bound to, safe from a crash; nobody else settles it meanwhile."""
    path = _place(folder, binding)
    write_own(folder, path.name, encode(binding))
    try:
        _sync(folder / OWN)
        _sync(folder)
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def finish(folder: Path, binding: Binding, branch: str) -> None:
    """Bind the folder to a commit that was announced and is on this branch. Raises SystemFault."""
    path = _place(folder, binding)
    try:
        if branch == binding.branch and path.exists():
            os.replace(path, folder / OWN / BINDING)
            return
        write_binding(folder, msgspec.structs.replace(binding, branch=branch))
        path.unlink(missing_ok=True)
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None


def _landed_on(repository: Repository, binding: Binding) -> str | None:
    dataset = repository.names.bound(binding.dataset, binding.full_name)
    if dataset is None:
        return None
    return landed_on(repository, dataset, binding.branch, binding.commit)


def _read(path: Path) -> Binding | None:
    """None: it is damaged. Raises OSError."""
    try:
        binding = decode(path.read_bytes(), Binding, str(path))
    except SystemFault as fault:
        if fault.code != "damaged_record":
            raise
        return None
    return binding if path.name == _name(binding.commit) else None


def _without_it(folder: Path, path: Path, hub_of: HubOf) -> SystemFault:
    """Do what can be known without an announcement that is damaged; what is to be said of it."""
    commit_id = path.name.split(".")[1]
    try:
        bound = read_binding(folder)
    except SystemFault as fault:
        if fault.code != "damaged_record":
            raise
        bound = None
    typed = quote(str(folder))
    if bound is None:
        found = f"Nothing else in {folder} says what it is a folder of; all files are as they were."
        hint = f'If it landed: kamld init {typed} --bind NAME. If it did not: kamld commit {typed} -m "…"'
    elif branch := _landed_somewhere(hub_of(folder, bound), bound, commit_id):
        write_binding(folder, msgspec.structs.replace(bound, commit=commit_id, branch=branch))
        found = f"The hub has it on {branch} of {bound.full_name}, and the folder is bound to that now."
        hint = "Do it again."
    else:
        found = f"No branch of {bound.full_name} has it, so it never landed; all files are as they were."
        hint = f'Do it again. What it was to have is to be committed anew: kamld commit {typed} -m "…"'
    aside = path.with_name(f"damaged-{path.name}")
    path.replace(aside)
    return SystemFault(
        "damaged_landing",
        f"{path} was damaged, which said where an interrupted commit of {folder} was to go"
        f" ({ids.short(commit_id)}). {found} What is left of the file has damaged- before its name.",
        hint,
    )


def _landed_somewhere(repository: Repository, binding: Binding, commit_id: str) -> str | None:
    dataset = repository.names.bound(binding.dataset, binding.full_name)
    return found_on(repository, dataset, binding.branch, commit_id) if dataset else None


def _announced(folder: Path) -> list[Path]:
    return sorted(p for p in (folder / OWN).glob("landing.*.json") if _NAME.fullmatch(p.name))


def _place(folder: Path, binding: Binding) -> Path:
    return folder / OWN / _name(binding.commit)


def _name(commit_id: str) -> str:
    return f"landing.{commit_id}.json"


def _sync(folder: Path) -> None:
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(place)
    finally:
        os.close(place)
