"""Laws of a DVC repository's import, over histories of any shape, made by hand and by `git fast-import`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.blobs import MemoryBlobs
from kamld.blobs.foreign import Foreign
from kamld.exchange import Imported, import_from, recognise
from kamld.records.history import Commit
from kamld.records.names import Name
from kamld.store import Repository, open_hub
from tests.exchange.dvc_repositories import description, folder_list, keep

pytestmark = pytest.mark.needs("git")
Files = dict[str, bytes]


@dataclass(frozen=True)
class Made:
    """One Git commit: whose it follows (numbers of earlier ones), and the files that DVC tracks then."""

    parents: tuple[int, ...]
    files: Files
    tag: bool


@st.composite
def histories(draw: st.DrawFn) -> list[Made]:
    """The last one is HEAD. Few paths and contents, so that states come again."""
    paths = st.sampled_from(["one", "dir/a", "dir/b", "dir/c/d"])
    states = st.dictionaries(paths, st.sampled_from([b"", b"x", b"a\r\nb", bytes(100_000)]), max_size=4)
    made: list[Made] = []
    for number in range(draw(st.integers(1, 7))):
        parents = draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=2)) if number else set()
        made.append(Made(tuple(sorted(parents)), draw(states), draw(st.booleans())))
    return made


def write(top: Path, made: list[Made]) -> None:
    """`data` marks: 1 … are commits."""
    cache, said = top / ".dvc/cache", []
    for number, one in enumerate(made, 1):
        texts = {".gitignore": "/dir\n"}
        inside = {path[4:]: data for path, data in one.files.items() if path.startswith("dir/")}
        if inside:
            texts["dir.dvc"] = description(folder_list(cache, inside), "dir")
        if "one" in one.files:
            texts["one.dvc"] = description(keep(cache, one.files["one"]), "one")
        message = f"commit {number}"
        said += [
            f"commit refs/heads/c{number}\nmark :{number}",
            f"committer Ann <a@b> {1_600_000_000 + number} +0000",
            f"data {len(message)}\n{message}",
            *(f"{'merge' if n else 'from'} :{parent + 1}" for n, parent in enumerate(one.parents)),
            "deleteall",
            *(f"M 644 inline {path}\ndata {len(text)}\n{text}" for path, text in texts.items()),
        ]
        if one.tag:
            said.append(f"reset refs/tags/t{number}\nfrom :{number}\n")
    (top / ".dvc").mkdir(exist_ok=True)
    (top / ".dvc/config").touch()
    for words in (["init", "-q"], ["fast-import", "--quiet", "--force"],
                  ["symbolic-ref", "HEAD", f"refs/heads/c{len(made)}"]):  # fmt: skip
        text = "\n".join(said) + "\n" if words[0] == "fast-import" else ""
        subprocess.run(["git", *words], cwd=top, input=text, text=True, check=True, capture_output=True)


@contextmanager
def places() -> Iterator[tuple[Path, Path]]:
    with TemporaryDirectory() as name:
        (Path(name) / "repo").mkdir()
        yield Path(name) / "repo", Path(name) / "notes"


def bring(repository: Repository, top: Path, notes: Path) -> Imported:
    source = recognise(str(top), Foreign(os.environ), Path("/"), aside=notes)
    return import_from(repository, source, Name("default", "it"), local=notes, author="me")


def files(repository: Repository, commit: Commit) -> Files:
    rows = list(repository.tree(commit).entries().rows())
    return {os.fsdecode(row.path): repository.objects.read(row.id) for row in rows}


def versions(repository: Repository) -> dict[str, tuple[str, Commit]]:
    """By message, all that the refs lead to."""
    dataset = repository.names.get(Name("default", "it"))
    found = {}
    for ref in repository.live_refs(dataset):
        for identifier, commit in repository.log(ref.commit or ""):
            found[commit.message] = identifier, commit
    return found


def ancestors(made: list[Made], number: int) -> set[int]:
    return {number}.union(*(ancestors(made, parent) for parent in made[number].parents))


@given(histories())
def test_every_version_has_what_dvc_tracked_then(made: list[Made]) -> None:
    reached = ancestors(made, len(made) - 1).union(*(ancestors(made, n) for n, m in enumerate(made) if m.tag))
    if not any(made[n].files for n in ancestors(made, len(made) - 1)):
        return
    with places() as (top, notes):
        write(top, made)
        repository = open_hub(MemoryBlobs())
        done = bring(repository, top, notes)
        assert done.committed
        assert files(repository, done.committed.commit) == made[-1].files
        brought = versions(repository)
        assert len(brought) == done.versions
        for message, (_, commit) in brought.items():
            assert files(repository, commit) == made[int(message.split()[1]) - 1].files
            assert all(repository.commit(parent).time < commit.time for parent in commit.parents)
            own = {files(repository, repository.commit(parent)) == files(repository, commit)
                   for parent in commit.parents}  # fmt: skip
            assert own != {True} or len(commit.parents) > 1, "a version that changed nothing"
        dataset = repository.names.get(Name("default", "it"))
        tags = {ref.name: ref.commit for ref in repository.live_refs(dataset) if ref.kind == "tag"}
        for number in sorted(reached):
            before = any(made[n].files for n in ancestors(made, number))
            assert (f"t{number + 1}" in tags) == (made[number].tag and before)
        for tag, commit_id in tags.items():
            assert files(repository, repository.commit(commit_id or "")) == made[int(tag[1:]) - 1].files


@given(histories(), st.data())
def test_importing_as_it_grows_is_importing_at_once(made: list[Made], data: st.DataObject) -> None:
    line = [Made((n - 1,) if n else (), one.files, one.tag) for n, one in enumerate(made)]
    cut = data.draw(st.integers(1, len(line)))
    if not line[0].files:
        return
    with places() as (top, notes), places() as (other, _):
        repository, at_once = open_hub(MemoryBlobs()), open_hub(MemoryBlobs())
        write(top, line[:cut])
        bring(repository, top, notes)
        write(top, line)
        again = bring(repository, top, notes)
        assert again.base
        assert bring(repository, top, notes).committed is None
        write(other, line)
        bring(at_once, other, notes)
        grown, whole = versions(repository), versions(at_once)
        assert {m: (c.tree, c.time, c.author) for m, (_, c) in grown.items()} == {
            m: (c.tree, c.time, c.author) for m, (_, c) in whole.items()
        }
