"""What every verb starts from: the settings, read once here, and the rooms wired to them."""

import errno
import os
from collections.abc import Callable, Mapping
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from kamld import settings
from kamld.cli.other_hub import Asking
from kamld.errors import NotFound, filesystem_fault
from kamld.records.names import leave_out

Verb = TypeVar("Verb", bound=Callable[..., Any])


class Door:
    """Made for each command; opens nothing before it is asked to."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment

    @cached_property
    def app(self) -> Asking:
        given = click.get_current_context().find_root().params
        known = settings.read(self.environment, self.folder)
        app = Asking(known, self.folder, self.environment, hub_named=bool(given.get("hub")))
        leave_out("" if given.get("project") else known.project)  # who types the next may leave --project out
        return app

    @cached_property
    def folder(self) -> Path:
        """Where the person is. Raises NotFound (no_such_folder)."""
        return _here()


def _here() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise NotFound(
            "no_such_folder", "The folder that you are in was removed.", "Go to another: cd"
        ) from None


def pass_door(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb its Door as the first argument."""

    @wraps(verb)
    def called(*arguments: Any, **options: Any) -> Any:
        door = Door(click.get_current_context().obj)
        try:
            return verb(door, *arguments, **options)
        except NotFound as error:
            raise door.app.elsewhere(error) from None

    return called


def json_option(verb: Verb) -> Verb:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(verb)


def limit_option(what: str, **defaults: Any) -> Callable[[Verb], Verb]:
    """-n, wherever something is listed that may be long."""
    options: dict[str, Any] = {"type": click.IntRange(1), "metavar": "N", "help": what} | defaults
    return click.option("-n", "--limit", **options)


def key_option(what: str) -> Callable[[Verb], Verb]:
    """--key, the columns that tell a table's rows apart: COLUMN,… or repeated."""
    return click.option(
        "--key", multiple=True, metavar="COLUMN[,…]", help=what,
        callback=lambda _context, _option, words: tuple(",".join(words).split(",")) if words else (),
    )  # fmt: skip


class FolderName(click.ParamType[Path]):
    """A folder as a person named it. An empty name is refused: it is what an unset "$VARIABLE" leaves,
    and would otherwise mean the folder one is in."""

    name = "folder"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if value == "":
            self.fail("The name of the folder is empty.", param, ctx)
        return Path(value)


def existing_folder(start: Path, given: Path) -> Path:
    """A folder that a person named, in full. Raises NotFound (no_such_folder), SystemFault."""
    try:
        folder = Path(start, given).resolve()
        if folder.is_dir():
            return folder
    except (RuntimeError, OSError) as error:  # a circle of links; a name that is too long; no permission
        fault = error if isinstance(error, OSError) else OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        raise filesystem_fault(fault, str(given)) from None
    raise NotFound("no_such_folder", f"There is no folder {given}.", "Name a folder that is there.")
