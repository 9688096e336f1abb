"""Datasets and models, their commits, and the refs that name commits."""

from typing import Annotated, Any

import msgspec

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
    """The rule that chose this commit's files; enough to choose again when the source grows.

    An example (a file, except tables that describe files) scores BLAKE3(seed modulo 2**64 as 8 bytes
    little-endian, then its file id), its first 8 bytes read as a big-endian number, and belongs to the
    first of `parts` whose threshold is above the score, else to the last. An example that the split
    before had keeps its part by path, then by content.
    """

    parts: tuple[SplitPart, ...]
    part: str  # the name of this commit's
    seed: int
    thresholds: dict[str, tuple[str, ...]]  # of each stratum: 16 hex digits for every part but the last
    by: str = ""  # what tells strata apart; "": there is one, named ""


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


class Ref(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name for a commit, and the newest part of the log of its moves (oldest first, never empty).

    `older` is the key of the sealed part before it, if there is one. `highest` is the largest version
    number that any move gave, of a model's main only.
    """

    name: str
    kind: RefKind
    moves: Annotated[tuple[Move, ...], msgspec.Meta(min_length=1)]
    older: str | None = None
    highest: int = 0

    @property
    def last(self) -> Move:
        return self.moves[-1]

    @property
    def commit(self) -> str | None:
        return self.last.commit


class SealedMoves(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A full part of a ref's log, moved out of the ref."""

    moves: Annotated[tuple[Move, ...], msgspec.Meta(min_length=1)]
    older: str | None = None
