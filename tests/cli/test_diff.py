"""kamld diff: a line a file by its kind, details, paths; the plain list is in test_versions."""

import json
from base64 import b64decode
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Kamld


@pytest.fixture
def changed(digits: Path, kamld: Kamld) -> Path:
    """Two versions: a table and a picture that changed, and a file in a folder."""
    (digits / "labels.csv").write_text("file,label\na,0\nb,1\nc,2\n")
    Image.new("L", (8, 8)).save(digits / "p.png")
    kamld("commit digits -m one")
    (digits / "labels.csv").write_text("file,label\na,0\nb,\x1b[31m7\nd,2\n")
    Image.new("L", (8, 4)).save(digits / "p.png")
    (digits / "0/a.txt").write_text("corrected\n")
    return digits


def test_a_line_a_file_by_its_kind(kamld: Kamld, changed: Path) -> None:
    before = kamld("diff digits").out
    assert "1 row added, 1 removed, 1 changed (key: file)" in before
    assert "8×8 → 8×4" in before
    assert "+1 −1 lines" in kamld("diff digits --stat").out
    kamld("commit digits -m two")
    after = kamld("diff digits@main").out
    assert after.splitlines()[1:] == before.splitlines()[1:]


def test_details_are_shown_and_control_nothing(kamld: Kamld, changed: Path) -> None:
    said = kamld("diff digits --patch").out
    assert "~b   label: 1 → \\x1b[31m7\n-c,2\n+d,2\n" in said
    assert "\x1b" not in said
    assert "-0/a\n+corrected" in said


def test_paths(kamld: Kamld, changed: Path) -> None:
    def paths(words: str) -> set[str]:
        return {change["path"] for change in kamld(f"diff {words} --json").json}

    assert paths("digits labels.csv") == {"labels.csv"}
    assert paths("digits 0") == {"0/a.txt"}
    assert paths("digits '*.png' labels.csv") == {"labels.csv", "p.png"}
    kamld("commit digits -m two")
    assert paths("digits@main~1 @main 0/") == {"0/a.txt"}
    assert paths("digits@main labels.csv") == {"labels.csv"}
    assert paths("digits@main '*.png'") == {"p.png"}
    assert kamld("diff digits@main digits@nothing", status=1).err


def test_a_key_that_is_not_there_is_said(kamld: Kamld, changed: Path) -> None:
    assert 'There is no column "nope"' in kamld("diff digits labels.csv --key nope").out


def test_json_has_what_is_inside_where_it_is_asked_for(kamld: Kamld, changed: Path) -> None:
    assert all("inside" not in change for change in kamld("diff digits --json").json)
    stat = {change["path"]: change for change in kamld("diff digits --json --stat").json}
    assert stat["labels.csv"]["kind"] == "table"
    assert stat["labels.csv"]["inside"]["by_column"] == {"label": 1}
    assert stat["p.png"]["inside"]["new"]["thumbnail"] is None
    full = {change["path"]: change for change in json.loads(kamld("diff digits --json --patch").out)}
    assert b64decode(full["p.png"]["inside"]["new"]["thumbnail"]).startswith(b"\x89PNG")


def test_what_was_measured_of_two_versions_of_a_model(kamld: Kamld, here: Path) -> None:
    script = "import kamld, pathlib, sys; kamld.log_metrics(acc=float(sys.argv[1]), n=float('nan')); "
    (here / "t.py").write_text(script + "(kamld.output('net') / 'w').write_text(sys.argv[1])")
    for value in ("0.5", "0.75"):
        kamld(f"run -o model:net -- python t.py {value}")
    said = kamld("diff net@v1 @v2").out.splitlines()
    assert said[1].split() == ["acc", "0.5", "→", "0.75", "+0.25", "run", "1,", "2"]
    assert said[3].split()[:2] == ["changed", "w"]
    assert kamld("diff net@v1 @v2 w").out.splitlines()[1].split()[:2] == ["changed", "w"]
    found = kamld("diff net@v2 --metrics --json").json
    assert found[0] == {"name": "acc", "before": 0.5, "after": 0.75, "run_before": 1, "run_after": 2}
    assert found[1]["before"] == "nan"
    assert "Nothing was measured" not in kamld("diff net@v1 --metrics", status=2).err


def test_a_word_that_names_nothing_is_no_answer_of_no_change(kamld: Kamld, changed: Path) -> None:
    kamld("commit digits -m two")
    kamld("branch digits dev")
    two = "digits@main~1 @main"
    for words in ("digits@main nosuch", f"{two} nosuch", "digits *.gif", "digits@main 'x/*.png'"):
        code = "no_match" if "*" in words else "unknown_path"
        assert f"({code})" in kamld(f"diff {words}", status=1).err
    assert "nor is it a version" in kamld("diff digits@main de", status=1).err
    assert "another version is written @REVISION" in kamld("diff digits de", status=1).err


def test_a_folder_and_another_version(
    kamld: Kamld, changed: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`changed` has what version two has, and the folder is changed again after that."""
    before = kamld("diff digits --stat").out.splitlines()[1:]
    kamld("commit digits -m two")
    kamld("tag digits@main~1 was")
    for words in ("digits @was", "digits was", "digits main~1", "digits digits@was", "digits@was ./digits"):
        said = kamld(f"diff {words} --stat").out.splitlines()
        assert said[1:] == before, words
        assert said[0].endswith(f" → {words.split()[-1] if '/' in words else 'digits'}   ~3")
    (changed / "0/a.txt").write_text("0/a\n")  # as it was in the first
    (changed / "0/b.txt").write_text("0/B\n")  # as long as before
    (changed / "1/c.txt").unlink()
    (changed / "new.txt").write_text("new")
    found = {one["path"]: one["change"] for one in kamld("diff digits @was --json").json}
    assert found == {
        "0/b.txt": "changed", "1/c.txt": "removed", "labels.csv": "changed", "new.txt": "added",
        "p.png": "changed",
    }  # fmt: skip
    assert "-0/b\n+0/B" in kamld("diff digits @was 0 --patch").out
    monkeypatch.chdir(changed / "0")
    assert [one["path"] for one in kamld("diff @was b.txt --json").json] == ["0/b.txt"]
    assert [one["path"] for one in kamld("diff was . --json").json] == ["0/b.txt"]
    assert len(kamld("diff was --json").json) == 5
    monkeypatch.chdir(changed)
    assert [one["path"] for one in kamld("diff 0 --json").json] == ["0/a.txt", "0/b.txt"]
    assert [one["path"] for one in kamld("diff labels.csv 0/b.txt --json").json] == ["0/b.txt"]
    monkeypatch.chdir(here)
    assert "unknown_revision" in kamld("diff digits @nowhere", status=1).err


def test_a_path_goes_before_a_revision_of_its_name(kamld: Kamld, changed: Path) -> None:
    kamld("branch digits 0")
    kamld("commit digits -m two")
    (changed / "new.txt").write_text("new")
    said = kamld("diff digits 0")
    assert said.out.endswith("no change\n")
    assert "0 is a branch too: kamld diff digits @0" in said.err
    assert len(kamld("diff digits @0 --json").json) == 4
    kamld("branch digits@0 --remove")
    (changed / "new.txt").unlink()
    kamld("switch digits side -c")
    assert kamld("diff digits").out.startswith("digits@side: ")
    assert "no change" in kamld("diff digits@main 0/b.txt").out  # it is there, and as it was
    assert "no change" in kamld("diff digits@main~1 @main '0/[bc].txt'").out


def test_a_name_as_a_shell_completes_it(kamld: Kamld, changed: Path) -> None:
    for words in ("ls digits/", "show ./digits", "log digits/", "tag digits/ v7", "ls digits/0/a.txt"):
        wrong = words.endswith("a.txt")
        said = kamld(words, status=1 if wrong else 0)
        assert ("(bad_name)" in said.err) == wrong


def test_what_was_purged_is_nobodys_change(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "labels.csv").write_text("file,label\n")
    kamld("commit digits -m two")
    kamld("purge digits:0/a.txt --reason gone --yes")
    (digits / "0/a.txt").unlink()
    for words in ("digits @main", "digits @main~1"):
        paths = [one["path"] for one in kamld(f"diff {words} --json").json]
        assert paths == ([] if words.endswith("main") else ["labels.csv"]), words
    kamld("tag digits@main~1 old")
    (digits / "0/b.txt").unlink()
    assert [one["path"] for one in kamld("diff digits @old --json").json] == ["0/b.txt", "labels.csv"]


def test_what_was_only_renamed_is_told_so(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    (digits / "0/a.txt").rename(digits / "0/z.txt")
    (digits / "1").rename(digits / "2")
    (digits / "new.txt").write_text("new\n")
    told = kamld("status digits").out
    for words in ("digits", "digits@main --patch", "digits@main~1 @main"):
        said = kamld(f"diff {words}").out
        lines = [line for line in said.splitlines() if "renamed" in line]
        assert lines == [line for line in told.splitlines() if "renamed" in line]
        assert len(lines) == 4
        assert "removed" not in said
        assert ("+new" in said) == ("--patch" in words)
        assert "-0/a" not in said
        kamld("commit digits -m moved")
    assert "0/a.txt → 0/z.txt" in kamld("diff digits@main 0/z.txt").out


def test_rows_of_a_table_without_a_key_are_shown(kamld: Kamld, digits: Path) -> None:
    rows = "word,n\na,1\na,1\nb,2\nb,2\n"
    (digits / "words.csv").write_text(rows)
    kamld("commit digits -m one")
    (digits / "words.csv").write_text(rows.replace("b,2\nb,2", "b,2\nc,3\nc,3"))
    said = kamld("diff digits --patch").out
    assert said.splitlines()[-4:] == [
        "words.csv   2 rows added, 1 removed (no key)", "-b,2", "+c,3", "+c,3",
    ]  # fmt: skip
    assert "-b,2" not in kamld("diff digits").out
