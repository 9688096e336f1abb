"""The whole check: a look at packs and index, all records, every version's files; again as long as what
was found may only be somebody else's work going on.
"""

from collections import Counter
from collections.abc import Iterator

from kamld.blobs import Blobs
from kamld.blobs.foreign import Foreign
from kamld.records.history import Dataset
from kamld.records.merging import PendingMerge
from kamld.records.run import Run
from kamld.store.fsck.files import Files
from kamld.store.fsck.histories import Histories, read_histories
from kamld.store.fsck.left import LeftFiles
from kamld.store.fsck.left import findings as left_findings
from kamld.store.fsck.look import Look, Progress
from kamld.store.fsck.records import Records, read_records
from kamld.store.fsck.report import SHOWN, Affected, Finding, Report
from kamld.store.fsck.verify import Depth

_TRIES = 6
_REBUILT = {"damaged_index", "wrong_index"}  # what an index made anew is enough for


def check(
    blobs: Blobs, *, threads: int, progress: Progress, only: frozenset[str] | None = None,
    quick: bool = False, left: LeftFiles | None = None,
) -> Report:  # fmt: skip
    """`only`: ids of datasets; then what they do not need is not verified. `quick`: content of files is
    only looked for, not read. `left` looks at files that were left elsewhere; None: at those that need no
    credentials."""
    look = Look(blobs, threads, Depth(quick or only is not None), progress)
    left = left or LeftFiles(Foreign({}), threads, quick=quick)
    if only is not None and not quick:
        files = Files(look, left, gather=True)
        _round(blobs, look, files, only)
        look.deeper(Depth(quick=False, only=look.with_chunks(files.needed)))
    report = _round(blobs, look, Files(look, left, gather=False), only)
    for _ in range(_TRIES):
        if not report.findings:
            break
        before = report.findings
        report = _round(blobs, look, Files(look, left, gather=False), only)
        if report.findings == before:
            break
    return report


def _round(blobs: Blobs, look: Look, files: Files, only: frozenset[str] | None) -> Report:
    """Records go first: what they name was in packs and index before they named it."""
    records = read_records(blobs, only)
    look.again()
    return _judge(records, look, files, only)


def _judge(records: Records, look: Look, files: Files, only: frozenset[str] | None) -> Report:
    histories = read_histories(records, files.read)
    report = Report(notes=records.notes)
    report.packs = len(look.checked)
    report.versions = len(histories.versions) + sum(histories.lost.values())
    report.objects = sum(len(one.ids) for one in look.checked.values())
    report.bytes = sum(one.size for one in look.checked.values())
    found = [*look.findings, *records.findings]
    found += _judge_versions(report, histories, files)
    if only is None:
        for run in records.runs.values():
            found += _judge_run(run, files)
        found += _lost_runs(histories)
        found += _judge_merges(records.merges, files)
    for key in look.packs_with(files.unindexed):
        found.append(Finding("damaged_index", key, "the index lacks this pack, which versions need"))
    report.left = files.left
    report.purged = len(files.purged)
    report.findings = sorted(set(found))
    report.mend = bool(found) and {finding.code for finding in found} <= _REBUILT
    return report


def _judge_versions(report: Report, histories: Histories, files: Files) -> Iterator[Finding]:
    versions = histories.versions
    hurt = {commit: lost for commit, v in versions.items() if v.needed and (lost := files.lost_of(v.tree))}
    report.left_lost = len(files.faults)
    yield from left_findings(files.faults.values())
    for old in versions.values():  # what only old moves name may be gone; but what is there counts
        files.lost_of(old.tree)
    forgotten = histories.forgotten() if hurt else set()
    needed = hurt.keys() - forgotten
    gone = [commit for commit, is_needed in histories.lost.items() if is_needed]
    if not needed and not gone:
        return
    words = histories.words()
    order = {commit: at for at, commit in enumerate(words)}  # as people count: main, main~1, …
    counted: Counter[tuple[str, bool]] = Counter()
    for commit in sorted({*needed, *gone}, key=lambda one: (order.get(one, len(order)), one)):
        dataset, version = words.get(commit) or (None, commit[:12])
        name, removed = _name(dataset), dataset is not None and dataset.id in histories.records.removed
        counted[name, removed] += 1
        if counted[name, removed] <= SHOWN:
            lost = hurt.get(commit)
            report.affected.append(
                Affected(
                    dataset=name,
                    version=version,
                    commit=commit,
                    files=lost.files if lost else None,
                    total=lost.total if lost else None,
                    paths=lost.paths if lost else (),
                    unlisted=lost.unlisted if lost and lost.files is not None else None if lost else 0,
                    removed=removed,
                )
            )
    report.versions_affected = counted.total()
    for (name, removed), count in counted.items():
        what = f"{count:,} version{'s lack' if count > 1 else ' lacks'} files, or cannot be read"
        what += "; it was removed" if removed else ""
        yield Finding("lost_files", name, what)


def _judge_run(run: Run, files: Files) -> Iterator[Finding]:
    """What a run's record names beside versions: its code, what it printed."""
    name = f"run {run.number} of {run.project}"
    parts = {"its output log": run.stdout, "its error log": run.stderr, "its metrics": run.points}
    parts["Git's view of its code"] = run.code.git_diff if run.code else None
    lost = [what for what, identifier in parts.items() if identifier and files.lacking([identifier])]
    if run.code and files.lost_of(run.code.tree):
        lost.append("files of its code")
    if lost:
        yield Finding("lost_files", name, f"{', '.join(lost)} cannot be had")


def _judge_merges(merges: list[PendingMerge], files: Files) -> Iterator[Finding]:
    for merge in merges:
        if files.lacking(one.file for one in merge.resolutions if one.file):
            name = f"the merge of {merge.source} into {merge.branch}"
            yield Finding("lost_files", name, "files that were decided on cannot be had")


def _lost_runs(histories: Histories) -> Iterator[Finding]:
    """A run's record is sealed before its outputs land."""
    runs = histories.records.runs
    landed = {
        move.commit: dataset
        for dataset in histories.records.datasets
        for move in histories.records.moves.get(dataset.id, ())
    }
    for commit, dataset in landed.items():
        version = histories.versions.get(commit or "")
        if version and version.run and version.run not in runs:
            key = f"runs/{version.run[-2:]}/{version.run}.json"
            yield Finding(
                "lost_record", key, f"the run that made {_name(dataset)}@{(commit or '')[:12]} is not there"
            )


def _name(dataset: Dataset | None) -> str:
    return f"{dataset.project}/{dataset.name}" if dataset else "no dataset any more"
