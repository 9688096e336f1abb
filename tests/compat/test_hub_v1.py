"""A hub of format 1 that was made once stays readable for ever: by kamld, and by the second reader."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from blake3 import blake3

from kamld.blobs import FolderBlobs
from kamld.records import deployment, hints, history, holes, merging, run
from kamld.records.deployment import DeploymentEvent, Prediction
from kamld.records.encoding import decode, encode
from kamld.records.hints import Last
from kamld.records.history import Commit, Dataset
from kamld.records.kinds import EXECUTABLE, FOLDER, SYMLINK
from kamld.records.names import Name, Reference, Revision, parse_reference
from kamld.records.run import Run
from kamld.store import Repository, open_hub
from kamld.store import hub as hub_module
from kamld.store.hub import Hub, upgrade
from kamld.store.trees import tree_id
from tests.compat.make_hub import make
from tests.compat.second_reader import Hub as SecondReader

HERE = Path(__file__).parent
GOLDEN = HERE / "hub-v1"
FROZEN = "9f6ec659f4350d41404cd16466147f26a370935af65f0649edffc4fc69dc755d"
PARSED = {Name, Reference, Revision}  # what people write; kept in no hub


@pytest.fixture(scope="module")
def expected() -> Any:
    return json.loads(GOLDEN.with_suffix(".json").read_text("utf-8"))


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN, tmp_path / "hub"))


def test_it_is_the_one_that_was_made_once() -> None:
    """A hub made anew would prove nothing about older ones. What changes the format makes a v2 beside it."""
    hashed = blake3()
    files = [path for path in GOLDEN.rglob("*") if path.is_file()]
    for path in sorted([*files, GOLDEN.with_suffix(".json")]):
        name, data = path.relative_to(HERE).as_posix().encode(), path.read_bytes()
        hashed.update(b"%d %b %d " % (len(name), name, len(data)) + data)
    assert hashed.hexdigest() == FROZEN


def test_every_field_of_a_record_is_on_the_page() -> None:
    page = (HERE.parents[1] / "docs" / "format.md").read_text("utf-8")
    local = {Prediction}  # a line of a log that is no part of a hub
    kinds = {
        kind
        for room in (deployment, hints, history, holes, hub_module, merging, run)
        for kind in vars(room).values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not kind.__name__.startswith("_")
    }  # fmt: skip
    assert {Commit, Dataset, Hub, Last, Run} <= {*kinds}
    missing = {
        f"{kind.__name__}.{field}"
        for kind in kinds - local - PARSED
        for field in kind.__struct_fields__
        if f"`{field}`" not in page
    }
    assert not missing


def test_second_reader(expected: Any) -> None:
    assert SecondReader(GOLDEN).everything() == expected


def test_kamld_reads_it_all(hub: Path, expected: Any) -> None:
    assert everything(open_hub(FolderBlobs(hub))) == expected


def test_it_can_be_upgraded_and_still_has_it_all(hub: Path, expected: Any) -> None:
    before, after = upgrade(FolderBlobs(hub))
    assert (before.format, after.format) == (1, 2)
    assert everything(open_hub(FolderBlobs(hub))) == expected
    assert SecondReader(hub).everything() == expected


def test_both_read_what_is_made_today(tmp_path: Path) -> None:
    said = make(tmp_path / "hub")
    assert SecondReader(tmp_path / "hub").everything() == said
    assert everything(open_hub(FolderBlobs(tmp_path / "hub"))) == said


def test_kamld_goes_on_with_it(hub: Path, expected: Any) -> None:
    opened = open_hub(FolderBlobs(hub))
    flowers = opened.names.get(Name("garden", "flowers"))
    head = opened.resolve(parse_reference("garden/flowers", ""))
    with opened.writer() as writer:
        same = opened.tree(head.commit).entries()
        version = opened.write_version(writer, same, parents=(head.commit_id,), author="a", message="m")
    assert version.commit.tree == head.commit.tree  # ids of trees do not change with programs
    opened.land_version(flowers, "main", version, author="a")
    now = SecondReader(hub).everything()
    assert now["datasets"]["garden/flowers"]["commits"].pop(version.commit_id)
    now["datasets"]["garden/flowers"]["refs"]["main"]["moves"].pop()
    assert now == expected


def test_without_its_index(hub: Path, expected: Any) -> None:
    shutil.rmtree(hub / "index")
    open_hub(FolderBlobs(hub)).rebuild_index()
    assert SecondReader(hub).everything() == expected
    assert everything(open_hub(FolderBlobs(hub))) == expected


@pytest.mark.parametrize("revision", ["v1.0", "main~1", "größer~2"])
def test_revisions(hub: Path, expected: Any, revision: str) -> None:
    found = open_hub(FolderBlobs(hub)).resolve(parse_reference(f"garden/flowers@{revision}", ""))
    assert found.commit.message == "as delivered"


@pytest.mark.parametrize("revision", ["v3", "main", "main~0"])
def test_model_versions(hub: Path, revision: str) -> None:
    found = open_hub(FolderBlobs(hub)).resolve(parse_reference(f"flower-net@{revision}", "garden"))
    assert found.commit.message == "training 3"


def test_second_reader_extracts(expected: Any, tmp_path: Path) -> None:
    """As a program of its own, from a folder from which kamld cannot be imported."""
    commits = expected["datasets"]["garden/flowers"]["commits"]
    identifier, said = next((i, c) for i, c in commits.items() if c["message"] == "as delivered")
    reader = [sys.executable, str(HERE / "second_reader.py"), str(GOLDEN), "extract", identifier, "out"]
    subprocess.run(reader, cwd=tmp_path, check=True)
    found = {}
    for path in (tmp_path / "out").rglob("*"):
        name = bytes(path.relative_to(tmp_path / "out")).decode("utf-8", "backslashreplace")
        if path.is_symlink():
            found[name] = [SYMLINK, path.lstat().st_size, blake3(bytes(path.readlink())).hexdigest()]
        elif path.is_file():
            kind = EXECUTABLE if path.stat().st_mode & 0o100 else 0
            found[name] = [kind, path.stat().st_size, blake3(path.read_bytes()).hexdigest()]
        elif not any(path.iterdir()):
            found[name] = [FOLDER, 0, blake3(b"").hexdigest()]
    assert found == said["files"]


def test_second_reader_is_another_program() -> None:
    tree = ast.parse((HERE / "second_reader.py").read_text("utf-8"))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module.split(".")[0] for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
    assert imported - set(sys.stdlib_module_names) == {"blake3", "zstandard"}


def test_golden_hub_has_what_is_hard(expected: Any) -> None:
    """A hub that was made anew without these would test less than it says."""
    commits = [c for d in expected["datasets"].values() for c in d["commits"].values()]
    files = [file for commit in commits for file in commit["files"].items()]
    assert {kind for _, (kind, _, _) in files} == {0, 1, 2, 3}
    assert max(size for _, (_, size, _) in files) > 2 * 64 * 1024
    assert any(not name.isascii() for name, _ in files)
    assert any(not name.isprintable() or "\\xff" in name for name, _ in files)
    assert list(GOLDEN.glob("log/*/*/*"))
    assert any(not dataset["refs"] for dataset in expected["datasets"].values())  # begun, not made
    assert len(list(GOLDEN.glob("index/*"))) > 1
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*") if path.is_file()) < 200_000


def everything(repository: Repository) -> Any:
    """What the second reader's `everything` says, by kamld."""
    sealed = repository.sealed
    runs = {}
    for number in sealed.numbers("garden"):
        run = sealed.run_by_number("garden", number)
        runs[f"run-numbers/garden/{number:08d}"] = json.loads(encode(run))
    endpoints = {str(name): [_plain(event) for event in sealed.history(name)] for name in sealed.endpoints()}
    datasets = {f"{d.project}/{d.name}": _dataset(repository, d) for d in repository.names.all()}
    return {"datasets": datasets, "runs": runs, "endpoints": endpoints}


def _dataset(repository: Repository, dataset: Dataset) -> Any:
    refs, ids = {}, set()
    for ref in repository.refs.ever(dataset):
        moves = list(repository.refs.history(dataset, ref.name))[::-1]
        refs[ref.name] = {"kind": ref.kind, "moves": [[move.commit, move.version] for move in moves]}
        ids |= {i for move in moves if move.commit for i, _ in repository.log(move.commit)}
    return {"kind": dataset.kind, "refs": refs, "commits": {i: _commit(repository, i) for i in ids}}


def _commit(repository: Repository, identifier: str) -> Any:
    commit = repository.commit(identifier)
    entries = repository.tree(commit).entries()
    assert tree_id(entries).hex() == commit.tree
    files = {}
    for row in entries.rows():
        content = repository.objects.read(row.id)
        assert len(content) == row.size
        name = row.path.decode("utf-8", "backslashreplace")
        files[name] = [row.kind, row.size, blake3(content).hexdigest()]
    return {"message": commit.message, "parents": list(commit.parents), "files": files}


def _plain(event: DeploymentEvent) -> Any:
    assert decode(encode(event), DeploymentEvent, "it") == event
    return json.loads(encode(event))
