"""`fsck`, `repair`, `doctor` and `purge` as functions that give typed values."""

import os
from collections.abc import Iterable, Sequence

from kamld.api.folders import Where
from kamld.api.health.values import (
    Examined,
    Finding,
    Finished,
    Hole,
    Lost,
    Purge,
    PurgedFrom,
    Soundness,
    Step,
)
from kamld.api.shown import Listing
from kamld.api.spoken import in_python
from kamld.app import App
from kamld.app.doctor import examine
from kamld.app.purging import already, carry_out, go_on, plan
from kamld.app.repairing import check_hub, repair_hub
from kamld.errors import Invalid
from kamld.records.holes import Hole as Kept
from kamld.store import Holes
from kamld.store.fsck import Mended


def fsck(app: App, names: Sequence[str], *, quick: bool) -> Soundness:
    return _sound(Mended(check_hub(app, names, _unheard, quick=quick)))


def repair(app: App, places: Sequence[Where]) -> Soundness:
    return _sound(repair_hub(app, [os.fspath(place) for place in places], _unheard))


def doctor(app: App) -> Listing[Examined]:
    found = examine(app.environment, app.folder)
    return Listing(Examined(one.name, one.state, one.what, in_python(one.todo)) for one in found)


def purge(app: App, text: str, reason: str, *, every_version: bool, dry_run: bool) -> Purge:
    if not reason.strip() and not dry_run:
        raise Invalid("no_reason", "A purge needs a reason.", "Say why: whoever asks for the file reads it.")
    made = plan(app, text, every_version=every_version)
    size, shared, elsewhere = made.weight.bytes, made.weight.shared, made.weight.elsewhere
    in_use, mounts, written = tuple[str, ...](), tuple[str, ...](), tuple[str, ...]()
    if made.purged or not dry_run:
        done = already(app, made, dry_run=dry_run) if made.purged else carry_out(app, made, reason)
        size, shared, elsewhere = done.purged.bytes, done.purged.shared, done.purged.elsewhere
        in_use, mounts = tuple(str(left.path) for left in done.left), done.mounts
        written = tuple(str(one.path) for one in done.written)
    places = Listing(
        PurgedFrom(
            f"{one.dataset.project}/{one.dataset.name}" if one.dataset else "", _text(one.path), one.versions
        )
        for one in made.touched.places
    )
    runs, endpoints = tuple(made.touched.runs), tuple(made.touched.endpoints)
    return Purge(
        not dry_run, len(made.contents), size, shared, places, runs, endpoints, in_use, mounts, written,
        elsewhere,
    )  # fmt: skip


def purges(app: App) -> Listing[Hole]:
    return _holes(Holes(app.repository.blobs).all())


def finish_purges(app: App) -> Finished:
    done = go_on(app)
    purged, in_use = done.purged, tuple(str(left.path) for left in done.left)
    written = tuple(str(one.path) for one in done.written)
    holes = _holes(purged.holes)
    return Finished(
        holes, purged.bytes, purged.shared, in_use, done.mounts, written, purged.elsewhere
    )  # fmt: skip


def _holes(found: Iterable[Kept]) -> Listing[Hole]:
    return Listing(
        Hole(
            one.id, one.size, one.time, one.author, one.reason,
            tuple(f"{file.project}/{file.name}:{file.path}" for file in one.files), bool(one.done),
        )
        for one in sorted(found, key=lambda hole: hole.time)
    )  # fmt: skip


def _sound(done: Mended) -> Soundness:
    report = done.report
    return Soundness(
        sound=report.sound,
        findings=Listing(Finding(one.code, one.key, one.what) for one in report.findings),
        lost=Listing(
            Lost(
                one.dataset,
                one.version,
                one.commit,
                one.files,
                one.total,
                tuple(map(_text, one.paths)),
                one.removed,
            )
            for one in report.affected
        ),
        steps=Listing(Step(one.key, one.what) for one in done.steps),
        notes=tuple(report.notes),
        objects=report.objects,
        bytes=report.bytes,
        versions=report.versions,
        left=report.left,
        left_lost=report.left_lost,
        purged=report.purged,
    )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _unheard(files: int, size: int) -> None:
    """A progress that nobody follows."""
