"""DVC repositories for tests: by DVC itself, and by hand where that is to be fast or odd."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

DVC = Path(sys.prefix) / "test-peers/dvc/bin/dvc"
WHO = {
    "GIT_AUTHOR_NAME": "Ann", "GIT_AUTHOR_EMAIL": "ann@example.org", "GIT_COMMITTER_NAME": "Bob",
    "GIT_COMMITTER_EMAIL": "bob@example.org", "DVC_NO_ANALYTICS": "1",
}  # fmt: skip


class Repository:
    """A Git repository with DVC in it; `top` is where DVC's is."""

    def __init__(self, top: Path, *, by_dvc: bool = True, like: Path | None = None) -> None:
        self.top = top
        self._second = 1_700_000_000
        if like:
            shutil.copytree(like, top, symlinks=True)
            return
        top.mkdir(parents=True)
        self.run("git", "init", "-q", "-b", "main")
        if by_dvc:
            self.run(DVC, "init", "-q")
        else:
            (top / ".dvc").mkdir()
            (top / ".dvc/config").touch()

    def run(self, *words: str | Path) -> str:
        date = {f"GIT_{who}_DATE": f"{self._second} +0100" for who in ("AUTHOR", "COMMITTER")}
        done = subprocess.run(
            words,
            cwd=self.top,
            env=os.environ | WHO | date | {"HOME": str(self.top.parent)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def commit(self, message: str) -> str:
        """The commit's id."""
        self._second += 60
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "--allow-empty-message", "-m", message)
        return self.run("git", "rev-parse", "HEAD").strip()

    def write(self, files: dict[str, str]) -> None:
        for path, text in files.items():
            (self.top / path).parent.mkdir(parents=True, exist_ok=True)
            (self.top / path).write_bytes(text.encode())


def keep(cache: Path, data: bytes, *, suffix: str = "", older: bool = False) -> str:
    """A content in a cache's layout; its MD5."""
    md5 = hashlib.md5(data.replace(b"\r\n", b"\n") if older else data, usedforsecurity=False).hexdigest()
    place = cache / ("" if older else "files/md5") / md5[:2] / (md5[2:] + suffix)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    return md5 + suffix


def folder_list(cache: Path, files: dict[str, bytes], *, older: bool = False) -> str:
    rows = [{"md5": keep(cache, data, older=older), "relpath": path} for path, data in sorted(files.items())]
    return keep(cache, json.dumps(rows).encode(), suffix=".dir", older=older)


def description(md5: str, path: str, *, older: bool = False) -> str:
    kind = "" if older else "  hash: md5\n"
    return f"outs:\n- md5: {md5}\n{kind}  path: {path}\n"
