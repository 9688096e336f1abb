"""`NAME[@REVISION][:PATH]` as several verbs take it: the version, and what is at the path."""

import os
from dataclasses import dataclass
from shlex import quote

import click

from kamld.app import App
from kamld.cli import advice
from kamld.errors import Invalid, NotFound
from kamld.reading.choose import chosen
from kamld.reading.folders import Folders
from kamld.reading.history import removed_by
from kamld.store import Entries
from kamld.store.refs.revisions import Resolved


@dataclass(frozen=True, slots=True)
class Place:
    """`text` is what the person typed, `path` the part behind the colon."""

    text: str
    path: str
    where: str  # the version, as a person names it
    resolved: Resolved
    folders: Folders

    def chosen(self) -> Entries:
        """The files and empty folders there. Raises NotFound (unknown_path, no_match)."""
        return chosen(self.folders, self.path, self.where)


def find_place(app: App, text: str) -> Place:
    """Raises NotFound, Invalid."""
    reference = app.reference(text)
    resolved = app.repository.resolve(reference)
    folders = Folders(app.repository.objects, app.repository.tree(resolved.commit))
    where = f"{reference.name}@{reference.revision.said}"
    return Place(text, reference.path.strip("/"), where, resolved, folders)


def with_removal(app: App, place: Place, error: NotFound) -> NotFound:
    """The same, with the commit that removed what is asked for, if there was such a file or folder."""
    found = removed_by(app.repository, place.resolved.commit_id, os.fsencode(place.path))
    if error.code != "unknown_path" or found is None:
        return error
    removed, had = (one[:12] for one in found)
    name = place.resolved.dataset.said
    return NotFound(
        error.code, f"{error.message} It was removed in {removed}.",
        f"As it was: {name}@{had}:{place.path}. Its history: kamld log {quote(f'{name}@{had}:{place.path}')}",
    )  # fmt: skip


def is_name(app: App, word: str) -> bool:
    """Whether a word is the name of a dataset or model that there is."""
    try:
        dataset = app.repository.names.find(app.name(word))
    except (Invalid, NotFound):  # no name at all, or no hub
        return False
    return dataset is not None and app.repository.is_made(dataset)


def is_place(word: str) -> bool:
    """Whether a word can only mean a folder: it begins as paths do, or ends with a slash."""
    return word in (".", "..") or word.startswith(("./", "../", "/")) or word.endswith("/")


def typed() -> str:
    """`kamld` with what the person said about hub and project, for a command that is suggested."""
    above = click.get_current_context().find_root().params
    given = {"hub": advice.given(), "project": above.get("project")}
    said = [f" --{option} {quote(word)}" for option, word in given.items() if word]
    return f"kamld{''.join(said)}"


def shell_word(raw: bytes) -> str:
    """A name as it can be typed at a prompt, also one that a terminal cannot show."""
    text = raw.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return quote(text)
    safe = (chr(byte) if 32 <= byte < 127 and byte not in b"'\\" else f"\\x{byte:02x}" for byte in raw)
    return f"$'{''.join(safe)}'"
