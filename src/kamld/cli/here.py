"""Which dataset or model a verb is about where its name was left out: that of the folder one is in."""

from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote

import click

from kamld.app import App
from kamld.cli.paths import is_name
from kamld.errors import Conflict, Invalid, NotFound, UsageError
from kamld.records.history import Dataset
from kamld.workspace import Binding, find_binding
from kamld.workspace.settle import bound_dataset


@dataclass(frozen=True, slots=True)
class Here:
    """The bound folder that one is in. `app`: of its hub, which need not be the settings'."""

    app: App
    top: Path
    binding: Binding
    dataset: Dataset

    @property
    def name(self) -> str:
        return self.dataset.said

    @property
    def branch(self) -> str:
        """The one that the folder is on, "" where it is on none, or that one has gone."""
        branch = self.binding.branch
        known = self.app.repository.refs.find(self.dataset, branch) if branch else None
        return branch if known and known.commit else ""

    @property
    def newest(self) -> str:
        """What `log` begins with: the newest version of the branch; on no branch, the folder's own."""
        return f"{self.name}@{self.branch or self.binding.commit}"


def around(app: App) -> Here | None:
    """None: it is in none. Raises NotFound (hub_gone, other_hub), Conflict (bound_elsewhere) and what is
    wrong with its record."""
    try:
        top, binding = find_binding(app.folder, app.of_binding)
    except NotFound as error:
        if error.code != "not_bound":
            raise
        return None
    if binding.hub != app.settings.hub:
        app = replace(app, settings=replace(app.settings, hub=binding.hub))
    return Here(app, top, binding, bound_dataset(app.repository, top, binding))


def meant(app: App, word: str | None, *, whole: bool = False) -> tuple[App, str]:
    """The name that was typed; where it was left out, also before @REVISION or :PATH, that of the folder one
    is in. `whole`: a dataset is meant, no version of it. Raises UsageError where there is neither."""
    word = None if word == "." else word
    if word and word[0] not in "@:":
        return app, word
    here = around(app)
    if here is None:
        raise _nothing_meant(word or "")
    app.of_binding(here.top, here.binding)  # not where another hub is to be used
    if word and word[0] == "@":
        return here.app, here.name + word
    return here.app, (here.name if whole else here.newest) + (word or "")


def revision_here(app: App, word: str) -> Here | None:
    """The folder that one is in, where the word is no dataset's name and names a version of the folder's."""
    here = None if {"@", ":", "/"} & set(word) or is_name(app, word) else around(app)
    try:
        if here:
            here.app.resolve(f"{here.name}@{word}")
            app.of_binding(here.top, here.binding)
    except (NotFound, Invalid, Conflict):
        return None
    return here


def or_here(error: NotFound, app: App, word: str, way: str) -> NotFound:
    """The same for a name that nothing has, with what to type where the word was meant to be a branch, tag or
    alias in the folder that one is in. In `way`, NAME stands for its dataset."""
    here = around(app) if error.code == "unknown_name" and "@" not in word else None
    if here is None or (app.hub_named and here.app is not app):
        return error
    said = here.dataset.said
    if here.app is not app:
        way = way.replace("kamld ", f"kamld --hub {quote(here.binding.hub)} ", 1)
    hint = f"{error.hint} In {said}, whose folder you are in: {way.replace('NAME', said)}"
    return NotFound(error.code, error.message, hint.strip())


def _nothing_meant(rest: str) -> UsageError:
    verb = click.get_current_context().command_path
    return UsageError(
        "usage",
        "Which dataset or model? None was named, and the folder that you are in is none of one.",
        f"{verb} NAME{rest}; kamld ls shows those there are.",
    )
