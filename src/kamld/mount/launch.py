"""Beginning and ending mounts: what can be wrong is said before anything is started."""

import atexit
import ctypes
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

from kamld.errors import Conflict, Invalid, KamldError, NotFound, SystemFault, filesystem_fault
from kamld.mount.records import (
    Mount,
    MountRecord,
    all_mounts,
    forget,
    is_served,
    mounted_folders,
    place_of,
    read_record,
    source_of,
)
from kamld.store import Repository
from kamld.store.refs.revisions import Resolved
from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.mounted import LAYER

LIBRARY = "libfuse3.so.3"
_START_MAX_S, _END_MAX_S, _POLL_S = 60.0, 60.0, 0.01
_DEVICE = Path("/dev/fuse")


def check_possible() -> None:
    """Raises SystemFault (mount_unavailable) with what is to be installed."""
    if find_spec("mfusepy") is None:
        raise _unavailable("mfusepy is not installed", "Install it: pip install 'kamld[mount]'")
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        raise _unavailable("libfuse 3 is not installed", "Install it: apt install fuse3") from None
    if not _DEVICE.exists():
        raise _unavailable(
            "there is no /dev/fuse",
            "On a machine: modprobe fuse. In a container: start it with --device /dev/fuse"
            " --cap-add SYS_ADMIN.",
        )
    if os.geteuid() and shutil.which("fusermount3") is None:
        raise _unavailable("fusermount3 is not installed", "Install it: apt install fuse3")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise _unavailable("you may not use /dev/fuse", "Ask who runs this machine for it.")


def _unavailable(why: str, hint: str) -> SystemFault:
    return SystemFault("mount_unavailable", f"Nothing can be mounted here: {why}.", hint)


def prepare(
    mounts: Path, repository: Repository, resolved: Resolved, revision: str, folder: Path, *, writable: bool
) -> tuple[Path, MountRecord, Binding]:
    """What a mount of this version at this folder is; the folder is made if it is not there. Raises Conflict
    (already_mounted, target_exists, uncommitted_layer, layer_of_another), Invalid (not_a_branch), and
    SystemFault."""
    dataset = resolved.dataset
    if writable and resolved.branch is None:
        raise Invalid(
            "not_a_branch", f"Only a branch can be mounted to be written to; {revision} is none.",
            f"Make one there: kamld branch {dataset.said}@{revision} NEW; then mount {dataset.said}@NEW.",
        )  # fmt: skip
    _check_free(folder)
    place = place_of(mounts, folder, dataset.id)
    _check_layer(place, folder, resolved, repository.hub.id, writable=writable)
    try:
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(
                "target_exists", f"{folder} is there already and not an empty folder.",
                "Name another folder, or move that one away.",
            )  # fmt: skip
    except OSError as error:
        raise filesystem_fault(error, str(folder)) from None
    branch = (resolved.branch or "") if writable else ""
    binding = Binding(
        hub=repository.blobs.location, dataset=dataset.id, project=dataset.project, name=dataset.name,
        branch=branch, commit=resolved.commit_id, hub_id=repository.hub.id,
    )  # fmt: skip
    record = MountRecord(
        folder=str(folder), project=dataset.project, name=dataset.name, revision=revision,
        commit=resolved.commit_id, writable=writable, made=made, kind=dataset.kind,
    )  # fmt: skip
    return place, record, binding


def _check_free(folder: Path) -> None:
    if str(folder) in mounted_folders():
        raise Conflict(
            "already_mounted", f"Something is mounted at {folder} already.",
            f"kamld mount lists mounts; kamld umount {quote(str(folder))} ends that one.",
        )  # fmt: skip


def _check_layer(place: Path, folder: Path, resolved: Resolved, hub_id: str, *, writable: bool) -> None:
    """What was written before goes on where it was, or is decided about first."""
    before = read_record(place)
    kept = next((m for m in all_mounts(place.parent) if m.place == place and m.has_changes), None)
    if before is None or kept is None:
        return
    dataset, bound = resolved.dataset, read_binding(place / LAYER)
    if bound and bound.hub_id not in ("", hub_id):
        raise Conflict(
            "layer_of_another",
            f"What was written to {dataset.said} at {folder} is over a version of another hub, which was at"
            f" {bound.hub} before this one.",
            f"Bring that hub back. Or copy what you need from {place / LAYER}, then throw it away:"
            f" kamld umount {quote(str(folder))} --discard",
        )
    if writable and bound and bound.branch == resolved.branch:
        return
    branch = bound.branch if bound else before.revision
    raise Conflict(
        "uncommitted_layer",
        f"What was written to {dataset.said}@{branch} at {folder} is not committed yet.",
        f"Go on with it: kamld mount {dataset.said}@{branch} {quote(str(folder))} --write. Or throw it away:"
        f" kamld umount {quote(str(folder))} --discard",
    )


def start(place: Path, command: Sequence[str], environment: Mapping[str, str]) -> MountRecord:
    """Have `command` serve the mount in the background; what it says of itself once it does. Raises what
    it raised, SystemFault (mount_failed)."""
    try:
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with open(place / "log", "wb") as output:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/",
                env=environment, start_new_session=True,
            )  # fmt: skip
    except OSError as error:
        raise filesystem_fault(error, str(place)) from None
    deadline = time.monotonic() + _START_MAX_S
    while time.monotonic() < deadline:
        record = read_record(place)
        if record and record.pid == process.pid:
            _ours.append(process)
            return record
        if process.poll() is not None:
            raise _why(place, process.returncode)
        time.sleep(_POLL_S)
    process.send_signal(signal.SIGTERM)
    process.wait()
    raise _why(place, 3)


_ours: list["subprocess.Popen[bytes]"] = []  # waited for when they end, so that no zombie stays


def _leave() -> None:
    """They outlive us on purpose, of which Python would warn who asks it to."""
    for process in _ours:
        process.returncode = process.poll() or 0


atexit.register(_leave)


def _why(place: Path, status: int) -> KamldError:
    """What the process said last, as it would have been raised here."""
    lines = (place / "log").read_text("utf-8", "replace").strip().splitlines()
    with suppress(ValueError, LookupError, TypeError):
        said = json.loads(lines[-1])["error"]
        kind = Conflict if status == 1 else SystemFault
        above = said["code"] == "mount_failed" and lines[:-1]  # what the system had to say
        return kind(said["code"], said["message"], f"It said: {above[-1]}" if above else said["hint"])
    last = lines[-1] if lines else "it left no word."
    return SystemFault("mount_failed", f"The mount did not start: {last}", f"See {place / 'log'}.")


def find(mounts: Path, folder: Path) -> Mount:
    """The newest mount at a folder, or what is left of it. Raises NotFound (not_mounted)."""
    found = [m for m in all_mounts(mounts) if m.record.folder == str(folder)]
    found.sort(key=lambda m: (m.state != "kept", m.record.since))
    if not found:
        raise NotFound(
            "not_mounted", f"Nothing of this hub is mounted at {folder}.", "kamld mount lists what is."
        )  # fmt: skip
    return found[-1]


def end(mount: Mount, *, discard: bool = False) -> Mount:
    """Unmount; what is left of it. A server that is gone is no hindrance. Raises Conflict (in_use), and
    SystemFault (mount_failed)."""
    folder, place = Path(mount.record.folder), mount.place
    if mounted_folders().get(mount.record.folder) == source_of(place):
        unmount(folder, gone=not is_served(place))
    _wait_for_end(mount)
    if discard:
        forget(place)
    bound = mount.bound  # which goes with what was thrown away
    left = next((m for m in all_mounts(place.parent) if m.place == place), None)
    if mount.record.made:
        with suppress(OSError):
            folder.rmdir()
    return left or Mount(place, mount.record, "ended", has_changes=False, bound=bound)


def unmount(folder: Path, *, gone: bool) -> None:
    """`gone`: whoever served it is, so that nobody can use it any more. Raises Conflict (in_use),
    SystemFault (mount_failed)."""
    if os.geteuid() == 0:
        command = ["umount", *(["--lazy"] if gone else []), str(folder)]
    else:
        command = ["fusermount3", "-u", *(["-z"] if gone else []), str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise SystemFault("mount_failed", f"Cannot run {command[0]}: {error.strerror}.") from None
    if done.returncode == 0:
        return
    said = done.stderr.strip()
    if "busy" in said.lower():
        users = ", ".join(_users(folder))
        raise Conflict(
            "in_use", f"{folder} is in use" + (f" by {users}." if users else "."),
            "End that, or leave the folder (cd), then try again.",
        )  # fmt: skip
    raise SystemFault("mount_failed", f"{folder} could not be unmounted: {said}")


def _users(folder: Path) -> list[str]:
    """Programs that have something open there, as far as we may see."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            held = list((process / "fd").iterdir())
            if process.name != str(os.getpid()):  # where we were called is where somebody else is
                held.append(process / "cwd")
            if any(_leads_into(link, folder) for link in held):
                found.append(f"{(process / 'comm').read_text().strip()} ({process.name})")
    return sorted(found)


def _leads_into(link: Path, folder: Path) -> bool:
    try:
        path = os.readlink(link)
    except OSError:
        return False
    return path == str(folder) or path.startswith(f"{folder}/")


def _wait_for_end(mount: Mount) -> None:
    """Whoever served it has ended, and what it had to write is written. Raises SystemFault."""
    deadline = time.monotonic() + _END_MAX_S
    while is_served(mount.place):
        if time.monotonic() > deadline:
            said = f"The process {mount.record.pid} that served {mount.record.folder} does not end."
            raise SystemFault("mount_failed", said, f"See {mount.place / 'log'}.")
        time.sleep(_POLL_S)
    _ours[:] = [process for process in _ours if process.poll() is None]
