"""A second reader of hubs, written from docs/format.md alone. It must not import kamld.

    python tests/compat/second_reader.py HUB                         all there is, as JSON
    python tests/compat/second_reader.py HUB extract COMMIT FOLDER   the files of a commit

It takes every hash and every rule on that page at its word, and stops where one does not hold.
"""

import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import zstandard
from blake3 import blake3


class Place(NamedTuple):
    pack: bytes
    raw: int
    offset: int
    stored: int
    codec: int


class Entry(NamedTuple):
    path: bytes
    kind: int
    size: int
    id: bytes


class Columns:
    """Takes columns off the front of a table."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, length: int) -> bytes:
        part = self.data[self.at : self.at + length]
        assert len(part) == length, "the table is too short"
        self.at += length
        return part

    def numbers(self, kind: str, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}{kind}", self.take(struct.calcsize(f"<{count}{kind}")))

    def ids(self, count: int) -> list[bytes]:
        return [self.take(32) for _ in range(count)]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)


class Hub:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        about = self.record("kamld-hub.json")
        assert about["format"] in (1, 2)
        self.packs = {path.stem: path.read_bytes() for path in folder.glob("packs/*/*.pack")}
        self.places = dict(self.index())

    def record(self, key: str) -> Any:
        data, digest, end = (self.folder / key).read_bytes().split(b"\n")
        assert blake3(data).hexdigest().encode() == digest, f"{key} is damaged"
        assert end == b""
        value = json.loads(data)
        again = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert again.encode() == data, f"{key} is not canonical"
        return value

    def keys(self, prefix: str) -> list[str]:
        found = (self.folder / prefix).rglob("*")
        return sorted(str(path.relative_to(self.folder)) for path in found if path.is_file())

    # Packs and index

    def footer(self, name: str) -> Iterator[tuple[bytes, Place]]:
        pack = self.packs[name]
        length, digest, end = struct.unpack("<Q32s8s", pack[-48:])
        footer = pack[-48 - length : -48]
        assert pack[:8] == b"KMLDPAK1"
        assert end == b"KMLDPEND"
        assert blake3(footer).digest() == digest == bytes.fromhex(name)
        table = Columns(footer)
        (count,) = table.numbers("Q", 1)
        raw, ids = table.numbers("Q", count), table.ids(count)
        offsets, stored = table.numbers("I", count), table.numbers("I", count)
        codecs = table.numbers("B", count)
        assert not table.rest()
        at = 8
        for offset, length in zip(offsets, stored, strict=True):
            assert offset == at
            at += length
        assert at == len(pack) - 48 - len(footer)
        for row in zip(ids, raw, offsets, stored, codecs, strict=True):
            yield row[0], Place(bytes.fromhex(name), *row[1:])

    def segment(self, key: str) -> tuple[list[bytes], dict[bytes, Place]]:
        data = (self.folder / key).read_bytes()
        assert blake3(data[:-32]).digest() == data[-32:] == bytes.fromhex(Path(key).stem)
        table = Columns(data[:-32])
        assert table.take(8) == b"KMLDIDX1"
        (count,), (packs, replaced) = table.numbers("Q", 1), table.numbers("I", 2)
        assert table.take(40) == bytes(40)
        replaces, names = table.ids(replaced), table.ids(packs)
        prefix, raw = table.numbers("Q", count), table.numbers("Q", count)
        ids = [number.to_bytes(8, "big") + table.take(24) for number in prefix]
        assert ids == sorted(set(ids))
        pack, offset, stored = (table.numbers("I", count) for _ in range(3))
        codec = table.numbers("B", count)
        assert not table.rest()
        rows = zip(ids, pack, raw, offset, stored, codec, strict=True)
        return replaces, {row[0]: Place(names[row[1]], *row[2:]) for row in rows}

    def index(self) -> dict[bytes, Place]:
        """All live segments together; each row is held against the footer of its pack."""
        segments = {Path(key).stem: self.segment(key) for key in self.keys("index")}
        dead = {name.hex() for replaces, _ in segments.values() for name in replaces}
        places = {i: p for name, (_, rows) in segments.items() if name not in dead for i, p in rows.items()}
        footers = {(i, place) for name in self.packs for i, place in self.footer(name)}
        assert set(places.items()) <= footers
        assert {i for i, _ in footers} == set(places)
        return places

    def read(self, identifier: bytes) -> bytes:
        place = self.places[identifier]
        stored = self.packs[place.pack.hex()][place.offset : place.offset + place.stored]
        if place.codec == 128:
            assert blake3(identifier + stored[32:]).digest() == stored[:32]
            rows = struct.iter_unpack("<32sI", stored[32:])
            chunks = [(self.read(chunk), length) for chunk, length in rows]
            assert all(len(chunk) == length for chunk, length in chunks)
            data = b"".join(chunk for chunk, _ in chunks)
        else:
            assert place.codec in (0, 1), "a codec that this reader does not know"
            unpack = zstandard.ZstdDecompressor().decompress
            data = unpack(stored, max_output_size=place.raw) if place.codec else stored
        assert len(data) == place.raw
        assert blake3(data).digest() == identifier
        return data

    # Trees and commits

    def tree(self, identifier: bytes) -> list[Entry]:
        table = Columns(self.read(identifier))
        assert table.take(8) == b"KMLDTRE1"
        pages, total, size = table.numbers("Q", 3)
        sizes, ids, counts = table.numbers("Q", pages), table.ids(pages), table.numbers("Q", pages)
        offsets, last = table.numbers("I", pages + 1), table.rest()
        entries: list[Entry] = []
        for number, page in enumerate(map(self.page, ids)):
            assert page[-1].path == last[offsets[number] : offsets[number + 1]]
            assert (len(page), sum(row.size for row in page)) == (counts[number], sizes[number])
            ends = [ends_page(row.path) for row in page]
            assert not any(ends[:-1])
            assert ends[-1] or len(page) == 8192 or number == pages - 1
            entries += page
        assert (len(entries), sum(row.size for row in entries)) == (total, size)
        paths = [row.path for row in entries]
        assert paths == sorted(set(paths))
        return entries

    def page(self, identifier: bytes) -> list[Entry]:
        table = Columns(self.read(identifier))
        assert table.take(8) == b"KMLDPAG1"
        (count,) = table.numbers("Q", 1)
        sizes, ids, offsets = table.numbers("Q", count), table.ids(count), table.numbers("I", count + 1)
        kinds, paths = table.numbers("B", count), table.rest()
        assert (offsets[0], offsets[-1]) == (0, len(paths))
        return [Entry(paths[offsets[i] : offsets[i + 1]], kinds[i], sizes[i], ids[i]) for i in range(count)]

    def commit(self, identifier: str) -> Any:
        data = self.read(bytes.fromhex(identifier))
        value = json.loads(data)
        again = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        assert again.encode() == data
        return value

    def extract(self, identifier: str, folder: Path) -> None:
        for row in self.tree(bytes.fromhex(self.commit(identifier)["tree"])):
            assert not {b"", b".", b".."} & set(row.path.split(b"/"))
            path = folder / os.fsdecode(row.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            if row.kind == 3:
                path.mkdir()
            elif row.kind == 2:
                path.symlink_to(os.fsdecode(self.read(row.id)))
            else:
                path.write_bytes(self.read(row.id))
                path.chmod(0o755 if row.kind == 1 else 0o644)

    # Names, refs, runs, deployments

    def moves(self, ref: Any) -> list[Any]:
        """All of them, the oldest first."""
        moves = list(ref["moves"])
        older = ref.get("older")
        while older:
            sealed = self.record(older)
            digest = blake3((self.folder / older).read_bytes()).hexdigest()[:16]
            first = sealed["moves"][0]
            assert first.get("lost") or older.endswith(f"/{first['seq']:010d}-{digest}")
            moves = sealed["moves"] + moves
            older = sealed.get("older")
        for before, move in zip([{"seq": 0}, *moves], moves, strict=False):
            assert move["seq"] == before["seq"] + 1 or (move.get("lost") and move["seq"] > before["seq"])
        return moves

    def versions(self) -> Any:
        """The files of each version that any ref ever named; None where a checkpoint's are gone."""
        found: dict[str, Any] = {}
        moves = [move for key in self.keys("refs") for move in self.moves(self.record(key))]
        waiting = {move[word] for move in moves for word in ("commit", "carries") if word in move}
        while waiting:
            identifier = waiting.pop()
            commit = self.commit(identifier)
            waiting |= {parent for parent in commit.get("parents", []) if parent not in found}
            found[identifier] = self.files(commit)
        return found

    def files(self, commit: Any) -> Any:
        try:
            return {
                row.path.decode("utf-8", "backslashreplace"): [row.kind, row.size, self.content(row)]
                for row in self.tree(bytes.fromhex(commit["tree"]))
            }
        except KeyError:
            assert "checkpoint" in commit
            return None

    def content(self, row: Entry) -> str:
        """Its digest; of one that was left elsewhere, the digest that is kept of all its parts."""
        if (self.folder / f"holes/{row.id.hex()}.json").exists():
            assert row.id not in self.places
            return f"purged_file {row.id.hex()}"
        keys = [blake3(b"kamld place %d\0" % number + row.id).digest() for number in range(16)]
        there = [key for key in keys if key in self.places]
        if row.id in self.places or not there:
            return digest(self.read(row.id), row)
        place = self.places[there[-1]]
        stored = self.packs[place.pack.hex()][place.offset : place.offset + place.stored]
        assert (place.codec, place.raw) == (64, row.size)
        assert blake3(there[-1] + stored[32:]).digest() == stored[:32]
        (length,) = struct.unpack("<I", stored[32:36])
        record, parts = json.loads(stored[36 : 36 + length]), stored[36 + length :]
        assert record["size"] == row.size < 2**20
        assert len(parts) == 32
        return parts.hex()

    def dataset(self, dataset: Any) -> Any:
        refs, commits, waiting = {}, {}, set()
        for key in self.keys(f"refs/{dataset['id']}"):
            ref = self.record(key)
            moves = self.moves(ref)
            waiting |= {move["commit"] for move in moves if "commit" in move}
            said = [[move.get("commit"), move.get("version")] for move in moves]
            refs[ref["name"]] = {"kind": ref["kind"], "moves": said}
        while waiting:
            identifier = waiting.pop()
            commits[identifier] = self.version(identifier)
            waiting |= {parent for parent in commits[identifier]["parents"] if parent not in commits}
        return {"kind": dataset["kind"], "refs": refs, "commits": commits}

    def version(self, identifier: str) -> Any:
        commit = self.commit(identifier)
        parents = commit.get("parents", [])
        assert all(self.commit(parent)["time"] < commit["time"] for parent in parents)
        return {"message": commit["message"], "parents": parents, "files": self.files(commit)}

    def following(self, key: str) -> list[str]:
        """Every event's key of an endpoint, found without a listing: the hint may be behind."""
        place = key.rpartition("/")[0]
        last = self.record(f"endpoints{place.removeprefix('deployments')}.json")["last"]
        while (self.folder / place / f"{last + 1:08d}").exists():
            last += 1
        return [f"{place}/{seq:08d}" for seq in range(1, last + 1)]

    def everything(self) -> Any:
        datasets = [named for key in self.keys("names") if not (named := self.record(key)).get("gone")]
        endpoints: dict[str, list[Any]] = {}
        for key in self.keys("deployments"):
            event = self.record(f"events/{(self.folder / key).read_text()}.json")
            name = f"{event['project']}/{event['endpoint']}"
            endpoints.setdefault(name, []).append(event)
            assert key == f"deployments/{name}/{event['seq']:08d}"
            assert key in self.following(key)
        numbers = {
            key: (self.folder / key).read_text() for key in self.keys("run-numbers") if key[-1].isdigit()
        }
        for key in numbers:
            hint = self.record(f"{key.rpartition('/')[0]}/last.json")
            assert f"{key.rpartition('/')[0]}/{hint['last']:08d}" in numbers
        return {
            "datasets": {f"{d['project']}/{d['name']}": self.dataset(d) for d in datasets},
            "runs": {
                key: self.record(f"runs/{run_id[-2:]}/{run_id}.json") for key, run_id in numbers.items()
            },
            "endpoints": endpoints,
        }


def ends_page(path: bytes) -> bool:
    return crc32(path) * 0x9E3779B1 % 2**32 < 2**22


def digest(content: bytes, row: Entry) -> str:
    assert len(content) == row.size
    return blake3(content).hexdigest()


if __name__ == "__main__":
    hub = Hub(Path(sys.argv[1]))
    if sys.argv[2:3] == ["extract"]:
        hub.extract(sys.argv[3], Path(sys.argv[4]))
    else:
        sys.stdout.write(json.dumps(hub.everything(), indent=1, sort_keys=True) + "\n")
