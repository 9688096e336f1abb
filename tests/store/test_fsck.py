"""Checking a hub: whatever is done to a file of it is found, or changes nothing; what is affected is said."""

import os
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import Blobs, FolderBlobs
from kamld.errors import KamldError
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.history import Dataset
from kamld.records.names import Name
from kamld.records.run import Run, RunOutput
from kamld.store import Repository, open_hub
from kamld.store.fsck import Report
from kamld.store.fsck import check as check_blobs
from kamld.store.refs.moves import MOVES_MAX
from tests.store.hubs import AUTHOR, commit, fresh, put

LARGE = bytes(range(256)) * 4096  # a megabyte: a recipe and chunks
TIME = "2026-03-02T10:00:00.000000Z"


def check(blobs: Blobs, **options: object) -> Report:
    return check_blobs(blobs, threads=2, progress=lambda *_: None, **options)  # type: ignore[arg-type]


def fill(blobs: Blobs) -> tuple[Repository, Dataset]:
    """Every sort of record: two versions, a tag, a long log, a run, a deployment, a removed dataset."""
    repository, dataset = fresh(blobs, "model")
    files = {b"%d.txt" % n: b"content of %d\n" % n * 20 for n in range(30)}
    first = commit(repository, dataset, files)
    run_id = "ab" * 16
    number = repository.sealed.claim_number("p", run_id)
    with repository.writer() as writer:
        log = writer.put(b"epoch 1\n" * 30).hex()
        entries = put(writer, files | {b"large": LARGE, b"more": b"more"})
        version = repository.write_version(
            writer, entries, parents=(first.commit_id,), author=AUTHOR, message="m", run=run_id
        )
    output = RunOutput(label="m", project="p", name="d", kind="model", commit=version.commit_id)
    repository.sealed.seal_run(
        Run(
            id=run_id, project="p", number=number, name="r", state="succeeded", command=("x",), author=AUTHOR,
            started=TIME, ended=TIME, outputs=(output,), stdout=log,
        )
    )  # fmt: skip
    repository.land_version(dataset, "main", version, author=AUTHOR)
    repository.set_ref(dataset, "old", "tag", first.commit_id, author=AUTHOR)
    for n in range(MOVES_MAX + 2):
        to = (first, version)[n % 2].commit_id
        repository.set_ref(dataset, "champion", "alias", to, author=AUTHOR)
    served = ServedVersion(project="p", name="d", version="v1", commit=first.commit_id, weight=100)
    for seq in (1, 2):
        repository.sealed.add_event(
            DeploymentEvent(
                key="", endpoint="e", project="p", seq=seq, time=TIME, author=AUTHOR, action="deploy",
                versions=(served,),
            )
        )  # fmt: skip
    other = repository.create(Name("p", "other"), "dataset")
    commit(repository, other, {b"a": b"only here"})
    repository.names.remove(other, author=AUTHOR)
    return repository, dataset


def everything(blobs: Blobs) -> dict[str, object]:
    """All that anybody can ask a hub for, whoever asks; raises where it cannot be had."""
    repository = open_hub(blobs, threads=1)
    found: dict[str, object] = {"last": repository.sealed.last_events(), "runs": repository.sealed.run_ids()}
    found["numbers"] = repository.sealed.numbers("p")
    found["by number"] = [repository.sealed.run_by_number("p", 1)]
    found["events"] = repository.sealed.history(Name("p", "e"))
    removed = list(repository.names.removed())
    found["removed"] = removed
    datasets = repository.names.all()
    found["datasets"] = datasets
    for dataset in [*datasets, *(one.dataset for one in removed)]:
        for ref in repository.refs.ever(dataset):
            found[f"{dataset.name}@{ref.name}"] = list(repository.refs.history(dataset, ref.name))
            for commit_id, one in repository.log(ref.commit or ""):
                rows = repository.tree(one).entries().rows()
                found[commit_id] = [(row, repository.objects.read(row.id)) for row in rows]
    for run_id in repository.sealed.run_ids():
        run = repository.sealed.run(run_id)
        found[run_id] = (run, repository.objects.read(bytes.fromhex(run.stdout or "")))
    return found


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound") / "hub"
    fill(FolderBlobs(folder))
    return folder


def files_in(hub: Path) -> list[str]:
    own = ("tmp", "locks", "local", "leases")
    names = (path.relative_to(hub) for path in sorted(hub.rglob("*")) if path.is_file())
    return [str(name) for name in names if name.parts[0] not in own]


def test_a_sound_hub(hub: Path) -> None:
    report = check(FolderBlobs(hub))
    assert report.findings == []
    assert report.notes == []
    assert (report.versions, report.versions_affected) == (3, 0)
    assert report.bytes == sum(path.stat().st_size for path in (hub / "packs").rglob("*.pack"))


# --- the law


def replace(path: Path, data: bytes | bytearray) -> None:
    path.unlink()  # it is a link to the sound one
    path.write_bytes(data)


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    replace(path, data)


def cut(path: Path, at: int, _: int) -> None:
    replace(path, path.read_bytes()[: at % path.stat().st_size])


def delete(path: Path, _: int, __: int) -> None:
    path.unlink()


@given(st.data())
def test_whatever_happens_to_a_file_is_found_or_changes_nothing(
    hub: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    copy = tmp_path_factory.mktemp("damaged") / "hub"
    shutil.copytree(hub, copy, copy_function=os.link)
    try:
        name = data.draw(st.sampled_from(files_in(hub)))
        harm: Callable[[Path, int, int], None] = data.draw(st.sampled_from([flip, cut, delete]))
        harm(copy / name, data.draw(st.integers(0, 10**7)), data.draw(st.integers(0, 7)))
        assert told_or_harmless(hub, copy, gone=name if harm is delete else "")
    finally:
        shutil.rmtree(copy)


@pytest.mark.parametrize("harm", [flip, cut, delete])
def test_no_file_is_overlooked(hub: Path, tmp_path: Path, harm: Callable[[Path, int, int], None]) -> None:
    for number, name in enumerate(files_in(hub)):
        copy = tmp_path / str(number)
        shutil.copytree(hub, copy, copy_function=os.link)
        harm(copy / name, 11, 3)
        assert told_or_harmless(hub, copy, gone=name if harm is delete else ""), name


def told_or_harmless(hub: Path, copy: Path, gone: str) -> bool:
    try:
        report = check(open_hub(FolderBlobs(copy), threads=1).blobs)
    except KamldError:
        return True  # it does not even open
    if report.findings or (gone and report.notes):
        return True
    if gone.startswith("refs/") and gone.endswith("/old"):  # a tag that nothing else tells of
        return True
    return everything(FolderBlobs(copy)) == of_sound(hub)


@cache
def of_sound(hub: Path) -> dict[str, object]:
    return everything(FolderBlobs(hub))


def test_an_object_that_two_packs_have_is_no_damage() -> None:
    """As two who wrote the same at once leave it, once an index made anew lists both together."""
    repository, _ = fresh()
    with open_hub(repository.blobs, 1).writer() as writer:
        writer.put(b"x" * 2000)
        with repository.writer() as other:
            other.put(b"x" * 2000)
            other.put(b"y")
    repository.rebuild_index()
    assert check(repository.blobs).findings == []
