"""Texts line by line, also those that are no UTF-8."""

import io

import pytest

from kamld.errors import Invalid
from kamld.formats.text import compare_texts, legible, read_text


def lines(old: bytes, new: bytes) -> list[str]:
    return compare_texts(read_text(io.BytesIO(old)), read_text(io.BytesIO(new)), shown=9).lines[1:]


def test_what_is_no_utf_8_is_compared_by_its_bytes_and_shown_legibly() -> None:
    assert lines(b"gr\xfcn\nrot\n", b"gr\xfcn\n5 \x80\n") == [" grün", "-rot", "+5 €"]
    assert lines(b"gr\xfcn\n", "grün\n".encode()) == ["-grün", "+grün"]
    assert lines(b"\x81\xfc\n", b"x\n") == ["-\x81ü", "+x"]


@pytest.mark.parametrize("data", [b"\xff\x01\x02", b"a\0b", b"x" * 1_000_001])
def test_what_is_no_text(data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        read_text(io.BytesIO(data))
    assert caught.value.code == "not_text"


def test_half_letters_of_json_stay() -> None:
    assert legible("\ud800\udc80") == "\ud800\udc80"
