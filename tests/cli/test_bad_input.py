"""What cannot be done is answered: what was wrong, what to do, a code, the right status."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec import structs

from kamld.blobs import FolderBlobs
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.store.commits import write_commit
from tests.cli.conftest import Kamld, process
from tests.conftest import SmallDisk, Unprivileged


def refused(kamld: Kamld, words: str, code: str, *said: str, status: int = 1) -> None:
    answer = kamld(words, status=status)
    assert f"({code})" in answer.err
    for part in said:
        assert part in answer.err
    as_json = kamld(
        f"{words} --json" if " -- " not in words else words.replace(" -- ", " --json -- "), status
    )
    assert as_json.json["error"]["code"] == code


def test_revisions_that_are_none(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    refused(kamld, "checkout digits@mian x", "unknown_revision", 'Did you mean "main"?')
    refused(kamld, "log digits@main~3", "unknown_revision", "main is the first version")
    refused(kamld, "log digits@feed", "unknown_revision", 'begins with "feed"')
    refused(kamld, "log 'digits@main@{2001-01-01}'", "unknown_revision", "did not exist")
    refused(kamld, "log 'digits@{yesterday-ish}'", "bad_time", "not a date")
    refused(kamld, "log digits@a@b", "bad_revision")
    refused(kamld, "ls digits:nowhere", "unknown_path")
    assert not Path("x").exists()


def test_a_beginning_that_two_commits_share(kamld: Kamld, digits: Path, hub: Path) -> None:
    first = kamld("commit digits -m one --json").json
    repository = open_hub(FolderBlobs(hub))
    last, commit = first["commit"], repository.commit(first["commit"])
    seen: dict[str, str] = {}
    with repository.writer() as writer:
        while last[:4] not in seen:  # of 4 hex digits some 300 are enough
            seen[last[:4]] = last
            commit = structs.replace(commit, parents=(last,), message=str(len(seen)))
            last = write_commit(writer, commit)
    dataset = repository.names.get(Name("default", "digits"))
    repository.refs.move(dataset, "main", "branch", last, expected=first["commit"], author="a", reason="r")
    refused(kamld, f"log digits@{last[:4]}", "ambiguous_revision", last[:12], seen[last[:4]][:12])


@pytest.mark.parametrize("name", ["../digits", "a/b/c", "a..b", ".hidden", "-", "a b", "x" * 101])
def test_names_that_are_none(kamld: Kamld, digits: Path, name: str) -> None:
    refused(kamld, f"commit digits -m one --name '{name}'", "bad_name")
    refused(kamld, f"checkout '{name}' out", "bad_name")
    assert not (digits / ".kamld").exists()


def test_a_folder_that_is_no_dataset(kamld: Kamld, here: Path) -> None:
    refused(kamld, "status", "not_bound", "kamld commit FOLDER makes")
    refused(kamld, "commit nowhere -m one", "no_such_folder")
    refused(kamld, "log nothing", "no_hub")
    (here / "some").mkdir()
    (here / "some/file").write_text("")
    kamld("commit some -m one")
    refused(kamld, "log nothing", "unknown_name")


def test_usage(kamld: Kamld) -> None:
    """The same form, whoever finds it wrong: what, the code, what to do."""
    for words, said, way in (
        ("commit x", "Missing option -m: say what changed, in your words.", 'kamld commit x -m "…"'),
        ("log --qqq x", "There is no option --qqq.", "kamld log --help shows how it is typed."),
        ("log --jso x", "There is no option --jso.", "Did you mean --json?"),
        ("split", "Missing: NAME[@REVISION].", "kamld split --help shows how it is typed."),
        ("rm a b", "Got unexpected extra argument (b).", "kamld rm --help shows how it is typed."),
        ("log a -n 0", "--limit: 0 is not in the range x>=1.", "kamld log --help shows how it is typed."),
        ("export x", "Missing: DEST.", "kamld export --help shows how it is typed."),
        ("init ''", "FOLDER: The name of the folder is empty.", "kamld init --help shows how it is typed."),
        ("--qqq log", "There is no option --qqq.", "kamld --help shows how it is typed."),
    ):
        assert kamld(words, status=2).err.splitlines() == [f"{said}  (usage)", way]
        if not words.startswith("--"):
            told = kamld(f"{words} --json", status=2).json["error"]
            assert told == {"code": "usage", "message": said, "hint": way}
    assert kamld("", status=2).err.startswith("Usage: kamld")


def test_runs_that_fail_keep_their_record(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    refused(kamld, "run -i nothing -- true", "unknown_name")
    assert kamld("runs --json").json == []
    failed = kamld("run -i digits -o dataset:out -- sh -c 'echo partly; exit 7'", status=7)
    assert "(command_failed)" in failed.err
    assert "partly" in failed.out
    missing = kamld("run -i digits -o dataset:out -- true", status=1)
    assert "(output_missing)" in missing.err
    assert kamld("run -- no-such-program", status=127).err
    states = [run["state"] for run in kamld("runs --json").json]
    assert states == ["failed"] * 3
    refused(kamld, "log out", "unknown_name")


def test_models_that_cannot_be_served(kamld: Kamld, digits: Path, here: Path, hub: Path) -> None:
    kamld("commit digits -m one")
    refused(kamld, "deploy digits", "not_a_model", "--model")
    (here / "net").mkdir()
    (here / "net/model.pkl").write_bytes(b"pickled")
    kamld("commit net --model -m one")
    refused(kamld, "deploy net", "no_servable_model", "model.pkl", "ONNX")
    (here / "net/model.onnx").write_bytes(b"no model")
    kamld("commit net -m two")
    said = kamld("deploy net", status=1)
    assert "net v2" in said.err
    assert kamld("deployments --json").json == []
    assert not (hub / "events").exists()


def test_a_busy_port(kamld: Kamld, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("KAMLD_PORT", str(taken.getsockname()[1]))
        said = kamld("deploy double", status=3)
        assert "(port_in_use)" in said.err
        assert kamld("deployments --json").json == []


def test_predictions_that_cannot_be_made(kamld: Kamld, model: str, here: Path) -> None:
    refused(kamld, "predict double row.json", "unknown_endpoint", "kamld deploy double")
    kamld("deploy double")
    refused(kamld, "predict double nowhere.json", "no_such_file")
    (here / "wide.json").write_text("[[1, 2, 3]]")
    said = kamld("predict double wide.json", status=1).err
    assert "[-1,1]" in said
    refused(kamld, "why 00000000000000000000000000", "unknown_name")


@pytest.mark.needs("unprivileged")
def test_a_folder_without_permission(here: Path, digits: Path, hub: Path, unprivileged: Unprivileged) -> None:
    (digits / "0/b.txt").chmod(0)
    command = unprivileged.command(sys.executable, "-m", "kamld", "commit", "digits", "-m", "one")
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 3
    assert "(unreadable_file)" in said.stderr
    assert "0/b.txt" in said.stderr
    assert not (digits / ".kamld").exists()
    assert not (hub / "names").exists()
    (digits / "0/b.txt").chmod(0o644)
    hub.chmod(0o500)
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    hub.chmod(0o700)
    assert said.returncode == 3
    assert "(no_permission)" in said.stderr


@pytest.mark.needs("small disk")
def test_a_full_disk(
    here: Path, digits: Path, small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAMLD_HUB", str(small_disk.path / "hub"))
    kamld = (sys.executable, "-m", "kamld")
    assert small_disk.run(*kamld, "commit", "digits", "-m", "small").returncode == 0
    (digits / "large").write_bytes(os.urandom(20_000_000))
    said = small_disk.run(*kamld, "commit", "digits", "-m", "large")
    assert said.returncode == 3
    assert "(no_space)" in said.stderr
    assert "The disk is full" in said.stderr
    assert small_disk.run("ls", small_disk.path / "hub/tmp").stdout == ""
    (digits / "large").unlink()
    (digits / "little").write_text("fits")
    again = small_disk.run(*kamld, "commit", "digits", "-m", "little")
    assert again.returncode == 0, again.stderr
    assert small_disk.run(*kamld, "log", "digits").stdout.count("\n") == 2


def test_two_commits_at_the_same_moment(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    people = [f"person{number}" for number in range(6)]
    for person in people:
        kamld(f"checkout digits {person}")
        (here / person / person).write_text(person)
        (here / person / "labels.csv").write_text(person)  # all change this one
    commits = [process(f"commit {person} -m {person}") for person in people]
    for commit in commits:
        out, err = commit.communicate(timeout=60)
        assert commit.returncode == 0, out + err
    branches = [ref["ref"] for ref in kamld("branch digits --json").json]
    kept = {entry["path"] for branch in branches for entry in kamld(f"ls digits@{branch} --json").json}
    assert set(people) <= kept
    assert len(branches) == len(people)  # main, and one for each whose labels.csv clashed


def test_killed_while_committing(kamld: Kamld, digits: Path, hub: Path) -> None:
    """Killed at the moment that bytes of the commit are under way in the hub, again and again."""
    kamld("commit digits -m first")
    for attempt in range(8):
        (digits / "large").write_bytes(os.urandom(40_000_000))
        before = kamld("log digits --json").json
        for left in (hub / "tmp").iterdir():
            left.unlink()
        with process(f"commit digits -m attempt{attempt}") as commit:
            while not any((hub / "tmp").iterdir()):
                assert commit.poll() is None, "it ended before it could be killed"
            time.sleep(0.004 * attempt)
            commit.kill()
        after = kamld("log digits --json").json
        assert after == before  # 40 MB are not durable within 30 ms
        shutil.rmtree("check", ignore_errors=True)
        kamld("checkout digits check")
    assert kamld("commit digits -m last --json").json["changed"]
    kamld("checkout digits final")
    assert (Path("final") / "large").read_bytes() == (digits / "large").read_bytes()


def test_settings_that_are_wrong(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAMLD_THREADS", "many")
    refused(kamld, "hub", "bad_settings", "KAMLD_THREADS=many")
    monkeypatch.delenv("KAMLD_THREADS")
    (here / "kamld.toml").write_text("hubb = 1\n")
    refused(kamld, "hub", "bad_settings", 'unknown setting "hubb"')
    (here / "kamld.toml").write_text("port = 'x'\n")
    refused(kamld, "hub", "bad_settings", "a whole number")
    (here / "kamld.toml").write_text("port = = 1\n")
    refused(kamld, "hub", "bad_settings", "not valid TOML")


def test_counts_and_names_that_are_none(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "empty" in kamld("commit '' -m one", status=2).err
    kamld("commit digits -m one")
    kamld("log digits -n 0", status=2)
    kamld("log digits -n -3", status=2)
    refused(kamld, "status digits/nope", "no_such_folder")
    refused(kamld, "log", "not_bound")
    assert kamld("log digits -n x --json", status=2).json["error"]["code"] == "usage"


def test_predictions_that_are_no_numbers_are_shown(kamld: Kamld, model: str, here: Path) -> None:
    import numpy as np

    np.save(here / "nan.npy", np.full((2, 1), np.nan, np.float32))
    kamld("deploy double")
    assert "nan" in kamld("predict double nan.npy").out


def test_a_closed_or_full_output(here: Path) -> None:
    for where in ("> /dev/full", ">&-"):
        words = f"{sys.executable} -m kamld --help {where}"
        said = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
        assert "Traceback" not in said.stderr
        assert said.returncode in (0, 3)


def test_a_folder_whose_name_is_too_long_is_named(kamld: Kamld, digits: Path, here: Path) -> None:
    kamld("commit digits -m one")
    for target in ("n" * 300, "a/" + "n" * 300, "n" * 300 + "/b"):
        said = kamld(f"checkout digits {target}", status=1).err
        assert "No folder can have the name nnnnnnnnnnnnnnnnnnnn…: it has 300 bytes" in said
        assert ".kamld-" not in said
    assert not (here / "a").exists()
