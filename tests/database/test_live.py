import math
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from kamld.database.answers import LiveRun
from kamld.database.live import LiveDatabase
from kamld.errors import Conflict, Invalid, SystemFault
from tests.conftest import Unprivileged

RUN = LiveRun(
    id="a" * 32, project="default", name="train.py", pid=4711, process_started="boot 123", host="here",
    started="2026-03-02T10:00:00.000000Z", folder="/hub/local/runs/a", command=("python", "-c", 'a "b"\n'),
    params={"C": 0.1, "n": 3, "deep": True, "text": "1"},
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "local" / "live.sqlite"


@pytest.fixture
def live(path: Path) -> Iterator[LiveDatabase]:
    with LiveDatabase(path) as opened:
        yield opened


def other(**changes: object) -> LiveRun:
    return msgspec.structs.replace(RUN, **changes)


def test_a_run_is_there_until_it_is_removed(live: LiveDatabase, path: Path) -> None:
    assert live.runs() == []
    live.add_run(RUN)
    with LiveDatabase(path) as again:
        assert again.runs() == [RUN]
        params = again.runs()[0].params
    assert {name: type(value) for name, value in params.items()} == {
        "C": float, "n": int, "deep": bool, "text": str
    }  # fmt: skip
    assert live.remove_run(RUN.id)
    assert not live.remove_run(RUN.id)
    assert live.runs() == []


def test_newest_first_and_by_project(live: LiveDatabase) -> None:
    later = other(id="b" * 32, started="2026-03-03T10:00:00.000000Z", project="vision")
    live.add_run(later)
    live.add_run(RUN)
    assert live.runs() == [later, RUN]
    assert live.runs(project="default") == [RUN]


def test_the_same_run_twice_is_refused(live: LiveDatabase) -> None:
    live.add_run(RUN)
    with pytest.raises(Conflict) as caught:
        live.add_run(other(name="again"))
    assert caught.value.code == "run_exists"
    assert live.runs() == [RUN]


def test_odd_values(live: LiveDatabase) -> None:
    live.add_run(other(params={"x": math.inf, "leer": ""}, command=()))
    assert live.runs()[0].command == ()
    with pytest.raises(Invalid):
        live.add_run(other(id="b" * 32, command=("\udce4",)))
    assert len(live.runs()) == 1


def test_another_schema_is_refused_and_left_alone(path: Path) -> None:
    with LiveDatabase(path) as live:
        live.add_run(RUN)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("update about set value = '2' where key = 'schema'")
    before = path.read_bytes()
    with pytest.raises(SystemFault) as caught:
        LiveDatabase(path)
    assert caught.value.code == "other_schema"
    assert "schema 2; this kamld has schema 1" in caught.value.message
    assert path.read_bytes() == before


def test_damage_is_told_and_nothing_is_dropped(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database, " * 1000)
    with pytest.raises(SystemFault) as caught:
        LiveDatabase(path)
    assert caught.value.code == "damaged_database"
    assert path.read_bytes().startswith(b"not a database")


def test_no_permission(path: Path, unprivileged: Unprivileged) -> None:
    path.parent.mkdir(mode=0o500)
    with unprivileged.here(), pytest.raises(SystemFault) as caught:
        LiveDatabase(path)
    assert caught.value.code == "no_permission"


CHILD = """
import sys
from pathlib import Path
from kamld import ids
import msgspec
from kamld.database.answers import LiveRun
from kamld.database.live import LiveDatabase
run = msgspec.json.decode(sys.argv[2], type=LiveRun)
for _ in range(20):
    with LiveDatabase(Path(sys.argv[1])) as live:
        mine = msgspec.structs.replace(run, id=ids.new_id())
        live.add_run(mine)
        live.add_run(msgspec.structs.replace(run, id=ids.new_id()))
        assert live.remove_run(mine.id)
"""


def test_processes_that_begin_and_end_runs_at_once(path: Path) -> None:
    command = [sys.executable, "-c", CHILD, path, msgspec.json.encode(RUN).decode()]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for child in children:
        assert child.communicate()[1] == ""
        assert child.returncode == 0
    with LiveDatabase(path) as live:
        assert len(live.runs()) == 60
