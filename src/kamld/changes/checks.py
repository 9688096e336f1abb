"""What must hold before a protected branch moves: rules about tables, and commands that must succeed.

Rules look at the tables that the move would change, add or remove. Commands start in a folder with
the files that would land; where such folders are made is the caller's to say.
"""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal

from kamld.errors import Invalid
from kamld.formats.table_facts import TableFacts, has_column, is_table, table_facts
from kamld.records.globs import Glob
from kamld.records.history import Protection
from kamld.records.kinds import EXECUTABLE, FILE
from kamld.store import Change, Repository
from kamld.store.trees import diff
from kamld.store.trees.entries import Entries, Entry

_LINES = 12  # of what a failing command said last
_TAIL = 8192  # bytes
_SHELL = re.compile(r"[|&;<>()$`*?~#\n{}\[\]]|\w+=")
_ROWS = re.compile(r"(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Room:
    """Where commands start, and with which environment."""

    folder: Callable[[Entries], AbstractContextManager[Path]]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Failure:
    """`check` is a rule, or a command with what it said last; `path` is None for that."""

    check: str
    path: bytes | None
    detail: str
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    text: str
    kind: Literal["schema", "no-nulls", "rows"]
    column: str = ""  # "": all
    low: int = 0
    high: int | None = None
    paths: str = ""  # "": every table

    def is_about(self, path: bytes) -> bool:
        text = path.decode("utf-8", "surrogateescape")
        return not self.paths or Glob(self.paths).matches(text)


def parse_rule(text: str) -> Rule:
    """Raises Invalid (bad_rule)."""
    kind, _, rest = text.partition(":")
    first, _, paths = rest.partition(":")
    if kind == "schema":
        return Rule(text, "schema", paths=rest)
    if kind == "no-nulls":
        return Rule(text, "no-nulls", column=first, paths=paths)
    limits = _ROWS.fullmatch(first) if kind == "rows" else None
    if limits and (limits[1] or limits[2]):
        low, high = int(limits[1] or 0), int(limits[2]) if limits[2] else None
        if high is None or low <= high:
            return Rule(text, "rows", low=low, high=high, paths=paths)
    raise Invalid(
        "bad_rule",
        f'"{text}" is no rule.',
        "Rules: schema[:PATHS], no-nulls[:COLUMN[:PATHS]], rows:MIN-MAX[:PATHS].",
    )


def failures(
    repository: Repository, protection: Protection, before: str, after: str, room: Room | None
) -> list[Failure]:
    """What fails of all that must hold for a branch to go from one commit to the other. Commands are
    started only where every rule holds, and the first that fails is the last.

    Raises SystemFault.
    """
    old, new = (repository.tree(repository.commit(commit)) for commit in (before, after))
    rules = [parse_rule(text) for text in protection.require]
    changes = diff(old, new) if rules else []
    found = [failure for change in changes for failure in _broken(repository, rules, change)]
    for rule in rules if changes else ():
        tables = [] if rule.paths else tables_without(repository, new.entries(), rule)
        found += [Failure(rule.text, path, f'no table has a column "{rule.column}"') for path in tables[:1]]
    if found or not protection.checks:
        return found
    if room is None:
        return [Failure(protection.checks[0], None, "there is no place here to start it in")]
    with room.folder(new.entries()) as folder:
        for command in protection.checks:
            if failure := _run(command, folder, room.environment):
                return [failure]
    return []


def tables_without(repository: Repository, entries: Entries, rule: Rule) -> list[bytes]:
    """The tables that a rule about a column is about, where none of them has it. What cannot be read is not
    among them."""
    found: list[bytes] = []
    for at, path in enumerate(entries.paths if rule.column else ()):
        entry = _table(path, entries.row(at)) if is_table(_suffix(path)) and rule.is_about(path) else None
        if entry is None:
            continue
        try:
            with BufferedReader(repository.objects.open(entry.id)) as file:
                if has_column(file, _suffix(path), rule.column):
                    return []
        except Invalid:
            continue
        found.append(path)
    return found


def _broken(repository: Repository, rules: list[Rule], change: Change) -> Iterator[Failure]:
    rules = [rule for rule in rules if rule.is_about(change.path)]
    old, new = (_table(change.path, entry) for entry in (change.old, change.new))
    if not rules or not (old or new) or (old and new and old.id == new.id):
        return
    try:
        facts = _facts(repository, new, change.path) if new else None
    except Invalid as error:
        for rule in rules:
            yield Failure(rule.text, change.path, f"It cannot be read: {error.message}")
        return
    for rule in rules:
        if rule.kind == "schema":
            details = _schema_change(repository, old, facts, change.path)
        elif rule.kind == "no-nulls":
            details = _gaps(rule, facts)
        else:
            details = _row_count(rule, facts)
        for detail in details:
            yield Failure(rule.text, change.path, detail)


def _table(path: bytes, entry: Entry | None) -> Entry | None:
    return entry if entry and entry.kind in (FILE, EXECUTABLE) and is_table(_suffix(path)) else None


def _suffix(path: bytes) -> str:
    return os.path.splitext(os.fsdecode(path))[1]


def _facts(repository: Repository, entry: Entry, path: bytes) -> TableFacts:
    with BufferedReader(repository.objects.open(entry.id)) as file:
        return table_facts(file, _suffix(path))


def _schema_change(
    repository: Repository, old: Entry | None, now: TableFacts | None, path: bytes
) -> Iterator[str]:
    if old is None:
        return
    if now is None:
        yield "the table is gone"
        return
    try:
        was = _facts(repository, old, path)
    except Invalid:
        return  # what was no table had no columns to keep
    for name in was.columns:
        if name not in now.columns:
            yield f'the column "{name}" is gone'
        elif was.columns[name] != now.columns[name]:
            yield f'the column "{name}" was {was.columns[name]} and is {now.columns[name]}'
    for name in now.columns:
        if name not in was.columns:
            yield f'the column "{name}" is new'
    if now.ordered and set(was.columns) == set(now.columns) and list(was.columns) != list(now.columns):
        yield f"the columns stand in another order: {', '.join(now.columns)}"


def _gaps(rule: Rule, now: TableFacts | None) -> Iterator[str]:
    if now is None:
        return
    if rule.column and rule.paths and rule.column not in now.columns:
        yield f'there is no column "{rule.column}"'
    for name, gap in now.gaps.items():
        if rule.column in ("", name):
            rows = f"{gap.rows:,} rows have" if gap.rows > 1 else "1 row has"
            yield f'{rows} nothing in "{name}", the first is row {gap.first:,}'


def _row_count(rule: Rule, now: TableFacts | None) -> Iterator[str]:
    rows = now.rows if now else 0
    there = f"{rows:,} row" + ("" if rows == 1 else "s") if now else "the table is gone"
    if rows < rule.low:
        yield f"{there}; at least {rule.low:,} must be there"
    if rule.high is not None and rows > rule.high:
        yield f"{there}; at most {rule.high:,} may be there"


def _run(command: str, folder: Path, environment: Mapping[str, str]) -> Failure | None:
    """None: it succeeded. What it leaves running ends with it."""
    with TemporaryFile() as said:
        try:
            process = subprocess.Popen(
                _words(command), cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=said,
                stderr=subprocess.STDOUT, process_group=0,
            )  # fmt: skip
        except OSError as error:
            return Failure(command, None, f"it cannot be started: {error.strerror}")
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # so that the group keeps its id
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
        if status == 0:
            return None
        how = f"it ended with status {status}" if status > 0 else f"it was ended by signal {-status}"
        return Failure(command, None, how, _last_lines(said))


def _words(command: str) -> list[str]:
    """Without a shell where it would make no difference."""
    if not _SHELL.search(command):
        with suppress(ValueError):  # a quote without its partner, which the shell will tell
            return shlex.split(command)
    return ["/bin/sh", "-c", command]


def _last_lines(said: IO[bytes]) -> tuple[str, ...]:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _TAIL))
    lines = said.read().decode("utf-8", "replace").splitlines()
    return tuple(lines[-_LINES:])
