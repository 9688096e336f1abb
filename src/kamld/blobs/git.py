"""A Git repository as somebody else's place: what Git says about it. The only module that starts Git.

It only asks, never writes, and nothing that the repository's own settings name is started: no hook, no
monitor, no filter.
"""

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

from kamld.errors import NotFound, SystemFault

_TIMEOUT_S = 20
_LONG_S = 600  # for what reads a whole history
_SAFE = ("-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "-c", "i18n.logOutputEncoding=UTF-8")


class Git:
    """`variables` is the environment that it is started with."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        self.program = shutil.which("git", path=variables.get("PATH", ""))
        self.folder = folder
        plain = {k: v for k, v in variables.items() if not k.startswith("GIT_")}
        self.variables = plain | {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}

    def command(self, *words: str) -> list[str]:
        return [self.program or "git", *_SAFE, *words]

    def ask(self, *words: str) -> bytes | None:
        """None: it said no, or there is no Git."""
        if self.program is None:
            return None
        try:
            done = self._run(words, b"", _TIMEOUT_S)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout if done.returncode == 0 else None

    def line(self, *words: str) -> str | None:
        said = self.ask(*words)
        return said.decode("utf-8", "replace").strip() or None if said is not None else None

    def answer(self, *words: str, told: bytes = b"") -> bytes:
        """What it says, `told` on its standard input. Raises NotFound (no_git), SystemFault (git_failed)."""
        if self.program is None:
            raise NotFound(
                "no_git", "There is no program git here.", "Install Git (Debian: apt install git)."
            )
        try:
            done = self._run(words, told, _LONG_S)
        except (OSError, subprocess.SubprocessError) as error:
            raise SystemFault("git_failed", f"Git did not answer in {self.folder}: {error}.") from None
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            why = said[0].removeprefix("fatal: ").rstrip(".") if said else f"status {done.returncode}"
            raise SystemFault(
                "git_failed", f"Git cannot read {self.folder}: {why}.",
                f"Look at it with: git -C {self.folder} log",
            )  # fmt: skip
        return done.stdout

    def contents(self, objects: Iterable[str]) -> dict[str, bytes]:
        """Whole objects by their ids. Raises as `answer`."""
        wanted = list(dict.fromkeys(objects))
        if not wanted:
            return {}
        said = self.answer("cat-file", "--batch", told="".join(f"{one}\n" for one in wanted).encode())
        found, at = {}, 0
        for one in wanted:
            end = said.index(b"\n", at)
            words = said[at:end].split()
            if len(words) != 3:
                raise SystemFault(
                    "git_failed", f"Git has no object {one[:12]} in {self.folder}.",
                    "Bring it: git fetch --unshallow, or git fetch --refetch in a partial clone.",
                )  # fmt: skip
            start = end + 1
            at = start + int(words[2]) + 1
            found[one] = said[start : at - 1]
        return found

    def _run(self, words: tuple[str, ...], told: bytes, seconds: int) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            self.command(*words), cwd=self.folder, env=self.variables, input=told, capture_output=True,
            timeout=seconds, check=False,
        )  # fmt: skip
