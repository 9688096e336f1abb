"""The composition root: from settings to wired rooms. It constructs and decides nothing.

What a heavy room needs is wired in a module of its own here, so that a verb loads only the rooms
that it uses.
"""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kamld.blobs import FolderBlobs
from kamld.errors import NotFound
from kamld.records.names import Name, Reference, parse_name, parse_reference
from kamld.settings import Settings
from kamld.store import Repository, open_hub
from kamld.store.refs.revisions import Resolved
from kamld.workspace import Binding

LOCAL = "local"  # in the hub's folder: what is this machine's own and not part of the format


@dataclass
class App:
    """One command's view of one hub. Everything is made when it is first asked for."""

    settings: Settings
    folder: Path  # where the person is
    environment: Mapping[str, str] = field(repr=False)

    @cached_property
    def repository(self) -> Repository:
        return self.open(self.settings.hub)

    def open(self, location: str) -> Repository:
        return open_hub(FolderBlobs(Path(location)), self.threads)

    @property
    def threads(self) -> int:
        return self.settings.threads or min(os.cpu_count() or 1, 8)

    @property
    def local(self) -> Path:
        """Where this machine keeps databases, caches and live runs of the hub."""
        return Path(self.settings.hub) / LOCAL

    @cached_property
    def author(self) -> str:
        login = self.environment.get("LOGNAME") or self.environment.get("USER") or "unknown"
        return self.settings.author or _git_author(self.environment) or login

    def name(self, text: str) -> Name:
        """Raises Invalid."""
        return parse_name(text, self.settings.project)

    def reference(self, text: str) -> Reference:
        """Raises Invalid."""
        return parse_reference(text, self.settings.project)

    def resolve(self, text: str) -> Resolved:
        """Raises Invalid, NotFound."""
        return self.repository.resolve(self.reference(text))

    def of_binding(self, folder: Path, binding: Binding) -> Repository:
        """The hub that a folder is bound to, which need not be the settings'. Raises NotFound."""
        if not Path(binding.hub).is_dir():
            raise NotFound(
                "hub_gone",
                f"The hub of {folder} is not at {binding.hub} any more.",
                "Bring it back, or write its new place into .kamld/folder.json there.",
            )
        return self.open(binding.hub)


def _git_author(environment: Mapping[str, str]) -> str:
    """What Git would sign with, or nothing."""
    git = shutil.which("git", path=environment.get("PATH"))
    if not git:
        return ""
    answer = subprocess.run(
        [git, "config", "--get-regexp", r"^user\.(name|email)$"],
        capture_output=True,
        text=True,
        check=False,
        env=dict(environment),
    )
    found = dict(line.split(" ", 1) for line in answer.stdout.splitlines() if " " in line)
    name, email = found.get("user.name", ""), found.get("user.email", "")
    return f"{name} <{email}>" if name and email else name
