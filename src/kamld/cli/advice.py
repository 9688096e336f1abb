"""Commands that are suggested, as they work where they are typed next: with the hub that was named for this
one. Only what kamld itself says goes through here, never a person's words or files."""

import re
from collections.abc import Iterable
from shlex import quote

WORDS = "kamld.words"  # in a click context's `meta`: the verb that runs and all that was typed behind it

# Of the command that runs, as Name.said has its project:
_verbs: tuple[str, ...] = ()
_given: str | None = None


def begin(verbs: Iterable[str] = ()) -> None:
    """Forget what was said for the command before."""
    global _verbs
    _verbs = tuple(verbs)
    hub_named(None)


def hub_named(hub: str | None) -> None:
    """From now on suggested commands name this hub; None: that of the settings is meant."""
    global _given
    _given = hub


def given() -> str | None:
    return _given


def complete(text: str) -> str:
    """What is said, its commands so that they work as they stand there."""
    if _given is None:
        return text
    words, hub = "|".join(map(re.escape, _verbs)), quote(_given)
    command = rf"(?<![\w./-])kamld (?=(?:{words})(?![\w-]| --help))"
    return re.sub(command, lambda _found: f"kamld --hub {hub} ", text)
