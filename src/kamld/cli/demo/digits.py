"""The demo's data: scikit-learn's handwritten digits as 1,797 PNG files, and what is done to them."""

import csv
from pathlib import Path

from kamld.errors import SystemFault


def write_digits(folder: Path) -> int:
    """Write digits/<label>/<number>.png and labels.csv; how many pictures.

    Raises SystemFault (demo_not_installed).
    """
    try:
        from PIL import Image
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise SystemFault(
            "demo_not_installed",
            f"The demo trains a real model and needs {error.name}.",
            "pip install 'kamld[demo]'",
        ) from None
    data = load_digits()
    rows = []
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for number, picture in enumerate(data.images[data.target == label]):
            name = f"{label}/{number:04d}.png"
            Image.fromarray((picture * 15).astype("uint8")).save(folder / name)
            rows.append((name, label))
    _write_labels(folder, rows)
    return len(rows)


def correct_digits(folder: Path) -> None:
    """What happens to every delivery: some are cleaned, some removed, some added."""
    from PIL import Image

    cleaned = [f"{label}/{number:04d}.png" for label in (1, 7) for number in range(100, 107)]
    for name in cleaned:  # faint specks are taken out
        with Image.open(folder / name) as picture:
            clean = picture.point(lambda value: value if value > 45 else 0)
        clean.save(folder / name)
    removed = [f"{label}/0017.png" for label in (0, 4, 8)]
    for name in removed:
        (folder / name).unlink()
    added = []
    for label in (2, 3, 5):  # written anew, one pixel to the side
        with Image.open(folder / f"{label}/0003.png") as picture:
            moved = Image.new("L", picture.size)
            moved.paste(picture, (1, 0))
        moved.save(folder / f"{label}/0900.png")
        added.append((f"{label}/0900.png", label))
    with open(folder / "labels.csv", newline="") as file:
        rows = [(row["file"], int(row["label"])) for row in csv.DictReader(file)]
    _write_labels(folder, [row for row in rows if row[0] not in removed] + added)


def _write_labels(folder: Path, rows: list[tuple[str, int]]) -> None:
    with open(folder / "labels.csv", "w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("file", "label"))
        table.writerows(sorted(rows))
