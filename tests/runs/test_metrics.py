"""Metrics as they are logged: by Python, by other languages, by several processes, and wrongly."""

import math
from pathlib import Path

from kamld.records.encoding import decode
from kamld.records.run import Metric
from kamld.runs.metrics import Follower, clean, parse
from tests.runs.stage import Stage, Told

MANY = """
import multiprocessing, kamld
def log(worker):
    for step in range(200):
        kamld.log_metrics({f"loss/{worker}": step * 0.5}, step=step)
if __name__ == "__main__":
    workers = [multiprocessing.get_context("fork").Process(target=log, args=(n,)) for n in range(4)]
    [w.start() for w in workers]
    [w.join() for w in workers]
    kamld.log_metrics(accuracy=0.9, nothing=float("nan"), all=float("inf"))
"""


def points(stage: Stage, file_id: str | None) -> list[Metric]:
    return [decode(line, Metric, "a line") for line in stage.text(file_id).splitlines()]


def test_metrics_of_several_processes(stage: Stage) -> None:
    told = Told()
    made = stage.python(MANY, told=told)
    found = points(stage, made.run.points)
    assert len(found) == 4 * 200 + 3
    assert len(told.points) == len(found)
    for worker in range(4):
        mine = [point.step for point in found if point.name == f"loss/{worker}"]
        assert mine == list(range(200))
    last = made.run.metrics
    assert (last["accuracy"], last["loss/3"], last["all"]) == (0.9, 99.5, math.inf)
    assert math.isnan(last["nothing"])
    sealed = stage.repository.sealed.run(made.run.id)
    assert math.isnan(sealed.metrics["nothing"])


def test_lines_that_are_no_metrics_are_told(stage: Stage) -> None:
    lines = ["not json", '{"name": "loss", "value": 0.5}', '{"name": "", "value": 1}', '{"half']
    (stage.folder / "lines").write_text("\n".join(lines))
    made = stage.run("sh", "-c", 'cat lines > "$KAMLD_RUN_DIR/metrics.jsonl"')
    assert made.run.state == "succeeded"
    assert made.run.metrics == {"loss": 0.5}
    assert made.run.notes == ("3 lines of the logged metrics could not be read, the first: not json",)


def test_a_line_of_another_language() -> None:
    metric = parse(b'{"name": "loss", "value": 1, "time": "2026-03-02T10:00:00+01:00", "x": [1]}')
    assert metric == Metric(name="loss", value=1.0, step=0, time="2026-03-02T09:00:00.000000Z")
    assert parse(b'{"name": "loss", "value": "-inf"}')
    for bad in (b"[]", b'{"value": 1}', b'{"name": "a\\nb", "value": 1}', b"\xff", b'{"name":"a"}'):
        assert parse(bad) is None


def test_a_line_without_end(tmp_path: Path) -> None:
    source = tmp_path / "metrics.jsonl"
    source.write_bytes(b"x" * 3_000_000 + b'\n{"name": "a", "value": 1}\n')
    read = clean(source, tmp_path / "points")
    assert (read.count, read.bad, len(read.first_bad)) == (1, 1, 80)
    follower = Follower(source)
    found = [metric for _ in range(5) for metric in follower.read()]
    assert [metric.name for metric in found] == ["a"]


def test_following(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    follower = Follower(path)
    assert follower.read() == ()
    path.write_text('{"name": "a", "value": 1}\n{"name": "b", "va')
    assert [metric.name for metric in follower.read()] == ["a"]
    assert follower.read() == ()
    with open(path, "a") as file:
        file.write('lue": 2}\n')
    assert [metric.name for metric in follower.read()] == ["b"]
