"""Packs: footers read back, and a pack with any byte changed or missing is known for it."""

import random
from itertools import pairwise

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import SystemFault
from kamld.store.packs import PackBuilder, Rows, decode_footer, key, read_footer

objects = st.lists(st.binary(max_size=50), max_size=30)


def pack_of(contents: list[bytes]) -> tuple[bytes, bytes]:
    builder = PackBuilder()
    for content in contents:
        builder.add(blake3(content).digest(), 0, content, len(content))
    name, parts, _ = builder.seal()
    return name, b"".join(parts)


@given(objects)
def test_footer_reads_back(contents: list[bytes]) -> None:
    name, pack = pack_of(contents)
    footer = read_footer(memoryview(pack), "it")
    assert footer.ids.tobytes() == b"".join(blake3(content).digest() for content in contents)
    places = zip(footer.offsets.tolist(), footer.stored.tolist(), strict=True)
    assert [pack[offset : offset + length] for offset, length in places] == contents
    assert footer.raw.tolist() == [len(content) for content in contents]
    assert blake3(footer.encode()).digest() == name
    assert key(name) == f"packs/{name.hex()[:2]}/{name.hex()}.pack"


@given(objects, st.lists(st.integers(0, 30), max_size=6))
def test_many_at_once_are_as_one_by_one(contents: list[bytes], cuts: list[int]) -> None:
    """However they are cut into parts, of which some have nothing."""
    builder = PackBuilder()
    ends = sorted({0, len(contents)} | {min(cut, len(contents)) for cut in cuts})
    for start, end in pairwise([*ends, len(contents)]):
        part = contents[start:end]
        ids = [blake3(content).digest() for content in part]
        builder.extend(Rows(ids, bytes(len(part)), part, [len(content) for content in part]))
    name, parts, _ = builder.seal()
    assert (name, b"".join(parts)) == pack_of(contents)


def test_the_same_objects_make_the_same_pack() -> None:
    assert pack_of([b"a", b"b"]) == pack_of([b"a", b"b"])


def test_every_flipped_byte_outside_the_objects_is_noticed() -> None:
    contents = [b"first" * 3, b"second"]
    _, pack = pack_of(contents)
    first, last = 8, 8 + sum(map(len, contents))
    for at in range(len(pack)):
        damaged = bytearray(pack)
        damaged[at] ^= random.Random(at).randint(1, 255)
        if first <= at < last:  # objects have hashes of their own
            assert read_footer(memoryview(damaged), "it").encode()
            continue
        with pytest.raises(SystemFault) as fault:
            read_footer(memoryview(damaged), "packs/x")
        assert fault.value.code == "damaged_pack"
        assert "packs/x" in fault.value.message


def test_every_cut_is_noticed() -> None:
    _, pack = pack_of([b"first", b"second"])
    for length in range(len(pack)):
        with pytest.raises(SystemFault):
            read_footer(memoryview(pack[:length]), "it")
    with pytest.raises(SystemFault):
        read_footer(memoryview(pack + b"\0"), "it")


@given(st.binary(max_size=200))
def test_noise_is_no_footer(noise: bytes) -> None:
    with pytest.raises(SystemFault):
        read_footer(memoryview(noise), "it")
    if len(noise) != 8 + 49 * int.from_bytes(noise[:8], "little"):
        with pytest.raises(SystemFault):
            decode_footer(memoryview(noise), "it")
