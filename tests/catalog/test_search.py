import math
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kamld.blobs import FolderBlobs
from kamld.catalog.compare import compare
from kamld.catalog.refresh import Refreshed
from kamld.catalog.search import Catalog
from kamld.errors import Invalid, SystemFault
from kamld.records.encoding import encode
from kamld.store import open_hub
from tests.catalog.conftest import AUTHOR, Hub
from tests.conftest import SmallDisk, Unprivileged


def filled(hub: Hub) -> Hub:
    digits = hub.dataset("digits")
    hub.commit(digits, {"a": b"1234"}, "as delivered")
    commit_id = hub.commit(digits, {"a": b"12", "b/c": b"345"}, "corrected")
    net = hub.dataset("digits-net", "model")
    hub.commit(net, {"model.onnx": b"1"}, "first")
    hub.commit(net, {"model.onnx": b"2"}, "second")
    hub.run(inputs={"digits": commit_id})
    hub.deploy("digits-net", ("v1", commit_id, 100))
    return hub


# --- commits


def test_a_removed_ref_keeps_its_commits_findable(hub: Hub, catalog: Catalog) -> None:
    digits = hub.dataset("digits")
    commit_id = hub.commit(digits, {"a": b"1"}, branch="try")
    assert catalog.owners(commit_id[:7]) == [(commit_id, digits)]
    hub.repository.refs.move(
        digits, "try", "branch", None, expected=commit_id, author=AUTHOR, reason="removed"
    )
    assert catalog.owners(commit_id.upper()) == [(commit_id, digits)]
    assert catalog.owners("0" * 64) == []


# --- runs


def test_runs_are_filtered_sorted_and_limited(hub: Hub, catalog: Catalog) -> None:
    def run(number: int, **about: object) -> str:
        return hub.run(started=f"2026-03-0{number}T10:00:00.000000Z", **about).id  # type: ignore[arg-type]

    one = run(1, params={"C": 10}, metrics={"accuracy": 0.9})
    two = run(2, params={"C": 9.5, "note": "ä"}, metrics={"accuracy": 0.95}, name="Try_1", state="failed")
    three = run(3, params={"C": "auto", "big": 2**63 - 1}, metrics={"accuracy": math.nan})
    four = run(4, params={}, metrics={}, name="try%2", project="vision")

    def found(**question: object) -> list[str]:
        return [run.id for run in catalog.runs(**question)]  # type: ignore[arg-type]

    assert found() == [four, three, two, one]
    assert found(project="default", limit=2) == [three, two]
    assert found(state="failed") == [two]
    assert found(name="train.py") == [three, one]
    assert found(name="TRY*") == [four, two]
    assert found(name="try_*") == [two]
    assert found(name="*%*") == [four]
    assert found(name="rain.py") == []
    assert found(sort="number", project="default") == [one, two, three]
    assert found(sort="-metrics.accuracy") == [two, one, four, three]
    assert found(sort="metrics.accuracy") == [one, two, four, three]
    assert found(sort="params.C") == [two, one, three, four]
    for sort in ("", "size", "metrics.", "record", "-"):
        with pytest.raises(Invalid, match="Runs cannot be sorted"):
            catalog.runs(sort=sort)


def test_runs_are_the_sealed_records(hub: Hub, catalog: Catalog) -> None:
    run = hub.run(params={"C": 1, "deep": True, "name": "1", "rate": 1.0}, metrics={"loss": math.inf})
    assert catalog.runs() == [hub.sealed.run(run.id)]
    assert encode(catalog.runs()[0]) == encode(run)


def test_runs_are_compared(hub: Hub) -> None:
    digits = hub.dataset("digits")
    first, second = (hub.commit(digits, {"a": b"%d" % n}) for n in range(2))
    one = hub.run(inputs={"digits": first}, params={"C": 0.1, "seed": 7})
    two = hub.run(
        inputs={"digits": second}, params={"C": 0.2, "seed": 7, "deep": True}, metrics={"accuracy": 0.95},
        code=one.code, environment=None,
    )  # fmt: skip
    found = compare(hub.repository, [one, two])
    different = {(d.section, d.name): d.values for d in found.different}
    assert different[("params", "C")] == (0.1, 0.2)
    assert different[("params", "deep")] == (None, True)
    assert different[("metrics", "accuracy")] == (0.934, 0.95)
    assert different[("inputs", "digits")] == (f"default/digits@{first}", f"default/digits@{second}")
    assert different[("environment", "numpy")] == ("2.4.6", None)
    assert {d.name for d in found.same} == {"seed", "command", "tree"}
    assert found.files == ()
    edited = hub.code({"train.py": b"print()", "new.py": b""})
    assert one.code
    code = type(one.code)(folder="/somewhere", tree=edited)
    assert compare(hub.repository, [one, two, hub.run(code=code)]).files == ("new.py", "train.py")


# --- refreshing


def test_only_what_is_new_is_derived(hub: Hub, catalog: Catalog) -> None:
    filled(hub)
    assert catalog.refresh() == Refreshed(moves=4, commits=4, runs=1, events=1)
    assert catalog.refresh() == Refreshed()
    hub.commit(hub.dataset("digits"), {"a": b"9"})
    hub.deploy("digits-net", action="stop")
    assert catalog.refresh() == Refreshed(moves=1, commits=1, events=1)
    told: list[int] = []
    assert catalog.rebuild(told.append) == Refreshed(moves=5, commits=5, runs=1, events=2)
    assert sum(told) == 8


def test_long_logs_of_moves_are_read_to_their_beginning(hub: Hub, catalog: Catalog) -> None:
    digits = hub.dataset("digits")
    commits = [hub.write({"a": b"1"}), hub.write({"a": b"2"})]
    before = None
    for number in range(150):
        to = commits[number % 2]
        hub.repository.refs.move(digits, "x", "alias", to, expected=before, author=AUTHOR, reason="x")
        before = to
        if number == 3:
            assert catalog.refresh().moves == 4
    assert catalog.refresh() == Refreshed(moves=146)
    assert sorted(row[2] for row in hub.dump()["moves"]) == list(range(1, 151))


def test_a_hub_restored_from_a_copy_is_derived_anew(hub: Hub, tmp_path: Path) -> None:
    filled(hub)
    subprocess.run(["cp", "-r", hub.folder, tmp_path / "copy"], check=True)
    digits = hub.dataset("digits")
    hub.commit(digits, {"a": b"lost"})
    with hub.catalog() as catalog:
        catalog.refresh()
    subprocess.run(["cp", "-r", hub.folder / "local", tmp_path / "copy"], check=True)
    copy = Hub(tmp_path / "copy")
    with copy.catalog() as catalog:
        assert catalog.refresh().anew
        assert copy.dump() == copy.dump("fresh.sqlite")
        (copy.folder / "refs" / digits.id / "main").unlink()
        copy.commit(digits, {"a": b"other"})
        assert catalog.refresh().anew


def test_the_catalog_of_another_hub_is_not_believed(hub: Hub, tmp_path: Path) -> None:
    with filled(hub).catalog() as catalog:
        catalog.refresh()
    other = open_hub(FolderBlobs(tmp_path / "other"))
    with Catalog(hub.folder / "local" / "catalog.sqlite", other) as catalog:
        assert catalog.runs() == []


CHILD = """
import sys
from pathlib import Path
from kamld.blobs import FolderBlobs
from kamld.catalog.search import Catalog
from kamld.store import open_hub
folder = Path(sys.argv[1])
for _ in range(int(sys.argv[2])):
    with Catalog(folder / "local" / "catalog.sqlite", open_hub(FolderBlobs(folder))) as catalog:
        assert not catalog.refresh().anew
        catalog.runs()
        assert not catalog.mended
"""


def test_processes_that_refresh_at_once(hub: Hub) -> None:
    filled(hub)
    command = [sys.executable, "-c", CHILD, hub.folder, "15"]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for number in range(20):
        hub.commit(hub.dataset("digits"), {"a": b"%d" % number})
        hub.run()
    for child in children:
        assert child.communicate()[1] == ""
        assert child.returncode == 0
    assert hub.dump() == hub.dump("fresh.sqlite")


# --- damage


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, " * 1000)


def garbage_inside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def removed(path: Path) -> None:
    path.unlink()


def sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(statement)

    return change


@pytest.mark.parametrize(
    "damage",
    [
        garbage,
        garbage_inside,
        cut_short,
        emptied,
        removed,
        pytest.param(sql("drop table run_params"), id="table gone"),
        pytest.param(sql("alter table moves drop column reason"), id="column gone"),
        pytest.param(sql("delete from refs; delete from runs"), id="rows gone"),
        pytest.param(sql("update runs set record = '{'"), id="record cut"),
        pytest.param(sql("update about set value = '0' where key = 'schema'"), id="older schema"),
        pytest.param(
            sql("drop table about; create table about (x); create table other (y references runs (id))"),
            id="strange schema",
        ),
    ],
)
def test_a_damaged_catalog_is_made_anew_in_silence(hub: Hub, damage: Callable[[Path], None]) -> None:
    filled(hub)
    before = hub.dump()
    damage(hub.folder / "local" / "catalog.sqlite")
    hub.dataset("later")
    with hub.catalog() as catalog:
        assert len(catalog.runs()) == 1
    assert {row[2] for row in hub.dump()["datasets"]} == {"digits", "digits-net", "later"}
    hub.repository.blobs.delete("names/default/later.json")
    assert hub.dump() == before


def test_damage_while_it_is_open(hub: Hub, catalog: Catalog) -> None:
    filled(hub)
    catalog.refresh()
    path = hub.folder / "local" / "catalog.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("drop table run_metrics")
    assert len(catalog.runs(sort="metrics.accuracy")) == 1
    assert catalog.mended == 1


def test_a_lost_commit_is_told_and_leaves_the_catalog_as_it_was(hub: Hub, catalog: Catalog) -> None:
    filled(hub)
    catalog.refresh()
    hub.repository.refs.move(
        hub.dataset("digits"), "x", "tag", "0" * 64, expected=None, author=AUTHOR, reason="x"
    )
    with pytest.raises(SystemFault, match="lost the object 000000000000"):
        catalog.refresh()


def damaged(hub: Hub, pattern: str) -> Path:
    path = next(hub.folder.glob(pattern))
    path.write_bytes(b"\0" * path.stat().st_size)
    return path


def test_a_damaged_run_is_left_out_and_named(hub: Hub, catalog: Catalog) -> None:
    filled(hub)
    lost, kept = hub.run(), hub.run()
    path = next(hub.folder.glob(f"runs/**/{lost.id}.json"))
    before = path.read_bytes()
    damaged(hub, f"runs/**/{lost.id}.json")
    for _ in range(2):
        assert [run.number for run in catalog.runs(sort="number")] == [1, kept.number]
        assert len(catalog.left_out) == 1
        assert lost.id in catalog.left_out[0]
    assert catalog.rebuild().damaged == catalog.left_out
    path.write_bytes(before)
    assert [run.number for run in catalog.runs(sort="number")] == [1, lost.number, kept.number]
    assert catalog.left_out == ()
    path.write_bytes(next(hub.folder.glob(f"runs/**/{kept.id}.json")).read_bytes())
    with hub.catalog("anew.sqlite") as anew:
        assert len(anew.runs()) == 2
        assert f"run {lost.id} is that of run {kept.id}" in anew.left_out[0]


def test_a_damaged_event_is_left_out_and_named(hub: Hub, catalog: Catalog) -> None:
    commit_id = hub.commit(hub.dataset("net", "model"), {"a": b"1"})
    for endpoint in ("one", "two"):
        hub.deploy(endpoint, ("v1", commit_id, 100))
    event = hub.deploy("one", ("v1", commit_id, 100))
    path = hub.folder / "events" / f"{event.key}.json"
    before = path.read_bytes()
    damaged(hub, f"events/{event.key}.json")
    assert catalog.owners(commit_id)
    assert event.key in catalog.left_out[0]
    assert len(hub.dump()["deployment_events"]) == 1
    path.write_bytes(before)
    assert len(hub.dump()["deployment_events"]) == 3


# --- the machine


def test_the_files_are_private(hub: Hub, catalog: Catalog) -> None:
    filled(hub)
    catalog.refresh()
    modes = {path.name: path.stat().st_mode & 0o777 for path in (hub.folder / "local").iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"catalog.sqlite", "catalog.sqlite-wal"} <= set(modes)


def test_a_folder_without_permission(hub: Hub, unprivileged: Unprivileged) -> None:
    local = hub.folder / "local"
    local.mkdir(mode=0o500)
    with unprivileged.here(), pytest.raises(SystemFault) as caught, hub.catalog() as catalog:
        catalog.refresh()
    assert caught.value.code == "no_permission"


def test_a_catalog_that_may_not_be_written(hub: Hub, unprivileged: Unprivileged) -> None:
    with filled(hub).catalog() as catalog:
        catalog.refresh()
    (hub.folder / "local" / "catalog.sqlite").chmod(0o400)
    hub.run()
    with unprivileged.here(), pytest.raises(SystemFault) as caught, hub.catalog() as catalog:
        catalog.refresh()
    assert caught.value.code == "no_permission"


FILL_DISK = """
import sys
from contextlib import suppress
from pathlib import Path
from kamld.blobs import FolderBlobs
from kamld.catalog.search import Catalog
from kamld.errors import SystemFault
from kamld.store import open_hub
hub, disk = Path(sys.argv[1]), Path(sys.argv[2])
with Catalog(disk / "catalog.sqlite", open_hub(FolderBlobs(hub))) as catalog:
    print(catalog.refresh().runs)
    with open(disk / "rest", "wb", buffering=0) as rest, suppress(OSError):
        while True:
            rest.write(bytes(4096))
    try:
        catalog.rebuild()
    except SystemFault as error:
        print(error.code)
    (disk / "rest").unlink(missing_ok=True)
    print(len(catalog.runs()))
"""


def test_a_full_disk(hub: Hub, small_disk: SmallDisk) -> None:
    for _ in range(20):
        hub.run(params={"text": "x" * 2000})
    done = small_disk.run(sys.executable, "-c", FILL_DISK, hub.folder, small_disk.path)
    assert done.stderr == ""
    assert done.stdout.split() == ["20", "no_space", "20"]
