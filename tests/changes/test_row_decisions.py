"""Rows that are decided one by one, where several tables have the same rows."""

import io
from itertools import product
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from kamld.changes.merging import Request, merge, plan_merge, resolve, resume
from kamld.changes.outcomes import Decision, decided
from kamld.changes.pending import find_pending
from kamld.records.history import Dataset
from kamld.store import Repository
from tests.store.hubs import AUTHOR, Files, commit, files_of, fresh, head

PATHS = (b"train/labels.csv", b"val/labels.csv", b"val/labels.parquet")
BASE, OURS, THEIRS = (f"file,label\n1,cat\n2,{label}\n" for label in ("dog", "fox", "wolf"))


def tables(rows: str, paths: tuple[bytes, ...] = PATHS) -> dict[bytes, bytes]:
    out = io.BytesIO()
    pq.write_table(csv.read_csv(io.BytesIO(rows.encode())), out)
    return {path: out.getvalue() if path.endswith(b"t") else rows.encode() for path in paths}


def label(path: bytes, data: bytes) -> str:
    source = io.BytesIO(data)
    table = pq.read_table(source) if path.endswith(b"t") else csv.read_csv(source)
    return str(table.column("label")[1].as_py())


def waiting() -> tuple[Repository, Dataset]:
    """Three tables whose row 2 both sides changed alike, and a file that keeps the merge from landing."""
    repository, dataset = fresh()
    base, ours, theirs = ({**tables(rows), b"notes": rows.encode()} for rows in (BASE, OURS, THEIRS))
    root = commit(repository, dataset, base).commit_id
    commit(repository, dataset, ours, root)
    there = commit(repository, dataset, theirs, root, branch="side").commit_id
    assert merge(repository, dataset, Request("main", "side", there), author=AUTHOR).how == "waits"
    return repository, dataset


def left(repository: Repository, dataset: Dataset) -> list[bytes]:
    pending = find_pending(repository, dataset, "main")
    return [clash.path for clash in plan_merge(repository, head(repository, dataset), resume(pending)).left]


@pytest.mark.parametrize("path", PATHS)
def test_a_row_of_one_table_is_decided_in_that_one_alone(path: bytes) -> None:
    repository, dataset = waiting()
    outcome = resolve(repository, dataset, "main", path, "theirs", row="2", author=AUTHOR)
    assert [clash.path for clash in outcome.plan.left] == sorted({*PATHS, b"notes"} - {path})
    assert decided(outcome) == [Decision(path.decode(), "theirs", ("2",))]


@pytest.mark.parametrize("sides", list(product(("ours", "theirs"), repeat=3)), ids="-".join)
def test_what_was_said_of_each_table_is_what_lands(sides: tuple[Any, ...]) -> None:
    repository, dataset = waiting()
    for path, side in zip(PATHS, sides, strict=True):
        resolve(repository, dataset, "main", path, side, row="2", author=AUTHOR)
    assert left(repository, dataset) == [b"notes"]
    done = resolve(repository, dataset, "main", b"notes", "ours", author=AUTHOR)
    files: Files = files_of(repository, done.commit)
    landed = ["ours" if label(path, files[path]) == "fox" else "theirs" for path in PATHS]
    assert (done.how, landed) == ("merged", list(sides))
