"""A hub of format 2 that was made once stays readable for ever, with every kind of record that it has."""

import json
import shlex
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from kamld.blobs import FolderBlobs
from kamld.blobs.foreign import Foreign
from kamld.cli.main import run
from kamld.errors import KamldError
from kamld.records.deployment import DeploymentEvent
from kamld.records.encoding import encode
from kamld.records.hints import Last
from kamld.records.history import Condemned, Named, Ref, Removed, SealedMoves, SeenRefs
from kamld.records.holes import Hole, Purging
from kamld.records.merging import PendingMerge
from kamld.records.run import Run
from kamld.store import Repository, open_hub
from kamld.store.envelope import seal, unseal
from kamld.store.fsck import check
from kamld.store.gc import collect, look
from kamld.store.hub import Hub
from tests.cli.conftest import Kamld, Said
from tests.compat.make_hub_v2 import make
from tests.compat.second_reader import Hub as SecondReader

HERE = Path(__file__).parent
GOLDEN = HERE / "hub-v2"
FROZEN = "3f1fb37d03b2bb8ce344a01af2c04cd292021468001c0673ad84bf07e8730be6"
RECORDS: dict[str, type[msgspec.Struct]] = {  # by what their keys begin with
    "kamld-hub.json": Hub, "names/": Named, "removed/": Removed, "merges/": PendingMerge,
    "holes/purging.json": Purging, "holes/": Hole, "gc/condemned.json": Condemned, "gc/refs.json": SeenRefs,
    "refs/": Ref, "log/": SealedMoves, "runs/": Run, "run-numbers/garden/last.json": Last,
    "events/": DeploymentEvent, "endpoints/": Last,
}  # fmt: skip
PLAIN = ("packs/", "index/", "run-numbers/garden/0", "deployments/")  # kept under keys that are no records


class Elsewhere(Foreign):
    """Has what the hub left where it was, wherever that was."""

    def __init__(self, files: dict[str, str]) -> None:
        super().__init__({})
        self.files = files

    def read(self, address: str, start: int, end: int) -> bytes:
        return next(data.encode() for name, data in self.files.items() if address.endswith(name))[start:end]


@pytest.fixture(scope="module")
def expected() -> Any:
    return json.loads(GOLDEN.with_suffix(".json").read_text("utf-8"))


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "hub"))


def opened(hub: Path, expected: Any) -> Repository:
    repository = open_hub(FolderBlobs(hub))
    repository.objects.foreign = Elsewhere(expected["left"])
    return repository


def everything(repository: Repository) -> Any:
    """Every version that any ref of any dataset ever named, with all before it; and what names give now."""
    found: dict[str, Any] = {}
    datasets = [*repository.names.all(), *(removed.dataset for removed in repository.names.removed())]
    for dataset in datasets:
        for ref in repository.refs.ever(dataset):
            moves = list(repository.refs.history(dataset, ref.name))
            named = {one for move in moves for one in (move.commit, move.carries) if one}
            for start in named - found.keys():
                for identifier, _ in list(repository.log(start)):
                    found[identifier] = version(repository, identifier)
    heads = {}
    for dataset in repository.names.all():
        live = repository.live_refs(dataset)
        heads[f"{dataset.project}/{dataset.name}"] = {ref.name: [ref.kind, ref.commit] for ref in live}
    return found, heads


def version(repository: Repository, identifier: str) -> Any:
    """Its files, each as it is read; None where its time is over."""
    tree = repository.kept_tree(repository.commit(identifier))
    if tree is None:
        return None
    files = {}
    for row in tree.entries().rows():
        try:
            digest = blake3(repository.objects.read(row.id)).hexdigest()
        except KamldError as error:
            digest = f"{error.code} {row.id.hex()}"
        files[row.path.decode("utf-8", "backslashreplace")] = [row.kind, row.size, digest]
    return files


def should_have(said: Any) -> Any:
    """The same, by what was put in."""
    commits = {}
    for identifier, files in said["commits"].items():
        commits[identifier] = files and {
            path: [kind, size, f"purged_file {digest}" if digest in said["purged"] else digest]
            for path, (kind, size, digest) in files.items()
        }
    return commits, said["heads"]


def test_it_is_the_one_that_was_made_once() -> None:
    """A hub made anew would prove nothing about older ones. What changes the format makes a v3 beside it."""
    hashed = blake3()
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    for path in sorted([*files, GOLDEN.with_suffix(".json")]):
        name, data = path.relative_to(HERE).as_posix().encode(), path.read_bytes()
        hashed.update(b"%d %b %d " % (len(name), name, len(data)) + data)
    assert hashed.hexdigest() == FROZEN


def test_every_version_has_what_was_put_in(hub: Path, expected: Any) -> None:
    assert everything(opened(hub, expected)) == should_have(expected)


def test_second_reader(expected: Any) -> None:
    reader = SecondReader(GOLDEN)
    commits, heads = should_have(expected)
    assert reader.versions() == commits
    found = reader.everything()
    assert found["runs"] == expected["runs"]
    assert found["endpoints"] == expected["endpoints"]
    for name, about in found["datasets"].items():
        now = {ref: [of["kind"], of["moves"][-1][0]] for ref, of in about["refs"].items()}
        assert {ref: head for ref, head in now.items() if head[1]} == heads[name]


def test_what_is_made_today(tmp_path: Path) -> None:
    said = make(tmp_path / "hub")
    assert SecondReader(tmp_path / "hub").versions() == should_have(said)[0]
    assert everything(opened(tmp_path / "hub", said)) == should_have(said)


def test_without_its_index(hub: Path, expected: Any) -> None:
    shutil.rmtree(hub / "index")
    opened(hub, expected).rebuild_index()
    assert everything(opened(hub, expected)) == should_have(expected)


def test_every_record_is_understood_whole() -> None:
    """Whatever is in it comes out again, to the byte: nothing is forgotten by who writes it anew."""
    seen = set()
    for path in sorted(path for path in GOLDEN.rglob("*") if path.is_file()):
        key = str(path.relative_to(GOLDEN))
        if key.startswith(PLAIN):
            continue
        prefix = next(prefix for prefix in RECORDS if key.startswith(prefix))
        record = unseal(path.read_bytes(), RECORDS[prefix], key)
        assert seal(record) == path.read_bytes(), key
        seen.add(prefix)
    assert seen == RECORDS.keys()


def test_runs_and_deployments(hub: Path, expected: Any) -> None:
    sealed = opened(hub, expected).sealed
    assert [json.loads(encode(sealed.run_by_number("garden", 1)))] == [*expected["runs"].values()]
    events = {str(name): [json.loads(encode(e)) for e in sealed.history(name)] for name in sealed.endpoints()}
    assert events == expected["endpoints"]


def test_it_is_sound_and_collections_go_on(hub: Path, expected: Any) -> None:
    repository = opened(hub, expected)
    assert repository.leases.all() == {}
    before = look(repository, 30, timedelta(0)).objects
    assert before
    for _ in range(3):
        collect(repository, 30, timedelta(0))
    assert look(repository, 30, timedelta(0)).objects == 0
    assert everything(opened(hub, expected)) == should_have(expected)
    report = check(FolderBlobs(hub), threads=2, progress=lambda *_: None)
    assert {finding.key for finding in report.findings if "left_file" not in finding.code} <= {"garden/left"}


# --- and people go on with it


@pytest.fixture
def kamld(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAMLD_HUB", str(hub))
    monkeypatch.setenv("KAMLD_PROJECT", "garden")
    monkeypatch.setenv("KAMLD_AUTHOR", "Grace")

    def call(words: str, status: int = 0) -> Said:
        capfd.readouterr()
        got = run(shlex.split(words))
        said = Said(got, *capfd.readouterr())
        assert got == status, f"kamld {words}\n{said.out}\n{said.err}"
        return said

    return call


def test_the_merge_that_waits(kamld: Kamld, tmp_path: Path) -> None:
    """Two paths were decided half a life ago; the third lands it."""
    said = kamld("merge beds --json", status=1).json
    assert len(said["decided"]) == 2
    (left,) = said["conflicts"]
    assert left["path"] == "table.csv"
    kamld("resolve beds table.csv --theirs")
    kamld("checkout beds now")
    assert (tmp_path / "now/one.txt").read_bytes() == b"un"
    assert (tmp_path / "now/two.txt").read_bytes() == b"zwei\n"
    assert (tmp_path / "now/table.csv").read_bytes() == b"id,n\n1,a\n2,yours\n3,c\n"


def test_the_branch_that_is_protected(kamld: Kamld, tmp_path: Path) -> None:
    kamld("checkout beds@theirs now")
    (tmp_path / "now/new").write_bytes(b"new")
    assert "protected" in kamld("commit now -m x", status=1).err
    kamld("commit now -b other -m x")
    kamld("merge beds other --into theirs")


def test_what_was_purged(kamld: Kamld, tmp_path: Path) -> None:
    assert "consent withdrawn" in kamld("cat people:viola.txt", status=1).err
    assert kamld("cat people:rose.txt").out == "Rose\n"
    (tmp_path / "again").mkdir()
    (tmp_path / "again/x").write_text("Viola, who asked to be forgotten\n")
    assert "purged" in kamld("commit again -m x", status=1).err


def test_names_and_numbers(kamld: Kamld, expected: Any) -> None:
    assert kamld("undo removed --json").json["commit"] == expected["removed"]
    assert kamld("cat removed:file").out == "of removed\n"
    assert kamld("cat new-name:file").out == "of old-name\n"
    assert "new-name" in kamld("show old-name", status=1).err
    assert kamld("show flower-net@v2 --json").json["message"] == "training 1"
    assert "expired" in kamld("cat net@main~3:epoch", status=1).err
    assert kamld("cat net@main~1:epoch").out == "4\n"
    assert "blurred ones out" in kamld("show flowers").out


def test_parts_keep_their_sides(kamld: Kamld, tmp_path: Path) -> None:
    """The same rule chooses the same files, with every later version."""
    before = {part: kamld(f"ls flowers-{part} --json").json for part in ("test", "train")}
    kamld("checkout flowers")
    (tmp_path / "flowers/grown.txt").write_bytes(b"grown")
    kamld("commit flowers -m grown")
    kamld("split flowers")
    for part, files in before.items():
        assert {file["path"] for file in files} <= {
            f["path"] for f in kamld(f"ls flowers-{part} --json").json
        }


def test_it_has_what_is_hard(expected: Any) -> None:
    """A hub that was made anew without these would test less than it says."""
    assert any(files is None for files in expected["commits"].values())
    files = [file for files in expected["commits"].values() if files for file in files.items()]
    assert {kind for _, (kind, _, _) in files} == {0, 1, 2, 3}
    assert max(size for _, (_, size, _) in files) > 64 * 1024
    assert any("\\xff" in name for name, _ in files)
    condemned = unseal((GOLDEN / "gc/condemned.json").read_bytes(), Condemned, "it")
    assert condemned.since
    assert condemned.packs
    assert condemned.gone
    refs = [unseal(path.read_bytes(), Ref, "it") for path in GOLDEN.glob("refs/*/*")]
    assert any(ref.protection for ref in refs)
    older = [unseal(path.read_bytes(), SealedMoves, "it") for path in GOLDEN.glob("log/*/*/*")]
    moves = [move for part in refs for move in part.moves] + [move for part in older for move in part.moves]
    assert any(move.amends for move in moves)
    assert any(move.carries for move in moves)
    assert any(move.lost for move in moves)
    assert any(ref.commit is None for ref in refs)
    names = [unseal(path.read_bytes(), Named, "it") for path in GOLDEN.glob("names/*/*")]
    assert {bool(name.moved_to) for name in names if name.gone} == {True, False}
    (merge,) = (unseal(path.read_bytes(), PendingMerge, "it") for path in GOLDEN.glob("merges/*/*"))
    assert {resolution.side for resolution in merge.resolutions} == {"theirs", ""}
    assert len(expected["commits"]) > 25
    assert len(list(GOLDEN.glob("packs/*/*"))) < 10, "packs were joined"
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 300_000
