"""`kamld cat`: a file's bytes, out of any version, without a checkout."""

import sys

import click

from kamld.cli.context import Door, pass_door
from kamld.cli.paths import find_place
from kamld.reading.choose import one_file


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
    places = [find_place(door.app, text) for text in paths]
    found = [one_file(place.folders, place.path, place.where) for place in places]
    for entry in found:
        for piece in repository.objects.stream(entry.id):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
