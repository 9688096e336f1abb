"""`.kamldignore`: what is left out of commits, in Git's pattern language, from the folder's top."""

from collections.abc import Callable
from pathlib import Path

from kamld.errors import Invalid, filesystem_fault

FILE = ".kamldignore"
Ignores = Callable[[str], bool]  # a relative path, folders with a slash at the end


def read_ignores(folder: Path) -> Ignores | None:
    """None: nothing is ignored. Raises Invalid (bad_ignore_file) for a pattern that is none."""
    path = folder / FILE
    try:
        text = path.read_text("utf-8", "surrogateescape")
    except (FileNotFoundError, IsADirectoryError):
        return None
    except OSError as error:
        raise filesystem_fault(error, str(path)) from None
    return parse_ignores(text, str(path))


def parse_ignores(text: str, where: str) -> Ignores:
    """Raises Invalid (bad_ignore_file)."""
    import pathspec  # only folders that have such a file pay for it

    try:
        return pathspec.GitIgnoreSpec.from_lines(text.splitlines()).match_file
    except ValueError as error:
        raise Invalid("bad_ignore_file", f"{where}: {error}", "Correct or remove that line.") from None


def is_left_out(place: str, ignores: Ignores | None) -> bool:
    """Whether these patterns leave out the folder at this relative path, itself or one that it is in."""
    parts = place.split("/")
    return ignores is not None and any(ignores("/".join(parts[:n]) + "/") for n in range(1, len(parts) + 1))
