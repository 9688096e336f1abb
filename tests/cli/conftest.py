"""Commands as a person types them, in an empty folder with an empty home."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kamld.cli.main import run


@dataclass(frozen=True)
class Said:
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Kamld = Callable[..., Said]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("LOGNAME", "ann")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.fixture
def kamld(here: Path, capfd: pytest.CaptureFixture[str]) -> Kamld:
    """`kamld("log digits")` in this process. It must end with `status`, 0 unless told."""

    def call(words: str, status: int = 0) -> Said:
        capfd.readouterr()
        got = run(shlex.split(words))
        said = Said(got, *capfd.readouterr())
        assert got == status, f"kamld {words}\n{said.out}\n{said.err}"
        return said

    return call


def process(words: str, **options: Any) -> "subprocess.Popen[str]":
    """The same in a process of its own, for what kills or races."""
    return subprocess.Popen(
        [sys.executable, "-m", "kamld", *shlex.split(words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options,
    )  # fmt: skip


@pytest.fixture
def hub(home: Path) -> Path:
    return home / ".local/share/kamld/hub"


@pytest.fixture
def digits(here: Path) -> Path:
    """Six small files in two folders, and a table."""
    folder = here / "digits"
    for name in ("0/a", "0/b", "0/c", "1/a", "1/b", "1/c"):
        path = folder / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")
    (folder / "labels.csv").write_text("file,label\n0/a.txt,0\n")
    return folder


@pytest.fixture
def model(here: Path, kamld: Kamld) -> Iterator[str]:
    """A model that can be served: y = 2 x for one number. What is deployed is stopped at the end."""
    from onnx import TensorProto, helper, save_model

    node = helper.make_node("Add", ["x", "x"], ["y"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in "xy"]
    graph = helper.make_graph([node], "double", ends[:1], ends[1:])
    (here / "double").mkdir()
    opset = [helper.make_opsetid("", 18)]
    save_model(helper.make_model(graph, opset_imports=opset, ir_version=9), here / "double/model.onnx")
    (here / "row.json").write_text("[[21.0]]")
    kamld("commit double --model -m 'by hand'")
    yield "double"
    subprocess.run([sys.executable, "-m", "kamld", "stop", "--all"], check=True, capture_output=True)
