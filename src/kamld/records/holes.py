"""What was purged: the record of content that was removed for good, and of a purge that goes on."""

import msgspec


class PurgedFile(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Where the content was: a path of a dataset, in so many of its versions."""

    project: str
    name: str
    path: str  # bytes that are no UTF-8 as \\xNN
    versions: int


class Hole(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content with this id was removed from the hub; trees that list it stay as they are.

    `done` is when the last of its bytes was gone.
    """

    id: str
    size: int
    time: str
    author: str
    reason: str
    files: tuple[PurgedFile, ...] = ()  # at most 100
    done: str = ""


class Purging(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content that is being removed at the moment; none: no purge goes on."""

    ids: tuple[str, ...] = ()
    since: str = ""
    author: str = ""
