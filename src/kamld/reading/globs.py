"""Patterns of paths: `*` and `?` stay within a folder, `**` goes through any number of them."""

import re

_SPECIAL = re.compile(r"[*?\[]")


def compiled(pattern: str) -> re.Pattern[str]:
    """What the pattern means. It is about whole paths; one of a folder means all that is in it."""
    parts, at = [], 0
    pattern = pattern.strip("/")
    while at < len(pattern):
        if pattern.startswith("**/", at):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif pattern[at] in "*?":
            parts.append("[^/]*" if pattern[at] == "*" else "[^/]")
            at += 1
        elif pattern[at] == "[" and (end := pattern.find("]", at + 2)) > 0:
            inside = pattern[at + 1 : end].replace("\\", r"\\").replace("[", r"\[")
            not_these = inside.startswith("!")
            parts.append(f"(?!/)[{'^' if not_these else ''}{inside[not_these:]}]")
            at = end + 1
        else:
            parts.append(re.escape(pattern[at]))
            at += 1
    return re.compile("".join(parts) + "(?:/.*)?", re.DOTALL)


def fixed_folder(pattern: str) -> str:
    """The folder that every path of the pattern is in, so that nothing else need be looked at. A
    pattern without any sign of one is that path itself."""
    special = _SPECIAL.search(pattern.strip("/"))
    if not special:
        return pattern.strip("/")
    return pattern.strip("/")[: special.start()].rpartition("/")[0]
