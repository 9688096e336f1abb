"""Names and revisions as people write them: `project/name@revision:path`, the same everywhere.

A revision is a branch, tag, alias or commit prefix, then optionally `@{time}` (where that ref
pointed then) and `~n` (n first parents back). Parsing only; what a name means is decided by
kamld.store.
"""

import re
from urllib.parse import quote

import msgspec

from kamld import clock
from kamld.errors import Invalid

MAIN = "main"
LENGTH_MAX = 100
_REF_BYTES_MAX = 200  # quoted, as a file's name in the hub, with room for "-conflict-…"
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REVISION = re.compile(
    r"(?P<base>[^@~{}:/\s]*)(?:(?P<at>@?)\{(?P<time>[^{}]*)\})?(?P<steps>(?:~[0-9]{0,9})*)"
)
_FORBIDDEN_IN_REF = frozenset("/@:~{} \t\r\n\0")
_short = "default"  # the project that a person need not write; of the whole process, and for words alone


class Name(msgspec.Struct, frozen=True, order=True):
    """A dataset, model or endpoint within its project."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"

    @property
    def said(self) -> str:
        """As a person types it here: the project is left out where a name without one has it anyway."""
        return self.name if self.project == _short else str(self)


def leave_out(project: str) -> None:
    """From now on this is the project that names in messages and suggested commands are written without,
    "" for none. Doors say so, who know the settings; nothing is ever decided by it."""
    global _short
    _short = project


class Revision(msgspec.Struct, frozen=True):
    base: str = MAIN
    time: str | None = None  # RFC 3339 UTC, as kamld.clock writes it
    steps: int = 0  # first parents to go back

    def __str__(self) -> str:
        then = f"@{{{self.time}}}" if self.time else ""
        back = f"~{self.steps}" if self.steps else ""
        return f"{self.base}{then}{back}"

    @property
    def said(self) -> str:
        """As a person types it here: a time by their own clock, no finer than it has to be."""
        if self.time is None:
            return str(self)
        then, back = clock.here(self.time), str(self).partition("}")[2]
        precision = "microseconds" if then.microsecond else "seconds" if then.second else "minutes"
        return f"{self.base}@{{{then.isoformat(timespec=precision)}}}{back}"


class Reference(msgspec.Struct, frozen=True):
    """A parsed `name@revision:path`; `path` is "" when none was given."""

    name: Name
    revision: Revision = Revision()
    path: str = ""

    def __str__(self) -> str:
        path = f":{self.path}" if self.path else ""
        return f"{self.name}@{self.revision}{path}"


def check_word(word: str, what: str) -> str:
    """A word fit to be a project's, dataset's, model's or endpoint's name. Raises Invalid."""
    if not _WORD.fullmatch(word) or ".." in word or len(word) > LENGTH_MAX:
        raise Invalid(
            "bad_name",
            f'"{_shown(word)}" cannot be the name of a {what}.',
            f"Use letters, digits, - _ and single dots (not first), at most {LENGTH_MAX}.",
        )
    return word


def check_ref(word: str, what: str) -> str:
    """A word fit to name a branch, tag or alias. Raises Invalid."""
    bad = sorted(_FORBIDDEN_IN_REF.intersection(word))
    if not word or bad or not word.isprintable() or word.startswith(("-", ".")):
        raise Invalid(
            "bad_name",
            f'"{_shown(word)}" cannot be the name of a {what}.',
            "Use no space, none of / @ : ~ { }, and no - or . at the beginning.",
        )
    if len(word) > LENGTH_MAX or len(quote(word, safe="")) > _REF_BYTES_MAX:
        raise Invalid("bad_name", f'"{_shown(word)}" is too long for a {what}.', "Shorten it.")
    return word


def _shown(text: str) -> str:
    """At most 60 characters that any terminal and any file can take."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text[:60])
    return shown + "…" if len(text) > 60 else shown


def parse_name(text: str, project: str) -> Name:
    """`name` in `project`, or `project/name`. Raises Invalid."""
    words = text.split("/")
    if len(words) > 2:
        raise Invalid(
            "bad_name",
            f'"{_shown(text)}" has a slash too many.',
            "A name is NAME or PROJECT/NAME; a path inside it follows a colon: NAME:PATH.",
        )
    if len(words) == 2:
        return Name(check_word(words[0], "project"), check_word(words[1], "dataset or model"))
    return Name(check_word(project, "project"), check_word(text, "dataset or model"))


def parse_reference(text: str, project: str) -> Reference:
    """Raises Invalid for anything that is not `[project/]name[@revision][:path]`."""
    name, at, rest = _cut_name(text)
    if at != "@":
        return Reference(parse_name(name, project), path=rest)
    cut = _path_colon(rest)
    revision, path = (rest, "") if cut < 0 else (rest[:cut], rest[cut + 1 :])
    return Reference(parse_name(name, project), parse_revision(revision), path)


def _cut_name(text: str) -> tuple[str, str, str]:
    for position, character in enumerate(text):
        if character in "@:":
            return text[:position], character, text[position + 1 :]
    return text, "", ""


def _path_colon(text: str) -> int:
    """Where the path's colon stands: the first one outside `{…}`, whose times have colons too."""
    depth = 0
    for position, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == ":" and depth == 0:
            return position
    return -1


def parse_revision(text: str) -> Revision:
    """Raises Invalid."""
    match = _REVISION.fullmatch(text)
    if not match or not text or (match["base"] and match["at"] == ""):
        raise Invalid(
            "bad_revision",
            f'"{_shown(text)}" is not a revision.',
            "Write a branch, tag, alias or commit id, then @{2026-03-02T10:00} or ~2 if you like.",
        )
    steps = sum(int(part or 1) for part in match["steps"].split("~")[1:])
    base = match["base"] or MAIN
    return Revision(base, _parse_time(match["time"]), steps)


def _parse_time(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return clock.text(clock.moment(text))
    except (ValueError, OverflowError):
        raise Invalid(
            "bad_time",
            f'"{_shown(text)}" is not a date or time.',
            "Write it like 2026-03-02T10:00 or 2026-03-02.",
        ) from None
