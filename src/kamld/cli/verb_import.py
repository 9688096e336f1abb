"""`kamld import`: files from elsewhere become a version, which says where they came from."""

import click

from kamld.changes.pending import into
from kamld.cli import render, views
from kamld.cli.context import Door, json_option, pass_door
from kamld.cli.left_out import left_elsewhere
from kamld.errors import UsageError
from kamld.exchange import Imported, fetch_left, import_from, recognise
from kamld.exchange.recognise import KINDS
from kamld.records.history import Commit, Dataset
from kamld.records.names import LENGTH_MAX, MAIN, parse_name
from kamld.store import Repository
from kamld.store.refs.landing import meant_for

_TAGS_SHOWN = 5
_PATHS_SHOWN = 3


@click.command("import")
@click.argument("source", metavar="SOURCE")
@click.argument("name", required=False)
@click.option("-m", "--message", default="", help="What it is, in your words.")
@click.option("--model", is_flag=True, help="Make a model of it, not a dataset, on first use.")
@click.option("--into", "branch", default="", metavar="BRANCH", help="The branch that it comes into. [main]")
@click.option("--kind", type=click.Choice(KINDS), default=None, help="Take SOURCE for this.")
@click.option("--reference", is_flag=True, help="Leave the files where they are; keep place and checksums.")
@click.option("--sha256", default="", metavar="HEX", help="What SOURCE, one file, must have.")
@click.option(
    "--leave-out-missing", is_flag=True, help="DVC: leave out what its cache lacks, and say what that is."
)
@click.option("--fetch", is_flag=True, help="SOURCE is a NAME here: copy what was left elsewhere.")
@json_option
@pass_door
def command(
    door: Door, source: str, name: str | None, message: str, model: bool, branch: str, kind: str | None,
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
    found = recognise(source, reach, app.folder, as_kind=kind or "", sha256=sha256, aside=aside)
    wanted = parse_name(name or _word(found.name), app.project)
    with render.progress("Reading") as advance:
        result = import_from(
            repository, found, wanted, local=aside, author=app.author, message=message, model=model,
            branch=branch, reference=reference, leave_out=leave_out_missing, progress=advance,
        )  # fmt: skip
    if as_json:
        render.json_value(_json(repository, result, branch or MAIN))
    else:
        _show(result)
        if reference and result.committed:
            _tell_left(repository, result.committed.commit, result.dataset)


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
    version = f"{resolved.dataset.said}, version {render.commit_id(resolved.commit_id)},"
    with render.progress("Fetching") as advance:
        count, size = fetch_left(app.repository, app.repository.tree(resolved.commit).entries(), advance)
    if as_json:
        shown = views.dataset_json(resolved.dataset) | {"commit": resolved.commit_id}
        render.json_value(shown | {"files": count, "bytes": size})
    elif count:
        render.say(f"Fetched {render.files(count)}, {render.size(size)}; the hub has all of {version} now.")
    else:
        render.say(f"The hub has all of {version} already.")


def _show(result: Imported) -> None:
    dataset, source = result.dataset, result.source
    for remark in result.remarks:
        render.note(remark)
    if result.committed is None:
        if not result.tags and (source.history is None or not result.versions):
            same = render.commit_id(result.base or "")
            kept = f", which is kept as branch {result.branch}" if result.branch else ""
            render.say(f"Nothing has changed in {source.source} since {same}{kept}; no new version.")
            if result.branch:
                _bring_in(dataset, result.branch)
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
        else views.changed_files(result.changes)
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
        some = ", ".join(render.path(path) for path in made.landed.conflicts[:_PATHS_SHOWN])
        more = len(made.landed.conflicts) - _PATHS_SHOWN
        what = f"{some}{f' and {more:,} more' if more > 0 else ''}" if some else dataset.said
        render.say(f"{what} was changed here too; this import is kept as branch {made.landed.branch}.")
        _bring_in(dataset, made.landed.branch)
    elif result.created:
        render.advise(f"Next: kamld checkout {dataset.said}, kamld log {dataset.said}")


def _bring_in(dataset: Dataset, branch: str) -> None:
    """How an import that was kept apart gets where it was meant for."""
    meant = meant_for(branch)
    render.advise(f"Look: kamld diff {dataset.said}@{meant} {dataset.said}@{branch}")
    render.advise(f"Bring it in: kamld merge {dataset.said} {branch}{into(meant)}")


def _tell_left(repository: Repository, commit: Commit, dataset: Dataset) -> None:
    count, where = left_elsewhere(repository.objects, repository.tree(commit).entries().rows())
    if not count:
        render.say("Nothing is left elsewhere: the hub has a copy of all these files already.")
    else:
        render.advise(
            f"{render.files(count)} left in {where}; the hub has no copy. Copy them:"
            f" kamld import --fetch {dataset.said}"
        )


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


def _json(repository: Repository, result: Imported, branch: str) -> dict[str, object]:
    made, came = result.committed, result.versions
    return {
        **views.landed_json(repository, result.dataset, result.base, made),
        **views.dataset_json(result.dataset),
        "branch": made.landed.branch if made else result.branch or branch,
        "source": result.source.source, "source_kind": result.source.kind, "created": result.created,
        "files": result.files, "bytes": result.bytes, "bytes_read": result.bytes_read,
        "bytes_added": result.bytes_added, "remarks": result.remarks,
        "version_count": came if made or result.source.history is not None else 0, "tags": result.tags,
    }  # fmt: skip
