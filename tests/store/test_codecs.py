"""Codecs: what is kept reads back, is never larger than it was, and damage never passes."""

import random

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import SystemFault
from kamld.store.codecs import LARGEST, RAW, ZSTD, decode, encode

data = st.binary(max_size=300) | st.builds(lambda b, n: b * n, st.binary(max_size=20), st.integers(0, 500))


@given(st.lists(data, max_size=20))
def test_round_trip(objects: list[bytes]) -> None:
    kept = encode([memoryview(one) if n % 2 else one for n, one in enumerate(objects)])
    assert len(kept) == len(objects)
    for one, (codec, stored) in zip(objects, kept, strict=True):
        assert len(stored) <= len(one)
        assert bytes(decode(codec, memoryview(stored), len(one))) == one


def test_only_what_shrinks_is_compressed() -> None:
    noise, text = random.Random(0).randbytes(5000), b"text" * 1000
    (raw, _), (packed, stored), (short, _) = encode([noise, text, b"a" * 63])
    assert (raw, packed, short) == (RAW, ZSTD, RAW)
    assert zstandard.frame_content_size(stored) == -1  # as docs/format.md says: without


@pytest.mark.parametrize("codec", [2, 127, 128, 129, 255])
def test_unknown_codecs(codec: int) -> None:
    with pytest.raises(SystemFault) as fault:
        decode(codec, memoryview(b"abc"), 3)
    assert fault.value.code == "damaged_object"


@pytest.mark.parametrize("length", [-1, 0, 1, 3999, 4001, LARGEST, LARGEST + 1, 2**62, 2**63 - 1])
@pytest.mark.parametrize("codec", [RAW, ZSTD])
def test_wrong_lengths(codec: int, length: int) -> None:
    stored = encode([b"text" * 1000])[0][1] if codec == ZSTD else b"text" * 1000
    with pytest.raises(SystemFault) as fault:
        decode(codec, memoryview(stored), length)
    assert fault.value.code == "damaged_object"


@given(st.binary(max_size=100), st.integers(0, 5000))
def test_noise_is_no_frame(noise: bytes, length: int) -> None:
    frame = encode([b"text" * 1000])[0][1]
    for stored in (noise, frame + noise, frame[: len(noise)], noise + frame):
        try:
            found = decode(ZSTD, memoryview(stored), length)
        except SystemFault as fault:
            assert fault.code == "damaged_object"  # noqa: PT017
        else:
            assert len(found) == length
