"""How things look to people: sizes, times, tables, progress. Nothing here decides anything."""

import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click
import msgspec

from kamld import clock
from kamld.cli.advice import complete
from kamld.cli.terminal import safe

_CUT_TO = 8  # columns of a table are cut no further
_STYLES = re.compile(r"(\x1b\[[0-9;]*m)")
_UNITS = ("B", "KB", "MB", "GB", "TB", "PB")


def size(count: int) -> str:
    """1234567 → "1.2 MB". Decimal units, as disks are sold."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 9.95 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}"


def files(count: int) -> str:
    return f"{count:,} file" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def seconds_between(start: str, end: str) -> float:
    return (clock.moment(end) - clock.moment(start)).total_seconds()


def ago(moment: str, now: datetime | None = None) -> str:
    """A record's time in words a person would use, in their own time zone."""
    then, present = clock.moment(moment).astimezone(), (now or datetime.now(UTC)).astimezone()
    seconds = (present - then).total_seconds()
    if seconds < 60:
        return "just now" if seconds < 10 else f"{int(seconds)} seconds ago"
    if seconds < 3600:
        minutes = int(seconds // 60)
        return f"{minutes} minute{'s' if minutes > 1 else ''} ago"
    if then.date() == present.date():
        return f"today {then:%H:%M}"
    if then.year == present.year:
        return f"{then:%B} {then.day}, {then:%H:%M}"
    return f"{then:%Y-%m-%d %H:%M}"


def who(author: str, me: str) -> str:
    return "you" if author == me else author.split(" <")[0]


def changed(added: int, removed: int, altered: int) -> str:
    parts = ((added, "+"), (removed, "−"), (altered, "~"))
    return " ".join(f"{sign}{count:,}" for count, sign in parts if count) or "no change"


def path(raw: bytes) -> str:
    """A path on one line: control characters and bytes that are no UTF-8 written out."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(
    rows: Sequence[Sequence[str]],
    header: Sequence[str] = (),
    right: Sequence[int] = (),
    indent: str = "",
    whole: Sequence[int] = (),
    spare: Sequence[int] = (),
) -> None:
    """Aligned columns; those whose positions are in `right` end together. The last is not padded.

    A terminal that is too narrow goes without the `spare` columns, one after the other as long as it is;
    then the widest others are cut, but not those in `right` and `whole`. Elsewhere nothing is.
    """
    everything = [*([header] if header else []), *rows]
    if not everything:
        return
    shown, widths = list(range(len(everything[0]))), _widths(everything)
    hard, room = {*right, *whole}, terminal_width()
    if room is not None:
        left_out = iter(spare)
        while not _may_fit(widths, shown, hard, room - len(indent)) and (one := next(left_out, None)):
            shown.remove(one)
        _narrow(widths, shown, hard, room - len(indent))
    for number, row in enumerate(everything):
        cells = []
        for i in shown:
            cell = _cut(row[i], widths[i])
            gap = " " * (widths[i] - _width(cell))
            cells.append(gap + cell if i in right else cell if i == shown[-1] else cell + gap)
        line = clipped((indent + "  ".join(cells)).rstrip())
        say(click.style(line, dim=True) if header and number == 0 else line)


def fits(rows: Sequence[Sequence[str]], header: Sequence[str], hard: Sequence[int]) -> bool:
    """Whether the terminal has room for such a table, if columns are cut but those in `hard`."""
    room, widths = terminal_width(), _widths([header, *rows])
    return room is None or _may_fit(widths, range(len(widths)), {*hard}, room)


def terminal_width() -> int | None:
    """Of the terminal that the output goes to, if it goes to one."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def clipped(line: str) -> str:
    """The line, as much as the terminal has room for."""
    room = terminal_width()
    if room is None or _width(line) <= room:
        return line
    kept, left = [], room - 1
    for part in _STYLES.split(line):  # styles take no room
        kept.append(part if _STYLES.fullmatch(part) else part[:left])
        left -= 0 if _STYLES.fullmatch(part) else len(kept[-1])
    return "".join(kept) + "…"


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(_width(row[i]) for row in rows) for i in range(len(rows[0]))]


def _may_fit(widths: Sequence[int], shown: Sequence[int], hard: set[int], room: int) -> bool:
    least = sum(widths[i] if i in hard else min(widths[i], _CUT_TO) for i in shown)
    return least + 2 * (len(shown) - 1) <= room


def _narrow(widths: list[int], shown: Sequence[int], hard: set[int], room: int) -> None:
    """Take from the widest columns, the widest first, until all have room or none is wide."""
    over = sum(widths[i] for i in shown) + 2 * (len(shown) - 1) - room
    while over > 0:
        wide = [i for i in shown if i not in hard and widths[i] > _CUT_TO]
        if not wide:
            return
        widest = max(wide, key=widths.__getitem__)
        widths[widest] -= 1
        over -= 1


def _cut(cell: str, width: int) -> str:
    """A path loses its middle, anything else its end."""
    if _width(cell) <= width:
        return cell
    text = click.unstyle(cell)
    end = (width - 1) // 2 if "/" in text else 0
    return text[: width - 1 - end] + "…" + (text[-end:] if end else "")


def _width(cell: str) -> int:
    return len(click.unstyle(cell))


def commit_id(identifier: str) -> str:
    """12 digits, in the colour that ids have everywhere."""
    return click.style(identifier[:12], fg="yellow")


def say(text: str = "") -> None:
    """A line for people; whatever is in it, the terminal only shows it."""
    click.echo(safe(text))


def note(text: str) -> None:
    """For people only, beside the result: to stderr."""
    click.echo(safe(text), err=True)


def advise(text: str) -> None:
    """A line that suggests commands, as they work where they are typed next."""
    say(complete(text))


def advise_aside(text: str) -> None:
    note(complete(text))


def json_value(value: Any) -> None:
    """One JSON value on one line; records as objects with their fields' names."""
    click.echo(msgspec.json.encode(value).decode())


def json_list(values: Iterable[Any]) -> None:
    """One JSON array on one line, written as its values come, of which there may be millions."""
    waiting, before = iter(values), "["
    while some := list(islice(waiting, 1000)):  # the first are read before anything is written
        click.echo(before + msgspec.json.encode(some).decode()[1:-1], nl=False)
        before = ","
    click.echo("[]" if before == "[" else "]")


@contextmanager
def progress(what: str, total_files: int | None = None) -> Iterator[Callable[[int, int], None]]:
    """`with progress("Reading") as advance: advance(files, bytes)`.

    A bar on a terminal, shown only once the work takes a second; a line every ten seconds elsewhere.
    """
    shown = _Bar(what, total_files) if sys.stderr.isatty() else _Lines(what)
    try:
        yield shown.advance
    finally:
        shown.close()


class _Lines:
    def __init__(self, what: str) -> None:
        self._what, self._files, self._bytes = what, 0, 0
        self._start = self._told = time.monotonic()

    def advance(self, count: int, amount: int) -> None:
        self._files += count
        self._bytes += amount
        if time.monotonic() - self._told > 10:
            self._told = time.monotonic()
            note(f"{self._what}: {files(self._files)}, {size(self._bytes)}")

    def close(self) -> None:
        pass


class _Bar:
    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._total, self._files, self._bytes = what, total, 0, 0
        self._start = time.monotonic()
        self._bar: Any = None  # rich is loaded only once there is a bar to draw
        self._task: Any = None

    def advance(self, count: int, amount: int) -> None:
        self._files += count
        self._bytes += amount
        elapsed = time.monotonic() - self._start
        if self._bar is None and elapsed > 1:
            self._open()
        if self._bar is not None:
            about = f"{files(self._files)}  {size(self._bytes)}  {size(int(self._bytes / elapsed))}/s"
            self._bar.update(self._task, completed=self._files, about=about)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _open(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[about]}", markup=False),
        )
        self._bar = Progress(*columns, console=Console(stderr=True, markup=False), transient=True)
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=self._total, about="")
