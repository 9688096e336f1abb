"""Text: how many lines differ, and the first of them in the unified form."""

import difflib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from kamld.errors import Invalid

TEXT_MAX = 1_000_000  # bytes of a file whose lines are compared
_ALIGNED = 5_000  # lines between what both begin and end with; more are only counted
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


@dataclass(slots=True)
class TextDiff:
    added: int
    removed: int
    lines: list[str] = field(default_factory=list)  # unified, without the two of the names
    more: int = 0  # such lines that are not here
    aligned: bool = True


def read_text(file: BinaryIO) -> list[str]:
    """Lines that may be no UTF-8: see `legible`. Raises Invalid (not_text)."""
    file.seek(0)
    data = file.read(TEXT_MAX + 1)
    if len(data) > TEXT_MAX:
        raise Invalid("not_text", "It is longer than 1 MB.")
    if b"\0" in data:
        raise Invalid("not_text", "It has bytes that are no text.")
    try:
        return data.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        if _CONTROL.search(data):
            raise Invalid("not_text", "It has bytes that are no text.") from None
        return data.decode("utf-8", "surrogateescape").splitlines()  # so that other bytes stay other bytes


def compare_texts(old: list[str], new: list[str], *, shown: int) -> TextDiff:
    """At most so many lines are `shown`."""
    head, tail = _common_ends(old, new)
    if max(len(old), len(new)) - head - tail > _ALIGNED:
        one = Counter(old[head : len(old) - tail])
        two = Counter(new[head : len(new) - tail])
        return TextDiff((two - one).total(), (one - two).total(), aligned=False)
    skipped, left = max(0, head - 1), max(0, tail - 1)
    before, now = old[skipped : len(old) - left], new[skipped : len(new) - left]
    unified = list(difflib.unified_diff(before, now, n=1, lineterm=""))[2:]
    found = [_shifted(line, skipped) for line in unified]
    added, removed = (sum(line.startswith(sign) for line in found) for sign in "+-")
    return TextDiff(added, removed, [legible(line) for line in found[:shown]], max(0, len(found) - shown))


def _shifted(line: str, by: int) -> str:
    if not line.startswith("@@"):
        return line
    return re.sub(r"([-+])(\d+)", lambda found: f"{found[1]}{int(found[2]) + by}", line)


def _common_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    shorter = min(len(old), len(new))
    head = next((n for n in range(shorter) if old[n] != new[n]), shorter)
    tail = next((n for n in range(shorter - head) if old[-1 - n] != new[-1 - n]), shorter - head)
    return head, tail


def legible(text: str) -> str:
    """For people: what is no UTF-8 was written by a program of Windows, most likely."""
    if not any("\udc80" <= letter <= "\udcff" for letter in text):
        return text
    try:
        data = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # what JSON may have
        return text
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")
