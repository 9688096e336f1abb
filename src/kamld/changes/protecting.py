"""Protecting a branch, so that only merges whose checks pass move it; lifting that; what it forbids."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from kamld import clock
from kamld.changes.checks import parse_rule, tables_without
from kamld.changes.refs import find_branch
from kamld.errors import Conflict, Invalid
from kamld.records.history import Dataset, Protection
from kamld.store import Repository

NONE = "none"  # in place of a rule or a command: those that were asked for until now go
_ONLY = "protected"


@dataclass(frozen=True, slots=True)
class Guarded:
    """What must hold now, and what differs from before. `was` None: it was not protected."""

    now: Protection
    was: Protection | None

    @property
    def added(self) -> tuple[str, ...]:
        return tuple(one for one in _all(self.now) if one not in _all(self.was))

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(one for one in _all(self.was) if one not in _all(self.now))


def protect(
    repository: Repository, dataset: Dataset, branch: str, *, author: str, require: Sequence[str] = (),
    checks: Sequence[str] = (),
) -> Guarded:  # fmt: skip
    """What was asked for before stays, unless "none" is among the rules, or among the commands.

    Raises NotFound (unknown_revision), Invalid (not_a_branch, bad_rule).
    """
    commit = find_branch(repository, dataset, branch, _ONLY).commit
    assert commit
    for rule in require:
        if rule != NONE:
            _check_rule(repository, commit, rule)
    for check in checks:
        if not check.strip():
            raise Invalid("bad_rule", "An empty command checks nothing.", 'For example: --check "make test"')
    before: list[Protection | None] = []

    def made(was: Protection | None) -> Protection:
        before.append(was)
        rules = _joined(was.require if was else (), require)
        commands = _joined(was.checks if was else (), checks)
        if was and (rules, commands) == (was.require, was.checks):
            return was
        if was:
            return msgspec.structs.replace(
                was, author=author, time=clock.now(), require=rules, checks=commands
            )
        return Protection(author=author, time=clock.now(), require=rules, checks=commands)

    now = repository.refs.protect(dataset, branch, made)
    assert now
    return Guarded(now, before[-1])


def unprotect(repository: Repository, dataset: Dataset, branch: str) -> Protection | None:
    """What had to hold; None: it was not protected. Raises NotFound (unknown_revision), Invalid
    (not_a_branch)."""
    was = find_branch(repository, dataset, branch, _ONLY).protection
    repository.refs.protect(dataset, branch, lambda _: None)
    return was


def check_removable(repository: Repository, dataset: Dataset) -> None:
    """Raises Conflict (protected_branch) where the name would be free for what passed no check."""
    guarded = [ref.name for ref in repository.live_refs(dataset) if ref.protection]
    if guarded:
        raise Conflict(
            "protected_branch",
            f"{dataset.said} has a protected branch, {guarded[0]}; it is not removed.",
            f"Lift that first: kamld branch {dataset.said}@{guarded[0]} --unprotect",
        )


def _check_rule(repository: Repository, commit: str, text: str) -> None:
    rule = parse_rule(text)
    entries = repository.tree(repository.commit(commit)).entries()
    if tables := tables_without(repository, entries, rule):
        where = tables[0].decode("utf-8", "backslashreplace")
        more = f" and {len(tables) - 1:,} more" if len(tables) > 1 else ""
        raise Invalid(
            "bad_rule",
            f'"{text}" could never fail: {where}{more} {"has" if not more else "have"} no column '
            f'"{rule.column}".',
            "Name a column as it stands in the table, or commit it first.",
        )


def _joined(before: Sequence[str], asked: Sequence[str]) -> tuple[str, ...]:
    kept = () if NONE in asked else before
    return tuple(dict.fromkeys((*kept, *(one for one in asked if one != NONE))))


def _all(of: Protection | None) -> tuple[str, ...]:
    return (*of.require, *of.checks) if of else ()
