"""Folders of another hub than the one that a command uses: suggested commands name theirs, and a name that is
typed in one is told apart from the folder's own."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from shlex import join, quote
from typing import Any

import click

from kamld.app import App
from kamld.cli import advice, render
from kamld.errors import KamldError, NotFound
from kamld.records.names import Name, Reference
from kamld.store import Repository
from kamld.workspace import Binding, read_binding


@dataclass
class Asking(App):
    """An App that remembers which names were asked for, and which hub commands are to name."""

    asked: dict[Name, None] = field(default_factory=dict, repr=False)

    def of_binding(self, folder: Path, binding: Binding) -> Repository:
        repository = super().of_binding(folder, binding)
        self.advise_for(binding)
        return repository

    def advise_for(self, binding: Binding) -> None:
        """From now on commands that are suggested are about what this folder is bound to."""
        if not is_same(binding.hub, self.settings.hub):
            advice.hub_named(binding.hub)

    def name(self, text: str) -> Name:
        return self._note(super().name(text))

    def reference(self, text: str) -> Reference:
        found = super().reference(text)
        self._note(found.name)
        return found

    def _note(self, name: Name) -> Name:
        if name not in self.asked and (around := self._around()):
            _tell(self, *around, name)
        self.asked[name] = None
        return name

    def _around(self) -> tuple[Path, Binding] | None:
        """The folder that one is in, if it is of another hub, and no hub was named for this command."""
        if self.hub_named:
            return None
        try:
            bound = ((top, read_binding(top)) for top in (self.folder, *self.folder.parents))
            top, binding = next(((top, one) for top, one in bound if one), (self.folder, None))
        except KamldError:  # who asks for the folder is told
            return None
        return None if binding is None or is_same(binding.hub, self.settings.hub) else (top, binding)

    def elsewhere(self, error: NotFound) -> NotFound:
        """The same, with the whole command where the name is one of the hub of the folder that one is in."""
        around = self._around() if error.code in ("unknown_name", "no_hub") else None
        there = next((name for name in self.asked if around and _has(self, *around, name)), None)
        if around is None or there is None:
            return error
        context = click.get_current_context()
        above, words = context.find_root().params, context.meta.get(advice.WORDS, ())
        project = f" --project {quote(above['project'])}" if above.get("project") else ""
        hint = (
            f"{there.said} is in the hub of the folder that you are in:"
            f" kamld --hub {quote(around[1].hub)}{project} {join(words)}"
        )
        return NotFound(error.code, error.message, hint)


def is_same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _has(app: App, top: Path, binding: Binding, name: Name) -> bool:
    try:
        return app.hub_of(top, binding).names.find(name) is not None
    except KamldError:
        return False


def _tell(app: App, top: Path, binding: Binding, name: Name) -> None:
    """Where a name is in both."""
    shown: dict[str, Any] = click.get_current_context().params
    try:
        is_here = app.repository.names.find(name) is not None
    except KamldError:
        is_here = False
    if is_here and not shown.get("as_json") and _has(app, top, binding, name):
        render.note(
            f"You are in a folder of the hub at {binding.hub}; this is about {name.said} in the one at"
            f" {app.settings.hub}."
        )
