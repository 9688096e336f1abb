"""A hub as a whole: making and opening it, refs by name, revisions, the index made anew."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs, MemoryBlobs
from kamld.errors import Conflict, Invalid, KamldError, NotFound, SystemFault
from kamld.records.encoding import decode
from kamld.records.history import Dataset
from kamld.records.names import Name, parse_reference
from kamld.store import Repository, open_hub
from kamld.store.repository import Hub
from tests.store.hubs import check_whole, commit, files_of, fresh, head

# --- opening


def test_an_empty_folder_becomes_a_hub(tmp_path: Path) -> None:
    made = open_hub(FolderBlobs(tmp_path / "a" / "hub")).hub
    assert made.format == 1
    assert open_hub(FolderBlobs(tmp_path / "a" / "hub")).hub == made


def test_made_by_many_at_once(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def make(_: int) -> Hub:
        start.wait()
        return open_hub(FolderBlobs(tmp_path / "hub")).hub

    with ThreadPoolExecutor(8) as threads:
        assert len({hub.id for hub in threads.map(make, range(8))}) == 1


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "1.png").write_bytes(b"")
    with pytest.raises(Invalid) as invalid:
        open_hub(FolderBlobs(tmp_path))
    assert invalid.value.code == "not_a_hub"
    assert str(tmp_path) in invalid.value.message
    assert [path.name for path in tmp_path.iterdir()] == ["pictures"]


def test_a_newer_hub() -> None:
    blobs = MemoryBlobs()
    open_hub(blobs)
    data = blobs.get("kamld-hub.json")
    assert decode(data, Hub, "it").format == 1
    blobs.swap("kamld-hub.json", data, data.replace(b'"format":1', b'"format":2'))
    with pytest.raises(SystemFault) as fault:
        open_hub(blobs)
    assert fault.value.code == "newer_hub"


@pytest.mark.parametrize("data", [b"", b"{}", b"\0", b'{"format":"1"}'])
def test_a_damaged_record_of_the_hub(data: bytes) -> None:
    blobs = MemoryBlobs()
    blobs.swap("kamld-hub.json", None, data)
    with pytest.raises(SystemFault) as fault:
        open_hub(blobs)
    assert fault.value.code == "damaged_record"


# --- names and refs


def test_a_name_is_taken_once() -> None:
    repository, _ = fresh()
    with pytest.raises(Conflict) as conflict:
        repository.create(Name("p", "d"), "model")
    assert conflict.value.code == "name_taken"


def test_unknown_names_are_told_from_near_ones() -> None:
    repository, _ = fresh()
    repository.create(Name("vision", "flowers"), "dataset")
    for name in (Name("vision", "flower"), Name("p", "flowers")):
        with pytest.raises(NotFound) as missing:
            repository.names.get(name)
        assert missing.value.code == "unknown_name"
        assert "vision/flowers" in missing.value.hint


def test_setting_refs() -> None:
    repository, dataset = fresh(kind="model")
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    two = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    repository.set_ref(dataset, "stable", "tag", one, author="a")
    repository.set_ref(dataset, "champion", "alias", one, author="a")
    repository.set_ref(dataset, "champion", "alias", two, author="a")
    refused = [
        ("stable", "tag", "name_taken"),
        ("stable", "alias", "ref_kind"),
        ("champion", "tag", "ref_kind"),
        ("v3", "tag", "reserved_name"),
        ("a/b", "branch", "bad_name"),
    ]
    for name, kind, code in refused:
        with pytest.raises(KamldError) as error:
            repository.set_ref(dataset, name, kind, two, author="a")  # type: ignore[arg-type]
        assert error.value.code == code
    named = {ref.name: ref.commit for ref in repository.live_refs(dataset)}
    assert named == {"main": two, "stable": one, "champion": two}


# --- revisions


@pytest.fixture
def model() -> tuple[Repository, Dataset, list[str]]:
    repository, dataset = fresh(kind="model")
    made: list[str] = []
    for number in range(4):
        made.append(commit(repository, dataset, {b"a": b"%d" % number}, *made[-1:]).commit_id)
    repository.set_ref(dataset, "beef", "tag", made[0], author="a")
    return repository, dataset, made


def resolved(repository: Repository, text: str) -> str:
    return repository.resolve(parse_reference(text, "p")).commit_id


def test_revisions(model: tuple[Repository, Dataset, list[str]]) -> None:
    repository, dataset, made = model
    moves = list(repository.refs.history(dataset, "main"))[::-1]
    wanted = {
        "d": 3, "d@main": 3, "d@main~1": 2, "d@~3": 0, "d@v1": 0, "d@v4": 3, "d@v4~2": 1, "d@beef": 0,
        f"d@{made[1]}": 1, f"d@{made[1][:12]}": 1, f"d@{made[2][:10]}~1": 1,
        f"d@main@{{{moves[1].time}}}": 1, f"d@{{{moves[2].time}}}~2": 0,
    }  # fmt: skip
    assert {text: made.index(resolved(repository, text)) for text in wanted} == wanted
    assert repository.resolve(parse_reference("p/d", "x")).branch == "main"
    assert repository.resolve(parse_reference("p/d@v4", "x")).branch is None
    assert repository.resolve(parse_reference("p/d@main~0", "x")).commit.message == "m"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("d@nothing", "There are"), ("d@mian", '"main"'), ("d@v5", "v4"), ("d@main~4", "kamld log"),
        ("d@main@{2001-01-01}", "begins"), ("d@abcdef123456", "kamld log"), ("d@dead", "kamld log"),
    ],
)  # fmt: skip
def test_unknown_revisions(model: tuple[Repository, Dataset, list[str]], text: str, hint: str) -> None:
    with pytest.raises(NotFound) as missing:
        resolved(model[0], text)
    assert missing.value.code == "unknown_revision"
    assert hint in missing.value.hint


def test_an_ambiguous_prefix() -> None:
    repository, dataset = fresh()
    made: list[str] = []
    prefixes: set[str] = set()
    while len(prefixes) == len(made):
        made.append(commit(repository, dataset, {}, *made[-1:], message=str(len(made))).commit_id)
        prefixes = {identifier[:1] for identifier in made}
    one, other = (i for i in made if i[:1] == made[-1][:1])
    repository.objects.with_prefix = lambda _: sorted(map(bytes.fromhex, (one, other)))  # type: ignore[method-assign]
    with pytest.raises(Invalid) as invalid:
        resolved(repository, f"d@{one[:8]}")
    assert invalid.value.code == "ambiguous_revision"
    assert one[:12] in invalid.value.message
    assert other[:12] in invalid.value.message


# --- the index


def test_rebuild_index_equals() -> None:
    repository, dataset = fresh()
    last: tuple[str, ...] = ()
    for number in range(20):
        files = {b"a": b"%d" % number, b"large": bytes([number]) * 200_000}
        last = (commit(repository, dataset, files, *last).commit_id,)
    before = _places(repository)
    repository.blobs.put("packs/.DS_Store", [b""])
    assert repository.rebuild_index() == len(before)
    assert _places(repository) == before == _places(open_hub(repository.blobs))
    assert len(list(repository.blobs.list("index/"))) == 1
    assert len(check_whole(open_hub(repository.blobs), dataset)) == 20


def _places(repository: Repository) -> dict[bytes, tuple[object, ...]]:
    found: dict[bytes, tuple[object, ...]] = {}
    for segment in repository._index.segments():
        table = segment.columns
        for row in range(segment.count):
            identifier = int(table["prefix"][row]).to_bytes(8, "big") + table["rest"][row].tobytes()
            place = [int(table[name][row]) for name in ("raw", "offset", "stored", "codec")]
            found[identifier] = (segment.packs[int(table["pack"][row])], *place)
    return found


def test_rebuild_without_an_index_beside_a_writer() -> None:
    """Whoever has the hub open meanwhile goes on."""
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    for listed in list(repository.blobs.list("index/")):
        repository.blobs.delete(listed.key)
    with pytest.raises(SystemFault) as fault:
        files_of(open_hub(repository.blobs), one)
    assert fault.value.code == "missing_object"
    open_hub(repository.blobs).rebuild_index()
    commit(repository, dataset, {b"a": b"2"}, one)
    assert files_of(open_hub(repository.blobs), head(repository, dataset)) == {b"a": b"2"}
    assert files_of(open_hub(repository.blobs), one) == {b"a": b"1"}


# --- refs that were damaged


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"\0\1\2",
        b'{"kind":"branch","moves":[],"name":"main"}',
        b'{"kind":"branch","moves":[{"seq":1}],"name":"main"}',
    ],
)  # fmt: skip
def test_a_damaged_ref(damage: bytes) -> None:
    blobs = MemoryBlobs()
    repository, dataset = fresh(blobs)
    made = commit(repository, dataset, {b"a": b"1"}).commit_id
    key = f"refs/{dataset.id}/main"
    blobs.swap(key, blobs.get(key), damage)
    for attempt in (
        lambda: resolved(repository, "d"),
        lambda: repository.refs.all(dataset),
        lambda: commit(repository, dataset, {b"a": b"2"}, made),
    ):
        with pytest.raises(SystemFault) as fault:
            attempt()
        assert fault.value.code == "damaged_record"
        assert key in fault.value.message
    assert blobs.get(key) == damage  # left for whoever mends it
