"""The data that stores are measured with, made anew from a seed, and the edits that are made to it."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_IN_A_FOLDER = 1000
_LAYERS = 50
_LINE = 100  # bytes of a row of the CSV, about


@dataclass(frozen=True, slots=True)
class Work:
    """`make` fills a new folder; `edit` changes one thing in it, `edit_more` about 1 % (or None: it is
    one file). `scale` 1.0 is the size that is spoken of. `close`: the peers that the store is held
    against, which are there in every round."""

    name: str
    about: str
    make: Callable[[Path, float], None]
    edit: Callable[[Path], None]
    edit_more: Callable[[Path], None] | None
    peers: tuple[str, ...]
    rounds: int
    close: tuple[str, ...]


def _small(folder: Path, scale: float) -> None:
    _files(folder, int(100_000 * scale), 4800)


def _tiny(folder: Path, scale: float) -> None:
    _files(folder, int(1_000_000 * scale), 64)


def _files(folder: Path, count: int, size: int) -> None:
    """Half of each file can be compressed, as pictures' headers and small tables can."""
    source = np.random.default_rng(1)
    for start in range(0, count, _IN_A_FOLDER):
        place = folder / f"{start // _IN_A_FOLDER:04d}"
        place.mkdir(parents=True)
        block = source.integers(0, 256, (min(_IN_A_FOLDER, count - start), size), np.uint8)
        block[:, size // 2 :] &= 0x0F
        for number, row in enumerate(block):
            (place / f"{start + number:07d}.bin").write_bytes(row.tobytes())


def _edit_file(folder: Path) -> None:
    folders = _folders(folder)
    path = sorted(folders[len(folders) // 2].iterdir())[7]
    _replace(path, path.read_bytes()[::-1])


def _edit_one_in_a_hundred(folder: Path) -> None:
    for place in _folders(folder):
        for path in sorted(place.iterdir())[::100]:
            _replace(path, b"1 %" + path.read_bytes())


def _folders(folder: Path) -> list[Path]:
    """Ours, not what a tool keeps beside them."""
    return sorted(path for path in folder.iterdir() if path.name.isdigit())


def _replace(path: Path, data: bytes) -> None:
    """By another file of the same name, as editors do: a link to the old one elsewhere stays as it is."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)


def _csv(folder: Path, scale: float) -> None:
    folder.mkdir(parents=True)
    source = np.random.default_rng(2)
    rows = int(1_000_000_000 * scale) // _LINE
    with open(folder / "table.csv", "w", encoding="ascii") as file:
        file.write("id,label,width,height,weight,note\n")
        for start in range(0, rows, 100_000):
            count = min(100_000, rows - start)
            labels = source.integers(0, 50, count)
            sizes = source.random((count, 3))
            notes = source.integers(0, 2**62, (count, 2))
            file.writelines(
                f"{start + i:09d},label-{labels[i]:02d},{sizes[i, 0]:.8f},{sizes[i, 1]:.8f},"
                f"{sizes[i, 2]:.8f},{notes[i, 0]:020d} {notes[i, 1]:020d}\n"
                for i in range(count)
            )


def _edit_csv(folder: Path) -> None:
    """A cell in the middle becomes longer, so all that follows moves."""
    path = folder / "table.csv"
    new = path.with_name("table.new")
    middle = path.stat().st_size // 2
    with open(path, "rb") as old, open(new, "wb") as file:
        left = middle
        while left:
            left -= file.write(old.read(min(left, 1 << 24)))
        file.write(old.readline() + b"999999999,label-corrected,0.1,0.2,0.3,inserted\n")
        shutil.copyfileobj(old, file, 1 << 24)
    new.replace(path)


def _write_parquet(folder: Path, rows: int, *, wider: bool, by_content: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = np.random.default_rng(3)
    columns = {f"c{n}": source.random(rows) for n in range(12)}
    columns |= {f"k{n}": source.integers(0, 1000, rows) for n in range(3)}
    if wider:
        columns["added"] = source.random(rows)
    new = folder / "table.new"
    pq.write_table(pa.table(columns), new, row_group_size=1 << 20, use_content_defined_chunking=by_content)
    new.replace(folder / "table.parquet")


def _parquet(folder: Path, scale: float) -> None:
    folder.mkdir(parents=True)
    _write_parquet(folder, int(10_000_000 * scale), wider=False, by_content=False)


def _parquet_by_content(folder: Path, scale: float) -> None:
    folder.mkdir(parents=True)
    _write_parquet(folder, int(10_000_000 * scale), wider=False, by_content=True)


def _add_column(folder: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(folder / "table.parquet").metadata.num_rows
    _write_parquet(folder, rows, wider=True, by_content=False)


def _add_column_by_content(folder: Path) -> None:
    import pyarrow.parquet as pq

    rows = pq.ParquetFile(folder / "table.parquet").metadata.num_rows
    _write_parquet(folder, rows, wider=True, by_content=True)


def _checkpoint(folder: Path, scale: float) -> None:
    folder.mkdir(parents=True)
    _write_layers(folder, int(2_500_000 * scale), changed=False)


def _train_on(folder: Path) -> None:
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "numpy") as file:
        size = len(file.get_tensor("layer00"))
    _write_layers(folder, size, changed=True)


def _write_layers(folder: Path, size: int, *, changed: bool) -> None:
    from safetensors.numpy import save_file

    source = np.random.default_rng(4)
    layers = {f"layer{n:02d}": source.standard_normal(size, np.float32) for n in range(_LAYERS)}
    if changed:
        for n in range(0, _LAYERS, 10):
            layers[f"layer{n:02d}"] += np.float32(0.001)
    save_file(layers, folder / "model.new")
    (folder / "model.new").replace(folder / "model.safetensors")


def _huge(folder: Path, scale: float) -> None:
    """Two letters a byte: half can be compressed, nothing repeats."""
    folder.mkdir(parents=True)
    source = np.random.default_rng(5)
    with open(folder / "huge.bin", "wb") as file:
        file.writelines(source.integers(0, 16, 10**6, np.uint8).tobytes() for _ in range(int(10_000 * scale)))


def _edit_huge(folder: Path) -> None:
    """A megabyte in the middle becomes another, in place: there may be no room for a second file."""
    with open(folder / "huge.bin", "r+b") as file:
        file.seek((folder / "huge.bin").stat().st_size // 2)
        file.write(bytes(1_000_000))


ALL = ("cp", "git", "git-lfs", "restic", "borg", "dvc", "oxen")
FEW = ("cp", "git", "restic", "borg")  # the others take the better part of an hour for a million files
WORKS = {
    work.name: work
    for work in (
        Work("small", "100,000 files of 4.8 KB", _small, _edit_file, _edit_one_in_a_hundred, ALL, 5,
             ("cp", "git", "restic")),
        Work("tiny", "1,000,000 files of 64 B", _tiny, _edit_file, _edit_one_in_a_hundred, FEW, 3, ()),
        Work("csv", "one CSV of 1 GB, a row inserted in the middle", _csv, _edit_csv, None, ALL, 3,
             ("cp", "dvc")),
        Work("parquet", "one Parquet of 1 GB, written again with one more column", _parquet, _add_column,
             None, ALL, 3, ("cp", "dvc")),
        Work("parquet-cdc", "the same, its pages cut by content by the writer", _parquet_by_content,
             _add_column_by_content, None, ("cp", "dvc"), 3, ("cp", "dvc")),
        Work("checkpoint", "one safetensors of 500 MB, one layer in ten changed", _checkpoint, _train_on,
             None, ALL, 3, ("cp", "dvc")),
        Work("huge", "one file of 10 GB, a megabyte of it changed", _huge, _edit_huge, None, (), 1, ()),
    )
}  # fmt: skip
