"""Git's view of a folder, where there is Git and the folder is in a checkout. Only asks, never writes.

No program that the repository's own settings name is started: no hook, no monitor, no filter. So where a
filter changes what Git keeps (Git LFS has one), the diff of a changed file shows what is in the folder.
Nothing secret is kept: a remote's address loses its password and what is after its path.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from kamld.blobs.git import Git

DIFF_MAX = 10_000_000  # bytes
_HEEDS_VARIABLES = (2, 31)  # the Git that first did GIT_CONFIG_COUNT; older ones: no diff with filters


@dataclass(frozen=True, slots=True)
class GitView:
    """`files`: paths from `top` that Git keeps, and those that it neither keeps nor ignores."""

    top: Path
    files: list[bytes]
    loose: frozenset[bytes]  # those of `files` that it does not keep
    commit: str | None
    branch: str | None
    remote: str | None
    diff: bytes  # against `commit`; empty: none, or there is no commit
    diff_left_out: bool  # it was larger than DIFF_MAX


def git_view(folder: Path, variables: Mapping[str, str]) -> GitView | None:
    """None: no Git, no checkout here, or one that is not about this folder.

    A checkout that begins in the home folder or at the root keeps settings, not this code; one that
    ignores the folder does not know it.
    """
    git = _Git(folder, variables)
    top_text = git.line("rev-parse", "--show-toplevel")
    if not top_text:
        return None
    top = Path(top_text)
    if top == Path("/") or os.path.realpath(top) == os.path.realpath(variables.get("HOME") or "/"):
        return None
    git = _Git(top, variables)
    listed = git.ask("ls-files", "-z", "-t", "--cached", "--others", "--exclude-standard")
    if listed is None:
        return None
    rows = [row for row in listed.split(b"\0") if row]
    files = list(dict.fromkeys(row[2:] for row in rows))
    inside = os.fsencode(os.path.relpath(os.path.realpath(folder), os.path.realpath(top))) + b"/"
    if inside != b"./" and not any(path.startswith(inside) for path in files):
        return None
    commit = git.line("rev-parse", "--verify", "--quiet", "HEAD")
    diff = git.diff() if commit else b""
    return GitView(
        top=top,
        files=files,
        loose=frozenset(row[2:] for row in rows if row.startswith(b"?")),
        commit=commit,
        branch=git.line("symbolic-ref", "--quiet", "--short", "HEAD"),
        remote=_remote(git),
        diff=diff if diff is not None else b"",
        diff_left_out=diff is None,
    )


def without_secrets(address: str) -> str:
    """A remote's address without password, query or fragment; a user is left only to SSH."""
    if "://" not in address:
        head, slash, rest = address.partition("/")
        user, at, host = head.rpartition("@")
        return (head if at and ":" not in user else host) + slash + rest
    try:
        parts = urlsplit(address)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    user = f"{parts.username}@" if parts.username and "ssh" in parts.scheme else ""
    return f"{parts.scheme}://{user}{parts.hostname or ''}{port}{parts.path}"


def _remote(git: "_Git") -> str | None:
    address = git.line("config", "--get", "remote.origin.url")
    if not address and (names := git.line("remote")):
        address = git.line("config", "--get", f"remote.{names.splitlines()[0]}.url")
    return without_secrets(address) or None if address else None


class _Git(Git):
    def diff(self) -> bytes | None:
        """Of what Git keeps, against its newest commit. None: too large to keep."""
        if self.program is None:
            return b""
        unfiltered = self._without_filters()
        if unfiltered is None:
            return b""
        words = self.command(
            "diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--binary", "HEAD"
        )
        try:
            with subprocess.Popen(
                words, cwd=self.folder, env=self.variables | unfiltered, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            ) as process:  # fmt: skip
                assert process.stdout is not None
                data = process.stdout.read(DIFF_MAX + 1)
                if len(data) > DIFF_MAX:
                    process.kill()
        except OSError:
            return b""
        return data if len(data) <= DIFF_MAX else None

    def _without_filters(self) -> dict[str, str] | None:
        """Variables that turn every filter off that any settings name. None: Git does not heed them."""
        named = self.ask("config", "--null", "--name-only", "--get-regexp", r"^filter\.") or b""
        keys = {os.fsdecode(key).rpartition(".")[0] for key in named.split(b"\0") if key}
        if not keys:
            return {}
        if _version(self.line("version") or "") < _HEEDS_VARIABLES:
            return None
        said = [(f"{key}.{what}", "") for key in sorted(keys) for what in ("clean", "process")]
        said += [(f"{key}.required", "false") for key in sorted(keys)]
        variables = {"GIT_CONFIG_COUNT": str(len(said))}
        for number, (key, value) in enumerate(said):
            variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        return variables


def _version(said: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", said)[:2])
