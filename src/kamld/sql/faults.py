"""What DuckDB has against a question, in the person's words: their own line, a mark below the spot."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kamld.errors import Invalid

_PLACE = re.compile(r"\n\s*\n?LINE (\d+): (.*)\n( *)\^")
_KIND = re.compile(r"^[A-Z][A-Za-z ]* Error: ")
_CANDIDATES = re.compile(r"\nCandidate bindings: .*")
_DID_YOU_MEAN = re.compile(r"\nDid you mean (\".*?\")\??")


@contextmanager
def explained(question: str, seconds: float, memory_mb: int, hint: str = "") -> Iterator[None]:
    """Raises Invalid (bad_sql, sql_too_slow, sql_too_large) for what DuckDB refuses."""
    import duckdb  # 45 ms, which only a question costs

    try:
        yield
    except duckdb.InterruptException:
        said = f"The SQL took longer than {seconds:g} seconds and was stopped."
        raise Invalid("sql_too_slow", said, "Ask for less at once.") from None
    except duckdb.OutOfMemoryException:
        said = f"The SQL needs more than the {memory_mb} MB that it may have."
        raise Invalid("sql_too_large", said, "Ask for less at once.") from None
    except duckdb.Error as error:
        raise refused(question, str(error), hint) from None


def refused(question: str, said: str, hint: str = "", position: int | None = None) -> Invalid:
    place = _PLACE.search(said)
    message = _KIND.sub("", said[: place.start()] if place else said)
    near = _DID_YOU_MEAN.search(message)
    message = _DID_YOU_MEAN.sub("", _CANDIDATES.sub("", message)).strip()
    if place:
        message += _marked(question, int(place[1]), len(place[3]) - len(f"LINE {place[1]}: "), place[2])
    elif position is not None:
        line = question.count("\n", 0, position) + 1
        column = position - (question.rfind("\n", 0, position) + 1)
        message += _marked(question, line, column, "")
    if message.startswith(("Cannot access", "Loading external")):
        message = f"SQL here can read tables of versions and nothing else. {message}"
    advice = f"Did you mean {near[1]}?" if near and "pg_" not in near[1] else ""
    return Invalid("bad_sql", message, f"{advice} {hint}".strip())


def _marked(question: str, line: int, column: int, shown: str) -> str:
    """The line that is meant, as the person wrote it; DuckDB shortens long ones (`shown`)."""
    lines = question.splitlines()
    whole = lines[line - 1] if 0 < line <= len(lines) else shown
    if shown and shown != whole:
        whole = shown
    return f"\n  {whole}\n  {' ' * max(column, 0)}^"
