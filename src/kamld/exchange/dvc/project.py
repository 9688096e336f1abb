"""A DVC repository on this machine: which Git commits there are, what each tracks, where its content is."""

import configparser
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from kamld import clock
from kamld.blobs.git import Git
from kamld.errors import Invalid, SystemFault
from kamld.exchange.dvc.cache import Cache
from kamld.exchange.dvc.outputs import Output, is_described, outputs

_LARGEST = 64 * 1024 * 1024  # bytes of one of DVC's files
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit of Git's. Not `touched`: it tracks what its one parent does."""

    id: str
    parents: tuple[str, ...]
    author: str
    time: str
    message: str
    touched: bool


def find_project(text: str, start: Path, variables: Mapping[str, str]) -> "Project | None":
    """Of REPOSITORY or REPOSITORY:PATH. None: there is no DVC repository of that name."""
    whole = Path(start, text)
    if (whole / ".dvc/config").is_file():
        return Project(whole.resolve(), "", variables)
    at = text.find(":")
    while at > 0 and not whole.exists():
        if (Path(start, text[:at]) / ".dvc/config").is_file():
            return Project(Path(start, text[:at]).resolve(), text[at + 1 :].strip("/"), variables)
        at = text.find(":", at + 1)
    return None


class Project:
    def __init__(self, top: Path, inside: str, variables: Mapping[str, str]) -> None:
        self.top, self.inside = top, inside
        self._git = Git(top, variables)
        self.remotes, places = _configured(top / ".dvc")
        self.cache = Cache(places)
        self._listed = lru_cache(maxsize=8)(self._outputs)

    @property
    def source(self) -> str:
        """As it is recorded."""
        return f"{self.top}:{self.inside}" if self.inside else str(self.top)

    def check(self) -> None:
        """Raises Invalid (no_history) where there is no Git, SystemFault (git_failed), NotFound (no_git)."""
        if self._git.program and not self._git.line("rev-parse", "--verify", "--quiet", "HEAD"):
            try:
                self._git.answer("rev-parse", "--git-dir")
                why = "has no commit of Git's yet"
            except SystemFault as fault:
                if "not a git repository" not in fault.message:
                    raise
                why = "is in no Git repository"
            raise Invalid(
                "no_history", f"{self.top} {why}, so it has no history.",
                "Commit its .dvc files with Git, or import the files as they are: --kind folder.",
            )  # fmt: skip

    @property
    def is_shallow(self) -> bool:
        return self._git.line("rev-parse", "--is-shallow-repository") == "true"

    def head(self) -> str:
        return self._git.answer("rev-parse", "HEAD").decode().strip()

    def tags(self) -> dict[str, str]:
        """The commit of each tag; those of other things are none."""
        shape = "--format=%(objectname) %(objecttype) %(*objectname) %(*objecttype) %(refname:strip=2)"
        said = self._git.answer("for-each-ref", shape, "refs/tags").decode("utf-8", "replace")
        rows = [line.split(" ", 4) for line in said.splitlines()]
        return {name: one if kind == "commit" else inner for one, kind, inner, inmost, name in rows
                if "commit" in (kind, inmost)}  # fmt: skip

    def revisions(self) -> Iterator[Revision]:
        """All that HEAD and tags lead to, parents first."""
        starts = ["HEAD", *sorted(set(self.tags().values()))]
        names = [":(glob)**/*.dvc", *(f":(glob)**/{name}" for name in ("dvc.lock", "dvc.yaml", "Dvcfile"))]
        told = "".join(f"{start}\n" for start in starts).encode()
        touching = self._git.answer(
            "rev-list", "--full-history", "--stdin", "--", *names, told=told
        ).decode().split()  # fmt: skip
        touched = set(touching)
        shape = "--format=%H%n%P%n%an%n%at%n%B"
        log = self._git.answer(
            "log", "--topo-order", "--reverse", "--no-show-signature", "--no-color", "--no-notes", "-z",
            shape, "--stdin", told=told,
        )  # fmt: skip
        for record in log.decode("utf-8", "replace").split("\0"):
            if record:
                commit, parents, author, time, message = record.split("\n", 4)
                above = tuple(parents.split())
                yield Revision(
                    commit,
                    above,
                    author or "unknown",
                    _time(time),
                    message.strip() or "(no message)",
                    commit in touched or len(above) != 1,
                )

    def outputs(self, commit: str) -> list[Output]:
        """What DVC tracked at a commit, of what was asked for; what Git keeps itself, such as metrics, is not
        among it."""
        return [out for out in self._listed(commit) if self._is_inside(out)]

    def elsewhere(self, commit: str) -> list[Output]:
        """What it tracked beside that."""
        return [out for out in self._listed(commit) if not self._is_inside(out)]

    def _outputs(self, commit: str) -> list[Output]:
        listed = self._git.answer("ls-tree", "-r", "-l", "-z", commit).split(b"\0")  # below this folder alone
        kept: dict[str, tuple[str, int]] = {}
        for row in listed:
            about, _, raw = row.partition(b"\t")
            words = about.split()
            if len(words) == 4:
                size = int(words[3]) if words[3].isdigit() else 0
                kept[os.fsdecode(raw)] = words[2].decode(), size
        nested = tuple(path.removesuffix(".dvc/config") for path in kept if path.endswith("/.dvc/config"))
        described = [path for path in kept if is_described(path) and not path.startswith(nested or ("\0",))]
        shown = f"{commit[:12]} in {self.top}"
        for large in (path for path in described if kept[path][1] > _LARGEST):
            raise Invalid("bad_description", f"{large} of {shown} is too large to be one of DVC's.")
        texts = self._git.contents(kept[path][0] for path in described)
        found = outputs({path: texts[kept[path][0]] for path in described}, shown)
        return [out for out in found if out.path not in kept]

    def _is_inside(self, out: Output) -> bool:
        """Whether it is what was asked for, or has that, or is in it."""
        one, other = out.path + "/", self.inside + "/"
        return not self.inside or one.startswith(other) or other.startswith(one)


def _time(seconds: str) -> str:
    try:
        return clock.text(datetime.fromtimestamp(int(seconds), UTC))
    except (ValueError, OverflowError, OSError):
        return clock.text(_EARLIEST)


def _configured(folder: Path) -> tuple[list[str], list[Path]]:
    """(Remotes that are elsewhere, places on this machine where contents may be.)"""
    settings = configparser.RawConfigParser(strict=False, allow_no_value=True)
    for name in ("config", "config.local"):
        try:
            text = (folder / name).read_text("utf-8", "replace")
        except FileNotFoundError:
            continue
        try:
            settings.read_string("\n".join(line.strip() for line in text.splitlines()))
        except configparser.Error as error:
            why = str(error).splitlines()[0]
            raise Invalid("bad_description", f"{folder / name}: {why}", "Correct it.") from None
    places = [folder / (settings.get("cache", "dir", fallback="") or "cache")]
    elsewhere = []
    for section in settings.sections():
        url = settings.get(section, "url", fallback="") or ""
        if not section.strip("'").startswith("remote ") or not url:
            continue
        if "://" in url and not url.startswith("file://"):
            elsewhere.append(section.strip("'").removeprefix("remote ").strip('"'))
        else:
            places.append(folder / url.removeprefix("file://"))
    return elsewhere, places
