"""Names in what kamld prints: as they can be typed next, so that nobody acts on another dataset."""

from pathlib import Path

import pytest

import kamld as python
from kamld.errors import KamldError
from tests.cli.conftest import Kamld


@pytest.fixture
def twins(kamld: Kamld, here: Path) -> None:
    """proj/h and default/h, in the folders h and own."""
    for folder, words in (("h", "--project proj"), ("own", "--name h")):
        (here / folder).mkdir()
        (here / folder / "a").write_text(folder)
        kamld(f"commit {folder} -m one {words}")


@pytest.mark.usefixtures("twins")
def test_advice_names_the_same_dataset(kamld: Kamld, here: Path) -> None:
    kamld("checkout proj/h mine")
    for folder in ("mine", "h"):
        (here / folder / "a").write_text(f"{folder} changed")
    kamld("commit mine -m mine")
    apart = kamld("commit h -m h").out
    assert "kamld diff proj/h@main proj/h@main-conflict-" in apart
    assert "kamld merge proj/h main-conflict-" in apart
    branch = kamld("status h --json").json["branch"]
    waits = kamld(f"merge proj/h {branch}", status=1)
    for words in ("resolve proj/h a ", "merge proj/h --ours", "merge proj/h --abort"):
        assert f"kamld {words}" in waits.out + waits.err
    kamld("merge proj/h --abort")
    assert kamld("undo proj/h").out.splitlines()[-1] == "To take that back: kamld undo proj/h"
    assert kamld("status h").out.startswith("proj/h on main-conflict-")
    assert "kamld branch proj/h@main --unprotect" in kamld("branch proj/h@main --protect").out
    assert "kamld branch proj/h@main --unprotect" in kamld("rm proj/h", status=1).err
    kamld("branch proj/h@main --unprotect")
    assert "kamld log proj/h " in kamld("log proj/h@abcdef", status=1).err
    assert "when proj/h grows" in kamld("split proj/h --test 0.5 --prefix part").out
    assert "kamld undo proj/h" in kamld("--project proj rm h").out
    assert kamld("undo default/h", status=1).err.count("kamld rm h") == 1


@pytest.mark.usefixtures("twins")
def test_the_settings_project_is_left_out_and_default_then_is_not(
    kamld: Kamld, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "kamld rm h" in kamld("undo h", status=1).err
    monkeypatch.setenv("KAMLD_PROJECT", "proj")
    assert "kamld rm h" in kamld("undo h", status=1).err
    assert "kamld rm default/h" in kamld("undo default/h", status=1).err
    assert "kamld rm proj/h" in kamld("--project proj undo h", status=1).err  # the next may be without it


@pytest.mark.usefixtures("twins")
def test_python_says_the_project_that_was_given_there() -> None:
    for name in ("proj/h", "h"):
        with pytest.raises(KamldError) as refused:
            python.dataset(name).undo()
        assert f"the first version of {name}:" in refused.value.message
    with pytest.raises(KamldError) as refused:
        python.hub(project="proj").dataset("h").undo()
    assert "the first version of proj/h:" in refused.value.message


@pytest.mark.usefixtures("twins")
def test_a_source_of_a_merge_with_its_project(kamld: Kamld, here: Path) -> None:
    kamld("branch proj/h new")
    (here / "h/a").write_text("new")
    kamld("switch h new")
    kamld("commit h -m two")
    assert "proj/h@main" in kamld("merge proj/h proj/h@new").out


def test_an_import_into_a_project(kamld: Kamld, here: Path) -> None:
    (here / "imp").mkdir()
    (here / "imp/a").write_text("a")
    assert "Next: kamld checkout lab/imp, kamld log lab/imp" in kamld("import imp lab/imp").out
