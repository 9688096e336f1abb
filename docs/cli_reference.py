"""Writes docs/reference/cli.md from the commands' own help; with --check, only says if it is stale.

`./dev docs` runs it, `./dev check` checks it. Nothing in that page is written by hand.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

PAGE = Path(__file__).parent / "reference" / "cli.md"
WIDTH = 96

HEAD = """\
# Command line

Written by `./dev docs` from each command's `--help`. Every command exits 0 when it did what was
asked, 1 when what was asked cannot be done, 2 when it was asked in a wrong way, 3 when the system
failed it (disk, network, permissions).
"""


def sections(command: click.Command, path: str, level: int) -> Iterator[str]:
    """A section for the command, then one for each below it, in the order of its own list."""
    context = click.Context(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    lines = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield f"{'#' * level} {path}\n\n```text\n{lines}\n```\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from sections(below, f"{path} {name}", level + 1)


def page() -> str:
    cli = importlib.import_module("kamld.cli.main").cli
    return "\n".join([HEAD, *sections(cli, "kamld", 2)])


def main() -> int:
    written, wanted = PAGE.read_text("utf-8") if PAGE.exists() else "", page()
    if written == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/reference/cli.md is not what the commands' help says: ./dev docs")
        return 1
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(wanted, "utf-8")
    print("docs/reference/cli.md is written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
