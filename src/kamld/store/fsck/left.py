"""Files that were left where they are: whether each is still what the hub took it for.

Each is read, and compared block by block. Not read is what says by itself that it is the same: where people
only want a quick look, a file of the same size and time; and what a bucket or a server still calls by
the ETag that it had.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from kamld import clock
from kamld.blobs.foreign import Foreign, is_bucket, is_web
from kamld.errors import KamldError, NotFound
from kamld.store.fsck.report import Finding
from kamld.store.objects import places
from kamld.store.objects.places import Place

CHANGED, GONE, UNREACHABLE = "left_file_changed", "left_file_gone", "left_file_unreachable"
_WORDS = {CHANGED: "changed since", GONE: "not there any more", UNREACHABLE: "cannot be reached"}
_TRIED = 3  # files that a server does not give, one after the other; then it is not asked for more
_NAMED = 5  # files of a folder
Left = Sequence[tuple[Place, list[bytes]]]  # the places of one file


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file cannot be had from where it was left."""

    code: str
    address: str
    what: str


class LeftFiles:
    """What is once known of a file is not looked for again."""

    def __init__(
        self, foreign: Foreign, threads: int, *, quick: bool = False,
        progress: Callable[[int, int], None] = lambda *_: None,
    ) -> None:  # fmt: skip
        """`quick`: what has the size and time that it had counts as the same."""
        self._foreign, self._threads, self._quick, self._progress = foreign, threads, quick, progress
        self._known: dict[bytes, Fault | None] = {}
        self._silent: defaultdict[str, int] = defaultdict(int)

    def faults(self, files: dict[bytes, Left]) -> dict[bytes, Fault]:
        """Those of the files, by their ids, that cannot be had, and why."""
        new = [identifier for identifier in files if identifier not in self._known]
        with ThreadPoolExecutor(self._threads, "fsck-left") as pool:
            try:
                found = pool.map(self._fault, (files[identifier] for identifier in new))
                for identifier, fault in zip(new, found, strict=True):
                    self._known[identifier] = fault
                    self._progress(1, files[identifier][0][0].size)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return {one: fault for one in files if (fault := self._known[one]) is not None}

    def _fault(self, left: Left) -> Fault | None:
        """None: it can be had from one of its places, or a part of it from each."""
        faults = []
        for place, blocks in left:
            fault = self._at(place, blocks)
            if fault is None:
                return None
            faults.append(fault)
        if len(left) > 1 and not self._quick:
            try:
                self._read(left)
            except KamldError:
                return faults[0]
            return None
        return faults[0] if faults else None

    def _at(self, place: Place, blocks: list[bytes]) -> Fault | None:
        server = _server(place.address)
        if server and self._silent[server] >= _TRIED:
            return Fault(UNREACHABLE, place.address, "its server does not answer")
        try:
            found = self._foreign.find(place.address)
            if found is None:
                return Fault(GONE, place.address, f"left there on {clock.local(place.since)}")
            if found.size not in (None, place.size):
                sizes = f"{place.size:,} bytes on {clock.local(place.since)}, {found.size:,} now"
                return Fault(CHANGED, place.address, sizes)
            named_so = bool(place.etag) and found.etag == place.etag
            if not (named_so and (self._quick or (server and not place.etag.startswith("W/")))):
                self._read([(place, blocks)])
            self._silent[server] = 0
        except KamldError as error:
            if error.code in (CHANGED, GONE) or isinstance(error, NotFound):
                code = CHANGED if error.code == CHANGED else GONE
                return Fault(code, place.address, f"left there on {clock.local(place.since)}")
            self._silent[server] += 1
            return Fault(UNREACHABLE, place.address, error.message)
        return None

    def _read(self, left: Left) -> None:
        """Raises KamldError where it is not what it was."""
        for _ in places.pieces([partial(_as_it_is, one) for one in left], self._foreign):
            pass


def findings(faults: Iterable[Fault]) -> Iterator[Finding]:
    """One for each folder with such files; one in all where the folder is not there."""
    grouped: defaultdict[tuple[str, str], list[Fault]] = defaultdict(list)
    is_there: dict[str, bool] = {}
    for fault in faults:
        grouped[fault.code, _where(fault, is_there)].append(fault)
    for (code, where), some in grouped.items():
        some.sort(key=lambda fault: fault.address)
        if len(some) == 1:
            yield Finding(code, some[0].address, f"{_WORDS[code]}: {some[0].what}")
            continue
        names = [fault.address.removeprefix(where).lstrip("/") for fault in some[:_NAMED]]
        more = f", … and {len(some) - _NAMED:,} more" if len(some) > _NAMED else ""
        what = f"{len(some):,} files that were left there are {_WORDS[code]}: {', '.join(names)}{more}"
        yield Finding(code, where, what.replace("are cannot be", "cannot be"))


def _where(fault: Fault, is_there: dict[str, bool]) -> str:
    server = _server(fault.address)
    if server and fault.code == UNREACHABLE:
        return server
    folder = fault.address.rpartition("/")[0]
    while not server and fault.code == GONE and folder.rpartition("/")[0]:
        above = folder.rpartition("/")[0]
        if is_there.setdefault(folder, os.path.lexists(folder)) or is_there.setdefault(
            above, os.path.lexists(above)
        ):
            break
        folder = above
    return folder


def _server(address: str) -> str:
    """Of a file on the web or in a bucket; "" of one of this machine."""
    if not (is_bucket(address) or is_web(address)):
        return ""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _as_it_is(one: tuple[Place, list[bytes]]) -> tuple[Place, list[bytes]]:
    return one
