"""The index against a dict: look-ups, merges by levels, other processes, rebuilding, damage."""

import random
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import Listed, MemoryBlobs
from kamld.errors import SystemFault
from kamld.store.index import FANOUT, PREFIX, Index, Places, as_ids, build, decode, merge
from kamld.store.packs import Footer
from kamld.store.packs import key as pack_key

Model = dict[bytes, tuple[bytes, int, int, int, int]]  # id: pack, offset, stored, raw, codec


def footer_of(ids: list[bytes], seed: int = 0) -> Footer:
    numbers = random.Random(seed)
    rows = [(numbers.randrange(2**32), numbers.randrange(2**32), numbers.randrange(2**40)) for _ in ids]
    return Footer(
        ids=np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 32),
        offsets=np.array([row[0] for row in rows], "<u4"),
        stored=np.array([row[1] for row in rows], "<u4"),
        raw=np.array([row[2] for row in rows], "<u8"),
        codecs=np.array([numbers.choice((0, 1, 128)) for _ in ids], np.uint8),
    )


def model_of(pack: bytes, footer: Footer) -> Model:
    columns = (footer.offsets.tolist(), footer.stored.tolist(), footer.raw.tolist(), footer.codecs.tolist())
    rows = zip(footer.ids, *columns, strict=True)
    return {identifier.tobytes(): (pack, *row) for identifier, *row in rows}


def check(index: Index, model: Model, missing: list[bytes]) -> None:
    """Every id of the model is found where it is, in any order, and no other one."""
    wanted = [*model, *missing]
    random.Random(1).shuffle(wanted)
    places: Places = index.find(as_ids(wanted))
    assert index.has(as_ids(wanted)).tolist() == [identifier in model for identifier in wanted]
    for at, identifier in enumerate(wanted):
        assert places.found[at] == (identifier in model)
        if identifier in model:
            found = (
                places.packs[int(places.pack[at])],
                *(int(column[at]) for column in (places.offset, places.stored, places.raw, places.codec)),
            )
            assert found == model[identifier]
    for segment in index.segments():  # a look-up of one takes another way
        gone = set(segment.packs[::2])
        for without in (set(), gone):
            rows = segment.find(as_ids(wanted), without).tolist()
            assert rows == [segment.row_of(identifier, without) for identifier in wanted]
    for identifier in wanted[:20]:
        one = index.find(as_ids([identifier]))
        assert bool(one.found[0]) == (identifier in model)
        if identifier in model:
            assert one.packs[int(one.pack[0])] == model[identifier][0]


def id_of(text: object) -> bytes:
    return blake3(str(text).encode()).digest()


# Ids that share their first 8 bytes, as BLAKE3's practically never do.
colliding = st.tuples(st.sampled_from((0, 7, 255)), st.integers(0, 255)).map(
    lambda numbers: bytes([numbers[0]]) * 8 + bytes([numbers[1]]) * 24
)
many_ids = st.sets(colliding | st.integers(0, 50).map(id_of), max_size=25).map(sorted)


@given(st.lists(many_ids, min_size=1, max_size=30), many_ids)
def test_segments_against_a_dict(additions: list[list[bytes]], others: list[bytes]) -> None:
    blobs = MemoryBlobs()
    index, model = Index(blobs), {}
    for number, ids in enumerate(additions):
        new = [identifier for identifier in ids if identifier not in model]
        footer, pack = footer_of(new, number), id_of(f"pack {number}")
        index.add([(pack, footer)])
        model |= model_of(pack, footer)
    missing = [identifier for identifier in others if identifier not in model]
    check(index, model, missing)
    check(Index(blobs), model, missing)


def test_levels() -> None:
    """After any number of flushes there are fewer than eight segments of each level."""
    blobs, sizes = MemoryBlobs(), [1, 5, 300, 2000]
    index, model, choose = Index(blobs), {}, random.Random(0)
    for number in range(200):
        footer = footer_of([id_of((number, n)) for n in range(choose.choice(sizes))], number)
        index.add([(id_of(number), footer)])
        model |= model_of(id_of(number), footer)
        levels = [segment.level for segment in index.segments()]
        assert all(levels.count(level) < FANOUT for level in levels)
        assert len(list(blobs.list(PREFIX))) == len(levels)  # what was replaced is gone
    check(Index(blobs), dict(list(model.items())[::37]), [id_of("none")])


def test_an_object_that_two_packs_have_has_a_row_for_each() -> None:
    one, two = footer_of([id_of(1), id_of(2)], 1), footer_of([id_of(2), id_of(3)], 2)
    segment = decode(memoryview(build([b"a" * 32, b"b" * 32], [one, two], [])), "it")
    assert segment.count == 4
    halves = [decode(memoryview(build([b"a" * 32], [footer], [])), "it") for footer in (one, two)]
    merged = decode(memoryview(merge(halves)), "it")
    assert (merged.count, merged.packs) == (3, [b"a" * 32])
    assert merged.replaces == [half.name for half in halves]


@pytest.mark.parametrize("prefix", ["0000", "ffff", "07", "0707070707070707", "070707070707070701", "f" * 64])
def test_between(prefix: str) -> None:
    ids = [bytes([first]) * 8 + bytes([rest]) * 24 for first in (0, 7, 255) for rest in (1, 2)]
    segment = decode(memoryview(build([b"p" * 32], [footer_of(ids)], [])), "it")
    low, high = int(prefix.ljust(16, "0")[:16], 16), int(prefix.ljust(16, "f")[:16], 16)
    assert segment.between(low, high) == [i for i in ids if i.hex().startswith(prefix[:16])]


def test_an_empty_index() -> None:
    index = Index(MemoryBlobs())
    assert not index.find(as_ids([id_of(1)])).found.any()
    index.add([])
    assert not index.find(as_ids([id_of(1)])).found.any()


# --- others at the same time


class Racing(MemoryBlobs):
    """Calls `meanwhile` once, while the index is being listed or read."""

    meanwhile: Callable[[], None] | None = None

    def _strike(self) -> None:
        strike, self.meanwhile = self.meanwhile, None
        if strike:
            strike()

    def list(self, prefix: str) -> Iterator[Listed]:
        found = list(super().list(prefix))
        self._strike()
        return iter(found)


def fill(blobs: MemoryBlobs, first: int, last: int, model: Model) -> None:
    """As another process: with an index of its own."""
    for number in range(first, last):
        footer = footer_of([id_of(number)], number)
        Index(blobs).add([(id_of(f"pack {number}"), footer)])
        model |= model_of(id_of(f"pack {number}"), footer)


def test_segments_merged_after_they_were_listed() -> None:
    blobs, model = Racing(), {}
    fill(blobs, 0, FANOUT - 1, model)
    blobs.meanwhile = lambda: fill(blobs, FANOUT - 1, FANOUT, model)
    index = Index(blobs)
    check(index, {}, [id_of("none")])
    check(index, model, [])


def test_a_listing_that_has_neither_the_old_nor_the_new() -> None:
    """As a folder may give while it changes: the old ones gone already, the merged one not seen."""
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, FANOUT + 3, model)
    names = sorted(Index(blobs).names())

    class Torn(Index):
        lists = 0

        def names(self) -> list[bytes]:
            self.lists += 1
            return names[: self.lists - 1] if self.lists < 4 else names

    check(Torn(blobs), model, [])


def test_such_a_listing_that_looks_like_what_is_known() -> None:
    """Who knew some is shown just these: others are gone already, and what they became is not seen."""
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, 1, model)
    known = Index(blobs).names()

    class Torn(Index):
        torn = False

        def names(self) -> list[bytes]:
            torn, self.torn = self.torn, False
            return known if torn else super().names()

    index = Torn(blobs)
    check(index, model, [])
    fill(blobs, 1, FANOUT + 1, model)
    index.torn = True
    check(index, model, [])


def test_readers_keep_what_they_have_mapped() -> None:
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, 5, model)
    reader = Index(blobs)
    check(reader, model, [])
    for number in range(20):
        fill(blobs, 5 + 10 * number, 15 + 10 * number, model)
        check(reader, model, [id_of("none")])


def test_two_writers_that_merge_the_same_segments() -> None:
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, FANOUT - 1, model)
    writers = [Index(blobs), Index(blobs)]
    for writer in writers:
        writer.segments()
    for number, writer in enumerate(writers, 100):
        footer = footer_of([id_of(number)], number)
        writer.add([(id_of(f"pack {number}"), footer)])
        model |= model_of(id_of(f"pack {number}"), footer)
    for index in (*writers, Index(blobs)):
        found = index.find(as_ids(list(model))).found
        assert found.all()


def test_what_was_replaced_but_not_deleted_is_ignored() -> None:
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, FANOUT - 1, model)
    old = {listed.key: blobs.get(listed.key) for listed in blobs.list(PREFIX)}
    fill(blobs, FANOUT - 1, FANOUT, model)
    for key, value in old.items():
        blobs.put(key, [value])
    index = Index(blobs)
    assert len(index.segments()) == 1
    check(index, model, [id_of("none")])


@pytest.mark.parametrize("by", ["another merge", "a purge"])
def test_what_was_replaced_stays_so_when_what_replaced_it_goes(by: str) -> None:
    """Who merged was killed before it deleted the last of the old ones, whose packs have gone since."""
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, FANOUT - 1, model)
    left = next(iter(blobs.list(PREFIX))).key
    value = blobs.get(left)
    fill(blobs, FANOUT - 1, FANOUT, model)
    blobs.put(left, [value])
    if by == "a purge":
        Index(blobs).without({id_of("pack 7")})
        assert len(Index(blobs).names()) == 1
    else:
        for number in range(1, FANOUT + 1):
            fill(blobs, FANOUT * number, FANOUT * (number + 1), model)
            segments = Index(blobs).segments()
            named = [name for segment in segments for name in segment.packs]
            assert len(named) == len(set(named)), (
                "the merged one has them all; the one that was left counts not"
            )
    assert left not in {listed.key for listed in blobs.list(PREFIX)}


def test_rebuild_keeps_what_others_add_meanwhile() -> None:
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, 3, model)
    index = Index(blobs)
    replaced = index.names()
    packs = [(id_of(f"pack {number}"), footer_of([id_of(number)], number)) for number in range(3)]
    fill(blobs, 3, 5, model)  # after its packs were listed
    index.rebuild(packs, replaced)
    for again in (index, Index(blobs)):
        check(again, model, [id_of("none")])


def test_other_files_among_the_segments() -> None:
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, 3, model)
    for name in (".DS_Store", "notes.txt", "ab.idx"):
        blobs.put(PREFIX + name, [b"whatever"])
    check(Index(blobs), model, [id_of("none")])


# --- damage


def damaged_indexes() -> Iterator[tuple[str, Index, Model]]:
    """One for each byte of a segment that is flipped, and for some cuts."""
    footer, pack = footer_of([id_of(1), id_of(2)]), id_of("pack")
    whole = build([pack], [footer], [id_of("old")])
    name = whole[-32:].hex()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= random.Random(at).randint(1, 255)
        blobs = MemoryBlobs()
        blobs.put(f"{PREFIX}{name}.idx", [damaged])
        yield f"byte {at}", Index(blobs), model_of(pack, footer)
    for length in range(0, len(whole), 7):
        blobs = MemoryBlobs()
        blobs.put(f"{PREFIX}{name}.idx", [whole[:length]])
        yield f"cut at {length}", Index(blobs), model_of(pack, footer)


def add_many(index: Index, count: int) -> None:
    for number in range(count):
        index.add([(id_of(f"pack {number}"), footer_of([id_of(number)]))])


def test_damage_is_never_merged() -> None:
    for what, index, _ in damaged_indexes():
        with pytest.raises(SystemFault) as fault:
            add_many(index, FANOUT)
        assert fault.value.code == "damaged_index", what


def test_damage_raises_nothing_else() -> None:
    for what, index, model in damaged_indexes():
        try:
            places = index.find(as_ids(list(model)))
        except SystemFault as fault:
            assert fault.code == "damaged_index", what  # noqa: PT017
            continue
        assert len(places.found) == len(model)


class Counted(MemoryBlobs):
    """Counts how many objects were opened."""

    opened = 0

    def view(self, key: str) -> memoryview:
        self.opened += 1
        return super().view(key)


def test_a_glance_opens_no_more_segments_than_it_takes() -> None:
    blobs, model = Counted(), {}
    packs = [(id_of(f"pack {n}"), footer_of([id_of((n, at)) for at in range(3**n)], n)) for n in range(5)]
    for name, footer in packs:
        Index(blobs).add([(name, footer)])
        model |= model_of(name, footer)
    blobs.opened, index = 0, Index(blobs)
    for number in range(5):  # the smallest are looked at first
        place = index.glance(id_of((number, 0)))
        assert place
        assert place.packs[int(place.pack[0])] == packs[number][0]
        assert int(place.offset[0]) == model[id_of((number, 0))][1]
        assert blobs.opened == number + 1
    assert index.glance(id_of("none")) is None
    check(index, model, [id_of("none")])
    assert blobs.opened == 5  # what was opened is not opened again
    assert index.glance(id_of((0, 0))) is None  # for `find` knows all now


def test_a_glance_at_segments_that_others_merge_meanwhile() -> None:
    blobs, model = MemoryBlobs(), {}
    fill(blobs, 0, FANOUT - 1, model)
    index = Index(blobs)
    assert index.glance(id_of("none")) is None
    index = Index(blobs)
    first = next(identifier for identifier in model if index.glance(identifier))
    fill(blobs, FANOUT - 1, FANOUT, model)  # all that were listed are gone now
    assert index.glance(first)  # as who has opened it may
    assert index.glance(id_of(FANOUT - 1)) is None
    check(index, model, [id_of("none")])


def test_a_glance_after_a_pack_was_missed() -> None:
    """What somebody knows to be gone is not shown again."""
    blobs = MemoryBlobs()
    for pack in ("one", "other"):
        blobs.put(pack_key(id_of(pack)), [b"a pack"])
        Index(blobs).add([(id_of(pack), footer_of([id_of("it")]))])
    index = Index(blobs)
    place = index.glance(id_of("it"))
    assert place
    seen = place.packs[int(place.pack[0])]
    blobs.delete(pack_key(seen))
    index.miss(seen)
    assert index.glance(id_of("it")) is None
    found = index.find(as_ids([id_of("it")]))
    assert found.packs[int(found.pack[0])] in {id_of("one"), id_of("other")} - {seen}


def test_packs_that_are_missing() -> None:
    """With something that no other pack has; those whose objects were joined to another are not."""
    blobs, ids = MemoryBlobs(), [id_of(number) for number in range(3)]
    one, joined, third = (id_of(f"pack {number}") for number in range(3))
    Index(blobs).add([(one, footer_of(ids[:2]))])
    Index(blobs).add([(joined, footer_of(ids[:2]))])
    Index(blobs).add([(third, footer_of(ids[2:]))])
    for name in (one, joined, third):
        blobs.put(pack_key(name), [b"x"])
    assert Index(blobs).missing() == []
    blobs.delete(pack_key(one))
    assert Index(blobs).missing() == []
    blobs.delete(pack_key(third))
    assert Index(blobs).missing() == [third]
    blobs.delete(pack_key(joined))
    assert Index(blobs).missing() == sorted([one, joined, third])
