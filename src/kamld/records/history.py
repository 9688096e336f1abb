"""Datasets and models, their commits, and the refs that name commits."""

from typing import Annotated, Any

import msgspec

from kamld.records.names import Name

# A later version may add to any of these: lists pass on what they do not know, deciders raise newer_record.
Kind = str  # dataset, model
RefKind = str  # branch, tag, alias


class Dataset(msgspec.Struct, frozen=True, kw_only=True):
    """A versioned tree of files; a model is one whose kind says so. `id` never changes."""

    id: str
    project: str
    name: str
    kind: Kind
    created: str

    @property
    def said(self) -> str:
        """Its name as a person types it here."""
        return Name(self.project, self.name).said


class Named(Dataset, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept under a name: the dataset that has it, or the one that had it last."""

    gone: str = ""  # since when the name is free again
    by: str = ""  # who freed it
    moved_to: str = ""  # project/name, where the dataset was renamed; "" and gone: it was removed
    moving_from: str = ""  # project/name: this name counts only once that one says `moved_to` this one
    refused: int = 0  # renamings from here that others have stopped

    @property
    def dataset(self) -> Dataset:
        return Dataset(id=self.id, project=self.project, name=self.name, kind=self.kind, created=self.created)


class Removed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A dataset that was removed; its refs stay for as long as it can be had back."""

    dataset: Dataset
    time: str
    author: str
    forgotten: bool = False  # it cannot be had back any more: its refs are being removed


class Origin(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The commit of another dataset that a commit was made from."""

    dataset: str  # id
    project: str
    name: str
    commit: str


class SplitPart(msgspec.Struct, frozen=True, kw_only=True):
    name: str  # "train", "test"
    share: float  # that was asked for


class Split(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The rule that chose this commit's files, or rows of one of its tables; enough to choose again when
    the source grows. How is in docs/format.md, "Splits".

    With `parts` it is one part of several; without, a view: all examples for which `where` holds. What
    an example had before goes first: its part by path, then by content.
    """

    parts: tuple[SplitPart, ...]  # empty: a view
    part: str  # the name of this commit's
    seed: int
    thresholds: dict[str, tuple[str, ...]]  # of each stratum: 16 hex digits for every part but the last
    by: str = ""  # what tells strata apart: "" nothing, "folder", or "TABLE:COLUMN"
    group: str = ""  # "TABLE:COLUMN": examples with a value in common stay together
    where: str = ""  # SQL: only examples for which it holds
    table: str = ""  # the table of the version whose columns `where` may name, beside those of files
    rows: str = ""  # the table whose rows are the examples; "": files are
    file_column: str = ""  # the column that names files, where it was said


class Imported(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where the files of a commit came from, when it was not another dataset."""

    source: str  # the folder, file or address as it was asked for, without secrets
    kind: str  # folder, archive, bucket, address, dvc, ...
    time: str
    checksum: str = ""  # of what was fetched as one file: "blake3:…"
    revision: str = ""  # what it is called there: a Git commit, an ETag


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """This version's files may be forgotten once `keep_last` newer checkpoints follow it on its branch
    and no other name leads to it. The commit itself stays."""

    keep_last: int


class Commit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An immutable version. Its id is the BLAKE3 of its canonical JSON."""

    tree: str
    time: str
    author: str
    message: str
    parents: tuple[str, ...] = ()
    run: str | None = None  # id of the run that produced it
    origin: Origin | None = None
    split: Split | None = None
    imported: Imported | None = None
    checkpoint: Checkpoint | None = None
    metadata: dict[str, Any] = {}


class Move(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change of a ref. `commit` None: the ref was removed."""

    seq: int
    time: str
    author: str
    reason: str
    write_id: str
    commit: str | None = None
    version: int | None = None  # a model's main only: the number that this move gave
    amends: bool = False  # the commit before is replaced by this one, not continued
    lost: bool = False  # no move: what the ref named up to here is not known any more
    carries: str | None = None  # a folder's version, of which `commit` has only what it changed


class Protection(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must hold before a protected branch moves: rules, and commands that must succeed."""

    author: str
    time: str
    require: tuple[str, ...] = ()  # rules, as the person wrote them
    checks: tuple[str, ...] = ()  # commands, started in a folder with the files that would land


class Ref(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name for a commit, and the newest part of the log of its moves (oldest first, never empty).

    `older` is the key of the sealed part before it, if there is one. `highest` is the largest version
    number that any move gave, of a model's main only. `protection` is kept here so that no move can
    overtake it: whoever moves the ref replaces the very record that says so. So it is with `swept`: each
    collection gives branches another before it deletes, and whoever read the ref before that, and slept,
    cannot move it without looking again.
    """

    name: str
    kind: RefKind
    moves: Annotated[tuple[Move, ...], msgspec.Meta(min_length=1)]
    older: str | None = None
    highest: int = 0
    protection: Protection | None = None  # of a branch only
    swept: str = ""

    @property
    def last(self) -> Move:
        return self.moves[-1]

    @property
    def commit(self) -> str | None:
        return self.last.commit


class Lease(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody who writes to the hub, or reads what no ref names; counts until `until`."""

    what: str
    until: str
    host: str  # where `pid` means something
    pid: int
    started: str = ""  # what tells the process from a later one with this number
    commits: tuple[str, ...] = ()  # to be kept for the time being, with all that came before
    trees: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()


class Condemned(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a collection is about to delete, and what collections have deleted: names of packs.

    Writers rely on nothing in them, and never write a pack under such a name.
    """

    since: str = ""  # "": nothing is condemned at the moment
    packs: tuple[str, ...] = ()
    waits_for: tuple[str, ...] | None = None  # leases that are older than this record
    gone: tuple[str, ...] = ()  # by the last collection
    gone_before: tuple[str, ...] = ()  # by the one before it

    @property
    def unusable(self) -> frozenset[bytes]:
        return frozenset(bytes.fromhex(name) for name in self.packs + self.gone + self.gone_before)


class SeenRefs(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Keys of the refs that there were when a collection was begun last."""

    refs: tuple[str, ...] = ()
    round: str = ""  # of the collection that began last


class SealedMoves(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A full part of a ref's log, moved out of the ref."""

    moves: Annotated[tuple[Move, ...], msgspec.Meta(min_length=1)]
    older: str | None = None
