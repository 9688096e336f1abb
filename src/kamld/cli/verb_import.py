"""`kamld import`: files from elsewhere become a version, which says where they came from."""

import click

from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.exchange import Imported, fetch_left, import_from, recognise
from kamld.exchange.recognise import KINDS
from kamld.records.names import LENGTH_MAX, parse_name

_TAGS_SHOWN = 5


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.argument("name", required=False)
@click.option("-m", "--message", default="", help="What it is, in your words.")
@click.option("--model", is_flag=True, help="Make a model of it, not a dataset, on first use.")
@click.option("-b", "--branch", default="", help="Put it on this branch. Default: main.")
@click.option("--as", "as_kind", type=click.Choice(KINDS), default=None, help="Take SOURCE for this.")
@click.option("--reference", is_flag=True, help="Leave the files where they are; keep place and checksums.")
@click.option("--sha256", default="", metavar="HEX", help="What SOURCE, one file, must have.")
@click.option(
    "--leave-out-missing", is_flag=True, help="DVC: leave out what its cache lacks, and say what that is."
)
@click.option("--fetch", is_flag=True, help="SOURCE is a NAME here: copy what was left elsewhere.")
@json_option
@pass_door
def command(
    door: Door, source: str, name: str | None, message: str, model: bool, branch: str, as_kind: str | None,
    reference: bool, sha256: str, leave_out_missing: bool, fetch: bool, as_json: bool,
) -> None:  # fmt: skip
    """Bring files from elsewhere into the hub; no folder is made.

    SOURCE is a folder, an archive (tar, tar.gz, tar.bz2, tar.xz, tar.zst, zip), any single file, an
    address (https://…) of one of these, or a bucket (s3://…, gs://…, az://…). MLflow models and
    Hugging Face datasets are recognised. A DVC repository, or REPOSITORY:PATH, comes with its history:
    a version for every Git commit that changed its data. A Croissant description brings the files that it
    names. The same SOURCE again: only what changed is read.

    \b
    Examples:
      kamld import flowers.tar.gz
      kamld import s3://shop/photos photos -m "as delivered"
      kamld import https://example.org/iris.csv --sha256 6f608b71…
      kamld import ~/work/churn:data/raw raw      of a DVC repository, with its history
      kamld import https://example.org/flowers/croissant.json
      kamld import /mnt/scans --reference         the files stay where they are
      kamld import --fetch scans                  now copy them after all
    """
    app = door.app
    if fetch:
        _fetch(door, source, as_json=as_json)
        return
    repository = app.new_repository
    reach = repository.objects.foreign
    aside = app.local / "imports"
    found = recognise(source, reach, app.folder, as_kind=as_kind or "", sha256=sha256, aside=aside)
    wanted = parse_name(name or _word(found.name), app.project)
    with render.progress("Reading") as advance:
        result = import_from(
            repository, found, wanted, local=aside, author=app.author, message=message, model=model,
            branch=branch, reference=reference, leave_out=leave_out_missing, progress=advance,
        )  # fmt: skip
    if as_json:
        render.json_value(_json(result))
    else:
        _show(result)


def _word(text: str) -> str:
    """A name that a dataset may have, as near as can be to that of the source."""
    word = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in text)
    while ".." in word:
        word = word.replace("..", ".")
    word = word.lstrip("-.")[:LENGTH_MAX]
    if not word:
        raise UsageError("usage", "What is it to be called?", "Give it a name: kamld import SOURCE NAME")
    return word


def _fetch(door: Door, name: str, *, as_json: bool) -> None:
    app = door.app
    resolved = app.resolve(name)
    with render.progress("Fetching") as advance:
        count, size = fetch_left(app.repository, app.repository.tree(resolved.commit).entries(), advance)
    if as_json:
        render.json_value({"id": resolved.commit_id, "files": count, "bytes": size})
    elif count:
        render.say(f"Fetched {render.files(count)}, {render.size(size)}; the hub has all of {name} now.")
    else:
        render.say(f"The hub has all of {name} already.")


def _show(result: Imported) -> None:
    dataset, source = result.dataset, result.source
    for remark in result.remarks:
        render.note(remark)
    if result.committed is None:
        if not result.tags and (source.history is None or not result.versions):
            same = render.commit_id(result.base or "")
            render.say(f"Nothing has changed in {source.source} since {same}; no new version.")
        _show_history(result)
        return
    if result.created:
        render.say(
            f"Created {dataset.kind} {dataset.project}/{dataset.name} ({source.kind}: {source.source})."
        )
    made = result.committed
    _show_history(result)
    counted = (
        f"{render.files(result.files)}, {render.size(result.bytes)}"
        if result.base is None
        else f"{views.change_counts(result.changes)} files"
    )
    first_line = made.commit.message.splitlines()[0]
    render.say(
        f"{render.commit_id(made.commit_id)}  {first_line}   {counted},"
        f" {render.size(result.bytes_read)} read, {render.size(result.bytes_added)} new"
    )
    if made.landed.how == "merged":
        render.say(
            f"{made.landed.branch} had moved on; it is merged in {render.commit_id(made.landed.head)}."
        )
    elif made.landed.how == "kept":
        render.say(
            f"{dataset.name} was changed here too; this import is kept as branch {made.landed.branch}."
        )
    elif result.created:
        render.say(f"Next: kamld checkout {dataset.name}, kamld log {dataset.name}")


def _show_history(result: Imported) -> None:
    """What came beside the newest version, where a source has many."""
    if result.source.history is None:
        return
    came = [f"{result.versions:,} version{'s' * (result.versions != 1)}"] if result.versions else []
    if result.tags:
        more = ", …" if len(result.tags) > _TAGS_SHOWN else ""
        count = f"{len(result.tags):,} tag{'s' * (len(result.tags) != 1)}"
        came.append(f"{count} ({', '.join(result.tags[:_TAGS_SHOWN])}{more})")
    if came:
        render.say(f"{' and '.join(came)} from the history in Git.")


def _json(result: Imported) -> dict[str, object]:
    common = {
        "project": result.dataset.project, "name": result.dataset.name, "kind": result.dataset.kind,
        "source": result.source.source, "source_kind": result.source.kind, "created": result.created,
        "files": result.files, "bytes": result.bytes, "bytes_read": result.bytes_read,
        "bytes_added": result.bytes_added, "remarks": result.remarks,
    }  # fmt: skip
    if result.source.history is not None:
        common |= {"versions": result.versions, "tags": result.tags}
    if result.committed is None:
        return {"id": result.base, "changed": False, **common}
    made = result.committed
    landed = {"branch": made.landed.branch, "landed": made.landed.how}
    return {**views.commit_json(made.commit_id, made.commit), "changed": True, **landed, **common}
