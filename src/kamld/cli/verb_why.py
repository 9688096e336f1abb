"""`kamld why`: from anything back to the data it was made of."""

from functools import partial
from typing import Any

import click

from kamld import ids
from kamld.app import serving as wired
from kamld.app.catalog import owners
from kamld.catalog.lineage import why
from kamld.catalog.nodes import Node
from kamld.cli import render
from kamld.cli.advice import complete
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.views import plain
from kamld.serving.predictions import find


@click.command("why")
@click.argument("name")
@json_option
@pass_door
def command(door: Door, name: str, as_json: bool) -> None:
    """Trace anything back to the data it was made of.

    NAME is a dataset, model, version, run, deployment or prediction. A bare word is a dataset or
    model; say run:41 or endpoint:NAME where it is not plain.

    \b
    Examples:
      kamld why digits-net@champion
      kamld why run:2
      kamld why endpoint:digits-net
      kamld why 06g3w6m6t0c2v7q0k1f8e5s9ab      a prediction
    """
    app = door.app
    node = why(
        app.repository,
        name,
        project=app.project,
        owners=partial(owners, app),
        log=partial(find, wired.predictions_folder(app)),
    )
    if as_json:
        render.json_value(plain(_json(node)))
    else:
        _show(node, app.author, "", "")


def _json(node: Node) -> dict[str, Any]:
    """A version has its `commit` beside its `id`, as everywhere."""
    version = node.sort in ("dataset", "model")
    return {
        "kind": node.sort, "title": node.title, "commit": node.id if version else None,
        "id": node.id or None, "time": node.time or None,
        "author": node.author or None, "via": node.via or None, "about": node.about,
        "details": node.details, "repeated": node.repeated, "children": [_json(c) for c in node.children],
    }  # fmt: skip


def _show(node: Node, me: str, first: str, rest: str) -> None:
    """The node and those below it; `first` and `rest` are what stands before its lines."""
    render.say(render.clipped(first + _line(node, me)))
    for position, child in enumerate(node.children):
        last = position == len(node.children) - 1
        _show(child, me, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _line(node: Node, me: str) -> str:
    full = node.sort == "prediction"
    identifier = node.id if full else ids.short(node.id)
    words = [click.style(node.title, bold=True)]
    if identifier:
        words.append(click.style(identifier, fg="yellow"))
    words.extend(map(complete, node.about) if node.sort == "shortened" else node.about)
    if node.via == "merged":
        words.append("(merged)")
    if node.repeated:
        words.append("(above)")
    when = [render.who(node.author, me)] if node.author and not node.repeated else []
    when += [render.ago(node.time)] if node.time and not node.repeated else []
    if when:
        words.append(click.style(", ".join(when), dim=True))
    return "  ".join(words)
