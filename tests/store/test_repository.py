"""A hub as a whole: making and opening it, refs by name, revisions, the index made anew."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from kamld.blobs import Blobs, FolderBlobs, MemoryBlobs
from kamld.errors import Conflict, Invalid, KamldError, NotFound, SystemFault
from kamld.records.history import Dataset
from kamld.records.names import Name, parse_reference
from kamld.store import Repository, open_hub
from kamld.store.envelope import seal, unseal
from kamld.store.hub import FORMAT, Hub
from tests.store.hubs import check_whole, commit, files_of, fresh, head

# --- opening


def test_an_empty_folder_becomes_a_hub(tmp_path: Path) -> None:
    made = open_hub(FolderBlobs(tmp_path / "a" / "hub")).hub
    assert made.format == FORMAT
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
    assert unseal(data, Hub, "it").format == FORMAT
    blobs.swap("kamld-hub.json", data, b'{"chunking":"by lines","format":3}\nand so on')
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
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"1"})
    with pytest.raises(Conflict) as conflict:
        repository.create(Name("p", "d"), "model")
    assert conflict.value.code == "name_taken"


def test_a_name_that_was_begun_is_still_to_be_had() -> None:
    """Whoever made its record may have been killed, or may be about to land: the id stays."""
    repository, begun = fresh()
    assert not repository.is_made(begun)
    assert repository.create(Name("p", "d"), "dataset") == begun
    model = repository.create(Name("p", "d"), "model")
    assert (model.id, model.kind) == (begun.id, "model")
    assert repository.names.get(Name("p", "d")) == model
    theirs = commit(repository, begun, {b"a": b"1"}).commit_id
    ours = commit(repository, model, {b"b": b"2"})
    assert repository.is_made(model)
    assert files_of(repository, ours.landed.head) == {b"a": b"1", b"b": b"2"}
    assert theirs in check_whole(repository, model)


def test_listings_pass_over_what_others_leave_in_a_folder() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"1"})
    number = repository.sealed.claim_number("p", "ab" * 16)
    for key in (
        "names/p/.DS_Store", "names/.DS_Store", f"refs/{dataset.id}/.nfs0001", "runs/ab/.nfs0001",
        "run-numbers/p/.nfs0001", "endpoints/p/.nfs0001", "endpoints/.DS_Store", "deployments/p/e/.DS_Store",
    ):  # fmt: skip
        repository.blobs.put(key, [b""])
    assert repository.names.all() == [dataset]
    assert [ref.name for ref in repository.refs.ever(dataset)] == ["main"]
    assert repository.sealed.numbers("p") == [number]
    assert repository.sealed.run_ids() == repository.sealed.endpoints() == []


def test_a_flipped_byte_is_not_believed() -> None:
    repository, dataset = fresh()
    commit(repository, dataset, {b"a": b"1"}, message="bright")
    blobs = repository.blobs
    keys = [listed.key for folder in ("names/", "refs/") for listed in blobs.list(folder)]
    for key in ["kamld-hub.json", *keys]:
        sound = blobs.get(key)
        for at in range(len(sound)):
            hurt = sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :]
            blobs.swap(key, blobs.get(key), hurt)
            with pytest.raises(SystemFault) as fault:
                _look(blobs)
            assert fault.value.code in ("damaged_record", "newer_hub")
        blobs.swap(key, blobs.get(key), sound)


def _look(blobs: Blobs) -> None:
    repository = open_hub(blobs)
    repository.refs.ever(repository.names.get(Name("p", "d")))


def test_a_kind_of_a_later_version() -> None:
    repository, dataset = fresh()
    key = "names/p/d.json"
    later = msgspec.structs.replace(dataset, kind="stream")
    repository.blobs.swap(key, repository.blobs.get(key), seal(later))
    assert repository.names.all() == [later]
    with pytest.raises(SystemFault) as fault:
        commit(repository, later, {b"a": b"1"})
    assert fault.value.code == "newer_record"


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


def test_commits_of_others_are_not_ours(model: tuple[Repository, Dataset, list[str]]) -> None:
    repository, dataset, made = model
    foreign = commit(repository, repository.create(Name("p", "other"), "dataset"), {b"a": b"x"}).commit_id
    with pytest.raises(NotFound) as missing:
        resolved(repository, f"d@{foreign[:12]}")
    assert missing.value.code == "unknown_revision"
    with pytest.raises(NotFound):
        repository.set_ref(dataset, "theirs", "tag", foreign, author="a")
    assert repository.refs.find(dataset, "theirs") is None
    assert resolved(repository, f"other@{foreign[:12]}") == foreign
    for one in made:
        assert resolved(repository, f"d@{one[:12]}") == one


def test_commits_of_removed_branches_are_still_ours(model: tuple[Repository, Dataset, list[str]]) -> None:
    repository, dataset, made = model
    tried = commit(repository, dataset, {b"a": b"t"}, made[0], branch="try").commit_id
    after = commit(repository, dataset, {b"a": b"u"}, tried, branch="try").commit_id
    repository.refs.move(dataset, "try", "branch", None, expected=after, author="a", reason="r")
    assert resolved(repository, f"d@{tried[:12]}") == tried
    repository.set_ref(dataset, "kept", "tag", tried, author="a")


def test_a_model_that_moves_on_reads_no_old_log(monkeypatch: pytest.MonkeyPatch) -> None:
    repository, dataset = fresh(kind="model")
    last: tuple[str, ...] = ()
    for number in range(3):
        last = (commit(repository, dataset, {b"a": b"%d" % number}, *last).commit_id,)
    monkeypatch.setattr(repository.refs, "versions", lambda _: pytest.fail("the log was read"))
    assert commit(repository, dataset, {b"a": b"x"}, *last).landed.move.version == 4
    monkeypatch.undo()
    ref = repository.refs.find(dataset, "main")
    assert ref
    assert ref.highest == 4
    repository.refs.move(dataset, "main", "branch", None, expected=ref.commit, author="a", reason="r")
    assert repository.land(dataset, "main", last[0], author="a").move.version == 3
    assert ref.commit
    assert repository.land(dataset, "main", ref.commit, author="a").move.version == 4


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
    assert repository.rebuild_index() == (len(before), ())
    assert _places(repository) == before == _places(open_hub(repository.blobs))
    assert len(list(repository.blobs.list("index/"))) == 1
    assert len(check_whole(open_hub(repository.blobs), dataset)) == 20


def test_rebuild_leaves_out_what_is_damaged() -> None:
    repository, dataset = fresh()
    one = commit(repository, dataset, {b"a": b"1"}).commit_id
    before = {listed.key for listed in repository.blobs.list("packs/")}
    other = commit(repository, dataset, {b"a": b"2"}, one).commit_id
    (key,) = {listed.key for listed in repository.blobs.list("packs/")} - before
    pack = repository.blobs.get(key)
    repository.blobs.delete(key)
    repository.blobs.put(key, [pack[:-1]])
    objects, damaged = open_hub(repository.blobs).rebuild_index()
    assert objects > 0
    assert damaged == (key,)
    again = open_hub(repository.blobs)
    assert files_of(again, one) == {b"a": b"1"}
    with pytest.raises(SystemFault):
        again.commit(other)


def _places(repository: Repository) -> dict[bytes, tuple[object, ...]]:
    found: dict[bytes, tuple[object, ...]] = {}
    for segment in repository.index.segments():
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
    assert fault.value.code == "damaged_index"
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
