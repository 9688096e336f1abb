"""Datasets and models, their commits, and the refs that name commits."""

from typing import Annotated, Any, Literal

import msgspec

Kind = Literal["dataset", "model"]
RefKind = Literal["branch", "tag", "alias"]


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


class Split(msgspec.Struct, frozen=True, kw_only=True):
    """The rule that chose this commit's files; enough to choose again when the source grows.

    An example (a file, except tables that describe files) scores BLAKE3(seed as 8 bytes
    little-endian, then its file id), read as a big-endian fraction of 2**64, and belongs to `test`
    when the score is below `threshold`, 16 hex digits of the same fraction. An example that the
    split before had keeps its side by path, then by content.
    """

    part: str  # "train" or "test"
    test: float  # the share that was asked for
    seed: int
    threshold: str


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


class Ref(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A name for a commit, and the newest part of the log of its moves (oldest first, never empty).

    `older` is the key of the sealed part before it, if there is one.
    """

    name: str
    kind: RefKind
    moves: Annotated[tuple[Move, ...], msgspec.Meta(min_length=1)]
    older: str | None = None

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
