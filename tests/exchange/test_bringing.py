"""However a folder changes between imports, each brings it as it is."""

import os
import time
from itertools import count
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.blobs.foreign import Foreign
from kamld.errors import Invalid
from kamld.exchange import import_from, recognise
from kamld.records.names import Name
from kamld.store import open_hub

NAME = Name("default", "it")
numbers = count()
paths = st.sampled_from(["a", "b", "c/d", "c/e", "f/g/h"])
contents = st.sampled_from([b"", b"one", b"two", b"eno", bytes(70_000), bytes(69_999) + b"x"])
# Two contents of one size under one name within a moment, times set back, names exchanged.
steps = st.one_of(
    st.tuples(st.just("write"), paths, contents), st.tuples(st.just("same times"), paths, contents),
    st.tuples(st.just("remove"), paths, st.none()), st.tuples(st.just("swap"), paths, paths),
    st.tuples(st.just("import"), st.none(), st.none()),
)  # fmt: skip


def change(top: Path, how: str, path: str, other: object) -> None:
    place = top / path
    if how == "write" or (how == "same times" and not place.exists()):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(other)  # type: ignore[arg-type]
    elif how == "same times":
        before = place.stat()
        place.write_bytes(other)  # type: ignore[arg-type]
        os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif how == "remove":
        place.unlink(missing_ok=True)
    elif how == "swap" and place.exists() and (top / str(other)).exists() and other != path:
        place.rename(top / "aside")
        (top / str(other)).rename(place)
        (top / "aside").rename(top / str(other))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=1, max_size=12))
def test_each_import_is_the_folder(tmp_path: Path, did: list[tuple[str, str, object]]) -> None:
    number = next(numbers)
    top, notes = tmp_path / f"folder{number}", tmp_path / f"notes{number}"
    top.mkdir()
    repository = open_hub(MemoryBlobs())
    for how, path, other in [*did, ("import", "", None)]:
        if how != "import":
            change(top, how, path, other)
            continue
        found = recognise(str(top), Foreign({}), Path("/"), aside=notes)
        there = {str(p.relative_to(top)): p.read_bytes() for p in top.rglob("*") if p.is_file()}
        empty = {str(p.relative_to(top)) for p in top.rglob("*") if p.is_dir() and not any(p.iterdir())}
        if not there and not empty:
            continue
        try:
            import_from(repository, found, NAME, local=notes, author="me")
        except Invalid as error:
            assert error.code == "empty_source"  # noqa: PT017
            continue
        head = repository.refs.find(repository.names.get(NAME), "main")
        assert head
        tree = repository.tree(repository.commit(head.commit or ""))
        brought = {os.fsdecode(row.path): repository.objects.read(row.id) for row in tree.entries().rows()}
        assert brought == there | dict.fromkeys(empty, b"")


def test_what_was_written_this_moment_is_looked_at_again(tmp_path: Path) -> None:
    """Two contents of one size within a tick of the file system's clock have the same times."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/file").write_bytes(b"one")
    source = recognise(str(tmp_path / "folder"), Foreign({}), Path("/"), aside=tmp_path / "notes")
    os.utime(tmp_path / "folder/file")
    assert [item.stamp for item in source.items()] == [""]
    time.sleep(0.1)
    assert all(item.stamp for item in source.items())
