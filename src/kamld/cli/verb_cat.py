"""`kamld cat`: a file's bytes, out of any version, without a checkout."""

import os
import sys

import click

from kamld.cli.context import Door, pass_door
from kamld.errors import Invalid, NotFound
from kamld.store import Repository
from kamld.store.trees import EXECUTABLE, FILE, Entry


@click.command("cat")
@click.argument("paths", nargs=-1, required=True, metavar="NAME[@REVISION]:PATH...")
@pass_door
def command(door: Door, paths: tuple[str, ...]) -> None:
    """Write the bytes of files of any version to the output, one after the other.

    Nothing is checked out, and only what is written is read. Nothing is written unless all are there.

    \b
    Examples:
      kamld cat digits:labels.csv
      kamld cat digits@v1:labels.csv > labels-before.csv
      kamld cat digits@main~1:a.csv digits:a.csv
    """
    repository = door.app.repository
    found = [_file(door, repository, text) for text in paths]
    for entry in found:
        for piece in repository.objects.stream(entry.id):
            sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _file(door: Door, repository: Repository, text: str) -> Entry:
    reference = door.app.reference(text)
    path = os.fsencode(reference.path.strip("/"))
    if not path:
        raise Invalid("no_path", f'"{text}" names no file.', f"Write a path behind a colon: {text}:PATH")
    entries = repository.tree(repository.resolve(reference).commit).under(path)
    name, revision = reference.name.name, reference.revision
    if not len(entries):
        raise NotFound(
            "unknown_path", f'There is no "{reference.path}" in {reference.name}@{revision}.',
            f"kamld ls {name}@{revision} shows what there is.",
        )  # fmt: skip
    entry = next(entries.rows())
    if entry.path != path or entry.kind not in (FILE, EXECUTABLE):
        raise Invalid("not_a_file", f'"{reference.path}" in {reference.name}@{revision} is no file.',
                      f"kamld ls {name}@{revision}:{reference.path} shows what it is.")  # fmt: skip
    return entry
