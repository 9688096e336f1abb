"""Text that came from elsewhere must not drive the terminal: it is shown, never obeyed."""

import re

# What click.style writes for us: bold, dim, seven colours, and back to normal. Nothing else passes.
_OUR_STYLES = re.compile(r"(\x1b\[(?:0|1|2|3[1-7])m)")


def safe(text: str) -> str:
    """The text with control characters and other unprintable ones written out, as \\x1b."""
    if text.isprintable():
        return text
    return "".join(
        part if at % 2 else "".join(map(_shown, part)) for at, part in enumerate(_OUR_STYLES.split(text))
    )


def _shown(character: str) -> str:
    if character.isprintable() or character in "\n\t":
        return character
    return character.encode("unicode_escape", "backslashreplace").decode()
