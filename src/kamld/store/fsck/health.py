"""How a hub is doing, as people are told: who works in it, what others have left behind, what is due.

It reads records and lists, no content: whether that is sound is for `fsck` to say.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from shlex import quote

from kamld import clock
from kamld.errors import KamldError
from kamld.records.names import MAIN, Name
from kamld.store import packs
from kamld.store.hub import FORMAT
from kamld.store.leases import condemned
from kamld.store.objects.holes import Holes
from kamld.store.refs.pending import is_open
from kamld.store.repository import Repository

_WEEK = 7 * 86_400  # seconds
_TOLD = 3  # merges that are named
_SKEW = 300  # by which a time may lie ahead of this machine's


@dataclass(frozen=True, slots=True)
class Check:
    """`state`: ok, note (worth knowing), todo (something does not work, or soon will not)."""

    name: str
    state: str
    what: str
    todo: str = ""  # what to do


def look(repository: Repository) -> list[Check]:
    """Never raises for what is wrong with the hub."""
    checks: dict[str, Callable[[Repository], Check]] = {
        "format": _format, "index": _index, "at work": _leases, "collection": _collection,
        "purges": _purges, "versions": _versions, "clock": _clock, "merges": _merges, "leftovers": _leftovers,
    }  # fmt: skip
    return [carefully(name, partial(check, repository)) for name, check in checks.items()]


def carefully(name: str, check: Callable[[], Check]) -> Check:
    """An error on the way is something to do."""
    try:
        return check()
    except KamldError as error:
        return Check(name, "todo", error.message, error.hint)


def _format(repository: Repository) -> Check:
    number = repository.hub.format
    if number < FORMAT:
        what = f"{number}; everything works but gc and purge, which need {FORMAT}"
        return Check("format", "todo", what, "kamld doctor --upgrade")
    return Check("format", "ok", str(number))


def _index(repository: Repository) -> Check:
    repository.index.refresh()
    count = len(repository.index.segments())
    if lost := repository.index.missing():
        what = f"{_many(len(lost), 'pack')} lost, such as {packs.key(lost[0])}"
        return Check("index", "todo", what, "kamld fsck says what is affected, and what can be had back")
    lacking = repository.index.lacking()
    if lacking:
        what = f"{_many(lacking, 'pack')} not listed: somebody writes at the moment, or was stopped at it"
        return Check("index", "note", what, "kamld rebuild, if something cannot be found")
    return Check("index", "ok", f"{_many(count, 'part')}, all packs listed")


def _leases(repository: Repository) -> Check:
    before = {listed.key for listed in repository.blobs.list("leases/")}
    living = repository.leases.all()  # which removes those whose holders are gone
    gone = len(before) - len(living)
    said = ", ".join(sorted({lease.what for lease in living.values()})) or "nobody"
    tidied = f"; {_many(gone, 'lease')} of processes that are gone removed" if gone > 0 else ""
    return Check("at work", "ok", said + tidied)


def _collection(repository: Repository) -> Check:
    record, _ = condemned(repository.blobs)
    if not record.since:
        return Check("collection", "ok", "nothing marked for deletion")
    what = f"{_many(len(record.packs), 'pack')} marked for deletion since {clock.local(record.since)}"
    if _seconds_ago(record.since) > _WEEK:
        return Check("collection", "note", what, "kamld gc deletes them")
    return Check("collection", "ok", what)


def _purges(repository: Repository) -> Check:
    holes = Holes(repository.blobs)
    found, going = holes.all(), holes.purging()[0].ids
    if going or not all(hole.done for hole in found):
        return Check("purges", "todo", "one goes on, or was stopped", "kamld purge --finish")
    return Check("purges", "ok", f"{_many(len(found), 'content')} purged" if found else "none")


def _versions(repository: Repository) -> Check:
    """Every dataset and model should have a main, once its first commit has landed."""
    without = [one for one in repository.names.all() if not repository.is_made(one)]
    if not without:
        return Check("versions", "ok", "every name has one")
    what = f"none known of {', '.join(str(Name(one.project, one.name)) for one in without[:3])}"
    what += f" and {len(without) - 3:,} more" if len(without) > 3 else ""
    if any(repository.refs.ever(one) for one in without):  # main is the first that a dataset gets
        return Check("versions", "todo", f"{what}: that is lost", "kamld fsck looks for it")
    what += ": lost, unless a first commit there was stopped or still goes on"
    return Check("versions", "note", what, "kamld fsck looks for it")


def _clock(repository: Repository) -> Check:
    """A hub that was written by a machine whose clock is ahead: its commits are newer than today's."""
    newest = ""
    for dataset in repository.names.all():
        for ref in repository.refs.all(dataset):
            newest = max(newest, ref.last.time)
    ahead = -_seconds_ago(newest) if newest else 0.0
    if ahead > _SKEW:
        then = clock.local(newest, seconds=True)
        what = f"the newest version is from {then}, which is still to come by this machine's clock"
        return Check("clock", "todo", what, "Set the clock right, here or where that was committed.")
    return Check("clock", "ok", f"nothing here is newer than now, {clock.local(clock.now(), seconds=True)}")


def _merges(repository: Repository) -> Check:
    """Those that somebody has to decide about; not those of removed datasets, nor those that are done."""
    by_id = {dataset.id: dataset for dataset in repository.names.all()}
    waiting = [
        (by_id[merge.dataset].said, merge) for merge in repository.merges.all()
        if merge.dataset in by_id
        and is_open(repository.objects, repository.refs, by_id[merge.dataset], merge)
    ]  # fmt: skip
    if not waiting:
        return Check("merges", "ok", "none waits")
    waiting.sort(key=lambda one: (one[0], one[1].branch))
    shown = ", ".join(f"{merge.source} into {merge.branch} of {name}" for name, merge in waiting[:_TOLD])
    more = f" and {len(waiting) - _TOLD:,} more" if len(waiting) > _TOLD else ""
    commands = [
        f"kamld merge {name}" + ("" if merge.branch == MAIN else f" --into {quote(merge.branch)}")
        for name, merge in waiting[:_TOLD]
    ]
    what = f"{_many(len(waiting), 'merge')} waiting: {shown}{more}"
    return Check("merges", "note", what, "; ".join(commands))


def _leftovers(repository: Repository) -> Check:
    size = sum(listed.size for listed in repository.blobs.list("damaged/"))
    if size:
        what = f"{size:,} bytes of damaged files, which a repair took away"
        return Check(
            "leftovers", "note", what, f"rm -r {repository.blobs.location}/damaged, once all is well"
        )
    return Check("leftovers", "ok", "none")


def _seconds_ago(time: str) -> float:
    return (clock.moment(clock.now()) - clock.moment(time)).total_seconds()


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
