"""`fsck`, `repair`, `doctor` and `purge` as functions that give typed values."""

import os
from collections.abc import Sequence

from kamld.api.folders import Where
from kamld.api.health.values import Examined, Finding, Lost, Purge, PurgedFrom, Soundness, Step
from kamld.api.shown import Listing
from kamld.app import App
from kamld.app.doctor import examine
from kamld.app.purging import carry_out, plan
from kamld.app.repairing import repair_hub
from kamld.errors import Invalid
from kamld.store.fsck import Mended, check


def fsck(app: App, names: Sequence[str], *, quick: bool) -> Soundness:
    only = frozenset(app.dataset(name).id for name in names) or None
    blobs = app.repository.blobs
    return _sound(Mended(check(blobs, threads=app.threads, progress=_unheard, only=only, quick=quick)))


def repair(app: App, places: Sequence[Where]) -> Soundness:
    return _sound(repair_hub(app, [os.fspath(place) for place in places], _unheard))


def doctor(app: App) -> Listing[Examined]:
    found = examine(app.environment, app.folder)
    return Listing(Examined(one.name, one.state, one.what, one.todo) for one in found)


def purge(app: App, text: str, reason: str, *, every_version: bool, dry_run: bool) -> Purge:
    if not reason.strip() and not dry_run:
        raise Invalid("no_reason", "A purge needs a reason.", "Say why: whoever asks for the file reads it.")
    made = plan(app, text, every_version=every_version)
    size, shared = made.weight.bytes, made.weight.shared
    if not dry_run:
        done, _ = carry_out(app, made, reason)
        size, shared = done.bytes, done.shared
    places = Listing(
        PurgedFrom(
            f"{one.dataset.project}/{one.dataset.name}" if one.dataset else "", _text(one.path), one.versions
        )
        for one in made.touched.places
    )
    runs, endpoints = tuple(made.touched.runs), tuple(made.touched.endpoints)
    return Purge(not dry_run, len(made.contents), size, shared, places, runs, endpoints)


def _sound(done: Mended) -> Soundness:
    report = done.report
    return Soundness(
        sound=report.sound,
        findings=Listing(Finding(one.code, one.key, one.what) for one in report.findings),
        lost=Listing(
            Lost(one.dataset, one.version, one.commit, one.files, one.total, tuple(map(_text, one.paths)))
            for one in report.affected
        ),
        steps=Listing(Step(one.key, one.what) for one in done.steps),
        notes=tuple(report.notes),
        objects=report.objects,
        bytes=report.bytes,
        versions=report.versions,
        purged=report.purged,
    )


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _unheard(files: int, size: int) -> None:
    """A progress that nobody follows."""
