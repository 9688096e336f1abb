"""Without its index, or a part of it, a hub says that it is the index that is not whole, not that the
objects were lost."""

import shutil
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.errors import SystemFault
from kamld.store import open_hub
from tests.store.hubs import commit, files_of, fresh


def _hub(place: Path) -> str:
    repository, dataset = fresh(FolderBlobs(place))
    return commit(repository, dataset, {b"a": b"1", b"b": b"2" * 100_000}).commit_id


def test_a_missing_index_is_named_and_made_anew(tmp_path: Path) -> None:
    made = _hub(tmp_path)
    shutil.rmtree(tmp_path / "index")
    with pytest.raises(SystemFault) as met:
        open_hub(FolderBlobs(tmp_path)).commit(made)
    assert met.value.code == "damaged_index"
    assert "kamld rebuild" in met.value.hint
    open_hub(FolderBlobs(tmp_path)).rebuild_index()
    assert files_of(open_hub(FolderBlobs(tmp_path)), made) == {b"a": b"1", b"b": b"2" * 100_000}


def test_what_is_really_lost_is_called_lost(tmp_path: Path) -> None:
    _hub(tmp_path)
    with pytest.raises(SystemFault) as met:
        open_hub(FolderBlobs(tmp_path)).commit("ab" * 32)
    assert met.value.code == "missing_object"
