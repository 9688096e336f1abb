"""What DVC's own files say: `.dvc` files and `dvc.lock`, of DVC 1 to 3. It reads texts, no disk."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kamld.errors import Invalid
from kamld.exchange.described import yaml_of

_MD5 = re.compile(r"[0-9a-f]{32}")
LOCK, STAGES = "dvc.lock", "dvc.yaml"


@dataclass(frozen=True, slots=True)
class Content:
    """A file or a folder's list by its MD5. Not `exact`: of DVC 2 or earlier, which hashed a text as if
    its lines ended in \\n alone, and had another layout of its cache."""

    md5: str
    folder: bool
    exact: bool


@dataclass(frozen=True, slots=True)
class Output:
    """Something that DVC tracks. `content` None: it cannot be had, for the reason `why`."""

    path: str  # from the top of the DVC repository
    content: Content | None
    executable: bool = False
    why: str = ""


def is_described(path: str) -> bool:
    """Whether a file of Git's says what DVC tracks."""
    name = path.rpartition("/")[2]
    return name in (LOCK, STAGES, "Dvcfile") or (name.endswith(".dvc") and name != ".dvc")


def outputs(texts: dict[str, bytes], shown: str) -> list[Output]:
    """Of all such files of one commit, by their paths. Raises Invalid (bad_description)."""
    found: list[Output] = []
    for path, text in sorted(texts.items()):
        folder, _, name = path.rpartition("/")
        if name == STAGES:
            continue
        where = f"{path} of {shown}"
        said = _mapping(yaml_of(text.decode("utf-8", "replace"), where), where)
        if name == LOCK:
            beside = texts.get(f"{folder}/{STAGES}" if folder else STAGES, b"")
            stages = _mapping(yaml_of(beside.decode("utf-8", "replace"), f"{STAGES} of {shown}"), where)
            found += _of_lock(said, _mapping(stages.get("stages"), where), folder, where)
        else:
            found += _outs(said, posixpath.join(folder, said.get("wdir") or "."), where)
    return found


def _of_lock(said: dict[str, Any], stages: dict[str, Any], folder: str, where: str) -> Iterator[Output]:
    """Of the stages that there still are: DVC leaves others in the lock, and does not heed them."""
    locked = _mapping(said.get("stages") if "schema" in said else said, where)
    for name, stage in locked.items():
        defined = stages.get(name) or stages.get(name.partition("@")[0])
        if not isinstance(defined, dict):
            continue
        inner = defined.get("do")
        place = (inner if isinstance(inner, dict) else defined).get("wdir") or "."
        for out in _outs(_mapping(stage, where), posixpath.join(folder, place), where):
            why = f"its folder is computed ({place})" if "${" in place else out.why
            yield Output(out.path, None if "${" in place else out.content, out.executable, why)


def _outs(said: dict[str, Any], folder: str, where: str) -> Iterator[Output]:
    outs = said.get("outs") or []
    if not isinstance(outs, list):
        raise Invalid("bad_description", f"outs in {where} is no list.", "Look at it.")
    for out in outs:
        if isinstance(out, dict) and isinstance(out.get("path"), str):
            yield _output(out, folder)


def _output(out: dict[str, Any], folder: str) -> Output:
    named = out["path"]
    path = posixpath.normpath(posixpath.join(folder, named))
    if "://" in named or path.startswith(("/", "../")) or path in ("..", "."):
        return Output(named, None, why="it is outside the repository")
    md5 = str(out.get("md5") or "")
    plain = md5.removesuffix(".dir")
    if not _MD5.fullmatch(plain):
        other = next((key for key in ("etag", "checksum", "files", "cloud") if out.get(key)), "")
        why = f"it is kept by {other}, which is not supported" if other else "it was never fetched there"
        return Output(path, None, why=why)
    return Output(path, Content(plain, md5 != plain, out.get("hash") == "md5"), out.get("isexec") == "true")


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Invalid("bad_description", f"{where} is none of DVC's files.", "Look at it.")
    return value
