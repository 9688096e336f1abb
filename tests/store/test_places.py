"""Files left where they are: what is read is what was recorded, or an error says what became of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.blobs.foreign import Foreign
from kamld.errors import SystemFault
from kamld.store import Place, Repository, open_hub

BLOCK = 1024 * 1024


def left(repository: Repository, path: Path) -> bytes:
    """Record a file where it is; its id."""
    data = path.read_bytes()
    with repository.writer() as writer:
        place = Place(address=str(path), size=len(data), since="2026-01-01T00:00:00Z")
        return writer.put_place(place, [data[at : at + 1000_000] for at in range(0, len(data), 1000_000)])[0]


@pytest.fixture
def repository() -> Repository:
    made = open_hub(MemoryBlobs())
    made.objects.foreign = Foreign({})
    return made


def read(repository: Repository, identifier: bytes) -> bytes:
    return b"".join(map(bytes, repository.objects.stream(identifier)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(size=st.sampled_from([0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7]), seed=st.integers(0, 255),
       at=st.floats(0, 0.999), start=st.floats(0, 1), length=st.integers(0, BLOCK * 2))  # fmt: skip
def test_what_is_read_is_what_was_recorded(
    repository: Repository, tmp_path: Path, size: int, seed: int, at: float, start: float, length: int
) -> None:
    data = bytes((n * 7 + seed) % 251 for n in range(997)) * (size // 997 + 1)
    path = tmp_path / "file"
    path.write_bytes(data[:size])
    identifier = left(repository, path)
    assert read(repository, identifier) == data[:size]
    with repository.objects.open(identifier) as file:
        file.seek(int(start * size))
        assert file.read(length) == data[:size][int(start * size) :][:length]
    if size:
        damaged = bytearray(data[:size])
        damaged[int(at * size)] ^= 0x40
        path.write_bytes(damaged)
        with pytest.raises(SystemFault) as told:
            read(repository, identifier)
        assert told.value.code == "left_file_changed"
        assert str(path) in told.value.message


@pytest.mark.parametrize(
    ("harm", "code"),
    [
        (lambda path: path.unlink(), "left_file_gone"),
        (lambda path: path.write_bytes(b""), "left_file_changed"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "left_file_changed"),
        (lambda path: (path.unlink(), path.mkdir()), "io_error"),
    ],
)
def test_what_became_of_it_is_said(
    repository: Repository, tmp_path: Path, harm: Callable[[Path], object], code: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (BLOCK + 1))
    identifier = left(repository, path)
    harm(path)
    with pytest.raises(SystemFault) as told:
        read(repository, identifier)
    assert told.value.code == code
    assert told.value.hint


def test_another_place_stands_in_also_in_the_middle(repository: Repository, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    data = bytes(range(256)) * (3 * BLOCK // 256)
    for path in (one, other):
        path.write_bytes(data)
        identifier = left(repository, path)
    for spoilt, at in ((one, 0), (other, 2 * BLOCK + 5)):
        spoilt.write_bytes(data[:at] + b"?" + data[at + 1 :])
    assert read(repository, identifier) == data, "block by block, from whichever has it"
    one.write_bytes(b"")
    other.write_bytes(b"")
    with pytest.raises(SystemFault):
        read(repository, identifier)


def test_what_the_hub_has_needs_no_place(repository: Repository, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    identifier = left(repository, path)
    with repository.writer() as writer:
        assert writer.put(b"x" * 100_000) == identifier
    path.unlink()
    assert read(repository, identifier) == b"x" * 100_000
