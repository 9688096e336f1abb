"""Which changes of two sides go together, path by path. Pure: what is inside files is in `rows`.

"Ours" is the branch that is merged into. The outcome is what has to change in its tree. Changed by one
side only: as there. By both alike: no conflict. The content by one and the kind (executable) by the
other: both. A file renamed is one removed and one added.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Literal

from kamld.changes.bases import Changes, is_unclear, same
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER
from kamld.store import Change
from kamld.store.trees.entries import Entry

Side = Literal["ours", "theirs"]
Why = Literal[
    "both changed it", "both added it", "ours removed it", "theirs removed it", "a file and a folder"
]
_FILES = (FILE, EXECUTABLE)


@dataclass(frozen=True, slots=True)
class Clash:
    """A path that both sides changed differently. `below`: all paths that hang on it, itself included;
    more than one only where it is a file on one side and a folder on the other."""

    path: bytes
    why: Why
    base: Entry | None
    ours: Entry | None
    theirs: Entry | None
    below: tuple[bytes, ...]

    @property
    def seen(self) -> str:
        """What a decision about it is about: as long as this is the same, the decision holds."""
        parts = [b"%d %s" % (e.kind, e.id) if e else b"-" for e in (self.base, self.ours, self.theirs)]
        return sha256(b"\0".join([*parts, *self.below])).hexdigest()

    def purged(self, gone: Collection[bytes]) -> str:
        """Which of its sides are among the contents that are `gone`, in words."""
        sides = (("ours", self.ours), ("theirs", self.theirs))
        words = [word for word, entry in sides if entry and entry.id in gone]
        if words:
            return f"{' and '.join(words)} {'was' if len(words) == 1 else 'were'} purged"
        tells = self.may_be_tables and self.base and self.base.id in gone
        return "what both began with was purged" if tells else ""

    @property
    def may_be_tables(self) -> bool:
        """Whether there is a file on both sides, so that what is in them might be joined."""
        return all(entry is not None and entry.kind in _FILES for entry in (self.ours, self.theirs))

    @property
    def known_base(self) -> Entry | None:
        """The file that both began with, if it was one."""
        return self.base if self.base and self.base.kind in _FILES else None


@dataclass(slots=True)
class Joined:
    """`changes` are to be made in our tree; `clashes` are left to be decided."""

    changes: dict[bytes, Entry | None] = field(default_factory=dict)
    clashes: list[Clash] = field(default_factory=list)


def join(ours: Changes, theirs: Changes) -> Joined:
    """What is to change in our tree for it to have the changes of both."""
    joined = Joined()
    held: set[bytes] = set()
    for clash in _folder_clashes(ours, theirs):
        joined.clashes.append(clash)
        held.update(clash.below)
    for path, other in theirs.items():
        if path in held:
            continue
        mine = ours.get(path)
        if mine is None:
            joined.changes[path] = other.new
        elif not same(mine.new, other.new):
            _both(joined, mine, other)
    joined.clashes.sort(key=lambda clash: clash.path)
    return joined


def taken(clash: Clash, side: Side, ours: Changes, theirs: Changes) -> dict[bytes, Entry | None]:
    """What has to change in our tree for the clash to end as one side has it."""
    if side == "ours":
        return {}
    undone = {path: None if is_unclear(c.old) else c.old for path in clash.below if (c := ours.get(path))}
    return undone | {path: theirs[path].new for path in clash.below if path in theirs}


def replaced(clash: Clash, entry: Entry, ours: Changes) -> dict[bytes, Entry | None]:
    """The same, for a file of the person's own."""
    gone = {path: None for path in clash.below if path in ours and path != clash.path}
    return gone | {clash.path: entry}


def _both(joined: Joined, mine: Change, other: Change) -> None:
    path, base, one, two = mine.path, mine.old, mine.new, other.new
    if one and two and one.kind in _FILES and two.kind in _FILES:
        was = base if base and base.kind in _FILES else None
        kind = _three_way(was and was.kind, one.kind, two.kind)
        content = _three_way(was and was.id, one.id, two.id)
        if kind is not None and content is not None:
            size = one.size if content == one.id else two.size
            entry = Entry(path, kind, size, content)
            if not same(entry, one):
                joined.changes[path] = entry
            return
    joined.clashes.append(Clash(path, _why(base, one, two), base, one, two, (path,)))


def _three_way(base: Any, ours: Any, theirs: Any) -> Any:
    """None: both changed it, and differently."""
    if ours == theirs or theirs == base:
        return ours
    return theirs if ours == base else None


def _why(base: Entry | None, ours: Entry | None, theirs: Entry | None) -> Why:
    if ours is None:
        return "ours removed it"
    if theirs is None:
        return "theirs removed it"
    return "both changed it" if base and not is_unclear(base) else "both added it"


def _folder_clashes(ours: Changes, theirs: Changes) -> Iterable[Clash]:
    """Paths at which one side has a file and the other put something below."""
    tops: set[bytes] = set()
    for one, two in ((ours, theirs), (theirs, ours)):
        files = {path for path, change in two.items() if change.new and change.new.kind != FOLDER}
        for path, change in one.items():
            if change.new:
                tops.update(parent for parent in _parents(path) if parent in files)
    tops = {top for top in tops if not any(parent in tops for parent in _parents(top))}
    members: dict[bytes, set[bytes]] = {top: set() for top in tops}
    for path in {*ours, *theirs} if tops else ():
        for top in (path, *_parents(path)):
            if top in members:
                members[top].add(path)
    for top, below in members.items():
        known = ours.get(top) or theirs.get(top)
        base = known.old if known else None
        yield Clash(
            top, "a file and a folder", base, _new(ours, top, base), _new(theirs, top, base),
            tuple(sorted(below)),
        )  # fmt: skip


def _new(changes: Mapping[bytes, Change], path: bytes, base: Entry | None) -> Entry | None:
    return changes[path].new if path in changes else base


def _parents(path: bytes) -> list[bytes]:
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]
