"""Merging, deciding, protecting and undoing from Python."""

from pathlib import Path

import pytest

import kamld
from kamld.api.dataset import Dataset
from kamld.errors import Conflict, Invalid, NotFound, UsageError

ROWS = "file,label\na,1\nb,2\nc,3\n"


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """A folder on main and one on clean."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits/labels.csv").write_text(ROWS)
    (tmp_path / "digits/about.txt").write_text("first\n")
    digits = kamld.dataset("digits")
    digits.commit("digits", "one")
    digits.branch("clean")
    digits.checkout("clean", "clean")
    return digits


def both(digits: Dataset, ours: str, theirs: str, name: str = "labels.csv") -> None:
    for folder, text in (("digits", ours), ("clean", theirs)):
        Path(folder, name).write_text(text)
        digits.commit(folder, f"{folder} changed it")


def test_merge(digits: Dataset) -> None:
    both(digits, ROWS + "d,4\n", ROWS.replace("a,1", "a,9"))
    would = digits.merge("clean", dry_run=True)
    assert (would.result, would.rows, would.version) == ("would", {"labels.csv": 1}, digits.at("main"))
    done = digits.merge("digits@clean", message="take it", key="file")
    assert (done.result, done.branch, done.source) == ("merged", "main", "clean")
    assert [change.path for change in done.changes] == ["labels.csv"]
    assert done.version == digits.at()
    assert done.version.message == "take it"
    assert done.version.read("labels.csv").decode() == ROWS.replace("a,1", "a,9") + "d,4\n"
    assert repr(done) == (
        f"<clean is in main of default/digits, {done.version.id[:12]}: 1 changed, 1 row of labels.csv>"
    )
    assert digits.merge("clean").result == "nothing"
    assert repr(digits.merge("clean")) == "<main of default/digits has all of clean already>"
    assert digits.merge("main", into="clean").result == "moved"


def test_conflicts_are_decided(digits: Dataset) -> None:
    both(
        digits,
        ROWS.replace("a,1", "a,7").replace("b,2", "b,7"),
        ROWS.replace("a,1", "a,8").replace("b,2", "b,8"),
    )
    before = digits.at()
    waits = digits.merge("clean")
    assert (waits.result, waits.version) == ("waits", before)
    (conflict,) = waits.conflicts
    assert (conflict.path, conflict.why, conflict.row_count) == ("labels.csv", "both changed it", 2)
    assert conflict.rows[0].key == ("a",)
    assert (conflict.rows[0].ours, conflict.rows[0].theirs) == ({"label": "7"}, {"label": "8"})
    assert repr(waits).startswith("<1 conflict of clean and main of default/digits; nothing has changed: ")
    assert repr(waits).splitlines()[1].split("  ")[:2] == ["labels.csv", "both changed it"]
    assert "labels.csv" in waits._repr_html_()
    assert digits.resolve("labels.csv", "theirs", row="a").result == "waits"
    assert digits.merge().conflicts[0].row_count == 1
    done = digits.resolve("labels.csv", "ours")
    assert done.result == "merged"
    assert done.version.read("labels.csv") == b"file,label\na,8\nb,7\nc,3\n"
    with pytest.raises(NotFound) as none:
        digits.merge()
    assert none.value.code == "no_merge"


def test_a_file_decides_or_nobody(digits: Dataset) -> None:
    both(digits, "ours\n", "theirs\n", "about.txt")
    digits.merge("clean")
    for words in ({}, {"decision": "ours", "file": "x"}, {"row": "a", "file": "x"}):
        with pytest.raises(UsageError):
            digits.resolve("about.txt", **words)  # type: ignore[arg-type]
    with pytest.raises(NotFound) as missing:
        digits.resolve("about.txt", file="nowhere")
    assert missing.value.code == "no_such_file"
    digits.abort()
    digits.merge("clean")
    Path("mine").write_text("mine\n")
    assert digits.resolve("about.txt", file="mine").version.read("about.txt") == b"mine\n"
    both(digits, "1\n", "2\n", "other.txt")
    assert digits.merge("clean").result == "waits"
    assert digits.merge(prefer="theirs").version.read("other.txt") == b"2\n"


def test_protected(digits: Dataset) -> None:
    digits.protect(require=["no-nulls:label"], checks=["test -s about.txt"])
    Path("digits/new").write_text("")
    with pytest.raises(Conflict) as refused:
        digits.commit("digits", "x")
    assert refused.value.code == "protected_branch"
    Path("clean/labels.csv").write_text(ROWS + "d,\n")
    digits.commit("clean", "d")
    with pytest.raises(Conflict) as failed:
        digits.merge("clean")
    assert failed.value.code == "check_failed"
    assert 'no-nulls:label: labels.csv: 1 row has nothing in "label"' in str(failed.value)
    now = digits.protect(require="none", checks="test -f about.txt")
    assert (now.require, now.checks) == ((), ("test -s about.txt", "test -f about.txt"))
    assert (now.added, now.dropped) == (("test -f about.txt",), ("no-nulls:label",))
    assert digits.merge("clean").result == "moved"
    with pytest.raises(Conflict):
        digits.undo()
    was = digits.unprotect()
    assert was
    assert was.checks == now.checks
    assert digits.unprotect() is None
    digits.branch("release", protect=())
    with pytest.raises(Conflict):
        digits.undo("release")
    with pytest.raises(Invalid):
        digits.branch("other", protect=["nonsense"])
    assert "other" not in [name.name for name in digits.names()]


def test_a_row_is_named_as_it_is(digits: Dataset) -> None:
    numbers = "shop,item,price\n1,1,5\n1,2,5\n2,1,5\n"
    both(digits, numbers, numbers)
    digits.merge("clean")
    both(digits, numbers.replace(",5", ",6"), numbers.replace(",5", ",7"))
    (conflict,) = digits.merge("clean", key=["shop", "item"]).conflicts
    assert [row.key for row in conflict.rows] == [("1", "1"), ("1", "2"), ("2", "1")]
    assert digits.resolve("labels.csv", "ours", row=conflict.rows[0].key).result == "waits"
    assert digits.resolve("labels.csv", "theirs", row=(1, 2)).result == "waits"
    merged = digits.resolve("labels.csv", "ours", row="2,1")
    assert merged.version.read("labels.csv") == b"shop,item,price\n1,1,6\n1,2,7\n2,1,6\n"
    rows = "n,label\n1,a\n2,b\n"
    both(digits, rows, rows, "n.csv")
    digits.merge("clean")
    both(digits, rows.replace("2,b", "2,x"), rows.replace("2,b", "2,y"), "n.csv")
    digits.merge("clean")
    assert digits.resolve("n.csv", "theirs", row=2).version.read("n.csv") == b"n,label\n1,a\n2,y\n"


def test_words_that_are_no_side_are_told_what_are(digits: Dataset) -> None:
    both(digits, "1\n", "2\n", "about.txt")
    digits.merge("clean")
    for call in (
        lambda: digits.resolve("about.txt", "mine"),  # type: ignore[arg-type]
        lambda: digits.merge(prefer="mine"),  # type: ignore[arg-type]
    ):
        with pytest.raises(UsageError) as refused:
            call()
        assert '"mine" is no side' in str(refused.value)
        assert '"ours", which is the branch that is merged into' in str(refused.value)
    assert [conflict.path for conflict in digits.merge().conflicts] == ["about.txt"]


def test_the_only_merge_that_waits_is_meant(digits: Dataset) -> None:
    both(digits, "1\n", "2\n", "about.txt")
    digits.branch("other", "clean")
    assert digits.merge("main", into="clean").result == "waits"
    assert digits.merge().branch == "clean"
    with pytest.raises(UsageError):
        digits.merge(key="file")
    assert digits.merge("main", into="other").result == "waits"
    with pytest.raises(Conflict) as several:
        digits.abort()
    assert several.value.code == "which_merge"
    assert several.value.hint == 'Say which: .merge(into="clean"); .merge(into="other")'
    with pytest.raises(NotFound) as none:
        digits.merge(into="main")
    assert none.value.code == "no_merge"
    assert none.value.hint == 'One does elsewhere: .merge(into="clean")'
    digits.abort("other")
    assert digits.resolve("about.txt", "theirs").branch == "clean"


def test_undo(digits: Dataset) -> None:
    first = digits.at()
    Path("digits/new").write_text("new")
    second = digits.commit("digits", "two").version
    assert digits.undo().version == first
    assert digits.undo().version == second
    digits.tag("t")
    assert digits.undo("t").version is None
    with pytest.raises(NotFound):
        digits.undo("nowhere")
    digits.rm()
    assert digits.undo().version == second
