"""What a script can ask of the run that it is in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import kamld
from kamld.errors import KamldError
from kamld.runs import surroundings
from tests.runs.stage import staged

SCRIPT = """
import json, kamld
rows = (kamld.input("digits-train") / "rows.csv").read_text()
(kamld.output("digits-net") / "model").write_text(rows + kamld.run_id())
print(json.dumps(kamld.params()))
try:
    kamld.input("digits")
except kamld.KamldError as error:
    print(error.code, error)
kamld.log_metrics(accuracy=0.93, step=2)
"""


def test_in_a_run(tmp_path: Path) -> None:
    with staged(tmp_path / "hub", tmp_path / "work") as stage:
        stage.commit("digits-train", {"rows.csv": "1\n"})
        made = stage.run(
            sys.executable, "-c", SCRIPT, inputs=["digits-train"], outputs=["model:digits-net"],
            params=["C=0.1", "Depth=3", "fast=true", "kind=svm"],
        )  # fmt: skip
        assert made.exit_status == 0, stage.text(made.run.stderr)
        assert stage.files("digits-net") == {"model": f"1\n{made.run.id}".encode()}
        said = stage.text(made.run.stdout).decode().splitlines()
    assert json.loads(said[0]) == {"C": 0.1, "Depth": 3, "fast": True, "kind": "svm"}
    assert said[1] == (
        'unknown_label This run has no input "digits". There are: digits-train. kamld run -i NAME adds one.'
    )
    assert made.run.metrics == {"accuracy": 0.93}


@pytest.mark.parametrize(
    "call",
    [
        lambda: kamld.input("x"),
        lambda: kamld.output("x"),
        lambda: kamld.params().get("C"),
        lambda: kamld.run_id().upper(),
        lambda: kamld.log_metrics(a=1),
    ],
)
def test_outside_of_a_run(call: object) -> None:
    with pytest.raises(KamldError, match="kamld run -i") as caught:
        call()  # type: ignore[operator]
    assert caught.value.code == "not_in_a_run"


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(surroundings.RUN_DIR, str(tmp_path))
    monkeypatch.setenv(surroundings.RUN_ID, "0" * 32)
    return tmp_path


@pytest.mark.parametrize(
    "values", [{"": 1}, {"a\nb": 1}, {"x" * 251: 1}, {"a": "much"}, {"a": None}, {"a": [1]}]
)
def test_what_is_no_metric(run_folder: Path, values: dict[str, object]) -> None:
    with pytest.raises(KamldError) as caught:
        kamld.log_metrics({"good": 1.0, **values})  # type: ignore[dict-item]
    assert caught.value.code == "bad_metric"
    assert not (run_folder / surroundings.POINTS).exists()


def test_numbers_of_all_sorts(run_folder: Path) -> None:
    kamld.log_metrics({"whole": 1, "truth": True}, step=3, text="0.5")  # type: ignore[arg-type]
    lines = (run_folder / surroundings.POINTS).read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert [(p["name"], p["value"], p["step"]) for p in found] == [
        ("whole", 1.0, 3), ("truth", 1.0, 3), ("text", 0.5, 3),
    ]  # fmt: skip


def test_a_full_disk_is_told(run_folder: Path) -> None:
    (run_folder / surroundings.POINTS).symlink_to("/dev/full")
    with pytest.raises(KamldError, match="No space left"):
        kamld.log_metrics(loss=1)


def test_names_that_kamld_offers() -> None:
    assert set(kamld.__all__) <= set(dir(kamld))
    for name in kamld.__all__:
        assert getattr(kamld, name)
    assert kamld.__version__
    with pytest.raises(AttributeError, match="no attribute 'inputs'"):
        kamld.inputs  # type: ignore[attr-defined] # noqa: B018


def test_importing_costs_nothing() -> None:
    """Neither our other rooms nor anybody's packages are loaded, also when a name is used."""
    script = (
        "import sys; before = set(sys.modules); import kamld; first = set(sys.modules) - before;"
        "kamld.log_metrics; print(*first); print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, used = (line.split() for line in done.stdout.splitlines())
    assert first == ["kamld"]
    ours = {name for name in used if name.startswith("kamld.")}
    assert ours == {
        "kamld.api", "kamld.api.inside_run", "kamld.clock", "kamld.errors", "kamld.runs",
        "kamld.runs.surroundings",
    }  # fmt: skip
    roots = {name.split(".")[0] for name in used} - {"kamld"}
    assert roots <= set(sys.stdlib_module_names)
