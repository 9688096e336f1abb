"""What `--help` says, and that saying it is cheap."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from kamld.cli import main
from tests.cli.conftest import Kamld


def test_help(kamld: Kamld, snapshot: SnapshotAssertion) -> None:
    assert kamld("--help").out == snapshot


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_explains_itself_with_examples(
    kamld: Kamld, verb: str, snapshot: SnapshotAssertion
) -> None:
    said = kamld(f"{verb} --help").out
    assert "Examples:" in said
    hidden = {"mount-process": "mount"}
    assert f"kamld {hidden.get(verb, 'deploy') if verb in main.HIDDEN else verb}" in said
    assert said == snapshot


def test_the_table_names_every_module(here: Path) -> None:
    folder = Path(main.__file__).parent
    modules = {path.stem.removeprefix("verb_").replace("_", "-") for path in folder.glob("verb_*.py")}
    assert modules == set(main.VERBS)
    for verb in main.VERBS:
        module = import_module(f"kamld.cli.verb_{verb.replace('-', '_')}")
        assert module.command.name == verb


def test_help_loads_no_room(here: Path) -> None:
    code = "import sys; from kamld.cli.main import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    heavy = {"numpy", "msgspec", "rich", "sqlalchemy", "onnxruntime", "kamld.store", "kamld.app"}
    assert not heavy & set(loaded.split())


@pytest.mark.parametrize("verb", ["status", "log", "commit", "diff", "checkout"])
def test_light_verbs_load_neither_database_nor_runtime(here: Path, verb: str) -> None:
    code = f"import sys, kamld.cli.verb_{verb}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"sqlalchemy", "onnxruntime", "uvicorn", "PIL", "rich"} & set(loaded.split())


def test_an_unknown_verb(kamld: Kamld) -> None:
    said = kamld("comit digits", status=2)
    assert said.err.splitlines() == ['There is no verb "comit".  (usage)', 'Did you mean "commit"?']
    assert "kamld --help" in kamld("qqq", status=2).err


def test_version(kamld: Kamld) -> None:
    assert kamld("--version").out.startswith("kamld 0.")
