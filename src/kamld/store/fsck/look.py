"""A look at all packs and the index of a hub, beside those who write: what is new or gone since the last
look is taken in by `again`; a pack that was verified before is not read twice.

Bytes of packs pass through a window a thread; what stays is some 90 bytes an object, the index included.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event

import numpy as np
from numpy.typing import NDArray

from kamld.blobs import Blobs, Missing
from kamld.errors import SystemFault
from kamld.store import packs
from kamld.store.codecs import decode
from kamld.store.fsck.report import Finding
from kamld.store.fsck.verify import (
    Checked,
    Depth,
    Prefixes,
    among,
    check_pack,
    footer_of,
    prefixes_of,
    read_segment,
    rows_by_index,
)
from kamld.store.index import PREFIX, Segment, as_ids, build
from kamld.store.index import decode as decode_segment
from kamld.store.objects import object_id, places, recipes
from kamld.store.objects.holes import Holes
from kamld.store.packs import Footer

Progress = Callable[[int, int], None]
_NONE: Prefixes = np.zeros(0, np.uint64)


@dataclass(slots=True)
class _Unindexed:
    """Objects that the index does not lead to, to be read all the same."""

    names: list[bytes] = field(default_factory=list)
    footers: list[Footer] = field(default_factory=list)


class Look:
    """`sound`: objects that can be had from some pack. `lacking`: those of them, or of their parts, that
    the index does not know. Both sorted prefixes."""

    def __init__(self, blobs: Blobs, threads: int, depth: Depth, progress: Progress) -> None:
        self._blobs, self._threads, self._depth, self._progress = blobs, threads, depth, progress
        self.checked: dict[bytes, Checked] = {}
        self.findings: list[Finding] = []
        self.sound, self.lacking, self._unindexed, self._listed = _NONE, _NONE, _NONE, _NONE
        self.missing: set[bytes] = set()  # packs that the index names and that are not there
        self._segments: list[Segment] = []
        self._sources: list[Segment] = []

    def deeper(self, depth: Depth) -> None:
        """From now on look at other objects than before."""
        self._depth, self.checked = depth, {}

    def again(self) -> None:
        self.findings = []
        self._read_index()
        sizes = {name: n.size for n in self._blobs.list("packs/") if (name := packs.name_of(n.key))}
        self.checked = {n: one for n, one in self.checked.items() if sizes.get(n) == one.size}
        self._check_packs({name: size for name, size in sizes.items() if name not in self.checked})
        parts = [one.ids[one.sound] for one in self.checked.values()]
        self.sound = np.unique(np.concatenate([_NONE, *parts]))
        wholes = [identifier for one in self.checked.values() for identifier, _ in one.recipes]
        self._listed = np.unique(prefixes_of(wholes))
        self._drop_broken_recipes()
        self._compare()
        self._tell_packs()

    def read(self, identifier: bytes) -> bytes | None:
        """An object's bytes, from any sound copy; None: there is none."""
        ids = as_ids([identifier])
        for segment in self._sources:
            row = int(segment.find(ids)[0])
            data = self._read_row(segment, row, identifier) if row >= 0 else None
            if data is not None:
                return data
        return None

    def holes(self) -> frozenset[bytes]:
        """Ids of what was purged."""
        return Holes(self._blobs).listed()

    def recipe(self, identifier: bytes) -> list[tuple[bytes, int]] | None:
        """(id, length) of the chunks of a large object whose list of them is sound."""
        if not among(prefixes_of([identifier]), self._listed).any():
            return None
        ids = as_ids([identifier])
        for segment in self._sources:
            row = int(segment.find(ids)[0])
            found = self._recipe_at(segment, row, identifier) if row >= 0 else None
            if found is not None:
                return found
        return None

    def place(self, key: bytes) -> tuple[places.Place, list[bytes]] | None:
        """Where a file was left, and the hashes of its blocks, from any sound record of that."""
        ids = as_ids([key])
        for segment in self._sources:
            row = int(segment.find(ids)[0])
            codec, stored, _ = self._stored_at(segment, row) if row >= 0 else (0, None, 0)
            if stored is not None and codec & places.PLACE:
                with suppress(SystemFault):
                    return places.decode(stored, key)
        return None

    def with_chunks(self, ids: Prefixes) -> Prefixes:
        """The ids, sorted, and those of the chunks that the large ones among them are made of."""
        needed = np.unique(ids)
        if not len(needed):
            return needed
        parts = [
            chunks
            for one in self.checked.values()
            for identifier, chunks in one.recipes
            if among(prefixes_of([identifier]), needed)[0]
        ]
        return np.unique(np.concatenate([needed, *parts]))

    def commits(self) -> list[bytes]:
        """What looks like one, whether or not anything leads to it; sorted. Only after a whole check."""
        return sorted({identifier for one in self.checked.values() for identifier in one.commits})

    @property
    def unindexed(self) -> bool:
        """Whether there are sound objects that the index does not know."""
        return len(self._unindexed) > 0

    def packs_with(self, ids: Prefixes) -> list[str]:
        """Keys of the packs that have any of these and are not in the index."""
        wanted = np.intersect1d(ids, self._unindexed)
        return [packs.key(one.name) for one in self.checked.values() if among(one.ids, wanted).any()]

    def _recipe_at(self, segment: Segment, row: int, identifier: bytes) -> list[tuple[bytes, int]] | None:
        codec, stored, raw = self._stored_at(segment, row)
        try:
            return recipes.decode(stored, raw, identifier) if codec == packs.RECIPE and stored else None
        except SystemFault as fault:
            if fault.code != "damaged_object":
                raise
            return None

    def _read_row(self, segment: Segment, row: int, identifier: bytes) -> bytes | None:
        codec, stored, raw = self._stored_at(segment, row)
        try:
            if stored is None or codec & places.PLACE:
                return None
            if not codec & packs.RECIPE:
                data = bytes(decode(codec, memoryview(stored), raw))
                return data if object_id(data) == identifier else None
            parts = [self.read(chunk) for chunk, _ in recipes.decode(stored, raw, identifier)]
            return b"".join(part for part in parts if part is not None) if None not in parts else None
        except SystemFault as fault:
            if fault.code != "damaged_object":
                raise
            return None

    def _stored_at(self, segment: Segment, row: int) -> tuple[int, bytes | None, int]:
        """(codec, bytes in the pack, length); None: that pack is gone."""
        columns = segment.columns
        number, codec, raw = (int(columns[name][row]) for name in ("pack", "codec", "raw"))
        if number >= len(segment.packs):
            return codec, None, raw
        key, start = packs.key(segment.packs[number]), int(columns["offset"][row])
        try:
            return codec, self._blobs.part(key, start, int(columns["stored"][row])), raw
        except Missing:
            return codec, None, raw

    def _read_index(self) -> None:
        found: list[Segment] = []
        for listed in self._blobs.list(PREFIX):
            word = listed.key.removeprefix(PREFIX).removesuffix(".idx")
            if len(word) != 64 or not listed.key.endswith(".idx"):
                continue
            try:
                segment = read_segment(self._blobs, listed.key, bytes.fromhex(word))
            except (Missing, ValueError):
                continue  # merged since it was listed
            if segment:
                found.append(segment)
            else:
                self._tell("damaged_index", listed.key, "a part of the index is damaged or cut off")
        replaced = {name for segment in found for name in segment.replaces}
        self._segments = [segment for segment in found if segment.name not in replaced]

    def _check_packs(self, wanted: dict[bytes, int]) -> None:
        stop = Event()

        def one(name: bytes) -> Checked | None:
            if stop.is_set():
                return None
            return check_pack(self._blobs, name, wanted[name], self._segments, self._depth, stop.is_set)

        with ThreadPoolExecutor(self._threads, "fsck") as pool:
            try:
                for checked in pool.map(one, wanted):
                    if checked:
                        self.checked[checked.name] = checked
                        self._progress(1, checked.size)
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise

    def _drop_broken_recipes(self) -> None:
        broken = [
            identifier
            for one in self.checked.values()
            for identifier, chunks in one.recipes
            if not among(chunks, self.sound).all()
        ]
        self.sound = np.setdiff1d(self.sound, prefixes_of(broken))

    def _compare(self) -> None:
        """The index with what the packs say of themselves, a pack at a time."""
        counts = {s.name: np.bincount(s.columns["pack"], minlength=len(s.packs)) for s in self._segments}
        numbers = {s.name: {name: at for at, name in enumerate(s.packs)} for s in self._segments}
        self.missing = missing = {n for s in self._segments for n in s.packs} - self.checked.keys()
        for name in sorted(missing):
            if among(self._listed_in(name), self.sound).all():
                continue  # it was joined with others; a writer that had just put it listed it all the same
            self._tell("missing_pack", packs.key(name), "a pack that the index names is not there")
        unread = self._unread(missing)
        wrong: set[bytes] = {s.name for s in self._segments if len(counts[s.name]) > len(s.packs)}
        extra, lacking = _Unindexed(), [_NONE]
        for name, one in self.checked.items():
            footer = self.footer(one)
            if footer is None or not len(footer.codecs):
                continue
            ids = np.ascontiguousarray(footer.ids).view("V32").reshape(-1)
            covered = np.zeros(len(ids), np.bool_)
            for segment in self._segments:
                rows = segment.find(ids)
                covered |= rows >= 0
                number = numbers[segment.name].get(name)
                if number is None:
                    continue
                if len(segment.packs) > 1:  # another of them may have the same object
                    rows = segment.find(ids, set(segment.packs) - {name})
                if _agreeing(segment, number, footer, rows) != counts[segment.name][number]:
                    wrong.add(segment.name)
            only_here = one.sound & (~covered | among(one.ids, unread))
            if only_here.any():
                extra.names.append(name)
                extra.footers.append(_rows(footer, only_here))
            lacking.append(one.ids[~covered])
        for found in sorted(wrong):
            self._tell(
                "wrong_index", f"{PREFIX}{found.hex()}.idx", "the index says other things than the packs"
            )
        self._sources = list(self._segments)
        if extra.names:
            made = build(extra.names, extra.footers, [])
            self._sources.append(decode_segment(memoryview(made), "the packs"))
        self._unindexed = np.unique(np.concatenate(lacking))
        self.lacking = self._with_their_wholes(self._unindexed)

    def _listed_in(self, pack: bytes) -> Prefixes:
        """What the index says that a pack has."""
        named = [(s.columns, s.packs.index(pack)) for s in self._segments if pack in s.packs]
        rows = [columns["prefix"][columns["pack"] == number] for columns, number in named]
        return np.concatenate([_NONE, *(prefix.astype(">u8").view("<u8") for prefix in rows)])

    def _unread(self, missing: set[bytes]) -> Prefixes:
        """What the index leads to in vain: it may be kept elsewhere too."""
        parts = [one.ids[~one.sound] for one in self.checked.values() if one.damaged]
        for segment in self._segments:
            gone = [at for at, name in enumerate(segment.packs) if name in missing]
            rows = np.isin(segment.columns["pack"], gone)
            parts.append(segment.columns["prefix"][rows].astype(">u8").view("<u8"))
        return np.unique(np.concatenate([_NONE, *parts]))

    def sound_rows(self, one: Checked) -> Footer | None:
        """What can be had of a pack. None: nobody knows what is in it."""
        footer = self.footer(one) or rows_by_index(self._segments, one.name)
        if footer is None or len(footer.codecs) != len(one.sound):
            return None
        return _rows(footer, one.sound)

    def footer(self, one: Checked) -> Footer | None:
        """What a pack says is in it; None: that part of it is damaged."""
        try:
            return footer_of(self._blobs, one.name, one.size) if one.has_footer else None
        except Missing:
            return None

    def _with_their_wholes(self, lacking: Prefixes) -> Prefixes:
        """Also the large objects that have one of these chunks."""
        if not len(lacking):
            return lacking
        wholes = [
            identifier
            for one in self.checked.values()
            for identifier, chunks in one.recipes
            if among(chunks, lacking).any()
        ]
        return np.union1d(lacking, prefixes_of(wholes))

    def _tell_packs(self) -> None:
        for one in self.checked.values():
            if not one.damaged:
                continue
            bad = int(len(one.sound) - one.sound.sum())
            gone = bad - int(among(one.ids[~one.sound], self.sound).sum())
            which = f"{bad:,} of its {len(one.sound):,} objects cannot be read"
            elsewhere = f", {bad - gone:,} of them are kept elsewhere too" if gone < bad else ""
            said = one.fault or "bytes in it are not what they were"
            about = (
                f"{which}{elsewhere}"
                if bad
                else "its objects can be read"
                if len(one.sound)
                else "it is lost"
            )
            self._tell("damaged_pack", packs.key(one.name), f"{said}; {about}")

    def _tell(self, code: str, key: str, what: str) -> None:
        self.findings.append(Finding(code, key, what))


def _rows(footer: Footer, wanted: NDArray[np.bool_]) -> Footer:
    return Footer(
        footer.ids[wanted], footer.offsets[wanted], footer.stored[wanted], footer.raw[wanted],
        footer.codecs[wanted],
    )  # fmt: skip


def _agreeing(segment: Segment, number: int, footer: Footer, rows: NDArray[np.int64]) -> int:
    """How many rows of the segment say what the pack's footer says."""
    at = np.flatnonzero(rows >= 0)
    at = at[segment.columns["pack"][rows[at]] == number]
    same = np.ones(len(at), np.bool_)
    for column, mine in (
        ("offset", footer.offsets), ("stored", footer.stored), ("raw", footer.raw), ("codec", footer.codecs),
    ):  # fmt: skip
        same &= segment.columns[column][rows[at]] == mine[at]
    return len(np.unique(rows[at][same]))
