"""`kamld doctor` wired: how this installation is, and how the hub does."""

import os
import platform
import re
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from kamld import settings
from kamld.app import App
from kamld.errors import KamldError
from kamld.store.fsck.health import Check, carefully, look

_LOW = 1024**3  # bytes free; less is soon full
_SKEW = 5  # seconds between the clocks of this machine and of the hub's disk
_EXTRAS = ("models", "mount")
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)[^;>]*(?:>=(?P<least>[0-9.]+))?")
_EXTRA = re.compile(r"extra == ['\"]([a-z]+)['\"]")
_FOREIGN = {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "glusterfs", "ceph", "lustre"}


def examine(environment: Mapping[str, str], folder: Path) -> list[Check]:
    """All that is looked at, in the order in which people should read it. Never raises."""
    found = [_program(), _packages()]
    try:
        app = App(settings.read(environment, folder), folder, environment)
    except KamldError as error:
        return [*found, Check("settings", "todo", error.message, error.hint)]
    hub = Path(app.settings.hub)
    found.append(Check("settings", "ok", f"read; who commits is {app.author}"))
    if not hub.exists():
        return [*found, Check("hub", "note", f"none yet at {hub}", "The first kamld commit makes it.")]
    checks: dict[str, Callable[[Path], Check]] = {
        "hub": _hub, "room": _room, "permissions": _permissions, "disk": _disk, "tmp": _unfinished,
    }  # fmt: skip
    found += [carefully(name, partial(check, hub)) for name, check in checks.items()]
    try:
        found += look(app.repository)
    except KamldError as error:
        found.append(Check("hub", "todo", error.message, error.hint))
    return found


def _program() -> Check:
    said = f"{version('kamld')} on Python {platform.python_version()}, {platform.system()}"
    return Check("kamld", "ok", f"{said} {platform.machine()}, SQLite {sqlite3.sqlite_version}")


def _packages() -> Check:
    """What kamld asks for, in no older version; an extra is there whole or it is not."""
    wrong, extras, count = [], dict[str, bool](), 0
    for line in requires("kamld") or ():
        match = _REQUIREMENT.match(line)
        is_there = match is not None and _is_there(match["name"], match["least"] or "0")
        count += is_there
        extra = _EXTRA.search(line)
        if extra and extra[1] in _EXTRAS:
            extras[extra[1]] = extras.get(extra[1], True) and is_there
        elif not extra and not is_there and "win32" not in line:
            wrong.append(line.partition(";")[0].strip())
    if wrong:
        what = f"missing, or too old: {', '.join(wrong)}"
        return Check("packages", "todo", what, f"{sys.executable} -m pip install --upgrade kamld")
    has = [f"kamld[{name}]" for name, is_whole in extras.items() if is_whole]
    lacks = [f"kamld[{name}]" for name, is_whole in extras.items() if not is_whole]
    said = f"{count} found" + (f", with {' and '.join(has)}" if has else "")
    return Check("packages", "ok", said + (f"; without {' and '.join(lacks)}" if lacks else ""))


def _is_there(name: str, least: str) -> bool:
    try:
        return _numbers(version(name)) >= _numbers(least)
    except PackageNotFoundError:
        return False


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", text)[:3])


def _hub(hub: Path) -> Check:
    return Check("hub", "ok", str(hub))


def _room(hub: Path) -> Check:
    try:
        usage = shutil.disk_usage(hub)
        inodes = os.statvfs(hub)
    except OSError as error:
        return Check("room", "todo", f"{hub}: {error.strerror}", "Look after that disk.")
    said = f"{usage.free / 1e9:,.1f} GB free of {usage.total / 1e9:,.1f} GB"
    if inodes.f_files and inodes.f_favail < 10_000:
        return Check("room", "todo", f"{said}, but room for only {inodes.f_favail:,} files", "Remove files.")
    if usage.free < _LOW:
        return Check("room", "todo", said, "Make room there: kamld gc --dry-run says what the hub can give.")
    return Check("room", "ok", said)


def _permissions(hub: Path) -> Check:
    """Folders must be ours to write to, files to read; the first that is not is enough."""
    for place, folders, files in os.walk(hub):
        if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
            return _denied(Path(place), "be written to")
        names = [name for name in folders if not os.access(Path(place, name), os.R_OK | os.X_OK)]
        names += [name for name in files if not os.access(Path(place, name), os.R_OK)]
        if names:
            return _denied(Path(place, names[0]), "be read")
    mode = stat.S_IMODE(hub.stat().st_mode)
    shared = ", by you alone" if not mode & 0o077 else ""
    return Check("permissions", "ok", f"everything can be read and written{shared}")


def _denied(path: Path, what: str) -> Check:
    owner = path.lstat().st_uid
    return Check("permissions", "todo", f"{path} cannot {what}; it belongs to user {owner}", "Ask its owner.")


def _disk(hub: Path) -> Check:
    """Whether its clock is this machine's, and whether other machines write there too."""
    kind = _filesystem(hub)
    probe = hub / "tmp" / f"doctor-{os.getpid()}"
    try:
        probe.parent.mkdir(exist_ok=True)
        probe.write_bytes(b"")
        apart = probe.stat().st_mtime - time.time()
    except OSError as error:
        return Check("disk", "todo", f"cannot write to {hub}: {error.strerror}", "Look after that disk.")
    finally:
        with suppress(OSError):
            probe.unlink()
    if abs(apart) > _SKEW:
        what = f"its clock is {apart:+,.0f} s from this machine's"
        return Check("disk", "todo", what, "Set both clocks by the same time server.")
    if kind in _FOREIGN:
        what = f"{kind}: others on other machines must lock files there too"
        return Check("disk", "note", what, "Where locks do not work between machines, let one machine write.")
    return Check("disk", "ok", kind or "local")


def _filesystem(hub: Path) -> str:
    """Of the deepest mount that the folder is in; "" where nobody says."""
    found = ("", "")
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text("utf-8", "replace").splitlines():
            _, place, kind, *_ = line.split(" ")
            if hub.resolve().is_relative_to(place) and len(place) >= len(found[0]):
                found = (place, kind)
    return found[1]


def _unfinished(hub: Path) -> Check:
    size = sum(path.lstat().st_size for path in (hub / "tmp").glob("*"))
    if size > _LOW:
        what = f"{size / 1e9:,.1f} GB of files being written, or left by commands that were killed"
        return Check("tmp", "note", what, "The first command that writes removes those older than a day.")
    return Check("tmp", "ok", f"{size / 1e6:,.1f} MB being written")
