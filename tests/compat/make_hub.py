"""Made tests/compat/hub-v1/ and hub-v1.json, what is in it as it was put there.

    python tests/compat/make_hub.py [FOLDER]    into FOLDER instead, for a look

The hub that is checked in stays as it is for ever: it is what a hub of that time was. Only while
format 1 has not been released may this be run again without FOLDER.
"""

import json
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from blake3 import blake3

from kamld.blobs import FolderBlobs
from kamld.records.deployment import DeploymentEvent, ServedVersion
from kamld.records.encoding import encode
from kamld.records.history import Dataset, Origin, Split, SplitPart
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.records.names import Name
from kamld.records.run import Code, Environment, Run, RunInput, RunOutput
from kamld.store import Repository, Source, open_hub
from kamld.store.repository import Committed
from kamld.store.trees import write_tree
from kamld.store.trees.entries import Entry, entries_of

HERE = Path(__file__).resolve().parent
AUTHOR = "Ada Lovelace <ada@example.org>"
Files = dict[bytes, tuple[int, bytes]]  # path: kind, content (a link's target)


def table(rows: int) -> bytes:
    labels = (b"aster", b"rose", b"iris")
    lines = [b"%05d,%s,%d\n" % (i, labels[i * i % 3], i % 97) for i in range(rows)]
    return b"id,label,width\n" + b"".join(lines)


def flowers() -> Files:
    names = {number: b"pictures/%02d/%d.txt" % (number % 7, number) for number in range(54)}
    files: Files = {path: (FILE, b"picture %d\n" % n * (n % 5)) for n, path in names.items()}
    return files | {
        b"measured.csv": (FILE, table(12_000)),
        b"tools/show.sh": (EXECUTABLE, b"#!/bin/sh\necho flowers\n"),
        b"latest": (SYMLINK, b"pictures/03/52.txt"),
        b"rejected": (FOLDER, b""),
        "Blüten/Gänseblümchen 花.txt".encode(): (FILE, b"Bellis perennis\n"),
        b"not-utf8-\xff": (FILE, b"\x00\x01\x02"),
        b"pictures.md": (FILE, b"sorts between pictures and pictures/\n"),
    }


def edited(files: Files) -> Files:
    changed = dict(files)
    middle = files[b"measured.csv"][1]
    changed[b"measured.csv"] = (FILE, middle[:150_000] + b"inserted,rose,1\n" + middle[150_000:])
    changed[b"pictures/03/52.txt"] = (FILE, b"a better picture\n")
    changed[b"rejected/00.txt"] = (FILE, b"blurred\n")
    del changed[b"rejected"], changed[b"pictures/00/0.txt"]
    return changed


class Maker:
    """Puts versions into a hub and remembers what it put."""

    def __init__(self, folder: Path) -> None:
        self.repository: Repository = open_hub(FolderBlobs(folder))
        self.said: dict[str, Any] = {"datasets": {}, "runs": {}, "endpoints": {}}

    def create(self, name: Name, kind: Any) -> Dataset:
        self.said["datasets"][str(name)] = {"kind": kind, "refs": {}, "commits": {}}
        return self.repository.create(name, kind)

    def commit(
        self, dataset: Dataset, files: Files, parent: str | None, message: str,
        branch: str = "main", **about: Any,
    ) -> Committed:  # fmt: skip
        parents = (parent,) if parent else ()
        with TemporaryDirectory() as scratch, self.repository.writer() as writer:
            ids: dict[bytes, bytes] = {}
            on_disk = {str(Path(scratch, str(n))): path for n, path in enumerate(files)}
            for place, path in on_disk.items():
                Path(place).write_bytes(files[path][1])
            for written in writer.put_files([Source(place, 0) for place in on_disk]):
                ids[on_disk[written.source.path]] = written.id
            rows = [Entry(path, kind, len(data), ids[path]) for path, (kind, data) in sorted(files.items())]
            version = self.repository.write_version(
                writer, entries_of(rows), parents=parents, author=AUTHOR, message=message, **about
            )
        made = self.repository.land_version(dataset, branch, version, author=AUTHOR)
        said = self.said["datasets"][f"{dataset.project}/{dataset.name}"]
        said["commits"][made.commit_id] = {
            "message": message,
            "parents": list(parents),
            "files": {
                path.decode("utf-8", "backslashreplace"): [kind, len(data), blake3(data).hexdigest()]
                for path, (kind, data) in files.items()
            },
        }
        self._moved(dataset, branch, "branch", made.commit_id, made.landed.move.version)
        return made

    def point(self, dataset: Dataset, name: str, kind: Any, commit_id: str) -> None:
        self.repository.set_ref(dataset, name, kind, commit_id, author=AUTHOR)
        self._moved(dataset, name, kind, commit_id, None)

    def remove(self, dataset: Dataset, name: str, kind: Any, commit_id: str) -> None:
        self.repository.refs.move(
            dataset, name, kind, None, expected=commit_id, author=AUTHOR, reason="remove"
        )
        self._moved(dataset, name, kind, None, None)

    def _moved(
        self, dataset: Dataset, name: str, kind: Any, commit_id: str | None, version: int | None
    ) -> None:
        refs = self.said["datasets"][f"{dataset.project}/{dataset.name}"]["refs"]
        refs.setdefault(name, {"kind": kind, "moves": []})["moves"].append([commit_id, version])


def make(folder: Path) -> Any:
    """Fill the folder with a hub; what is in it."""
    maker = Maker(folder)
    data = maker.create(Name("garden", "flowers"), "dataset")
    first = maker.commit(data, flowers(), None, "as delivered")
    second = maker.commit(data, edited(flowers()), first.commit_id, "blurred ones out\n\nand one better")
    one: Files = {b"one.txt": (FILE, b"1")}
    about = {"metadata": {"note": "π ≈ 3", "none": None, "share": 0.1}}
    maker.commit(data, one, second.commit_id, "tried", branch="größer", **about)
    maker.create(Name("garden", "begun"), "model")  # whose maker was killed
    maker.point(data, "v1.0", "tag", first.commit_id)
    maker.point(data, "doomed", "branch", first.commit_id)
    maker.remove(data, "doomed", "branch", first.commit_id)
    maker.commit(maker.create(Name("garden", "nothing"), "dataset"), {}, None, "no files at all")

    model = maker.create(Name("garden", "flower-net"), "model")
    origin = Origin(dataset=data.id, project="garden", name="flowers", commit=second.commit_id)
    versions: list[str] = []
    for number in (1, 2, 3):
        weights = b"weights of version %d " % number * 40
        files: Files = {b"model.onnx": (FILE, weights), b"labels.txt": (FILE, b"aster\nrose\niris\n")}
        parent = versions[-1] if versions else None
        versions.append(maker.commit(model, files, parent, f"training {number}", origin=origin).commit_id)
    other = maker.create(Name("garden", "later"), "dataset")
    maker.commit(other, flowers(), None, "nothing new, and an index segment of its own")
    rule = Split(
        parts=(SplitPart(name="test", share=0.25), SplitPart(name="train", share=0.75)),
        part="test", seed=-7, thresholds={"": ("4000000000000000",)},
    )  # fmt: skip
    part = maker.create(Name("garden", "flowers-test"), "dataset")
    maker.commit(part, one, None, "25 % of flowers", origin=origin, split=rule)
    for number in range(70):
        maker.point(model, "champion", "alias", versions[number % 2])
    _run(maker, second.commit_id, versions[2])
    _deployments(maker, versions[2])
    return maker.said


def _run(maker: Maker, data: str, model: str) -> None:
    sealed = maker.repository.sealed
    run_id = "0195a1b2c3d4" + "5" * 20
    with maker.repository.writer() as writer:
        out = writer.put(b"epoch 1\nepoch 2\n").hex()
        script = writer.put(b"print('epoch')\n")
        rows = [Entry(b"train.py", FILE, 15, script)]
        code = write_tree(writer, entries_of(rows)).hex()
    read = RunInput(
        label="flowers", project="garden", name="flowers", kind="dataset", revision="main", commit=data
    )
    made = RunOutput(label="net", project="garden", name="flower-net", kind="model", commit=model)
    run = Run(
        id=run_id,
        project="garden",
        number=sealed.claim_number("garden", run_id),
        name="train",
        state="succeeded",
        command=("python", "train.py"),
        author=AUTHOR,
        started="2026-03-02T10:00:00.000000Z",
        ended="2026-03-02T10:01:30.250000Z",
        exit_status=0,
        params={"C": 0.1, "rounds": 3, "fast": True, "net": "small"},
        metrics={"accuracy": 0.9375, "loss": float("nan")},
        inputs=(read,),
        outputs=(made,),
        code=Code(folder="/home/ada/flowers", tree=code),
        environment=Environment(
            python="3.11.2", platform="Linux x86_64", cpus=2, packages={"numpy": "2.4.6"}
        ),
        stdout=out,
    )
    sealed.seal_run(run)
    maker.said["runs"]["run-numbers/garden/00000001"] = json.loads(encode(run))


def _deployments(maker: Maker, commit: str) -> None:
    served = ServedVersion(project="garden", name="flower-net", version="v3", commit=commit, weight=100)
    told: list[Any] = []
    for seq, action in ((1, "deploy"), (2, "stop"), (3, "deploy")):
        event = DeploymentEvent(
            key="", endpoint="flower-net", project="garden", seq=seq, time=f"2026-03-02T11:0{seq}:00.000000Z",
            author=AUTHOR, action=action, revision="" if action == "stop" else "v3",
            versions=() if action == "stop" else (served,),
        )  # fmt: skip
        told.append(json.loads(encode(maker.repository.sealed.add_event(event))))
    maker.said["endpoints"]["garden/flower-net"] = told


def main() -> None:
    hub = Path(sys.argv[1]) if sys.argv[1:] else HERE / "hub-v1"
    shutil.rmtree(hub, ignore_errors=True)
    said = make(hub)
    for own in ("tmp", "locks"):
        shutil.rmtree(hub / own)
    text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    hub.with_suffix(".json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
