"""Errors in the words of Python. What raises them names commands and options, as most people type them; a
notebook has calls and arguments. Only words change here, never the code or the kind of an error.

A command of which Python has nothing (`kamld mount`, which lists mounts) stays the command that it is.
"""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any

from kamld.errors import KamldError
from kamld.records.names import MAIN

_PLACEHOLDER = re.compile(r"[A-Z][A-Z-]*")
_WORD = r"('[^']*'|\"[^\"]*\"|[^\s;,'\"]*[^\s;,.:'\"])"
_FOLDER = r"((?:(?!kamld |; |\. [A-Z]).)+?)"  # which may have spaces, and then ends with what follows
_MESSAGE = ' -m "…"'

Handle = Callable[[str], str]  # what a name is called on: nothing where it is the reader's own
Call = Callable[[Handle, Sequence[str]], str]  # of the words of a command


def in_python(text: str, own: frozenset[str] = frozenset()) -> str:
    """The text with the calls and arguments that its commands and options are. `own`: the names, as a person
    may write them, of what the reader has a handle on."""

    def handle(name: str) -> str:
        return "" if name in own or name == "NAME" else f"kamld.dataset({_said(name)})"

    for pattern, call in _COMMANDS:
        text = re.sub(pattern, partial(_called, call, handle), text)
    text = re.sub(_VALUED, lambda found: _argument(found[1], found[2]), text)
    return re.sub(_OPTION, lambda found: _argument(found[1], None), text)


def _called(call: "Call", handle: "Handle", found: re.Match[str]) -> str:
    return call(handle, found.groups(""))


class Spoken:
    """What a script holds: whatever its public methods raise is said in Python's words."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, what in list(vars(cls).items()):
            if name.startswith("_") and name != "__getitem__":
                continue
            if isinstance(what, property) and what.fget:
                setattr(cls, name, property(_spoken(what.fget), doc=what.__doc__))
            elif callable(what) and not isinstance(what, type):
                setattr(cls, name, _spoken(what))

    def _own_names(self) -> frozenset[str]:
        return frozenset()


def _spoken(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def speaks(self: Spoken, *args: Any, **named: Any) -> Any:
        try:
            return method(self, *args, **named)
        except KamldError as error:
            say(error, self._own_names())
            raise

    return speaks


def say(error: KamldError, own: frozenset[str] = frozenset()) -> None:
    """Change its words."""
    error.message, error.hint = in_python(error.message, own), in_python(error.hint, own)
    error.args = (error.message,)


# Words


def _said(word: str) -> str:
    """A word of a command as an argument: a placeholder stays one."""
    bare = _bare(word)
    if _PLACEHOLDER.fullmatch(bare):
        return bare.replace("-", "_")
    return json.dumps(bare, ensure_ascii=False)


def _bare(word: str) -> str:
    return (shlex.split(word) or [""])[0] if word[:1] in "'\"" else word


def _of(handle: Handle, word: str) -> tuple[str, str, str]:
    """NAME@REVISION:PATH as the handle, revision and path."""
    rest, _, path = _bare(word).partition(":")
    name, _, revision = rest.partition("@")
    return handle(name), revision, path


# Options

_FLAGS = {"amend", "reference", "leave-out-missing", "overwrite", "every-version", "write", "dry-run"}
_LISTS = {"check": "checks", "require": "require"}
_NAMES = {"as": "as_", "check": "checks"}
_VALUES = (
    "test", "parts", "seed", "stratify", "group", "where", "table", "rows", "file-column", "prefix", "key",
    "kind", "check", "require", "into",
)  # fmt: skip
_PROSE = "alone|and|for|in|is|makes|needs|or|out|say|to|wants|with"
_VALUE = r"('[^']*'|\"[^\"]*\"|[^\s;'\"()]*[^\s;'\"().,:])"
_VALUED = rf"(?<![\w-])--({'|'.join(_VALUES)}) (?!(?:{_PROSE})\b){_VALUE}"
_OPTION = rf"(?<![\w-])--({'|'.join((*_VALUES, *sorted(_FLAGS), 'as', 'sha256', 'hub'))})\b"


def _argument(option: str, value: str | None) -> str:
    name = _NAMES.get(option, option.replace("-", "_"))
    if value is None:
        return f"{name}=True" if option in _FLAGS else f"{name}="
    bare = _bare(value)
    if option == "parts":
        shares = (part.partition("=") for part in bare.split(","))
        return f"{name}={{{', '.join(f'{json.dumps(part)}: {share}' for part, _, share in shares)}}}"
    if option == "key" and "," in bare:
        return f"{name}=[{', '.join(map(json.dumps, bare.split(',')))}]"
    said = bare if re.fullmatch(r"[0-9.]+", bare) else _said(value)
    return f"{name}=[{said}]" if option in _LISTS else f"{name}={said}"


# Commands


def _commit(_: Handle, words: Sequence[str]) -> str:
    folder, branch, name = words
    told = f", branch={_said(branch)}" if branch else ""
    on = f"kamld.dataset({'OTHER' if name == '…' else _said(name)})" if name else ""
    return f'{on}.commit({_said(folder)}, "…"{told})'


def _bind(handle: Handle, words: Sequence[str]) -> str:
    hub, folder, what = words
    on, revision, _ = _of(handle, what)
    name = _bare(what).partition("@")[0]
    if hub:
        on = f"kamld.dataset({_said(name)}, hub={_said(hub)})"
    return f"{on}.init({_said(folder)}, bind={_said(revision or MAIN)})"


def _merge(handle: Handle, words: Sequence[str]) -> str:
    name, source, into, end = words
    if end:
        return f"{handle(name)}.abort({_said(into) if into else ''})"
    said = [_said(source)] if source else []
    return f"{handle(name)}.merge({', '.join([*said, *([f'into={_said(into)}'] if into else [])])})"


def _unprotect(handle: Handle, words: Sequence[str]) -> str:
    on, branch, _ = _of(handle, words[0])
    return f"{on}.unprotect({'' if branch == MAIN else _said(branch)})"


def _name(handle: Handle, words: Sequence[str]) -> str:
    """kamld branch|tag|alias NAME@REVISION NEW"""
    kind, what, new = words
    on, revision, _ = _of(handle, what)
    return f"{on}.{kind}({_said(new)}{f', {_said(revision)}' if revision else ''})"


def _listed(handle: Handle, words: Sequence[str]) -> str:
    """kamld ls|cat NAME@REVISION:PATH, of the version that was asked."""
    verb, what = words
    on, revision, path = _of(handle, what)
    if not path and verb == "ls" and revision == "REVISION":
        return f"{on}.ls(revision=REVISION)"
    return f"{on}.{verb}({_said(path) if path else ''})"


def _mount(handle: Handle, words: Sequence[str]) -> str:
    what, folder = words
    on, branch, _ = _of(handle, what)
    return f"{on}.mount({_said(branch or 'BRANCH')}, {_said(folder)}, write=True)"


def _literal(said: str) -> Call:
    return lambda _, words: said.format(*map(_said, (word or "" for word in words)))


def _plain(verb: str) -> Call:
    return lambda handle, words: f"{handle(words[0])}.{verb}()"


_HUB = "kamld.hub()"
_COMMANDS: list[tuple[str, Call]] = [
    # of a hub
    (rf"kamld fsck --repair --from {_WORD}", _literal(f"{_HUB}.repair({{0}})")),
    (r"kamld fsck --repair", _literal(f"{_HUB}.repair()")),
    (r"kamld fsck\b", _literal(f"{_HUB}.fsck()")),
    (r"kamld rebuild\b", _literal(f"{_HUB}.rebuild()")),
    (r"kamld doctor --upgrade", _literal(f"{_HUB}.doctor(upgrade=True)")),
    (r"kamld gc --dry-run", _literal(f"{_HUB}.gc(dry_run=True)")),
    (r"kamld gc\b", _literal(f"{_HUB}.gc()")),
    (r"kamld purge --finish", _literal(f"{_HUB}.finish_purges()")),
    (r"kamld ls (?=shows)", _literal(f"{_HUB}.ls() ")),
    # another hub
    (rf"kamld --hub {_WORD} import {_WORD} NAME", _literal("kamld.dataset(NAME, hub={0}).import_({1})")),
    (rf"kamld --hub {_FOLDER} status (.+)$", _literal("kamld.dataset(NAME, hub={0}).status({1})")),
    (rf"kamld (?:--hub {_WORD} )?init {_FOLDER} --bind {_WORD}", _bind),
    # folders
    (rf"kamld commit {_FOLDER}(?: -b {_WORD})?(?: --name {_WORD})?{_MESSAGE}", _commit),
    (rf"kamld commit {_FOLDER}( -b \S+)? --name (…)", _commit),
    (r"kamld commit FOLDER\b", _literal('.commit(FOLDER, "…")')),
    (rf"kamld switch {_FOLDER} (\S+) -c\b", _literal(".switch({0}, {1}, create=True)")),
    (rf"kamld switch {_FOLDER} (REVISION)\b", _literal(".switch({0}, {1})")),
    (rf"kamld switch (?!to\b){_WORD} {_WORD}", _literal(".switch({0}, {1})")),
    (r"kamld checkout NAME\b", _literal("kamld.dataset(NAME).checkout()")),
    (rf"kamld checkout {_WORD} OTHER-FOLDER", lambda on, w: f"{on(w[0])}.checkout(folder=OTHER_FOLDER)"),
    (rf"kamld checkout {_WORD}", _plain("checkout")),
    (rf"kamld mount {_WORD} {_FOLDER} --write", _mount),
    # branches
    (r"only kamld merge\b", _literal("only .merge()")),
    (rf"kamld merge {_WORD}(?: (FROM|NEW))?(?: --into {_WORD})?( --abort)?", _merge),
    (rf"kamld branch {_WORD} --unprotect", _unprotect),
    (
        r"kamld branch (\S+) shows the branches; kamld tag and kamld alias the others",
        lambda on, words: f"{on(words[0])}.names() shows those there are",
    ),
    (r"kamld branch (\S+) (?=shows)", lambda on, words: f"{on(words[0])}.names() "),
    (rf"kamld (branch|tag|alias) {_WORD} {_WORD}", _name),
    (
        rf"kamld (?:branch|tag|alias) {_WORD}$",
        lambda handle, words: f"{handle(words[0])}.names() shows those there are",
    ),
    (rf"then mount {_WORD}@NEW", _literal("then .mount(NEW, write=True)")),
    # the rest
    (r"kamld purge NAME:PATH", _literal('.purge(PATH, reason="…")')),
    (r"kamld log (?=show)", _literal(".log() ")),
    (rf"kamld (ls|cat) (?!writes\b){_WORD}", _listed),
    (rf"kamld log {_WORD}", _plain("log")),
    (rf"kamld undo {_WORD}", _plain("undo")),
    (rf"kamld rm {_WORD}", _plain("rm")),
    (rf"kamld mv {_WORD} (NEW-NAME)", lambda handle, words: f"{handle(words[0])}.mv(NEW_NAME)"),
    (r"kamld rm, or commit", _literal(".rm(), or .commit()")),
    (rf"kamld status (?!shows){_FOLDER} (?=shows)", _literal(".status({0}) ")),
    (r"kamld (commit|status|switch|restore|export|cat)\b(?! -)", lambda _, words: f".{words[0]}()"),
    (r"another name with --name\b", _literal("another name: kamld.dataset(OTHER)")),
    (r"Leave --(?:name|project) out to commit to that one", _literal("Its own handle commits to that")),
]
