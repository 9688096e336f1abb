"""`kamld split`: parts and views of a dataset, as datasets of their own."""

from collections.abc import Sequence
from typing import Any

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.records.history import Dataset
from kamld.splits import Asked, SplitResult, settle, split
from kamld.splits.rule import FOLDER, parse_parts, words


@click.command("split")
@click.argument("name", metavar="NAME[@REVISION]")
@click.option("--test", type=float, metavar="SHARE", help="Share of the test part. Default: 0.2.")
@click.option("--parts", metavar="PART=SHARE,…", help="Other parts, such as train=0.7,val=0.15,test=0.15.")
@click.option("--seed", type=int, help="Another seed makes another split. Default: 0.")
@click.option("--stratify", "by", metavar="folder|TABLE:COLUMN", help="Keep the shares within each kind.")
@click.option("--group", metavar="TABLE:COLUMN", help="Keep together what has a value in common.")
@click.option("--where", metavar="SQL", help="Only files, or rows, for which this holds.")
@click.option("--table", metavar="TABLE", help="Let --where speak of this table's columns too.")
@click.option("--rows", metavar="TABLE", help="Split the rows of this table, not files.")
@click.option("--file-column", metavar="COLUMN", help="The column that names files, if it is not found.")
@click.option("--prefix", help="Names of parts are PREFIX-PART. Default: NAME.")
@click.option("--as", "view", metavar="NAME", help="Make one dataset of all for which --where holds.")
@json_option
@pass_door
def command(
    door: Door, name: str, test: float | None, parts: str | None, prefix: str | None, view: str | None,
    as_json: bool, **rule: Any,
) -> None:  # fmt: skip
    """Split a dataset into train and test, or filter it, without copying a file.

    Which part a file is in hangs on its content, and it stays there when the dataset grows or the
    file changes. Equal files come to the same part. Tables that describe the files, such as
    labels.csv, go whole to every part; a dataset that is one table is split by rows. Repeat the
    command after a commit to bring the parts up to date: kamld split NAME is enough, whatever the
    dataset and its parts are called by now.

    --where takes SQL over path, name, folder, extension, size, kind and id of files, and with
    --table over that table's columns; with --rows over the columns of its rows.

    \b
    Examples:
      kamld split digits --test 0.3 --seed 7 --stratify folder
      kamld split digits --parts train=0.7,val=0.15,test=0.15
      kamld split scans --group labels.csv:patient --stratify labels.csv:diagnosis
      kamld split flowers --where "size > 10000 AND path LIKE 'roses/%'" --as big-roses
      kamld split flowers --where "label = 'rose'" --table labels.csv --as roses
      kamld split houses --rows houses.csv --test 0.2 --stratify region
    """
    wanted = Asked(test, parse_parts(parts) if parts else (), prefix or "", view or "", **rule)
    wanted.check()
    app = door.app
    source = app.resolve(name)
    settled = settle(app.repository, source.dataset, wanted)
    result = split(app.repository, source, settled.rule, names=settled.names, author=app.author)
    if as_json:
        render.json_value(_json(result))
    else:
        _show(result, source.dataset, repeated=settled.repeated)


def _show(result: SplitResult, source: Dataset, *, repeated: bool) -> None:
    if repeated and result.rule.parts:
        render.say(f"By the rule of before: {words(result.rule)}")
    unit = "rows" if result.rule.rows else "files"
    total = sum(part.examples for part in result.parts) if result.rule.parts else result.of
    rows = [
        (
            part.dataset.said,
            render.commit_id(part.commit_id),
            f"{part.examples:,} {unit}",
            f"({part.examples / total * 100:.1f} %)",
            "" if part.committed else "as before",
        )
        for part in result.parts
    ]
    render.table(rows, right=(2, 3))
    if result.rule.rows:
        render.say(f"{render.size(result.bytes_added)} of rows and lists added.")
    else:
        render.say(f"0 bytes copied; {render.size(result.bytes_added)} of lists added.")
    whole = _some(result.shared, len(result.parts)) if result.shared else ""
    if result.rule.parts:
        render.say(f"Each {unit[:-1]} keeps its side when {source.said} grows. {whole}".rstrip())
    else:
        if whole:
            render.say(whole)
        view = result.parts[0].dataset.said
        render.advise(f"When {source.said} grows: kamld split {source.said} --as {view}")
    for line in warnings(result):
        render.say(line)


def warnings(result: SplitResult) -> list[str]:
    """What is not as one would wish, a line each."""
    unit, found = "rows" if result.rule.rows else "files", []
    if result.leaked:
        found.append(f"{result.leaked:,} {unit} have a content that is on both sides.")
    if result.leaked_groups:
        some = ", ".join(render.path(name.encode("utf-8", "replace")) for name in result.leaked_groups[:3])
        more = f" and {len(result.leaked_groups) - 3:,} more" if len(result.leaked_groups) > 3 else ""
        found.append(
            f"On several sides of {result.rule.group}: {some}{more}. What was split before was not moved."
        )
    if result.short and result.rule.by:
        some = ", ".join(_kind(name, result.rule.by) for name in result.short[:3])
        found.append(
            f"{len(result.short):,} of {result.strata:,} kinds have too few {unit} for every part: {some}"
            f"{', …' if len(result.short) > 3 else ''}."
        )
    found += [f"{part.dataset.said} has no {unit[:-1]}." for part in result.parts if not part.examples]
    return found


def _kind(name: str, by: str) -> str:
    return "the top folder" if (name, by) == (".", FOLDER) else name or "(none)"


def _some(paths: Sequence[bytes], parts: int) -> str:
    more = f" and {len(paths) - 2:,} more are" if len(paths) > 2 else " are" if len(paths) == 2 else " is"
    where = "in both" if parts == 2 else "in each" if parts > 2 else "in it"
    return ", ".join(render.path(path) for path in paths[:2]) + f"{more} whole {where}."


def _json(result: SplitResult) -> dict[str, object]:
    return {
        "parts": [
            {
                **views.dataset_json(part.dataset), "part": part.part,
                "examples": part.examples, "commit": part.commit_id, "changed": bool(part.committed),
            }
            for part in result.parts
        ],
        "rule": result.rule,
        "of": result.of,
        "shared_paths": [views.path_json(path) for path in result.shared],
        "on_both_sides": result.leaked,
        "groups_on_both_sides": list(result.leaked_groups),
        "short": list(result.short),
        "bytes_added": result.bytes_added,
    }  # fmt: skip
