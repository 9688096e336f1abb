"""Pages of Markdown as lists of blocks to run. It reads; `sandbox` runs.

```console   commands behind `$ ` (continued by `> `), each with the output that it must give. None
             shown: anything goes, but it must exit 0. `…` stands for any text within a line, a
             line `...` for any number of lines; how many spaces part two columns does not matter.
```python    run in one namespace a page; an ```output block right behind it is what it prints.
```text      and the other DATA are only shown.

Comments directly above a block: <!-- not run: reason -->, <!-- exits 2 --> (the last command does),
<!-- file: train.py --> (the block is written to that file), <!-- first: command --> (run unseen).
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

DATA = {"text", "json", "toml", "ini", "yaml", "csv", "diff", "http", "mermaid", "output"}
RUN = {"console", "python"}

_FENCE = re.compile(r"^(?P<indent>\s*)(?P<ticks>`{3,}|~{3,})(?P<kind>[\w+-]*)\s*$")
_NOTE = re.compile(r"^\s*<!--\s*(not run:|exits|file:|first:)\s*(.*?)\s*-->\s*$")


class BadPage(AssertionError):
    """The page itself is wrong: it cannot even be run."""


@dataclass(frozen=True)
class Block:
    line: int  # of its first line of content
    kind: str
    lines: list[str]
    notes: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self.lines)


@dataclass(frozen=True)
class Command:
    line: int
    text: str
    expected: list[str]


def blocks(path: Path) -> list[Block]:
    """Raises BadPage for a block that would neither run nor say why not."""
    found: list[Block] = []
    lines = path.read_text("utf-8").splitlines()
    at = 0
    while at < len(lines):
        fence = _FENCE.match(lines[at])
        if not fence:
            at += 1
            continue
        last = _end(lines, at, fence["ticks"])
        if last is None:
            raise BadPage(f"{path}:{at + 1}: this block has no end")
        content = [line.removeprefix(fence["indent"]) for line in lines[at + 1 : last]]
        block = Block(at + 2, fence["kind"], content, _notes(lines, at))
        _refuse_unclear(path, block)
        found.append(block)
        at = last + 1
    return found


def commands(path: Path, block: Block) -> list[Command]:
    found: list[Command] = []
    for number, line in enumerate(block.lines, block.line):
        if line.startswith("$ "):
            found.append(Command(number, line[2:], []))
        elif not found:
            raise BadPage(f"{path}:{number}: a console block starts with `$ ` and a command")
        elif line.startswith("> ") and not found[-1].expected:
            continued = f"{found[-1].text}\n{line[2:]}"
            found[-1] = Command(found[-1].line, continued, [])
        else:
            found[-1].expected.append(line)
    return found


def matches(expected: list[str], actual: list[str]) -> bool:
    wanted = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else f"{_line_pattern(line)}\n" for line in _tidied(expected)
    )
    return re.fullmatch(wanted, "".join(f"{line}\n" for line in _tidied(actual))) is not None


def _line_pattern(line: str) -> str:
    return ".*".join(re.escape(part) for part in line.split("…"))


def _tidied(lines: list[str]) -> list[str]:
    """Without what the eye does not see: widths of columns, blanks at the ends."""
    text = "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line.rstrip()) for line in lines)
    return text.strip("\n").split("\n") if text.strip() else []


def _end(lines: list[str], start: int, ticks: str) -> int | None:
    closing = (n for n in range(start + 1, len(lines)) if lines[n].strip() == ticks)
    return next(closing, None)


def _notes(lines: list[str], fence: int) -> dict[str, str]:
    notes = {}
    for line in reversed(lines[:fence]):
        note = _NOTE.match(line)
        if not note:
            break
        notes[note[1].rstrip(":")] = note[2]
    return notes


def _refuse_unclear(path: Path, block: Block) -> None:
    here = f"{path}:{block.line - 1}:"
    if "not run" in block.notes and len(block.notes["not run"]) < 10:
        raise BadPage(f"{here} say why it is not run")
    if block.kind not in DATA | RUN and not block.notes:
        raise BadPage(f"{here} a block of '{block.kind}': make it console or python, which are run, or text")
