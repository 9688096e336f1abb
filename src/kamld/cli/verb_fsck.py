"""`kamld fsck`: whether everything in the hub is what was put there; with --repair, so that it is again."""

import time
from collections import defaultdict
from typing import Any

import click

from kamld.app.repairing import check_hub, repair_hub
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import UsageError
from kamld.records.names import MAIN
from kamld.store.fsck import Affected, Finding, Mended, Report, Step

_FINDINGS_SHOWN = 20
_PATHS_SHOWN = 5
_LEFT, _RECOVERED = "left_file_", "@recovered-"


@click.command("fsck")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--quick", is_flag=True, help="Look that everything is there; do not read files' content.")
@click.option("--repair", "mend", is_flag=True, help="Put right what can be put right.")
@click.option(
    "--from", "places", multiple=True, metavar="FOLDER|HUB",
    help="Bring back what is lost from this folder, or from this other hub. May be repeated.",
)  # fmt: skip
@json_option
@pass_door
def command(
    door: Door, names: tuple[str, ...], quick: bool, mend: bool, places: tuple[str, ...], as_json: bool
) -> int:
    """Verify everything in the hub, byte by byte.

    Each object is read and its hash compared; so are the index, all records, and that every version,
    run and deployment has what it needs. Files that were left elsewhere are read there, and compared.
    With names, only what these datasets and models need. Nothing is changed. Others may go on working.
    Exits 0 if all is sound, 3 if not.

    With --repair, what is still sound in a damaged file is kept in a new one, the index is made right,
    and what is lost is brought back: from a copy of the hub, from any other hub, from a folder that has
    the same files, or a version of them. Where branches, tags or parts of logs are lost and no copy has
    them, versions that nothing leads to any more are named recovered-…. The damaged files are kept in the
    hub, in damaged/. Interrupted, it goes on when it is run again.

    \b
    Examples:
      kamld fsck
      kamld fsck flowers --quick
      kamld fsck --repair --from flowers --from /mnt/backup/hub
    """
    app = door.app
    if places and not mend:
        raise UsageError("usage", "--from says what to repair with.", "kamld fsck --repair --from FOLDER")
    if mend and (names or quick):
        raise UsageError("usage", "A repair looks at the whole hub.", "Leave out names and --quick.")
    start = time.monotonic()
    with render.progress("Verifying") as advance:
        if mend:
            done = repair_hub(app, places, advance)
        else:
            done = Mended(check_hub(app, names, advance, quick=quick))
    if as_json:
        value = _value(done.report)
        render.json_value(value | {"repaired": done.steps} if mend else value)
    else:
        _show_steps(done.steps, mend=mend, sound=done.report.sound)
        _show(done.report, time.monotonic() - start, quick=quick, some=bool(names), mend=mend)
    return 0 if done.report.sound else 3


def _show_steps(steps: list[Step], *, mend: bool, sound: bool) -> None:
    if mend and not steps:
        render.say("Nothing had to be put right." if sound else "There was nothing that could be put right.")
    for step in steps:
        render.say(f"  {step.key}")
        render.advise(f"    {step.what}")
    found = [step.key for step in steps if _RECOVERED in step.key]
    if found:
        render.say("You know best what they were called. To give one its name again:")
        render.advise(f"  kamld branch {found[0]} {MAIN}")
    if steps:
        render.say()


def _show(report: Report, seconds: float, *, quick: bool, some: bool, mend: bool) -> None:
    looked = "Looked at" if quick else "Verified what they need of" if some else "Verified"
    render.say(
        f"{looked} {_count(report.objects, 'object')} in {_count(report.packs, 'pack')}"
        f" ({render.size(report.bytes)}), {_count(report.versions, 'version')},"
        f" in {render.duration(seconds)}."
    )
    if report.left:
        as_then = "as they were by size and time" if quick else "as they were"
        lost = f"{report.left_lost:,} of them not as then" if report.left_lost else as_then
        render.say(f"{render.files(report.left)} left elsewhere, {lost}.")
    if report.purged:
        render.say(f"{render.files(report.purged)} purged: left out on purpose, and no damage.")
    for note in report.notes:
        render.advise_aside(note)
    if report.sound:
        render.say("All is there, by sizes and records." if quick else "Everything is sound.")
        return
    _show_findings(report)
    _show_affected(report)
    render.say()
    versions = f"{report.versions - report.versions_affected:,} of {_count(report.versions, 'version')}"
    render.say(f"The rest is sound; {versions} can be had whole.")
    render.advise(_next(report, mend=mend))


def _show_findings(report: Report) -> None:
    shown = {one.dataset for one in report.affected}  # which tells more
    findings = [one for one in report.findings if not (one.code == "lost_files" and one.key in shown)]
    left = [one for one in findings if one.code.startswith(_LEFT)]
    here = [one for one in findings if not one.code.startswith(_LEFT)]
    _show_some(here, f"{_count(len(here), 'thing')} damaged or lost in the hub:")
    _show_some(left, "Left elsewhere, and not there as it was:")


def _show_some(findings: list[Finding], title: str) -> None:
    if not findings:
        return
    render.say()
    render.say(title)
    for one in findings[:_FINDINGS_SHOWN]:
        render.say(f"  {one.key}")
        render.say(f"    {one.what}")
    if len(findings) > _FINDINGS_SHOWN:
        render.say(f"  … and {len(findings) - _FINDINGS_SHOWN:,} more; --json shows all.")


def _show_affected(report: Report) -> None:
    by_dataset: dict[tuple[str, bool], list[Affected]] = defaultdict(list)
    for one in report.affected:
        by_dataset[one.dataset, one.removed].append(one)
    for (dataset, removed), versions in by_dataset.items():
        render.say()
        render.say(f"{dataset}{' (removed)' if removed else ''} cannot be had whole:")
        width = max(len(one.version) for one in versions)
        for one in versions:
            render.say(f"  {one.version:{width}}  {_what(one)}")
            for path in one.paths[:_PATHS_SHOWN]:
                render.say(f"    {render.path(path)}")
            if one.files and one.paths and one.files > _PATHS_SHOWN:
                render.say(f"    … and {one.files - len(one.paths[:_PATHS_SHOWN]):,} more")
        if removed:
            render.advise("  Unless it is to come back, leave it: kamld gc forgets it in its time.")
    more = report.versions_affected - len(report.affected)
    if more:
        render.say(f"and {_count(more, 'more version')} of the same.")


def _what(one: Affected) -> str:
    if one.files is None:
        return "all of it is lost" if one.unlisted is not None else "its list of files is lost"
    total = render.files(one.total or 0)
    if one.unlisted == one.files:
        return f"the list of {one.files:,} of {total} is lost"
    rest = f", {one.unlisted:,} of them with their list" if one.unlisted else ""
    return f"{one.files:,} of {total} {'is' if one.files == 1 else 'are'} lost{rest}"


def _next(report: Report, *, mend: bool) -> str:
    if report.mend:
        return "No content is lost. This makes the index anew: kamld fsck --repair"
    left = {one.code for one in report.findings if one.code.startswith(_LEFT)}
    if left and {one.code for one in report.findings} <= left | {"lost_files"}:
        return (
            "Bring them back to where they were; or keep in the hub what a folder has of them:"
            " kamld fsck --repair --from FOLDER"
        )
    if mend:
        return "More can be brought back from a copy of the hub or a folder: kamld fsck --repair --from PLACE"
    return "Next: kamld fsck --repair, with --from a copy of the hub or a folder that has the files"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _value(report: Report) -> dict[str, Any]:
    return {
        "sound": report.sound,
        "findings": report.findings,
        "affected": [
            {
                "project": one.dataset.partition("/")[0],
                "name": one.dataset.partition("/")[2],
                "removed": one.removed,
                "revision": one.version,
                "commit": one.commit,
                "files": one.files,
                "total": one.total,
                "paths": [render.path(path) for path in one.paths],
            }
            for one in report.affected
        ],
        "affected_count": report.versions_affected,
        "notes": report.notes,
        "objects": report.objects,
        "packs": report.packs,
        "bytes": report.bytes,
        "version_count": report.versions,
        "left": report.left,
        "left_lost": report.left_lost,
        "purged_files": report.purged,
        "rebuild_is_enough": report.mend,
    }
