"""What `kamld diff` compares: its words as two sides, and the paths of them that are looked at.

A folder that is there is meant by its name, else a dataset or model; a word behind it is a file or folder of
theirs where there is one, else a revision. `@REVISION` is never anything else. The folder is the newer side.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kamld.app import App
from kamld.changes.compare import Paths
from kamld.cli import render
from kamld.cli.context import existing_folder
from kamld.cli.paths import is_name, is_place
from kamld.errors import Invalid, NotFound
from kamld.records.globs import is_glob
from kamld.records.history import Commit, Dataset
from kamld.records.names import MAIN, Name, Reference, parse_reference, parse_revision
from kamld.store import Change, Repository, Tree
from kamld.store.refs.revisions import Resolved
from kamld.store.trees import diff
from kamld.workspace import Binding, find_binding, folder_status
from kamld.workspace.settle import bound_dataset
from kamld.workspace.status import changes_since

_NO_REVISION = ("unknown_revision", "bad_revision", "unknown_name", "bad_name")


@dataclass(frozen=True, slots=True)
class Compared:
    repository: Repository
    title: str
    changes: list[Change]
    folder: Path | None = None  # where the new files are, if not in the hub
    models: tuple[str, str] | None = None  # the commits, if these are versions of models
    trees: tuple[Tree, ...] = ()  # the two sides, as far as they are in the hub
    of: Dataset | None = None


@dataclass(frozen=True, slots=True)
class _Here:
    """A folder that was named, or where the person is: `start`, in the bound folder `top`."""

    top: Path
    start: Path
    binding: Binding
    repository: Repository
    of: Dataset
    said: str

    def path(self, word: str) -> str:
        """A path as the version has it; "." is all."""
        return os.path.relpath(os.path.normpath(self.start / word), self.top)

    def tree(self) -> Tree:
        return self.repository.tree(self.repository.commit(self.binding.commit))

    def has(self, word: str) -> bool:
        """Whether a word is a path in the folder, or in the version that it comes from."""
        if is_glob(word) or os.path.lexists(self.start / word):
            return True
        return len(self.tree().under(os.fsencode(self.path(word)))) > 0

    def resolve(self, word: str) -> Resolved:
        """A revision of the folder's dataset, or a whole name with one."""
        named, at, revision = word.partition("@")
        if named and at and not revision.startswith("{"):
            reference = parse_reference(word, self.of.project)
            if reference.path:
                raise Invalid("path_in_name", f'"{word}" names a part.', f"Leave :{reference.path} out.")
            return self.repository.resolve(reference)
        name = Name(self.of.project, self.of.name)
        return self.repository.resolve(Reference(name, parse_revision(word)))


def compared(app: App, words: Sequence[str]) -> tuple[Compared, list[str]]:
    """The two sides, and the paths that were named, none for all.

    Raises NotFound (unknown_name, unknown_revision, unknown_path, not_bound), Invalid, SystemFault.
    """
    first, rest = (words[0], words[1:]) if words else (".", [])
    if first.startswith("@"):
        return _from(_bound(app, app.folder, "."), None, words)
    if "@" not in first and ":" not in first:
        if Path(app.folder, first).is_dir() and not (rest and _only_a_name(app, first)):
            here = _bound(app, existing_folder(app.folder, Path(first)), first)
            return _from(here, None, rest)
        if not is_name(app, first) and (around := _around(app)) and _meant(around, first):
            return _from(around, None, words)
    one = app.resolve(first)
    if rest and is_place(rest[0]) and Path(app.folder, rest[0]).is_dir():
        here = _bound(app, existing_folder(app.folder, Path(rest[0])), rest[0])
        return _from(here, one, rest[1:])
    return _versions(app, one, first, rest)


def check_there(found: Compared, paths: Sequence[str]) -> None:
    """Raises NotFound (unknown_path) for a word that names nothing on either side."""
    for word in paths:
        asked = Paths([word])
        if any(asked.has(change.path) for change in found.changes) or (
            found.folder and os.path.lexists(found.folder / word)
        ):
            continue
        if any(_has(tree, word) for tree in found.trees):
            continue
        hint = "kamld ls shows what a version has."
        if is_glob(word):
            raise NotFound("no_match", f'Nothing on either side matches "{word}".', hint)
        if found.of:
            hint = f"kamld ls {found.of.said} shows what there is; another version is written @REVISION."
        raise NotFound(
            "unknown_path", f'Neither side has a file or folder "{word}", nor is it a version.', hint
        )


def _from(here: _Here, old: Resolved | None, words: Sequence[str]) -> tuple[Compared, list[str]]:
    """The folder beside that version, or the one that the first of the words names, else its own."""
    meant = _meant(here, words[0]) if words and old is None else False
    if isinstance(meant, Resolved):
        old, words = meant, words[1:]
    elif meant and (ref := here.repository.refs.find(here.of, words[0])) and ref.commit:
        render.advise_aside(f"{words[0]} is a {ref.kind} too: kamld diff {here.said} @{words[0]}")
    repository, of, branch = here.repository, here.of, here.binding.branch
    if old is None:
        commit_id, trees = here.binding.commit, (here.tree(),) if words else ()
        changes = folder_status(here.top, here.binding, repository).changes
    else:
        commit_id, of, branch = old.commit_id, old.dataset, old.branch or ""
        trees = (repository.tree(old.commit),)
        changes = changes_since(here.top, here.binding, repository, trees[0])
    name = of.said if branch in ("", MAIN) else f"{of.said}@{branch}"
    paths = [here.path(word) for word in words]
    if not words and here.said != ".":
        paths = [here.path(".")]  # a folder in the bound one, if it is not that itself
    title = f"{name}: {render.commit_id(commit_id)} → {here.said}"
    return Compared(repository, title, changes, here.top, None, trees, of), [] if "." in paths else paths


def _meant(here: _Here, word: str) -> Resolved | bool:
    """The version that a word behind a folder names; True: it is a path, there or in the folder's own
    version; False: it is neither."""
    if word.startswith("@"):
        return here.resolve(word[1:])
    if here.has(word):
        return True
    try:
        return here.resolve(word)
    except (NotFound, Invalid) as error:
        if "@" in word or error.code not in _NO_REVISION:
            raise
        return False


def _bound(app: App, start: Path, said: str) -> _Here:
    top, binding = find_binding(start.resolve(), app.of_binding)
    repository = app.of_binding(top, binding)
    of = bound_dataset(repository, top, binding)  # whose name is not the binding's after `kamld mv`
    return _Here(top, start.resolve(), binding, repository, of, said)


def _around(app: App) -> _Here | None:
    """The bound folder that the person is in."""
    try:
        return _bound(app, app.folder, ".")
    except NotFound:
        return None


def _only_a_name(app: App, word: str) -> bool:
    """Whether a folder is there that is none of a dataset, beside a dataset of its name."""
    try:
        find_binding(Path(app.folder, word).resolve(), app.of_binding)
    except NotFound as error:
        return error.code == "not_bound" and is_name(app, word)
    return False


def _versions(app: App, one: Resolved, first: str, rest: Sequence[str]) -> tuple[Compared, list[str]]:
    """Two versions, or one and the version before it."""
    repository = app.repository
    other = _second(app, one, first, rest[0]) if rest else None
    if other is not None:
        title = f"{one.dataset.said} {render.commit_id(one.commit_id)} → {render.commit_id(other.commit_id)}"
        changes = _diff(repository, one.commit, other.commit)
        trees, models = _trees(repository, one.commit, other.commit), _models(one, other.commit_id)
        return Compared(repository, title, changes, None, models, trees, one.dataset), list(rest[1:])
    parent = one.commit.parents[0] if one.commit.parents else None
    before = repository.commit(parent) if parent else None
    came_from = render.commit_id(parent) if parent else "nothing"
    title = f"{one.dataset.said} {came_from} → {render.commit_id(one.commit_id)}"
    changes = _diff(repository, before, one.commit)
    models = _models(one, parent, one.commit_id) if parent else None
    trees = _trees(repository, before, one.commit)
    return Compared(repository, title, changes, None, models, trees, one.dataset), list(rest)


def _second(app: App, one: Resolved, first: str, word: str) -> Resolved | None:
    """None: it is a path in the version that was named first, or in the one before it."""
    name = first.partition("@")[0].partition(":")[0]
    if word.startswith("@"):
        return app.resolve(name + word)
    before = [app.repository.commit(parent) for parent in one.commit.parents[:1]]
    if "@" not in word and any(_has(tree, word) for tree in _trees(app.repository, one.commit, *before)):
        return None
    tries = [word] if "@" in word else [word, f"{name}@{word}"]
    for text in tries:
        try:
            return app.resolve(text)
        except (NotFound, Invalid) as error:
            if "@" in word or error.code not in (*_NO_REVISION, "path_in_name"):
                raise
    return None


def _models(of: Resolved, *commits: str) -> tuple[str, str] | None:
    before, after = commits if len(commits) > 1 else (of.commit_id, *commits)
    return (before, after) if of.dataset.kind == "model" else None


def _trees(repository: Repository, *commits: Commit | None) -> tuple[Tree, ...]:
    return tuple(repository.tree(commit) for commit in commits if commit)


def _diff(repository: Repository, old: Commit | None, new: Commit) -> list[Change]:
    return diff(repository.tree(old) if old else None, repository.tree(new))


def _has(tree: Tree, word: str) -> bool:
    if is_glob(word):
        asked = Paths([word])
        return any(asked.has(path) for path in tree.entries().paths)
    return len(tree.under(os.fsencode(word.strip("/")))) > 0
