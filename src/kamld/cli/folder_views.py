"""What several verbs say about a working folder: where it stands, and what in it is no part of it."""

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from kamld.changes.pending import into
from kamld.cli import render
from kamld.records.names import MAIN
from kamld.store.refs.landing import meant_for
from kamld.workspace import Binding
from kamld.workspace.committing.standing import Standing
from kamld.workspace.status import Apart

GONE = {"taken back": "was taken back from", "replaced": "was replaced in", "carried": "is no more in"}
_SHOWN = 5
_UP = 2  # folders above that are named by dots; others in full


def name_of(top: Path, here: Path, typed: str) -> str:
    """The working folder `top` as it can be typed, for the shell; what was typed may lie deeper in it."""
    if Path(here, typed).resolve() == top:
        return quote(typed)
    near = os.path.relpath(top, here)
    return quote(str(top) if near.split(os.sep).count("..") > _UP else near)


def tell_standing(stands: Standing, binding: Binding, folder: str | None) -> None:
    """`folder`: as it is typed; None: it cannot be switched, for it is a mount."""
    branch, mine = stands.branch, render.commit_id(binding.commit)
    at = render.commit_id(stands.head or "")
    if stands.how == "behind":
        render.say(f"  {branch} has moved on to {at}; a commit merges.")
    elif stands.how == "carried":
        render.say(
            f"  {branch} is {at}: with what was committed here, without what was taken back or replaced."
        )
        render.say("  A commit adds only what you change.")
    elif stands.is_gone:
        render.say(f"  {mine} {GONE[stands.how]} {branch}, which is {at} now.")
        render.say("  A commit adds only what you change.")
    elif stands.how == "merged":
        render.say(f"  {binding.branch} was merged into {branch} and has gone; a commit goes to {branch}.")
    elif stands.how == "removed":
        render.say(f"  {branch} was removed; a commit makes it again.")
        if folder and branch != MAIN:
            render.advise(f"  To go on with {MAIN} instead: kamld switch {folder} {MAIN}")
    elif stands.how == "lost":
        render.advise(f"  The hub has lost what {branch} was. Before you commit: kamld fsck says what to do.")
    if stands.head and (meant := meant_for(branch)) != branch:
        name = binding.full_name.said
        render.advise(f"  {branch} was kept apart from {meant}: kamld merge {name} {branch}{into(meant)}")
    if folder and stands.head and stands.how != "newest":
        render.advise(f"  Bring it here: kamld switch {folder} {quote(branch)}")


def tell_apart(apart: Sequence[Apart]) -> None:
    """Folders that are bound themselves."""
    for one in apart[:_SHOWN]:
        to = f"is bound to {one.name}" if one.name else "has a record of its own that is damaged"
        render.say(f"{render.path(one.path)}/ {to}: left out.")
    if len(apart) > _SHOWN:
        render.say(f"… and {len(apart) - _SHOWN:,} more folders that are bound themselves.")


def tell_special(special: Sequence[str]) -> None:
    """What no version can hold. `special` says where each is, and what."""
    for one in special[:_SHOWN]:
        render.say(f"{render.path(os.fsencode(one))}, which no version can hold.")
    if len(special) > _SHOWN:
        render.say(f"… and {len(special) - _SHOWN:,} more.")


def apart_json(apart: Sequence[Apart]) -> list[dict[str, str | None]]:
    return [
        {"path": render.path(one.path), "project": one.name.project if one.name else None,
         "name": one.name.name if one.name else None}
        for one in apart
    ]  # fmt: skip
