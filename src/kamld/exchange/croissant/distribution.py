"""The files that a Croissant description names: fetched, verified, taken out of their archives."""

import fnmatch
import hashlib
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

from kamld.blobs.foreign import Foreign, is_web
from kamld.errors import Invalid, NotFound
from kamld.exchange import archives
from kamld.exchange.croissant.description import Description, FileObject, FileSet
from kamld.exchange.fetched import Aside, pieces_in
from kamld.exchange.items import Item, refused
from kamld.exchange.local import scanned
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER

_ARCHIVES = {
    "application/zip": ".zip", "application/x-zip-compressed": ".zip", "application/x-tar": ".tar",
    "application/tar": ".tar", "application/x-gtar": ".tar.gz", "application/gzip": ".tar.gz",
    "application/x-gzip": ".tar.gz", "application/x-gziptar": ".tar.gz", "application/x-bzip2": ".tar.bz2",
    "application/x-xz": ".tar.xz", "application/zstd": ".tar.zst",
}  # fmt: skip

_MAGIC = {
    b"PK": ".zip", b"\x1f\x8b": ".tar.gz", b"BZh": ".tar.bz2", b"\xfd7zXZ\0": ".tar.xz",
    b"\x28\xb5\x2f\xfd": ".tar.zst",
}  # fmt: skip


class Distribution:
    """`text` is the description as it is; `place` where it is: a path of this machine or an address."""

    def __init__(
        self, said: Description, text: bytes, place: str, shown: str, foreign: Foreign, aside: Path
    ) -> None:
        self._said, self._text, self._place, self._shown = said, text, place, shown
        self._foreign, self._aside = foreign, aside
        self._fetched: list[Aside] = []
        self.remarks: list[str] = []
        self._objects = {one.id: one for one in said.objects}
        self._holders = self._containers()

    def items(self) -> Iterator[Item]:
        """Raises Invalid (other_checksum, not_supported, unsafe_path …), NotFound, SystemFault."""
        yield Item(os.fsencode(self._own_name()), size=len(self._text), pieces=lambda: [self._text])
        for one in self._said.objects:
            if not one.inside and one.id not in self._holders:
                yield self._file(one)
        for holder in self._holders.values():
            yield from self._members(holder)
        yield from self._beside()
        unverified = [one.id for one in self._said.objects if not (one.inside or one.sha256 or one.md5)]
        if unverified:
            self.remarks.append(f"The description has no checksum for {', '.join(unverified[:5])}.")

    def done(self) -> None:
        for one in self._fetched:
            one.remove()

    def _containers(self) -> dict[str, FileObject]:
        """Archives whose contents are named. Raises Invalid (not_supported, bad_description)."""
        found = {}
        resources: list[FileObject | FileSet] = [*self._said.objects, *self._said.sets]
        for one in resources:
            if isinstance(one, FileSet) and not one.inside and is_web(self._place):
                raise self._not_supported(f'"{one.id}", a FileSet that is in nothing')
            for name in one.inside:
                holder = self._objects.get(name)
                if holder is None and any(other.id == name for other in self._said.sets):
                    raise self._not_supported(f'"{one.id}", which is in a FileSet')
                if holder is None:
                    raise Invalid(
                        "bad_description", f'"{one.id}" in {self._shown} is in "{name}", which is not there.'
                    )
                if holder.inside:
                    raise self._not_supported(f'"{name}", an archive in an archive')
                if not _suffix(holder):
                    kind = f" ({holder.format})" if holder.format else ""
                    raise self._not_supported(f'"{name}"{kind}, which is no archive and has files in it')
                found[name] = holder
        return found

    def _file(self, one: FileObject) -> Item:
        path = one.url if not is_web(one.url) else _name(one)
        sums = (("sha256", one.sha256), ("md5", one.md5))
        stamp = " ".join(f"{kind}:{wanted}" for kind, wanted in sums if wanted)
        path = posixpath.normpath(path)
        return Item(os.fsencode(path), stamp=stamp, pieces=lambda: self._verified(one))

    def _members(self, holder: FileObject) -> Iterator[Item]:
        """Those that are wanted; where there are several archives, each has a folder of its own."""
        objects = {o.url.removeprefix("./"): o for o in self._said.objects if holder.id in o.inside}
        sets = [one for one in self._said.sets if holder.id in one.inside]
        patterns = {one.id: (_any(one.includes or ("*",)), _any(one.excludes)) for one in sets}
        matched: set[str] = set()
        name = _name(holder)
        folder = os.fsencode(archives.stem(name)) + b"/" if len(self._holders) > 1 else b""
        path = self._checked(holder)
        sort = _sort_of(path)  # formats are often written wrong: application/x-tar for a tar.gz
        unwanted: set[bytes] = set()
        for item in archives.members(partial(open, path, "rb"), sort, f"{holder.id} of {self._shown}"):
            named = os.fsdecode(item.path)
            by = {n for n, (yes, no) in patterns.items() if yes.fullmatch(named) and not no.fullmatch(named)}
            if item.kind == FOLDER or not (named in objects or by):
                unwanted.add(item.path)
                continue
            matched |= by
            one = objects.pop(named, None)
            if item.same_as in unwanted:
                raise refused(self._shown, item.path, "is a link to a file that is not wanted")
            pieces = partial(self._compared, item.pieces, one) if one else item.pieces
            same_as = folder + item.same_as if item.same_as else b""
            yield replace(item, path=folder + item.path, pieces=pieces, same_as=same_as)
        for named, one in objects.items():
            raise NotFound(
                "unknown_path", f'There is no "{named}" ("{one.id}") in {holder.id} of {self._shown}.',
                "Ask whoever wrote the description.",
            )  # fmt: skip
        self._tell_empty(sets, matched)

    def _beside(self) -> Iterator[Item]:
        """Files beside the description that FileSets choose which are in nothing."""
        sets = [one for one in self._said.sets if not one.inside]
        taken = {self._own_name(), *(posixpath.normpath(o.url) for o in self._said.objects if not o.inside)}
        matched: set[str] = set()
        for item in scanned(Path(self._place).parent) if sets else ():
            path = os.fsdecode(item.path)
            by = {one.id for one in sets if _any(one.includes or ("*",)).fullmatch(path)
                  and not _any(one.excludes).fullmatch(path)}  # fmt: skip
            if by and path not in taken and item.kind in (FILE, EXECUTABLE):
                matched |= by
                yield item
        self._tell_empty(sets, matched)

    def _tell_empty(self, sets: list[FileSet], matched: set[str]) -> None:
        empty = [one for one in sets if one.id not in matched]
        self.remarks += [f"No file is in {one.id} ({', '.join(one.includes)})." for one in empty]

    def _verified(self, one: FileObject) -> Iterator[bytes]:
        return self._compared(lambda: pieces_in(self._found(one)), one)

    def _checked(self, one: FileObject) -> Path:
        """Where the whole file is, verified before anything of it is used."""
        path = self._found(one)
        for _ in self._compared(lambda: pieces_in(path), one):
            pass
        return path

    def _compared(self, pieces: Callable[[], Iterable[bytes]], one: FileObject) -> Iterator[bytes]:
        """Raises Invalid (other_checksum) at the end."""
        size = 0
        for piece in _verified(pieces, one, self._shown):
            size += len(piece)
            yield piece
        if one.size is not None and size != one.size:
            self.remarks.append(f'"{one.id}" has {size:,} bytes; the description says {one.size:,}.')

    def _found(self, one: FileObject) -> Path:
        """Where it is on this machine, once it is."""
        url = one.url if is_web(one.url) or not is_web(self._place) else urljoin(self._place, one.url)
        if is_web(url):
            if url.startswith("http:") and self._place.startswith("https:") and not one.sha256:
                raise Invalid(
                    "unsafe_address", f'"{one.id}" of {self._shown} is at {url}, without a checksum.',
                    "Anybody between here and there could change it. Fetch it yourself if you trust them.",
                )  # fmt: skip
            put = Aside(url, self._foreign, self._aside / hashlib.sha256(url.encode()).hexdigest()[:32])
            self._fetched.append(put)
            return put.fetch()
        return self._local(one)

    def _local(self, one: FileObject) -> Path:
        top = Path(self._place).parent
        path = (top / one.url).resolve()
        if "://" in one.url:
            raise self._not_supported(f'"{one.id}" at {one.url}')
        if not path.is_relative_to(top.resolve()):
            raise refused(self._shown, os.fsencode(one.url), "would be read from outside its folder")
        if not path.is_file():
            raise NotFound(
                "no_such_source", f"There is no {one.url} beside {self._shown}.", "Bring it there."
            )
        return path

    def _own_name(self) -> str:
        name = unquote(urlsplit(self._place).path if is_web(self._place) else self._place).rpartition("/")[2]
        return name if name.endswith((".json", ".jsonld")) else "croissant.json"

    def _not_supported(self, what: str) -> Invalid:
        return Invalid(
            "not_supported", f"{self._shown} has {what}; kamld does not support that.",
            "Fetch the files by other means and import the folder.",
        )  # fmt: skip


def _verified(pieces: Callable[[], Iterable[bytes]], one: FileObject, shown: str) -> Iterator[bytes]:
    """Raises Invalid (other_checksum) at the end."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    for piece in pieces():
        if one.sha256:
            sha256.update(piece)
        if one.md5:
            md5.update(piece)
        yield piece
    for kind, wanted, found in (("SHA-256", one.sha256, sha256), ("MD5", one.md5, md5)):
        if wanted and found.hexdigest() != wanted:
            raise Invalid(
                "other_checksum",
                f'"{one.id}" of {shown} has the {kind} {found.hexdigest()}, not {wanted}.'
                " Nothing was imported.",
                "Do not use it before you know why.",
            )


def _name(one: FileObject) -> str:
    """What a file of the web is called here: the first of its names that has a suffix, or the first."""
    last = unquote(urlsplit(one.url).path).rpartition("/")[2]
    names = [name for name in (one.name, last, one.id) if name and "/" not in name]
    return next((name for name in names if "." in name.strip(".")), names[0] if names else "file")


def _suffix(one: FileObject) -> str:
    """Of an archive; "": it is none."""
    lower = [name.lower() for name in (one.name, unquote(urlsplit(one.url).path), one.id)]
    found = [suffix for suffix in archives.SUFFIXES for name in lower if name.endswith(suffix)]
    return max(found, key=len, default="") or _ARCHIVES.get(one.format, "")


def _sort_of(path: Path) -> str:
    """A name with the suffix of what an archive is, by its first bytes."""
    with open(path, "rb") as file:
        start = file.read(6)
    found = (suffix for magic, suffix in _MAGIC.items() if start.startswith(magic))
    return "it" + next(found, ".tar")


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    """Globs as Croissant's own library takes them: a * goes through folders too."""
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)")
