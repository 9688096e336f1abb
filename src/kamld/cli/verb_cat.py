"""`kamld cat`: a file's bytes, out of any version, without a checkout."""

import os
import sys

import click

from kamld.cli.context import Door, pass_door
from kamld.cli.paths import find_place, shell_word
from kamld.errors import Invalid
from kamld.reading.choose import pattern_of
from kamld.store.trees import EXECUTABLE, FILE, Entry


@click.command("cat")
@click.argument("paths", nargs=-1, required=True, metavar="NAME[@REVISION]:PATH...")
@pass_door
def command(door: Door, paths: tuple[str, ...]) -> None:
    """Write the bytes of files of any version to the output, one after the other.

    Nothing is checked out, and only what is written is read. Nothing is written unless all are there.
    A pattern must match one file.

    \b
    Examples:
      kamld cat digits:labels.csv
      kamld cat digits@v1:labels.csv > labels-before.csv
      kamld cat digits@main~1:a.csv digits:a.csv
      kamld cat "digits:**/labels.csv"
    """
    repository = door.app.repository
    found = [_file(door, text) for text in paths]
    for entry in found:
        for piece in repository.objects.stream(entry.id):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _file(door: Door, text: str) -> Entry:
    place = find_place(door.app, text)
    if not place.path:
        raise Invalid("no_path", f'"{text}" names no file.', f"Write a path behind a colon: {text}:PATH")
    found = list(place.chosen().rows())
    entry = found[0]
    one = entry.path == os.fsencode(place.path) or pattern_of(place.folders, place.path)
    if one and len(found) > 1:
        some = ", ".join(os.fsdecode(row.path) for row in found[:3]) + (", …" if len(found) > 3 else "")
        raise Invalid(
            "which_file", f'"{place.path}" matches {len(found):,} files in {place.where}: {some}.',
            f"Name one; kamld ls {shell_word(os.fsencode(text))} lists all.",
        )  # fmt: skip
    if not one or entry.kind not in (FILE, EXECUTABLE):
        raise Invalid("not_a_file", f'"{place.path}" in {place.where} is no file.',
                      f"kamld ls {place.where}:{place.path} shows what it is.")  # fmt: skip
    return entry
