"""Made tests/compat/hub-v2/ and hub-v2.json, what is in it as it was put there.

    python -m tests.compat.make_hub_v2 [FOLDER]    into FOLDER instead, for a look

A hub of format 2 with every kind of record that there is, made as people make them: by commands. The hub
that is checked in stays as it is for ever. Only while format 2 has not been released may this be run again
without FOLDER.
"""

import contextlib
import io
import json
import os
import random
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from blake3 import blake3

from kamld.blobs import FolderBlobs
from kamld.cli.main import run
from kamld.records.kinds import EXECUTABLE, FILE, FOLDER, SYMLINK
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.store.gc import collect
from tests.compat import make_hub

HERE = Path(__file__).resolve().parent
AUTHOR = make_hub.AUTHOR
LEFT = {"left/aster.txt": "Aster amellus\n", "left/iris.txt": "Iris sibirica\n" * 3}
SECRET = "Viola, who asked to be forgotten\n"
Files = dict[str, list[Any]]  # path: kind, size, digest


class Maker:
    """Says commands, and remembers what was in the folders that they were about."""

    def __init__(self, hub: Path, work: Path) -> None:
        self.hub, self.work = hub, work
        self.said: dict[str, Any] = {"commits": {}, "heads": {}, "left": LEFT, "purged": [], "expired": []}

    def kamld(self, words: str, status: int = 0) -> Any:
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            got = run(["--hub", str(self.hub), *shlex.split(words), "--json"])
        assert got == status, f"kamld {words}\n{out.getvalue()}"
        return json.loads(out.getvalue())

    def write(self, files: Mapping[str, bytes | str]) -> None:
        for name, data in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data.encode() if isinstance(data, str) else data)

    def commit(self, folder: str, words: str = "-m more") -> str:
        said = self.kamld(f"commit {folder} {words}")
        assert said["changed"]
        return self.holds(said["commit"], folder)

    def holds(self, commit: str, folder: str) -> str:
        """The version has what is in the folder now."""
        self.said["commits"][commit] = files_of(self.work / folder)
        return commit

    def joins(self, commit: str, *others: str) -> None:
        """The version has what these have, the later ones first."""
        joined: Files = {}
        for other in others:
            joined |= self.said["commits"][other]
        self.said["commits"][commit] = joined

    def collect(self, keep_days: int) -> None:
        collect(open_hub(FolderBlobs(self.hub)), keep_days, timedelta(0))


def files_of(folder: Path) -> Files:
    found: Files = {}
    for path in folder.rglob("*"):
        name = bytes(path.relative_to(folder))
        if name.split(b"/")[0] == b".kamld":
            continue
        if path.is_symlink():
            kind, data = SYMLINK, bytes(path.readlink())
        elif path.is_dir():
            if any(path.iterdir()):
                continue
            kind, data = FOLDER, b""
        else:
            kind, data = EXECUTABLE if path.stat().st_mode & 0o100 else FILE, path.read_bytes()
        found[name.decode("utf-8", "backslashreplace")] = [kind, len(data), blake3(data).hexdigest()]
    return found


@contextlib.contextmanager
def quiet_machine(work: Path) -> Iterator[None]:
    """Nothing of the person's own gets in."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("KAMLD_", "GIT_"))}
    own |= {"HOME": str(work), "KAMLD_AUTHOR": AUTHOR, "KAMLD_PROJECT": "garden"}
    with patch.dict(os.environ, own, clear=True), contextlib.chdir(work):
        yield


def make(hub: Path) -> Any:
    """Fill the folder with a hub; what is in it."""
    with TemporaryDirectory(prefix="garden-") as work, quiet_machine(Path(work)):
        maker = Maker(hub, Path(work))
        _garbage(maker)
        _dataset(maker)
        _merges(maker)
        _model(maker)
        _from_elsewhere(maker)
        _purged(maker)
        _lost(maker)
        _names(maker)
        _runs(maker)
        _condemned(maker)
        _heads(maker)
        return maker.said


def _garbage(maker: Maker) -> None:
    """Checkpoints that expired, and a dataset whose time is over: what they had is collected."""
    chance, kept = random.Random(1), []
    for number in range(6):
        maker.write({"net/weights": chance.randbytes(3000), "net/epoch": f"{number}\n"})
        kept.append(maker.commit("net", f"--model --keep-last 2 -m 'epoch {number}'"))
    maker.write({"gone/table.csv": chance.randbytes(20_000)})
    maker.commit("gone", "-m 'for nothing'")
    maker.kamld("rm gone")
    for _ in range(3):
        maker.collect(0)
    gone = [commit for commit, files in maker.said["commits"].items() if commit not in kept]
    for commit in gone:
        del maker.said["commits"][commit]
    maker.said["expired"] = kept[:-2]
    for commit in kept[:-2]:
        maker.said["commits"][commit] = None


def _dataset(maker: Maker) -> None:
    """All kinds of files, edits, a branch, a tag, an amended commit, a split and a view of it."""
    chance = random.Random(2)
    lines = [f"{n},{('aster', 'rose', 'iris')[n * n % 3]},{chance.randrange(97)}" for n in range(6_000)]
    maker.write({f"flowers/pictures/{n % 5}/{n}.txt": f"picture {n}\n" * (n % 4) for n in range(30)})
    maker.write(
        {
            "flowers/measured.csv": "\n".join(["id,label,width", *lines, ""]),
            "flowers/Blüten/Gänseblümchen 花.txt": "Bellis perennis\n",
            "flowers/tools/show.sh": "#!/bin/sh\necho flowers\n",
            "flowers/pictures.md": "sorts between pictures and pictures/\n",
        }
    )
    flowers = maker.work / "flowers"
    (flowers / "tools/show.sh").chmod(0o755)
    (flowers / "latest").symlink_to("pictures/3/28.txt")
    (flowers / "rejected").mkdir()
    (flowers / os.fsdecode(b"not-utf8-\xff")).write_bytes(b"\x00\x01\x02")
    maker.commit("flowers", "-m 'as delivered'")
    maker.kamld("tag flowers delivered")
    lines.insert(3_000, "inserted,rose,1")
    maker.write({"flowers/measured.csv": "\n".join(["id,label,width", *lines, ""])})
    (flowers / "pictures/0/0.txt").unlink()
    maker.said["replaced"] = maker.commit("flowers", "-m 'one row more'")
    maker.write({"flowers/rejected/00.txt": "blurred\n"})
    maker.commit("flowers", "--amend -m 'one row more, and blurred ones out'")
    maker.kamld("branch flowers doomed")
    maker.kamld("branch flowers doomed --remove")
    for part in maker.kamld("split flowers --parts test=0.3,train=0.7 --seed 7 --stratify folder")["parts"]:
        _exported(maker, part["name"], part["commit"])
    view = maker.kamld("split flowers --rows measured.csv --where \"label = 'rose'\" --as roses")["parts"][0]
    _exported(maker, "roses", view["commit"])


def _exported(maker: Maker, name: str, commit: str) -> None:
    maker.kamld(f"export {name} out-{commit[:8]}")
    maker.holds(commit, f"out-{commit[:8]}")


def _merges(maker: Maker) -> None:
    """One that landed; one that waits, half decided; a branch that is protected."""
    start = {"beds/one.txt": "1\n", "beds/two.txt": "2\n", "beds/table.csv": "id,n\n1,a\n2,b\n3,c\n"}
    maker.write(start)
    first = maker.commit("beds", "-m first")
    for branch in ("theirs", "clash"):
        maker.kamld(f"branch beds {branch}")
        maker.kamld(f"checkout beds@{branch} beds-{branch}")
    maker.write({"beds-theirs/three.txt": "3\n"})
    theirs = maker.commit("beds-theirs", "-m theirs")
    maker.write({"beds/one.txt": "eins\n"})
    ours = maker.commit("beds", "-m ours")
    maker.joins(maker.kamld("merge beds theirs")["commit"], first, theirs, ours)
    maker.kamld("switch beds main")
    for folder, one, two, cell in (("beds", "uno", "due", "mine"), ("beds-clash", "un", "deux", "yours")):
        maker.write({f"{folder}/one.txt": one, f"{folder}/two.txt": two})
        maker.write({f"{folder}/table.csv": f"id,n\n1,a\n2,{cell}\n3,c\n"})
        maker.commit(folder, f"-m {one}")
    maker.kamld("merge beds clash --key id", status=1)
    maker.kamld("resolve beds one.txt --theirs")
    maker.write({"own.txt": "zwei\n"})
    maker.kamld("resolve beds two.txt --file own.txt")
    maker.kamld("branch beds@theirs --protect --require schema --require rows:1-100:table.csv --check true")


def _model(maker: Maker) -> None:
    """Three versions with numbers, an alias with more moves than a ref holds."""
    for number in range(3):
        weights = f"weights of version {number} " * 40
        maker.write({"flower-net/model.onnx": weights, "flower-net/labels.txt": "a\nb\n"})
        maker.commit("flower-net", f"--model -m 'training {number}'")
    _to_and_fro(maker, "champion")
    maker.kamld("undo flower-net")


def _to_and_fro(maker: Maker, alias: str) -> None:
    """So often that older moves are sealed aside."""
    repository = open_hub(FolderBlobs(maker.hub))
    model = repository.names.get(Name("garden", "flower-net"))
    newest = next(repository.refs.history(model, "main")).commit
    assert newest
    for number in range(70):
        commit = newest if number % 2 else repository.commit(newest).parents[0]
        repository.set_ref(model, alias, "alias", commit, author=AUTHOR)


def _from_elsewhere(maker: Maker) -> None:
    """Imported; and left where it is, of which a reader has to be told the content."""
    maker.write({"delivered/day.csv": "day,price\n1,5\n", "delivered/read.me": "as it came\n"})
    maker.holds(maker.kamld("import delivered prices -m 'as delivered'")["commit"], "delivered")
    maker.write({"delivered/day.csv": "day,price\n1,5\n2,6\n"})
    maker.holds(maker.kamld("import delivered prices")["commit"], "delivered")
    maker.write(LEFT)
    maker.holds(maker.kamld("import left --reference")["commit"], "left")


def _purged(maker: Maker) -> None:
    maker.write({"people/viola.txt": SECRET, "people/rose.txt": "Rose\n"})
    maker.commit("people", "-m both")
    maker.write({"people/list.txt": "two\n"})
    maker.commit("people", "-m more")
    maker.kamld("purge people:viola.txt --reason 'consent withdrawn' --yes")
    maker.said["purged"] = [blake3(SECRET.encode()).hexdigest()]


def _lost(maker: Maker) -> None:
    """A commit in a folder whose version was taken back; and old moves that a disk has lost."""
    for word in ("one", "two"):
        maker.write({f"carried/{word}.txt": word})
        maker.commit("carried")
    maker.kamld("undo carried")
    maker.write({"carried/three.txt": "three"})
    said = maker.kamld("commit carried -m three")
    maker.holds(said["commit"], "carried")
    (maker.work / "carried/two.txt").unlink()
    maker.holds(said["head"], "carried")
    _to_and_fro(maker, "challenger")
    (part,) = maker.hub.glob("log/*/challenger/*")
    part.unlink()
    maker.kamld("fsck --repair")


def _names(maker: Maker) -> None:
    """A dataset that was renamed, one that was removed and can be had back, one that has no files."""
    for name in ("old-name", "removed"):
        maker.write({f"{name}/file": f"of {name}\n"})
        maker.commit(name, "-m first")
    maker.kamld("mv old-name new-name")
    maker.said["removed"] = maker.kamld("show removed")["commit"]
    maker.kamld("rm removed")
    maker.holds(maker.kamld("init empty")["commit"], "empty")


def _runs(maker: Maker) -> None:
    """A run and deployments, as the hub of format 1 has them."""
    older = make_hub.Maker(maker.hub)
    data, net = (maker.kamld(f"show {name}")["commit"] for name in ("flowers", "flower-net"))
    make_hub._run(older, data, net)
    make_hub._deployments(older, net)
    maker.said |= {"runs": older.said["runs"], "endpoints": older.said["endpoints"]}


def _condemned(maker: Maker) -> None:
    """Garbage that the next collection deletes, if nobody wants it."""
    with open_hub(FolderBlobs(maker.hub)).writer() as writer:
        writer.put(random.Random(3).randbytes(9000))
        writer.flush()
    maker.collect(30)


def _heads(maker: Maker) -> None:
    """What every name gives."""
    repository = open_hub(FolderBlobs(maker.hub))
    for dataset in repository.names.all():
        heads = {ref.name: [ref.kind, ref.commit] for ref in repository.live_refs(dataset)}
        maker.said["heads"][f"{dataset.project}/{dataset.name}"] = heads


def main() -> None:
    hub = Path(sys.argv[1]).absolute() if sys.argv[1:] else HERE / "hub-v2"
    shutil.rmtree(hub, ignore_errors=True)
    said = make(hub)
    for own in ("tmp", "locks", "local", "leases"):
        shutil.rmtree(hub / own, ignore_errors=True)
    text = json.dumps(said, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    hub.with_suffix(".json").write_text(text, "utf-8")


if __name__ == "__main__":
    main()
