"""Looking at many things, shared with a copy of this process."""

from collections.abc import Callable, Sequence
from typing import IO, TypeVar

import msgspec

from kamld.workspace.processes import begin

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def shared(things: Sequence[Thing], work: Callable[[Thing], Made], made: type[Made]) -> list[Made]:
    """What `work` makes of each, in order. What the copy cannot do, or refuses, is done here."""
    middle = len(things) // 2

    def second_half(answer: IO[bytes]) -> None:
        answer.write(msgspec.msgpack.encode([work(thing) for thing in things[middle:]]))

    copy = begin(second_half)
    if copy is None:
        return [work(thing) for thing in things]
    with copy:
        mine = [work(thing) for thing in things[:middle]]
        said = copy.answer.read()
    try:
        return mine + msgspec.msgpack.decode(said, type=list[made])  # type: ignore[valid-type]
    except msgspec.DecodeError:  # it was killed, or ended by an error, which is found and told here
        return mine + [work(thing) for thing in things[middle:]]
