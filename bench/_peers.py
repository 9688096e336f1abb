"""The other tools that stores are measured beside: how each is installed and told to do the same work.

Every tool gets a place of its own: `place/data` is the folder that it keeps, the rest is the tool's.
A command that a tool does not have is None.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_DEBIAN = {"git": "git", "git-lfs": "git-lfs", "restic": "restic", "borg": "borgbackup"}
_PYPI = {"dvc": "dvc", "oxen": "oxenai"}


def environment(place: Path) -> dict[str, str]:
    """Of every command: a home of its own, nobody's settings, no questions."""
    return {
        "PATH": os.environ["PATH"], "HOME": str(place), "LANG": "C.UTF-8", "KAMLD_HUB": str(place / "hub"),
        "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "bench", "GIT_AUTHOR_EMAIL": "bench@example.org",
        "GIT_COMMITTER_NAME": "bench", "GIT_COMMITTER_EMAIL": "bench@example.org",
        "RESTIC_REPOSITORY": str(place / "repo"), "RESTIC_PASSWORD": "bench",
        "BORG_REPO": str(place / "repo"), "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "DVC_NO_ANALYTICS": "1",
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tool:
    """Shell lines, run in the place; `{n}` is the number of the version, from 1.

    `store` is where the kept bytes are, `inside` where in `data` the tool has its own, which a copy of
    the data must not touch.
    """

    name: str
    version: str
    set_up: str
    commit: str
    status: str | None
    checkout: str | None
    store: str
    switch: str | None = None
    diff: str | None = None
    after: str | None = None  # done once a version is kept, not measured: names it
    look: str | None = None  # a diff of what is inside a file: rows, tensors


def tools(names: list[str]) -> list[Tool]:
    """Ourselves and those named, installed. Raises RuntimeError for what cannot be had."""
    for name in names:
        _install(name)
    return [_KNOWN[name] for name in names]


def shell(line: str, number: int) -> list[str]:
    return ["sh", "-ec", line.replace("{n}", str(number)).replace("{m}", str(number - 1))]


def _bin(tool: str) -> Path:
    return ROOT / ".venv" / "peers" / tool / "bin"


def _install(name: str) -> None:
    package = _DEBIAN.get(name)
    if package and not shutil.which(name):
        _told("apt-get", "install", "-y", "--no-install-recommends", package)
    if name in _PYPI and not (_bin(name) / "python").exists():
        place = _bin(name).parent
        _told(sys.executable, "-m", "venv", str(place))
        _told(str(place / "bin" / "pip"), "install", "--quiet", _PYPI[name])


def _told(*command: str) -> None:
    print(f"installing: {' '.join(command)}", file=sys.stderr)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")


def _oxen(words: str) -> str:
    """Oxen has no command, only a module."""
    return f"{_PYTHON} -c \"import oxen, oxen.user; r = oxen.Repo('data'); {words}\""


_GIT_INIT = "git init -q data && git -C data config gc.auto 0"
# Git packs in the background after large commits: done at its end here, so that it slows no next step.
_GIT_AFTER = "cd data && git tag v{n} && git -c gc.auto=6700 -c gc.autoDetach=false gc -q --auto"
_GIT_DIFF = "cd data && git diff --stat v{m} v{n}"
_KAMLD = str(Path(sys.executable).parent / "kamld")
_DVC = f"{_bin('dvc')}/dvc"
_PYTHON = f"{_bin('oxen')}/python"
_KNOWN = {
    tool.name: tool
    for tool in (
        Tool("kamld", f"{_KAMLD} --version", "true", f"{_KAMLD} commit data -m v{{n}} && true",
             f"{_KAMLD} status data", f"{_KAMLD} checkout data@v{{n}} out", "hub",
             f"{_KAMLD} switch data v{{n}}", f"{_KAMLD} diff data@v{{m}} data@v{{n}}",
             f"{_KAMLD} tag data@main v{{n}}", f"{_KAMLD} diff data@v{{m}} data@v{{n}} --stat"),
        Tool("cp", "cp --version | head -1", "mkdir kept", "cp -r data kept/{n}", None, "cp -r kept/{n} out",
             "kept", diff="diff -rq kept/{m} kept/{n} || true"),
        Tool("git", "git --version", _GIT_INIT, "cd data && git add -A && git commit -qm v{n}",
             "cd data && git status", "cd data && git worktree add -q --detach ../out v{n}", "data/.git",
             "cd data && git checkout -q v{n}", _GIT_DIFF, _GIT_AFTER),
        Tool("git-lfs", "git lfs version", f"{_GIT_INIT} && cd data && git lfs install --local"
             " && git lfs track '*.bin' '*.csv' '*.parquet' '*.safetensors' && git add .gitattributes",
             "cd data && git add -A && git commit -qm v{n}", "cd data && git status",
             "cd data && git worktree add -q --detach ../out v{n}", "data/.git",
             "cd data && git checkout -q v{n}", _GIT_DIFF, _GIT_AFTER),
        Tool("restic", "restic version", "restic init -q", "restic backup -q --tag v{n} data",
             "restic backup -q --dry-run data", "restic restore -q latest --tag v{n} --target out", "repo",
             diff="restic diff -q $(cat v{m}.id) $(cat v{n}.id)",
             after="restic snapshots -q --json --tag v{n} | grep -o '[0-9a-f]\\{64\\}' | tail -1 > v{n}.id"),
        Tool("borg", "borg --version", "borg init -e none", "borg create ::v{n} data",
             "borg create --dry-run ::again data", "mkdir out && cd out && borg extract ::v{n}", "repo",
             diff="borg diff ::v{m} v{n}"),
        Tool("dvc", f"{_DVC} --version",
             f"git init -q . && {_DVC} init -q && {_DVC} config core.analytics false",
             f"{_DVC} add -q data && git add data.dvc .gitignore && git commit -qm v{{n}}", f"{_DVC} status",
             f"git worktree add -q --detach out v{{n}} && cd out && {_DVC} cache dir -q --local"
             f" ../.dvc/cache && {_DVC} checkout -q", ".dvc/cache",
             f"git checkout -q v{{n}} && {_DVC} checkout -q", f"{_DVC} diff v{{m}} v{{n}}", "git tag v{n}"),
        Tool("oxen", f"{_PYTHON} -c 'import oxen; print(oxen.__version__)'",
             _oxen("oxen.user.config_user('bench', 'bench@example.org'); r.init()"),
             _oxen("r.add('data'); r.commit('v{n}')"), _oxen("print(r.status())"), None, "data/.oxen",
             _oxen("r.checkout('b{n}')"), None, _oxen("r.checkout('b{n}', True)")),
    )
}  # fmt: skip
