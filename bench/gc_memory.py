"""How much memory and time `kamld gc --dry-run` needs to mark ten million chunks.

The hub is made for it: the index, the lists of chunks, the tree and the commit are real, written as
writers write them; the packs of the chunks themselves are empty files with the right names, for a dry
run never looks into those. What is printed is the peak of the process's anonymous memory, the
interpreter and the libraries included, and of that what it had before it began; the index is mapped,
which the system may drop at any time.
"""

import argparse
import json
import secrets
import struct
import sys
import tempfile
from pathlib import Path

import numpy as np
from _measured import measured
from blake3 import blake3

from kamld.blobs import FolderBlobs
from kamld.records.kinds import FILE
from kamld.records.names import Name
from kamld.store import Repository, open_hub, packs
from kamld.store.packs import RECIPE, Footer, PackBuilder
from kamld.store.trees.entries import Entry, entries_of

CHUNK = 64 * 1024  # bytes
IN_PACK, IN_FILE, IN_SEGMENT = 512, 16_384, 512_000  # chunks

LOOK = """
import sys
from datetime import timedelta
from kamld.blobs import FolderBlobs
from kamld.store import open_hub
from kamld.store.gc import look
hub = open_hub(FolderBlobs(__import__("pathlib").Path(sys.argv[1])))
if len(sys.argv) > 2:
    raise SystemExit
found = look(hub, 30)
print(found.live, found.objects, found.bytes)
assert found.live >= int(%d), found.live
"""


def hub_of(place: Path, chunks: int, dead: float) -> None:
    """A version with so many chunks in files of 1 GiB, and a share of chunks that nothing needs."""
    repository = open_hub(FolderBlobs(place))
    ids = _chunks(repository, round(chunks * (1 + dead)))[:chunks]
    rows, builder = [], PackBuilder()
    made: list[tuple[bytes, Footer]] = []
    for number, start in enumerate(range(0, chunks, IN_FILE)):
        some = ids[start : start + IN_FILE]
        body = np.zeros(len(some), [("id", "V32"), ("length", "<u4")])
        body["id"], body["length"] = some, CHUNK
        identifier = secrets.token_bytes(32)
        recipe = blake3(identifier + body.tobytes()).digest() + body.tobytes()
        builder.add(identifier, RECIPE, recipe, len(some) * CHUNK)
        rows.append(Entry(b"part-%06d.bin" % number, FILE, len(some) * CHUNK, identifier))
        if builder.size >= packs.TARGET:
            made.append(_put(repository, builder))
            builder = PackBuilder()
    made.append(_put(repository, builder))
    repository.index.write(made)
    dataset = repository.create(Name("p", "d"), "dataset")
    with repository.writer() as writer:
        version = repository.write_version(writer, entries_of(rows), parents=(), author="a", message="m")
    repository.land_version(dataset, "main", version, author="a")


def _put(repository: Repository, builder: PackBuilder) -> tuple[bytes, Footer]:
    name, parts, footer = builder.seal()
    repository.blobs.put(packs.key(name), parts)
    repository.blobs.flush()
    return name, footer


def _chunks(repository: Repository, count: int) -> "np.ndarray[tuple[int], np.dtype[np.void]]":
    """Rows of the index for so many chunks, in packs of which only the names are there."""
    found = []
    folder = Path(repository.blobs.location)
    for start in range(0, count, IN_SEGMENT):
        made = []
        for first in range(start, min(start + IN_SEGMENT, count), IN_PACK):
            here = min(IN_PACK, count - first)
            ids = np.frombuffer(secrets.token_bytes(32 * here), np.uint8).reshape(-1, 32)
            offsets = np.arange(8, 8 + here * CHUNK, CHUNK, dtype=np.uint32)
            stored, raw = np.full(here, CHUNK, "<u4"), np.full(here, CHUNK, "<u8")
            footer = Footer(ids, offsets, stored, raw, np.zeros(here, np.uint8))
            name = blake3(struct.pack("<Q", first) + ids.tobytes()).digest()
            place = folder / packs.key(name)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            made.append((name, footer))
            found.append(ids.reshape(-1).view("V32"))
        repository.index.write(made)
    return np.concatenate(found)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--chunks", type=int, default=10_000_000)
    options.add_argument("--dead", type=float, default=0.05, help="Share of chunks that nothing needs.")
    options.add_argument("--in", dest="place", type=Path, help="Folder for the hub, which goes afterwards.")
    options.add_argument("--json", type=Path, help="Write the figures here too.")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.place) as folder:
        place = Path(folder) / "hub"
        hub_of(place, chosen.chunks, chosen.dead)
        command = [sys.executable, "-c", LOOK % chosen.chunks, str(place)]
        idle = measured([*command, "idle"], Path(folder), {})
        marking = measured(command, Path(folder), {})
        index = sum(one.stat().st_size for one in (place / "index").iterdir())
    figures = {"chunks": chosen.chunks, "index_mb": round(index / 1e6), "idle_mb": round(idle.peak_mb, 1),
               "peak_mb": round(marking.peak_mb, 1), "seconds": round(marking.seconds, 1)}  # fmt: skip
    print(
        f"marking {chosen.chunks:,} chunks (index {index / 1e6:,.0f} MB, mapped): {marking.seconds:.1f} s, "
        f"at most {marking.peak_mb:.0f} MB anonymous, of which {idle.peak_mb:.0f} MB before it began"
    )
    if chosen.json:
        chosen.json.write_text(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
