"""The composition root: from settings to wired rooms. It constructs and decides nothing.

What a heavy room needs is wired in a module of its own here, so that a verb loads only the rooms
that it uses.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from shlex import quote

from kamld.blobs import FolderBlobs
from kamld.blobs.foreign import Foreign
from kamld.errors import Conflict, Invalid, NotFound
from kamld.records.history import Dataset
from kamld.records.names import Name, Reference, check_word, parse_name, parse_reference
from kamld.scan.marks import HUB_MARK
from kamld.settings import Settings, default_hub
from kamld.store import Repository, open_hub
from kamld.store.hub import lost_record
from kamld.store.refs.revisions import Resolved
from kamld.workspace import Binding, TreeCache

LOCAL = "local"  # in the hub's folder: what is this machine's own and not part of the format


@dataclass
class App:
    """One command's view of one hub. Everything is made when it is first asked for."""

    settings: Settings
    folder: Path  # where the person is
    environment: Mapping[str, str] = field(repr=False)
    hub_named: bool = False  # for this command alone, not by settings: it is to be that hub and no other

    @cached_property
    def repository(self) -> Repository:
        """The hub of the settings. Raises NotFound (no_hub): who only looks makes none, for the one that is
        meant may have been moved or not be mounted."""
        return self._open(self.settings.hub, make=False)

    @property
    def is_new(self) -> bool:
        """Whether nothing is in the place yet where hubs are by default."""
        hub = Path(self.settings.hub)
        is_default = hub == default_hub(self.environment)
        return is_default and not (hub / HUB_MARK).exists() and lost_record(FolderBlobs(hub)) is None

    @cached_property
    def new_repository(self) -> Repository:
        """The same, made if it is not there yet."""
        return self._open(self.settings.hub, make=True)

    def _open(self, location: str, *, make: bool) -> Repository:
        place = Path(location)
        if place.exists() and not place.is_dir():
            raise Invalid(
                "not_a_hub",
                f"{location} is a file, and only a folder can be a hub.",
                "Name a hub or an empty folder: --hub, KAMLD_HUB, or hub in kamld.toml.",
            )
        repository = open_hub(FolderBlobs(place), self.threads, make=make)
        repository.objects.foreign = Foreign(self.environment)  # for files that were left elsewhere
        return repository

    @cached_property
    def project(self) -> str:
        """Raises Invalid (bad_name)."""
        return check_word(self.settings.project, "project")

    @property
    def threads(self) -> int:
        return self.settings.threads or min(os.cpu_count() or 1, 8)

    @property
    def local(self) -> Path:
        """Where this machine keeps databases, caches and live runs of the hub."""
        return Path(self.settings.hub) / LOCAL

    @cached_property
    def author(self) -> str:
        return self.settings.author or _git_author(self.environment) or self._login

    @property
    def _login(self) -> str:
        try:
            return self.environment.get("LOGNAME") or pwd.getpwuid(os.getuid()).pw_name
        except KeyError:  # a number without a name, as in some containers
            return f"user {os.getuid()}"

    def name(self, text: str) -> Name:
        """Raises Invalid."""
        return parse_name(_as_named(text), self.project)

    def reference(self, text: str) -> Reference:
        """Raises Invalid."""
        return parse_reference(_as_named(text), self.project)

    def dataset(self, text: str) -> Dataset:
        """A dataset or model by its name alone. Raises Invalid, NotFound."""
        return self.repository.names.get(self.name(text))

    def resolve(self, text: str) -> Resolved:
        """A whole version. Raises NotFound, Invalid (path_in_name where a path is in the name)."""
        reference = self.reference(text)
        if reference.path:
            raise Invalid(
                "path_in_name",
                f'"{text}" names a part; this is about whole versions.',
                f"Leave :{reference.path} out.",
            )
        return self.repository.resolve(reference)

    def of_binding(self, folder: Path, binding: Binding) -> Repository:
        """The hub that a folder is bound to, which need not be the settings'. Raises NotFound (hub_gone,
        other_hub), Conflict (bound_elsewhere) where this command is to use another."""
        repository = self.hub_of(folder, binding)
        if self.hub_named and os.path.realpath(binding.hub) != os.path.realpath(self.settings.hub):
            raise Conflict(
                "bound_elsewhere",
                f"{folder} is a folder of {binding.full_name} in the hub at {binding.hub}, not in the one at"
                f" {self.settings.hub}.",
                "Name no hub: a folder knows its own. To have its files in the other one, import them there:"
                f" kamld --hub {quote(self.settings.hub)} import {quote(str(folder))} NAME",
            )
        return repository

    def hub_of(self, folder: Path, binding: Binding) -> Repository:
        """That, whichever hub this command is to use. Raises NotFound (hub_gone, other_hub)."""
        again = (
            "Bring it back. Where it has another place now: kamld --hub PLACE init"
            f" {quote(str(folder))} --bind {binding.full_name.said}"
        )
        if not (Path(binding.hub) / HUB_MARK).exists():
            if lost := lost_record(FolderBlobs(Path(binding.hub))):
                raise lost
            raise NotFound("hub_gone", f"The hub of {folder} is not at {binding.hub} any more.", again)
        repository = self._open(binding.hub, make=False)
        if binding.hub_id not in ("", repository.hub.id):
            raise NotFound(
                "other_hub",
                f"The hub at {binding.hub} is not the one that {folder} is bound to, which was there before.",
                again,
            )
        return repository


def _as_named(text: str) -> str:
    """Without what a shell adds when it completes the name of a folder beside."""
    return text.removeprefix("./").removesuffix("/") if not {"@", ":"} & set(text) else text


def tree_cache(app: App) -> TreeCache:
    """Checked-out trees, for runs' inputs and for models that are served."""
    return TreeCache(
        app.repository, app.local / "trees", size_max=app.settings.cache_gb * 10**9, threads=app.threads
    )


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
