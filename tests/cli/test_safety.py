"""What comes from elsewhere is shown, not obeyed; what goes wrong is told, not traced back."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.cli import main, verb_log
from kamld.cli.terminal import safe
from tests.cli.conftest import Kamld

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r"


@given(st.text())
def test_nothing_that_drives_a_terminal_passes(text: str) -> None:
    shown = safe(text)
    left = click.unstyle(shown)
    assert all(c.isprintable() or c in "\n\t" for c in left)


def test_our_own_styles_pass() -> None:
    for style in ({"bold": True}, {"dim": True}, {"fg": "red"}, {"fg": "cyan"}):
        assert safe(click.style("word", **style)) == click.style("word", **style)


def test_foreign_texts_are_shown_escaped(kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAMLD_AUTHOR", f"eve{EVIL}")
    (digits / "text").write_text(f"before{EVIL}\n")
    kamld(f"commit digits -m 'one{EVIL}'")
    monkeypatch.setenv("KAMLD_AUTHOR", "ann")
    (digits / "text").write_text(f"after{EVIL}\n")
    for words in ("log digits", "ls", "diff digits --patch", "why digits", f"commit digits -m 'two{EVIL}'"):
        said = kamld(words)
        assert not set("\x1b\x07\x9b\r") & set(said.out + said.err)
    kamld(f"log 'x{EVIL}'", status=1)


def test_a_fault_of_ours_is_a_sentence_and_a_report(
    kamld: Kamld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(verb_log.command, "callback", broken)
    said = kamld("log digits", status=3)
    assert "(internal)" in said.err
    assert "Traceback" not in said.err
    report = next(tmp_path.glob("kamld-*.txt"))
    assert "ZeroDivisionError: planted" in report.read_text()


def test_the_machines_refusals(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "loop").symlink_to("loop")
    assert "(io_error)" in kamld(f"commit {'x' * 300} -m one", status=3).err
    assert "levels of symbolic links" in kamld("commit loop -m one", status=3).err
    gone = here / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "was removed" in kamld("status", status=1).err


@pytest.mark.parametrize("project", ["a/b", "../x", "a b"])
def test_a_project_that_is_no_word(
    kamld: Kamld, digits: Path, hub: Path, monkeypatch: pytest.MonkeyPatch, project: str
) -> None:
    assert "(bad_name)" in kamld(f"--project '{project}' commit digits -m one", status=1).err
    assert "(bad_name)" in kamld(f"commit digits -m one --project '{project}'", status=1).err
    monkeypatch.setenv("KAMLD_PROJECT", project)
    assert "(bad_name)" in kamld("log nothing", status=1).err
    assert not (hub / "names").exists()


def test_hubs_that_are_none(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("s3://bucket/x", "https://hub.example"):
        assert "(unsupported_hub)" in kamld(f"--hub {address} ls", status=1).err
    monkeypatch.setenv("KAMLD_HUB", str(here / "typo"))
    assert "(no_hub)" in kamld("ls", status=1).err
    assert list(here.iterdir()) == []


def test_a_path_where_a_whole_version_is_meant(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    diff = "diff digits@main:0 digits@main"
    for words in ("alias digits:0 t", "tag digits@main:0 t", diff, "split digits:0"):
        assert "(path_in_name)" in kamld(words, status=1).err


def test_first_use_options_on_a_bound_folder(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one --project vision")
    assert kamld("ls --json").json[0]["project"] == "vision"
    assert "(other_kind)" in kamld("commit digits -m two --model", status=1).err
    assert "(bound_elsewhere)" in kamld("commit digits -m two --name else", status=1).err


def test_the_serving_process_has_the_settings_of_the_file(
    kamld: Kamld, model: str, here: Path, hub: Path
) -> None:
    (here / "kamld.toml").write_text("log_outputs = false\nrequest_mb = 1\n")
    url = kamld("deploy double --json").json["url"]
    kamld("predict double row.json")
    tensor = {"name": "x", "datatype": "FP32", "shape": [400_000, 1], "data": [0.5] * 400_000}
    body = json.dumps({"inputs": [tensor]}).encode()
    assert len(body) > 1_000_000
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/infer", body, timeout=30)
    assert caught.value.code == 413
    caught.value.close()
    said = kamld("deploy double")
    assert "settings" not in said.err
    (here / "kamld.toml").write_text("log_outputs = true\n")
    assert "still has the settings that it was started with" in kamld("deploy double").err
    kamld("stop --all")
    log = "".join(p.read_text() for p in (hub / "local/serving/predictions").glob("*.jsonl"))
    assert '"status":200' in log
    assert "answer" not in log


def test_one_damaged_history_stops_nobody_else(kamld: Kamld, model: str, hub: Path) -> None:
    kamld("deploy double --name first")
    kamld("deploy double --name second")
    event = next(hub.glob("deployments/default/first/*1"))
    (hub / "events" / f"{event.read_text().strip()}.json").write_bytes(b"{}")
    said = kamld("stop second")
    assert "second is stopped" in said.out
    assert "default/first cannot be read" in said.err


def test_errors_are_one_shape(kamld: Kamld) -> None:
    error = kamld("log nothing --json", status=1).json["error"]
    assert set(error) == {"code", "message", "hint"}
    assert main.run(["log"]) != 0
