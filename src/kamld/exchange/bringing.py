"""Bringing a source's files into a hub, and a commit that says where they came from.

Nothing lands before everything was read and checked. What was read before an interruption stays in
the hub for a while, and is not read again.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kamld import clock
from kamld.errors import Invalid, UsageError
from kamld.exchange.dvc import History, Project
from kamld.exchange.imported import OTHERWISE, Imported, earlier, kept_apart, name_taken
from kamld.exchange.items import Item, Source, checked, refused
from kamld.exchange.notes import Notes
from kamld.records.history import Imported as Origin
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER
from kamld.records.names import MAIN, Name
from kamld.store import Place, Progress, Repository, Writer
from kamld.store import Source as FileSource
from kamld.store.trees import EMPTY_ID, diff
from kamld.store.trees.entries import Entries, Entry, entries_of

_FLUSH = 256 * 1024 * 1024  # bytes after which what came is made durable and noted
_AHEAD = 16  # small files that are fetched at once
_SMALL = 1024 * 1024


def import_from(
    repository: Repository, source: Source, name: Name, *, local: Path, author: str, message: str = "",
    model: bool = False, branch: str = "", reference: bool = False, leave_out: bool = False,
    progress: Progress | None = None,
) -> Imported:  # fmt: skip
    """Import a source as a new version of `name`, which is made on first use.

    Raises Conflict (name_taken, protected_branch), Invalid (unsafe_path, empty_source …), SystemFault;
    nothing has landed then. `leave_out`: what is missing from a history may be.
    """
    if leave_out and source.history is None:
        raise UsageError("usage", "Only of a DVC repository what is missing can be left out.")
    if isinstance(source.history, Project):
        if message:
            raise UsageError("usage", "A history has messages of its own.", "Leave the message out.")
        if reference:
            raise Invalid(
                "cannot_be_left", "What DVC keeps cannot be left where it is: its cache is cleaned up.",
                "Import it without --reference.",
            )  # fmt: skip
        history = History(source.history, repository, source, Notes(local, source.source), leave_out)
        return history.bring(name, author=author, model=model, branch=branch, progress=progress)
    found = repository.names.find(name)
    dataset = found if found and repository.is_made(found) else None
    into = branch or MAIN
    base = earlier(repository, dataset, into, source) if dataset else None
    if dataset and base is None and not branch:
        raise name_taken(name, source)
    if dataset:
        repository.check_open(dataset, into, OTHERWISE)
    notes = Notes(local, f"{source.kind} {source.source} {reference}")
    with repository.writer() as writer:
        rows, read = _bring(repository, writer, source, notes, reference, progress)
        entries = entries_of(rows)
        _tell_macos(source, entries.paths)
        if not len(entries):
            raise Invalid("empty_source", f"{source.source} has no files.", "Look at what is named.")
        before = repository.commit(base) if base else None
        version = repository.write_version(
            writer, entries, parents=(base,) if base else (), author=author,
            message=message or f"imported from {source.source}",
            imported=Origin(
                source=source.source, kind=source.kind, time=clock.now(), checksum=source.checksum(),
                revision=source.revision(),
            ), metadata=source.metadata,
        )  # fmt: skip
        notes.write()
    source.done()
    shape = (len(entries), int(entries.sizes.sum()), read, writer.bytes_added)
    if before and base and dataset and before.tree == version.commit.tree:
        return Imported(dataset, source, False, base, None, [], *shape)
    apart = kept_apart(repository, dataset, into, source) if dataset else None
    if apart and dataset and repository.commit(apart[1]).tree == version.commit.tree:
        return Imported(dataset, source, False, apart[1], None, [], *shape, branch=apart[0])
    changes = diff(repository.tree(before) if before else None, repository.tree(version.commit))
    of = dataset or repository.create(name, "model" if model or source.model else "dataset")
    committed = repository.land_version(of, into, version, author=author)
    return Imported(
        of, source, dataset is None, base, committed, changes, *shape, remarks=tuple(source.remarks)
    )


def _tell_macos(source: Source, paths: Iterable[bytes]) -> None:
    """Nothing is left out by itself, but who looks at the number of files should know."""
    ours = [p for p in paths if p.rpartition(b"/")[2] == b".DS_Store" or b"__MACOSX" in p.split(b"/")]
    if ours:
        some = ours[0].decode(errors="replace")
        said = "1 file is" if len(ours) == 1 else f"{len(ours):,} files are"
        source.remarks.append(f"{said} what macOS adds (__MACOSX, .DS_Store), such as {some}; all came too.")


def fetch_left(repository: Repository, entries: Entries, progress: Progress | None = None) -> tuple[int, int]:
    """Copy files that were left where they are into the hub: (how many, bytes). Each is verified."""
    ids = list(dict.fromkeys(row.id for row in entries.rows()))
    wanted = [i for i, held in zip(ids, repository.objects.held(ids), strict=True) if not held]
    with repository.writer() as writer:
        streams = ((i, map(bytes, repository.objects.stream(i))) for i in wanted)
        lengths = []
        for key, identifier, length in writer.put_streams(streams, progress):
            assert key == identifier, "every block was checked"
            lengths.append(length)
    return len(lengths), sum(lengths)


def _bring(
    repository: Repository, writer: Writer, source: Source, notes: Notes, reference: bool,
    progress: Progress | None,
) -> tuple[list[Entry], int]:  # fmt: skip
    """The entries, sorted, and how many bytes were read for them."""
    known = notes.read()
    usable = set(_usable(repository, writer, [i for i, _ in known.values()], reference))
    rows: dict[bytes, Entry] = {}
    waiting: list[Item] = []
    read = unflushed = 0
    links: list[Item] = []

    def keep(item: Item, identifier: bytes, size: int) -> None:
        rows[item.path] = Entry(item.path, item.kind, size, identifier)
        notes.add(item.path, item.stamp, identifier, size)

    def fresh() -> Iterator[Item]:
        for item in checked(source.source, source.items()):
            before = known.get((item.path, item.stamp)) if item.stamp else None
            if item.same_as:
                links.append(item)
            elif item.kind == FOLDER:
                writer.put(b"")
                rows[item.path] = Entry(item.path, FOLDER, 0, EMPTY_ID)
            elif before and before[0] in usable:
                if source.verify:
                    source.verify(map(bytes, repository.objects.stream(before[0])))
                keep(item, *before)
                if progress:
                    progress(1, 0)
            elif item.file and not reference and item.kind in (FILE, EXECUTABLE):
                waiting.append(item)
            else:
                yield item

    for item, identifier, size in _kept(writer, fresh(), reference, progress):
        keep(item, identifier, size)
        read, unflushed = read + size, unflushed + size
        if unflushed >= _FLUSH:
            writer.flush()
            notes.write()
            unflushed = 0
    by_file = {item.file: item for item in waiting}
    for written in writer.put_files((FileSource(i.file, i.size) for i in waiting), progress):
        keep(by_file[written.source.path], written.id, written.state.size)
        read += written.state.size
    for item in links:
        if item.same_as not in rows:
            raise refused(source.source, item.path, "is a link to something that is not in it")
        target = rows[item.same_as]
        rows[item.path] = Entry(item.path, target.kind, target.size, target.id)
    filled = {b"/".join(path.split(b"/")[:n]) for path in rows for n in range(1, path.count(b"/") + 1)}
    return [rows[path] for path in sorted(rows) if not (path in filled and rows[path].kind == FOLDER)], read


def _usable(repository: Repository, writer: Writer, ids: list[bytes], reference: bool) -> Iterator[bytes]:
    if reference:
        return (i for i in ids if repository.objects.has(i))
    return (i for i, has in zip(ids, writer.has(ids), strict=True) if has)


def _kept(
    writer: Writer, items: Iterable[Item], reference: bool, progress: Progress | None
) -> Iterator[tuple[Item, bytes, int]]:
    if not reference:
        yield from writer.put_streams(_ahead(items), progress)
        return
    for item in items:
        if not item.address or item.kind not in (FILE, EXECUTABLE):
            if item.kind in (FILE, EXECUTABLE):
                raise Invalid(
                    "cannot_be_left", f"{item.path.decode(errors='replace')} is inside an archive;"
                    " such a file cannot be left where it is.", "Import it without --reference.",
                )  # fmt: skip
            yield item, writer.put(b"".join(item.pieces())), item.size
            continue
        place = Place(
            address=item.address, size=item.size, since=clock.now(), etag=item.etag, modified=item.modified
        )
        identifier, size = writer.put_place(place, item.pieces())
        if progress:
            progress(1, size)
        yield item, identifier, size


def _content(item: Item) -> bytes:
    return b"".join(item.pieces())


def _ahead(items: Iterable[Item]) -> Iterator[tuple[Item, Iterable[bytes]]]:
    """Items with their contents; small ones that are far away are fetched several at a time."""
    with ThreadPoolExecutor(_AHEAD, "fetch") as pool:
        waiting = []
        for item in items:
            if item.address and not item.file and item.size <= _SMALL:
                waiting.append((item, pool.submit(_content, item)))
                if len(waiting) >= _AHEAD:
                    first, future = waiting.pop(0)
                    yield first, [future.result()]
            else:
                yield item, item.pieces()
        for first, future in waiting:
            yield first, [future.result()]
