"""`kamld split`: train and test, as datasets of their own."""

from collections.abc import Sequence

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.store.splits import SplitResult, split


@click.command("split")
@click.argument("name", metavar="NAME[@REVISION]")
@click.option("--test", default=0.2, show_default=True, help="Share of the examples for the test part.")
@click.option("--seed", default=0, show_default=True, help="Another seed makes another split.")
@click.option("--prefix", help="Names are PREFIX-train and PREFIX-test. Default: NAME.")
@json_option
@pass_door
def command(door: Door, name: str, test: float, seed: int, prefix: str | None, as_json: bool) -> None:
    """Split a dataset into train and test without copying a byte.

    Which side a file is on hangs on its content, and it stays there when the dataset grows or the
    file changes. Equal files come to the same side; where a change makes files of both sides equal,
    the command tells how many. Tables that describe the files, such as labels.csv, go whole to both.
    Repeat the command after a commit to bring both parts up to date.

    \b
    Examples:
      kamld split digits --test 0.3 --seed 7
      kamld split digits@v2 --test 0.1 --prefix digits-small
    """
    app = door.app
    source = app.resolve(name)
    result = split(
        app.repository, source, test, seed, prefix=prefix or source.dataset.name, author=app.author
    )
    if as_json:
        render.json_value(_json(result))
    else:
        _show(result, source.dataset.name)


def _show(result: SplitResult, name: str) -> None:
    total = sum(part.examples for part in result.parts)
    rows = [
        (
            part.dataset.name,
            render.commit_id(part.commit_id),
            f"{part.examples:,} files",
            f"({part.examples / total * 100:.1f} %)",
            "" if part.committed else "as before",
        )
        for part in result.parts
    ]
    render.table(rows, right=(2, 3))
    render.say(f"0 bytes copied; {render.size(result.bytes_added)} of lists added.")
    whole = f" {_some(result.shared)} whole in both." if result.shared else ""
    render.say(f"Each file keeps its side when {name} grows.{whole}")
    if result.on_both_sides:
        render.say(f"{result.on_both_sides:,} files have a content that is on both sides.")


def _some(paths: Sequence[bytes]) -> str:
    more = f" and {len(paths) - 2} more are" if len(paths) > 2 else " are" if len(paths) == 2 else " is"
    return ", ".join(render.path(path) for path in paths[:2]) + more


def _json(result: SplitResult) -> dict[str, object]:
    return {
        "parts": [
            {
                "project": part.dataset.project, "name": part.dataset.name, "part": part.part,
                "examples": part.examples, "commit": part.commit_id, "changed": bool(part.committed),
            }
            for part in result.parts
        ],
        "shared": [views.path_json(path) for path in result.shared],
        "on_both_sides": result.on_both_sides,
        "bytes_added": result.bytes_added,
    }  # fmt: skip
