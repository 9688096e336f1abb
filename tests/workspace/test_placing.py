"""Which names a disk can hold, also disks of other rules than the one these tests run on."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import FolderBlobs
from kamld.errors import Conflict, Invalid
from kamld.records.kinds import FILE, SYMLINK
from kamld.store import Entries, Repository, open_hub
from kamld.store.trees.entries import Entry, entries_of
from kamld.workspace import materialise
from kamld.workspace.placing import files as placing_files
from kamld.workspace.placing.paths import Rules, check_room, rules_of, same_names


def test_this_file_system_keeps_names_as_they_are(tmp_path: Path) -> None:
    assert rules_of(tmp_path) == Rules()
    assert list(tmp_path.iterdir()) == []


CASE, FORM = Rules(folds_case=True), Rules(folds_form=True)
BOTH = Rules(folds_case=True, folds_form=True)


@pytest.mark.parametrize(
    ("rules", "paths", "found"),
    [
        (CASE, ["a", "A"], ("A", "a")),
        (CASE, ["in/a", "in/A", "b"], ("in/A", "in/a")),
        (CASE, ["A/x", "a/y"], ("A", "a")),
        (CASE, ["straße", "STRASSE"], ("STRASSE", "straße")),
        (CASE, ["K", "\u212a"], ("K", "\u212a")),
        (CASE, ["é", "É"], ("É", "é")),
        (CASE, ["a", "b", "a/.."], None),
        (CASE, ["sub/.KAMLD/x"], ("sub/.KAMLD", ".kamld")),
        (FORM, ["é", "e\u0301"], ("e\u0301", "é")),
        (FORM, ["a", "A"], None),
        (BOTH, ["É/x", "e\u0301/y"], ("e\u0301", "É")),
        (Rules(), ["a", "A", "é", "e\u0301", ".KAMLD"], None),
    ],
)
def test_names_that_others_take_for_one(
    rules: Rules, paths: list[str], found: tuple[str, str] | None
) -> None:
    two = same_names([path.encode() for path in paths], rules)
    assert (tuple(path.decode() for path in two) if two else None) == found


LETTERS = st.text("aAbß\u017fsSéÉe\u0301\u212akK", min_size=1, max_size=3).map(str.encode)
RAW = LETTERS | st.sampled_from([b"\xff", b"\xffA", b"\xffa"])


@given(
    st.sets(st.lists(RAW, min_size=1, max_size=2).map(b"/".join), max_size=6),
    st.sampled_from([CASE, FORM, BOTH]),
)
def test_where_no_two_are_one_a_folding_disk_holds_all(paths: set[bytes], rules: Rules) -> None:
    """Against a disk that is a dictionary: whether all files and folders are there in the end."""
    names = {b"/".join(path.split(b"/")[:n]) for path in paths for n in range(1, path.count(b"/") + 2)}
    disk = {b"/".join(rules.folded(part) for part in name.split(b"/")) for name in names}
    assert (same_names(list(paths), rules) is None) == (len(disk) == len(names))


def entries(repository: Repository, *paths: bytes, kind: int = FILE) -> Entries:
    with repository.writer() as writer:
        content = writer.put(b"x")
    return entries_of([Entry(path, kind, 1, content) for path in sorted(paths)])


def test_a_checkout_onto_such_a_disk_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = open_hub(FolderBlobs(tmp_path / "hub"), 1)
    monkeypatch.setattr(placing_files, "rules_of", lambda _folder: BOTH)
    (tmp_path / "out").mkdir()
    with pytest.raises(Conflict) as raised:
        materialise(
            repository.objects, entries(repository, b"Rose.png", b"rose.png"), tmp_path / "out", threads=1
        )
    assert raised.value.code == "same_name"
    assert '"Rose.png" and "rose.png"' in raised.value.message
    with pytest.raises(Invalid) as unsafe:
        materialise(repository.objects, entries(repository, b".KAMLD/x"), tmp_path / "out", threads=1)
    assert unsafe.value.code == "unsafe_path"
    assert list((tmp_path / "out").iterdir()) == []
    materialise(repository.objects, entries(repository, b"a/b", b"a/c", b"b"), tmp_path / "out", threads=1)


def test_names_that_are_too_long_for_the_disk(tmp_path: Path) -> None:
    repository = open_hub(FolderBlobs(tmp_path / "hub"), 1)
    (tmp_path / "out").mkdir()
    with pytest.raises(Invalid) as raised:
        materialise(repository.objects, entries(repository, b"in/" + b"n" * 256), tmp_path / "out", threads=1)
    assert raised.value.code == "name_too_long"
    assert "nnn" in raised.value.message
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(Invalid):
        check_room([b"n" * 150], tmp_path, Rules(name_max=143))
    check_room([b"n" * 143 + b"/" + b"n" * 143], tmp_path, Rules(name_max=143))


def test_a_link_in_a_version_is_never_written_through(tmp_path: Path) -> None:
    repository = open_hub(FolderBlobs(tmp_path / "hub"), 1)
    (tmp_path / "out").mkdir()
    both = entries_of([*entries(repository, b"a", kind=SYMLINK).rows(), *entries(repository, b"a/b").rows()])
    with pytest.raises(Invalid):
        materialise(repository.objects, both, tmp_path / "out", threads=1)
    assert list((tmp_path / "out").iterdir()) == []


@given(st.lists(st.sampled_from([b"a/", b"b/", b"c/d/", b""]), max_size=60), st.integers(1, 8))
def test_threads_take_whole_folders(folders: list[bytes], batch: int) -> None:
    paths = sorted(folder + b"%03d" % number for number, folder in enumerate(folders))
    rows = list(range(len(paths)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placing_files, "_BATCH", batch)
        patch.setattr(placing_files, "_MOST", 4 * batch)
        parts = [list(part) for part in placing_files._by_folders(paths, rows)]
    assert [row for part in parts for row in part] == rows
    assert all(len(part) <= 4 * batch for part in parts)
    for one, two in pairwise(parts):
        split = paths[one[-1]].rpartition(b"/")[0] == paths[two[0]].rpartition(b"/")[0]
        assert not split or len(one) == 4 * batch
