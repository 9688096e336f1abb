"""Patterns of paths, the same everywhere: `*` and `?` stay within a folder, `**` goes through any number
of them, `[ab]` and `[!ab]` are one letter. What a pattern means is decided here; who reads trees by one
is elsewhere."""

import re

_SPECIAL = re.compile(r"[*?\[]")


class Glob:
    """One pattern. It is about whole paths; one of a folder means all that is in it."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern.strip("/")
        levels, self._deep = _levels(self.pattern)
        self._whole = re.compile("/".join(levels) + "(?:/.*)?", re.DOTALL)
        self._levels = [re.compile(level, re.DOTALL) for level in (levels[:-1] if self._deep else levels)]

    @property
    def folder(self) -> str:
        """The folder that every path of the pattern is in, so that nothing else need be looked at. A
        pattern without any sign of one is that path itself."""
        special = _SPECIAL.search(self.pattern)
        return self.pattern[: special.start()].rpartition("/")[0] if special else self.pattern

    def matches(self, path: str) -> bool:
        return self._whole.fullmatch(path) is not None

    def may_be_in(self, folder: str) -> bool:
        """Whether any path in this folder can match: nobody need look into one where none can."""
        names = folder.split("/")
        return all(level.fullmatch(name) for level, name in zip(self._levels, names, strict=False))


def is_glob(text: str) -> bool:
    return _SPECIAL.search(text) is not None


def _levels(pattern: str) -> tuple[list[str], bool]:
    """The pattern as regular expressions, one a folder; the last one may stand for many, and says so."""
    levels, at = [""], 0
    while at < len(pattern):
        if pattern.startswith("**", at):
            return [*levels[:-1], levels[-1] + _rest(pattern[at:])], True
        if pattern[at] == "/":
            levels.append("")
            at += 1
        else:
            part, at = _one(pattern, at)
            levels[-1] += part
    return levels, False


def _rest(pattern: str) -> str:
    parts, at = [], 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        else:
            part, at = _one(pattern, at)
            parts.append(part)
    return "".join(parts)


def _one(pattern: str, at: int) -> tuple[str, int]:
    """What stands at a position means one part of a name; where the next part begins."""
    if pattern[at] in "*?":
        return "[^/]*" if pattern[at] == "*" else "[^/]", at + 1
    if pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
        inside = pattern[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
        not_these = inside.startswith("!")
        return f"(?!/)[{'^' if not_these else ''}{inside[not_these:]}]", end + 1
    return re.escape(pattern[at]), at + 1
