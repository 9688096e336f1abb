"""Mending a hub with what it still has, and with what other places have.

In rounds, each of them: records that are damaged or lost come back from a copy; every damaged pack is
copied to `damaged/`, what is sound in it put into new packs, the index made right, the damaged pack
deleted; what is lost is fetched. Nothing is taken away before its sound parts are elsewhere, so it may be
killed at any moment: the next one goes on.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kamld.blobs import Blobs, Missing
from kamld.blobs.foreign import Foreign
from kamld.errors import Conflict
from kamld.store import packs
from kamld.store.fsck.check import check
from kamld.store.fsck.files import Files
from kamld.store.fsck.histories import read_histories
from kamld.store.fsck.left import LeftFiles
from kamld.store.fsck.look import Look, Progress
from kamld.store.fsck.mending.keeping import Keeper
from kamld.store.fsck.mending.losses import find_lost, write_down
from kamld.store.fsck.mending.restore import DAMAGED, restore_records, set_aside
from kamld.store.fsck.mending.sources import Source
from kamld.store.fsck.mending.unnamed import name_unnamed
from kamld.store.fsck.records import read_records
from kamld.store.fsck.report import Report, Step
from kamld.store.fsck.verify import Checked, Depth
from kamld.store.index import Index
from kamld.store.leases import COLLECTING, REPAIRING, Leases, condemned
from kamld.store.objects.holes import check_no_purge

_ROUNDS = 8  # what was brought back may show that more is lost


@dataclass(slots=True)
class Mended:
    """`report`: of the hub as it is now."""

    report: Report
    steps: list[Step] = field(default_factory=list)


def repair(
    blobs: Blobs, sources: Sequence[Source], *, threads: int, progress: Progress,
    left: LeftFiles | None = None,
) -> Mended:  # fmt: skip
    """Put right what can be. `left`: as for `check`. Raises Conflict (collecting, purging), SystemFault where
    the machine refuses (no_space): then run it again."""
    steps: list[Step] = []
    left, leases = left or LeftFiles(Foreign({}), threads), Leases(blobs)
    with leases.take(REPAIRING):
        if any(lease.what == COLLECTING for lease in leases.all().values()):
            said = "Somebody gives room back in this hub at the moment."
            raise Conflict("collecting", said, "Try again later.")
        check_no_purge(blobs)
        look = Look(blobs, threads, Depth(quick=False), progress)
        for _ in range(_ROUNDS):
            done = list(restore_records(blobs, sources))
            replaced = Index(blobs).names()  # before the packs are listed: what is added later stays
            look.again()
            done += _salvage(blobs, look, replaced)
            if done:
                look.again()
            done += _fetch(blobs, look, sources, left)
            steps += done
            if not done:
                break
        written, notes = _give_up(blobs, look, left)
        steps += written
    report = check(blobs, threads=threads, progress=progress, left=left)
    report.notes += notes
    return Mended(report, steps)


def _give_up(blobs: Blobs, look: Look, left: LeftFiles) -> tuple[list[Step], list[str]]:
    """Of what no place has: names for what it may have been, then a record that it is lost. And what is to be
    said of that."""
    records = read_records(blobs, None)
    lost = find_lost(blobs, records)
    losers = {one.id: one for one in records.datasets if one.id in lost.datasets}
    losers |= {one.id: one for one in records.without_main}
    if not losers:
        return [], []
    if any(lease.what == "writer" for lease in Leases(blobs).all().values()):
        return [], ["Somebody writes to the hub; repair it again when they have ended."] if lost.any else []
    # what people removed is there until it is collected; before the first time all of it has names
    guess = lost.any or not records.collected
    files = Files(look, left, gather=False)
    steps = list(name_unnamed(blobs, look, files, records, losers, guess=guess))
    return [*steps, *write_down(blobs, records, lost)], []


def _salvage(blobs: Blobs, look: Look, replaced: Sequence[bytes]) -> list[Step]:
    """What is sound of damaged packs goes into new ones; the index is made to say what is so."""
    keeper, steps, damaged = Keeper(blobs, _avoided(blobs, look)), [], set[bytes]()
    for name, one in look.checked.items():
        if one.damaged:
            with suppress(Missing):  # joined with others a moment ago, and that is looked at next
                data = blobs.get(packs.key(name))
                set_aside(blobs, packs.key(name), data)
                steps.append(_rescue(data, look, one, keeper))
                damaged.add(name)
    made = keeper.finish()
    index, faults = Index(blobs), {one.code for one in look.findings}
    if faults & {"damaged_index", "wrong_index"} or look.unindexed:
        rest = [(n, f) for n, one in look.checked.items() if n not in damaged and (f := look.footer(one))]
        index.rebuild([*rest, *made], replaced)
        steps.append(Step("index", "made anew from the packs"))
    else:
        if made:
            index.add(made)
        if damaged or look.missing:
            index.without(damaged | look.missing)
        steps += [Step(packs.key(name), "no longer listed; it is not there") for name in sorted(look.missing)]
    for name in damaged:
        blobs.delete(packs.key(name))
    return steps


def _rescue(data: bytes, look: Look, one: Checked, keeper: Keeper) -> Step:
    key, rows, kept = packs.key(one.name), look.sound_rows(one), 0
    if rows is not None:
        kept = len(rows.codecs)
        for at in range(kept):
            start = int(rows.offsets[at])
            stored = data[start : start + int(rows.stored[at])]
            keeper.add(rows.ids[at].tobytes(), int(rows.codecs[at]), stored, int(rows.raw[at]))
    return Step(key, f"{kept:,} of its {len(one.sound):,} objects kept; the damaged file is in {DAMAGED}")


def _fetch(blobs: Blobs, look: Look, sources: Sequence[Source], left: LeftFiles) -> list[Step]:
    """What versions and records need and nobody has here. Commits, trees and pages first, for they say
    what else is needed."""
    steps = []
    for source in sources:
        keeper = Keeper(blobs, _avoided(blobs, look))

        def fetch(identifier: bytes, source: Source = source, keeper: Keeper = keeper) -> bytes | None:
            data = source.read(identifier)
            if data is not None:
                source.give({identifier: len(data)}, look, keeper)
            return data

        source_lost = _lost(blobs, Files(look, left, gather=False, fetch=fetch))
        source.give(source_lost, look, keeper)
        made = keeper.finish()
        if made:
            Index(blobs).add(made)
            count = len(keeper.ids)
            steps.append(Step(source.name, f"{count:,} lost object{'s' * (count != 1)} fetched from there"))
            look.again()
    return steps


def _lost(blobs: Blobs, files: Files) -> dict[bytes, int]:
    records = read_records(blobs, None)
    histories = read_histories(records, files.read, files.read_here)  # old ones may have been collected
    forgotten = histories.forgotten()
    for commit, version in histories.versions.items():
        if commit not in forgotten:
            files.lost_of(version.tree)
    for run in records.runs.values():
        files.lacking(one for one in (run.stdout, run.stderr, run.points) if one)
        if run.code:
            files.lost_of(run.code.tree)
            files.lacking(one for one in (run.code.git_diff,) if one)
    for merge in records.merges:
        files.lacking(one.file for one in merge.resolutions if one.file)
    return files.lost


def _avoided(blobs: Blobs, look: Look) -> frozenset[bytes]:
    bad = {name for name, one in look.checked.items() if one.damaged}
    return condemned(blobs)[0].unusable | bad | look.missing
