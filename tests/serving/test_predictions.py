import os
import random
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from kamld import ids
from kamld.errors import Invalid
from kamld.ids import PredictionId
from kamld.records.deployment import Prediction
from kamld.records.encoding import encode
from kamld.serving import predictions
from kamld.serving.predictions import PredictionLog, find, time_text
from tests.conftest import SmallDisk
from tests.serving.conftest import eventually

NOON = 1_772_452_800_000  # 2026-03-02T12:00:00Z
MIDNIGHT = NOON + 12 * 3_600_000


def id_at(time_ms: int) -> PredictionId:
    return PredictionId(time_ms, "0000abcd", 0, random.getrandbits(44))


def line(id: PredictionId, answer: str = "roses 0.91") -> Prediction:
    return Prediction(
        id=str(id),
        time=time_text(id),
        endpoint="flowers",
        project="default",
        version="v4",
        status=200,
        ms=1.5,
        answer=answer,
    )


def written(folder: Path, *ids: PredictionId) -> None:
    log = PredictionLog(folder)
    for id in ids:
        log.append(id, lambda id=id: line(id))  # type: ignore[misc]
    log.close()
    assert log.lost == 0


def test_what_is_logged_is_found(tmp_path: Path) -> None:
    id = ids.new_prediction_id("0000abcd", 3)
    written(tmp_path, id)
    assert find(tmp_path, str(id).upper()) == line(id)
    assert find(tmp_path, str(ids.new_prediction_id("0000abcd", 3))) is None
    assert find(tmp_path / "nowhere", str(id)) is None


def test_each_day_has_its_file(tmp_path: Path) -> None:
    before, after = id_at(MIDNIGHT - 1), id_at(MIDNIGHT)
    written(tmp_path, before, after, before)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2026-03-02.jsonl", "2026-03-03.jsonl"]
    assert find(tmp_path, str(before)) == line(before)
    assert find(tmp_path, str(after)) == line(after)
    assert line(after).time == "2026-03-03T00:00:00.000000Z"


def test_the_line_is_read_where_it_should_be_and_not_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = sorted(NOON + random.randrange(3_600_000) for _ in range(20_000))
    some = [id_at(moment + random.randrange(-2000, 2000)) for moment in moments]
    written(tmp_path, *some)
    monkeypatch.setattr(predictions, "_find_in", stays_near(predictions._find_in))
    for id in [*some[:5], *some[-5:], *random.sample(some, 50)]:
        assert find(tmp_path, str(id)) == line(id)


def stays_near(search):  # type: ignore[no-untyped-def]
    def checked(lines, id, start, end):  # type: ignore[no-untyped-def]
        assert end - start < len(lines) / 20
        return search(lines, id, start, end)

    return checked


def test_a_line_far_from_its_place_is_found_all_the_same(tmp_path: Path) -> None:
    some = [id_at(NOON + n * 1000) for n in range(2000)]
    written(tmp_path, *some[1:], some[0])
    assert find(tmp_path, str(some[0])) == line(some[0])


def test_damage_hides_no_other_line(tmp_path: Path) -> None:
    some = [id_at(NOON + n * 1000) for n in range(3000)]
    written(tmp_path, *some)
    path = tmp_path / "2026-03-02.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for n in range(0, 3000, 3):
        lines[n] = random.choice([b"\xff\xfe{\n", b"{}\n", lines[n][:50] + b"\n", b"\n"])
    path.write_bytes(b"".join(lines)[:-40])
    for n in range(3000):
        expected = line(some[n]) if n % 3 and n < 2999 else None
        assert find(tmp_path, str(some[n])) == expected


def test_a_half_written_line_is_closed_off(tmp_path: Path) -> None:
    one, two, three = (id_at(NOON + n) for n in range(3))
    written(tmp_path, one)
    with open(tmp_path / "2026-03-02.jsonl", "ab") as file:
        file.write(encode(line(two))[:60])
    written(tmp_path, three)
    assert find(tmp_path, str(one)) == line(one)
    assert find(tmp_path, str(two)) is None
    assert find(tmp_path, str(three)) == line(three)


def test_it_is_written_at_once(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    id = id_at(NOON)
    log.append(id, lambda: line(id))
    eventually(lambda: find(tmp_path, str(id)), within_s=2)
    log.close()


def test_a_disk_that_hangs_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "2026-03-02.jsonl")  # takes 64 KB, then waits until somebody reads
    reading = os.open(tmp_path / "2026-03-02.jsonl", os.O_RDWR | os.O_NONBLOCK)
    monkeypatch.setattr(predictions, "WAITING_MAX", 50)
    log = PredictionLog(tmp_path)
    began = time.monotonic()
    for n in range(3000):
        id = id_at(NOON + n)
        log.append(id, lambda id=id: line(id, "x" * 190))  # type: ignore[misc]
    assert time.monotonic() - began < 2
    assert log.lost > 0
    closing = threading.Thread(target=log.close)
    closing.start()
    while closing.is_alive():
        with suppress(BlockingIOError):
            os.read(reading, 1 << 16)
        closing.join(0.01)
    os.close(reading)


def test_not_an_id() -> None:
    with pytest.raises(Invalid, match="not a prediction id"):
        find(Path("/nowhere"), "../../etc/passwd")


FULL = """
import sys, os
from pathlib import Path
from kamld import ids
from kamld.records.deployment import Prediction
from kamld.serving.predictions import PredictionLog, find, time_text

disk = Path(sys.argv[1])
ballast = disk / "ballast"
log = PredictionLog(disk / "log")

def note():
    id = ids.new_prediction_id("0000abcd", 0)
    log.append(id, lambda: Prediction(id=str(id), time=time_text(id), endpoint="e", project="p",
                                      version="v1", status=200, ms=1.0, answer="x" * 150))
    return id

import time
first = note()
time.sleep(0.2)
with open(ballast, "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(100))
    except OSError:
        pass
for _ in range(300):
    note()
    time.sleep(0.001)
assert log.lost, "the disk was not full"
ballast.unlink()
last = note()
log.close()
assert find(disk / "log", str(first)) and find(disk / "log", str(last)), "lost"
print("lost", log.lost)
"""


@pytest.mark.parametrize("small_disk", [1], indirect=True)
def test_a_full_disk_loses_lines_and_nothing_else(small_disk: SmallDisk) -> None:
    done = small_disk.run(sys.executable, "-c", FULL, small_disk.path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lost")
    assert done.stderr.count("No space left on device") == 1
