"""A merge that waits for somebody: what is to be merged, and what has been decided so far."""

import msgspec


class Resolution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided about one path, or one row of the table there. It counts as long as both sides
    still have there what they had: `seen` is the hash of that."""

    path: str  # for people; bytes that are not UTF-8 as \\xNN
    seen: str
    row: tuple[str, ...] = ()  # the key of the row
    side: str = ""  # ours, theirs; "": a file of the person's own
    file: str = ""  # id of its content
    size: int = 0
    kind: int = 0  # of its entry in the tree


class PendingMerge(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`theirs`, `ours` and the resolutions' files are all that the hub has to keep for it."""

    dataset: str  # id
    branch: str  # that is merged into; "ours"
    source: str  # what is merged, as it was asked for; "theirs"
    theirs: str  # commit
    ours: str  # the branch's head when the merge began, or was last looked at
    author: str
    time: str
    key: tuple[str, ...] = ()  # columns that were given with --key
    resolutions: tuple[Resolution, ...] = ()
    message: str = ""  # that was given for the merge when it lands
