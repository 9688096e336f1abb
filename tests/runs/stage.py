"""A hub with runs, for tests; as a program, one run in a process of its own.

python -m tests.runs.stage [--die WHEN] HUB FOLDER [-i INPUT] [-o OUTPUT] [-p NAME=VALUE] -- COMMAND

WHEN as in tests.workspace.killed.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kamld.blobs import FolderBlobs
from kamld.database.live import LiveDatabase
from kamld.errors import KamldError
from kamld.records.history import Kind
from kamld.records.names import Name, parse_reference
from kamld.records.run import Metric
from kamld.runs.executor.local import LocalExecutor
from kamld.runs.interface import Live, Stop, Stream
from kamld.runs.plan import Request
from kamld.runs.runner import Begun, Outcome, Runner
from kamld.runs.unfinished import Closed
from kamld.store import Repository, Tree, open_hub
from kamld.workspace import commit_folder
from tests.workspace.killed import die

ROOT = Path(__file__).resolve().parents[2]
AUTHOR = "Ada <ada@example.org>"


@dataclass
class Told:
    """An audience that remembers."""

    closed_runs: list[Closed] = field(default_factory=list)
    begun_runs: list[Begun] = field(default_factory=list)
    streams: dict[Stream, bytes] = field(default_factory=lambda: {"stdout": b"", "stderr": b""})
    points: list[Metric] = field(default_factory=list)
    stops: list[Stop] = field(default_factory=list)
    prepared_files: int = 0
    kept_files: int = 0

    def closed(self, closed: Closed) -> None:
        self.closed_runs.append(closed)

    def prepared(self, files: int, size: int) -> None:
        self.prepared_files += files

    def begun(self, begun: Begun) -> None:
        self.begun_runs.append(begun)

    def wrote(self, stream: Stream, data: bytes) -> None:
        self.streams[stream] += data

    def logged(self, points: tuple[Metric, ...]) -> None:
        self.points += points

    def stopping(self, how: Stop) -> None:
        self.stops.append(how)

    def kept(self, files: int, size: int) -> None:
        self.kept_files += files


class Aloud(Told):
    """An audience that passes the command's output on, and says when it has begun."""

    def begun(self, begun: Begun) -> None:
        os.write(1, f"begun {begun.id}\n".encode())

    def wrote(self, stream: Stream, data: bytes) -> None:
        os.write(1 if stream == "stdout" else 2, data)


@dataclass
class Stage:
    repository: Repository
    executor: LocalExecutor
    live: Live
    state: Path
    folder: Path  # where commands start

    @property
    def runner(self) -> Runner:
        return Runner(self.repository, self.executor, self.live, self.state)

    def run(
        self, *command: str, inputs: Sequence[str] = (), outputs: Sequence[str] = (),
        params: Sequence[str] = (), told: Told | None = None, folder: Path | None = None,
    ) -> Outcome:  # fmt: skip
        request = Request(
            command=command, project="default", author=AUTHOR, folder=folder or self.folder,
            variables=os.environ, inputs=tuple(inputs), outputs=tuple(outputs),
            params=tuple(params),
        )  # fmt: skip
        return self.runner.run(request, told or Told())

    def python(self, code: str, **words: Sequence[str] | Told) -> Outcome:
        return self.run(sys.executable, "-c", code, **words)  # type: ignore[arg-type]

    def commit(self, name: str, files: dict[str, str], kind: Kind = "dataset") -> str:
        """A dataset or model of these files; the id of its first commit."""
        folder = self.folder.parent / f"source of {name}"
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        made = commit_folder(
            self.repository, folder, "as delivered", name=Name("default", name), kind=kind,
            author=AUTHOR,
        )  # fmt: skip
        assert made.committed
        return made.committed.commit_id

    def commit_again(self, folder: Path) -> None:
        commit_folder(self.repository, folder, "by hand", name=None, kind="dataset", author=AUTHOR)

    def files(self, reference: str) -> dict[str, bytes]:
        """What a version has in it."""
        found = self.repository.resolve(parse_reference(reference, "default"))
        return self.tree_files(found.commit.tree)

    def tree_files(self, tree: str) -> dict[str, bytes]:
        rows = Tree(self.repository.objects, bytes.fromhex(tree)).entries().rows()
        return {row.path.decode(): self.repository.objects.read(row.id) for row in rows}

    def text(self, file_id: str | None) -> bytes:
        return self.repository.objects.read(bytes.fromhex(file_id)) if file_id else b""

    def left(self) -> list[str]:
        """Runs that have a folder still."""
        return sorted(path.name for path in (self.state / "runs").iterdir())


@contextmanager
def staged(hub: Path, folder: Path, cache_gb: int = 1) -> Iterator[Stage]:
    repository, state = open_hub(FolderBlobs(hub)), hub / "local"
    state.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)
    executor = LocalExecutor(repository, state, cache_gb=cache_gb, threads=2)
    with LiveDatabase(state / "live.sqlite") as live:
        yield Stage(repository, executor, live, state, folder)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--die", default="never")
    parser.add_argument("hub", type=Path)
    parser.add_argument("folder", type=Path)
    for option in ("-i", "-o", "-p"):
        parser.add_argument(option, action="append", default=[])
    own, command = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    words = parser.parse_args(own)
    with staged(words.hub, words.folder) as stage:
        die(words.die)
        try:
            outcome = stage.run(*command, inputs=words.i, outputs=words.o, params=words.p, told=Aloud())
        except KamldError as error:
            os.write(2, f"{error.code}: {error}\n".encode())
            return error.exit_status
        if outcome.failure:
            os.write(2, f"{outcome.failure.code}: {outcome.failure}\n".encode())
        return outcome.exit_status


if __name__ == "__main__":
    sys.exit(main())
