"""A hub in a folder, filled the way the product fills it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from kamld import ids
from kamld.blobs import Blobs, FolderBlobs
from kamld.catalog.search import Catalog
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.history import Dataset, Kind, Origin, Split, SplitPart
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.records.run import Code, Environment, Run, RunInput, RunOutput
from kamld.store import Repository, open_hub
from kamld.store.trees import write_tree
from kamld.store.trees.entries import Entry, entries_of

AUTHOR = "Ada <ada@example.org>"


class Hub:
    def __init__(self, folder: Path, blobs: Blobs | None = None) -> None:
        self.folder = folder
        self.repository: Repository = open_hub(blobs or FolderBlobs(folder), threads=1)
        self.sealed = self.repository.sealed

    def dataset(self, name: str, kind: Kind = "dataset", project: str = "default") -> Dataset:
        found = self.repository.names.find(Name(project, name))
        return found or self.repository.create(Name(project, name), kind)

    def write(self, files: dict[str, bytes], *parents: str, message: str = "a change", **about: Any) -> str:
        """A commit that no ref names."""
        with self.repository.writer() as writer:
            rows = [
                Entry(path.encode(), FILE, len(data), writer.put(data))
                for path, data in sorted(files.items())
            ]
            version = self.repository.write_version(
                writer, entries_of(rows), parents=parents, author=AUTHOR, message=message, **about
            )
        return version.commit_id

    def commit(
        self, dataset: Dataset, files: dict[str, bytes], message: str = "a change", *,
        branch: str = "main", **about: Any,
    ) -> str:  # fmt: skip
        ref = self.repository.refs.find(dataset, branch)
        parents = (ref.commit,) if ref and ref.commit else ()
        commit_id = self.write(files, *parents, message=message, **about)
        self.repository.land(dataset, branch, commit_id, author=AUTHOR)
        return commit_id

    def split(self, source: Dataset, commit_id: str, part: str, test: float = 0.3) -> str:
        dataset = self.dataset(f"{source.name}-{part}")
        origin = Origin(dataset=source.id, project=source.project, name=source.name, commit=commit_id)
        parts = (SplitPart(name="test", share=test), SplitPart(name="train", share=1 - test))
        rule = Split(parts=parts, part=part, seed=7, thresholds={"": ("4c00000000000000",)})
        return self.commit(dataset, {f"{part}.txt": b"x"}, "split", origin=origin, split=rule)

    def code(self, files: dict[str, bytes]) -> str:
        with self.repository.writer() as writer:
            rows = [Entry(p.encode(), FILE, len(d), writer.put(d)) for p, d in sorted(files.items())]
            return write_tree(writer, entries_of(rows)).hex()

    def run(
        self, *, inputs: dict[str, str] | None = None, outputs: dict[str, str] | None = None,
        run_id: str | None = None, project: str = "default", state: str = "succeeded",
        name: str = "train.py", started: str = "2026-03-02T10:00:00.000000Z", **about: Any,
    ) -> Run:  # fmt: skip
        run_id = run_id or ids.new_id()
        given: dict[str, Any] = {
            "code": Code(folder="/somewhere", tree=self.code({"train.py": b"pass"})),
            "environment": Environment(
                python="3.11.7", platform="Linux", cpus=2, packages={"numpy": "2.4.6", "onnx": "1.19"}
            ),
            "params": {"C": 0.1},
            "metrics": {"accuracy": 0.934},
        }
        run = Run(
            id=run_id, project=project, number=self.sealed.claim_number(project, run_id), name=name,
            state=state, command=("python", "train.py"), author=AUTHOR, started=started,
            ended="2026-03-02T10:05:00.000000Z",
            inputs=tuple(
                RunInput(label=n, project=project, name=n, kind="dataset", revision="main", commit=commit)
                for n, commit in (inputs or {}).items()
            ),
            outputs=tuple(
                RunOutput(label=n, project=project, name=n, kind="model", commit=commit)
                for n, commit in (outputs or {}).items()
            ),
            **{**given, **about},
        )  # fmt: skip
        self.sealed.seal_run(run)
        return run

    def deploy(
        self, endpoint: str, *served: tuple[str, str, int], action: str = "deploy", project: str = "default"
    ) -> DeploymentEvent:
        """`served`: (version, commit, weight) of the model with the endpoint's name."""
        name = Name(project, endpoint)
        event = DeploymentEvent(
            key="", endpoint=endpoint, project=project, seq=len(self.sealed.history(name)) + 1,
            time="2026-03-02T11:00:00.000000Z", author=AUTHOR,
            action=action, revision=f"{endpoint}@champion",
            versions=tuple(
                ServedVersion(project=project, name=endpoint, version=version, commit=commit, weight=weight)
                for version, commit, weight in served
            ),
        )  # fmt: skip
        return self.sealed.add_event(event)

    def catalog(self, name: str = "catalog.sqlite") -> Catalog:
        return Catalog(self.folder / "local" / name, self.repository)

    def dump(self, name: str = "catalog.sqlite") -> dict[str, list[tuple[Any, ...]]]:
        """Every table's rows, sorted: what two catalogs of one store must have in common."""
        with self.catalog(name) as catalog:
            catalog.refresh()
        with closing(sqlite3.connect(self.folder / "local" / name)) as connection:
            tables = connection.execute("select name from sqlite_schema where type = 'table'").fetchall()
            return {
                table: sorted(connection.execute(f'select * from "{table}"'), key=repr) for (table,) in tables
            }


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub(tmp_path / "hub")


@pytest.fixture
def catalog(hub: Hub) -> Iterator[Catalog]:
    with hub.catalog() as opened:
        yield opened
