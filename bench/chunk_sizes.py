"""What the average size of a chunk costs and saves: why kamld.store.chunking has the sizes it has.

    ./dev bench chunk_sizes -- [--scale 0.2]

For each size and each kind of file: MB stored by the first commit, MB that an edit adds (its recipe
too), chunks, and bytes of index and recipes that a TB of such data would need.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _measured import stored_bytes
from _work import WORKS

from kamld.blobs import FolderBlobs
from kamld.store import Source, open_hub
from kamld.store.chunking import Chunking

AVERAGES = (32, 64, 128, 256, 512)  # KiB
KINDS = ("csv", "parquet", "parquet-cdc", "checkpoint")
_INDEX_ROW, _RECIPE_ROW = 61, 36  # bytes


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    words.add_argument("--scale", type=float, default=0.2)
    asked = words.parse_args()
    columns = ("KiB", "MB", "stored", "edit adds", "chunks", "GB/TB", "s", "s edit")
    print(f"{'':<13}" + "".join(f"{column:>10}" for column in columns))
    with tempfile.TemporaryDirectory() as top:
        for kind in KINDS:
            source = Path(top, kind)
            WORKS[kind].make(source, asked.scale)
            old = _only_file(source)
            kept = old.rename(old.with_suffix(".old"))
            _restore(kept, old)
            WORKS[kind].edit(source)
            for average in AVERAGES:
                _measure(kind, average, kept, old, Path(top, f"{kind}-{average}"))


def _only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def _restore(kept: Path, path: Path) -> None:
    """The file under its own name again; edits replace it and leave the old one be."""
    path.hardlink_to(kept)


def _measure(kind: str, average: int, old: Path, new: Path, place: Path) -> None:
    sizes = Chunking(smallest=average * 256, average=average * 1024, largest=average * 4096)
    hub = open_hub(FolderBlobs(place))
    took, stored = [], [0]
    chunks = 0
    for path in (old, new):
        start = time.perf_counter()
        with hub.writer() as writer:
            writer._chunking = sizes
            list(writer.put_files([Source(str(path), path.stat().st_size)]))
        took.append(time.perf_counter() - start)
        stored.append(stored_bytes(place / "packs"))
        chunks = chunks or writer.objects_added - 1
    size = old.stat().st_size
    overhead = chunks * (_INDEX_ROW + _RECIPE_ROW) / size * 1000
    cells = [
        str(average), f"{size / 1e6:.0f}", f"{stored[1] / 1e6:.1f}", f"{(stored[2] - stored[1]) / 1e6:.2f}",
        str(chunks), f"{overhead:.2f}", f"{took[0]:.2f}", f"{took[1]:.2f}",
    ]  # fmt: skip
    print(f"{kind:<13}" + "".join(f"{cell:>10}" for cell in cells))


if __name__ == "__main__":
    main()
