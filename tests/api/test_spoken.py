"""What is raised in Python names calls and arguments, and what they would do is what the reader can do."""

import ast
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import kamld
from kamld.api.dataset import Dataset
from kamld.api.spoken import in_python
from kamld.cli.main import VERBS
from kamld.errors import KamldError
from tests.docs.test_verbs import STORE

SRC = Path(kamld.__file__).parent
OTHERS = {"api", "cli", "runs", "serving", "catalog", "database"}  # which no method of a handle comes to
# What Python has nothing for: mounts by their folder, and what a person does at a prompt.
STAYS = re.compile(r"kamld (mount (lists|…)|umount|run|runs|deploy)\b[^.;]*")
# Words of others: Git's, DVC's, pip's, a container's.
FOREIGN = re.compile(r"--(unshallow|refetch|all-commits|force|upgrade|device|cap-add)\b")
# Nothing that is said: other programs' arguments, what only `kamld deploy` comes to, the holder of a lease.
ELSEWHERE = {"app/serving.py", "app/mounts.py", "exchange/dvc/project.py", "blobs/git.py"}
HOLDERS = {"kamld purge", "kamld gc"}


def said() -> Iterator[tuple[str, str]]:
    """Every text in the rooms below the doors that has a command or an option, with what is put in as X."""
    for path in sorted(SRC.rglob("*.py")):
        if path.relative_to(SRC).parts[0] in OTHERS:
            continue
        tree, place = ast.parse(path.read_text("utf-8")), str(path.relative_to(SRC))
        inside = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in ast.walk(node) if part is not node
        } | {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # fmt: skip
        for node in ast.walk(tree):
            if id(node) in inside or not isinstance(node, ast.Constant | ast.JoinedStr):
                continue
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            text = "".join(
                str(p.value) if isinstance(p, ast.Constant) else _stands_for(ast.unparse(p)) for p in parts
            )
            if re.search(r"kamld [a-z]+\b|(^|\s)--[a-z]", text) and " " in text.strip():
                yield f"{place}:{node.lineno}", text


def _stands_for(what: str) -> str:
    """Something of the kind that is put in there."""
    if "into" in what:
        return " --into clean"
    if "again" in what:
        return "kamld merge flowers"
    return "/tmp/x" if "folder" in what and "quote" not in what else "flowers"


def options() -> set[str]:
    verbs = (import_module(f"kamld.cli.verb_{verb.replace('-', '_')}") for verb in VERBS)
    commands = (verb.command for verb in verbs)
    found = {
        word for command in commands if isinstance(command, click.Command)
        for option in command.params for word in (*option.opts, *option.secondary_opts)
    }  # fmt: skip
    return {word for word in found if word.startswith("--")}


def test_no_text_of_the_rooms_below_names_what_python_does_not_have() -> None:
    words, left = options(), []
    for place, text in said():
        if place.partition(":")[0] in ELSEWHERE or text in HOLDERS:
            continue
        spoken = FOREIGN.sub("", STAYS.sub("", in_python(text, frozenset({"flowers"}))))
        commands = [verb for verb in re.findall(r"kamld ([a-z]+)\b", spoken) if verb in STORE]
        strange = [word for word in re.findall(r"--[a-z][a-z-]*", spoken) if word in words]
        if commands or strange:
            left.append(f"{place}: {text!r} becomes {spoken!r}")
    assert not left, "\n".join(["teach kamld.api.spoken to say:", *left])
    assert len(list(said())) > 80


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ('kamld commit /tmp/a b -b NEW -m "…"', '.commit("/tmp/a b", "…", branch=NEW)'),
        ("kamld init /x --bind flowers", '.init("/x", bind="main")'),
        ("kamld init '/x y' --bind NAME@REVISION", '.init("/x y", bind=REVISION)'),
        ("kamld --hub P init /x --bind flowers", 'kamld.dataset("flowers", hub=P).init("/x", bind="main")'),
        ("kamld switch '/x y' main", '.switch("/x y", "main")'),
        ("kamld switch /x y try -c", '.switch("/x y", "try", create=True)'),
        ("kamld merge flowers --into clean --abort", '.abort("clean")'),
        ("Begin one: kamld merge flowers FROM --into clean", 'Begin one: .merge(FROM, into="clean")'),
        ("kamld undo other. Then go on.", 'kamld.dataset("other").undo(). Then go on.'),
        ("kamld ls flowers@main:a/b shows what there is.", '.ls("a/b") shows what there is.'),
        ("kamld cat 'flowers@main:a b'", '.cat("a b")'),
        ("kamld branch flowers@try NEW", '.branch(NEW, "try")'),
        ("kamld tag flowers@main~1 t", '.tag("t", "main~1")'),
        ("--test 0.3 --seed 7 --stratify 'a b:c'", 'test=0.3 seed=7 stratify="a b:c"'),
        ("like --parts train=0.7,test=0.3", 'like parts={"train": 0.7, "test": 0.3}'),
        ("Name columns: --key A,B.", 'Name columns: key=["A", "B"].'),
        ("Leave out --amend.", "Leave out amend=True."),
        ("Nothing to say of this kamld, or of a--b.", "Nothing to say of this kamld, or of a--b."),
        (
            'kamld commit FOLDER makes one. Keep it: kamld commit /x -b NEW -m "…"',
            '.commit(FOLDER, "…") makes one. Keep it: .commit("/x", "…", branch=NEW)',
        ),
    ],
)
def test_commands_become_calls(text: str, python: str) -> None:
    assert in_python(text, frozenset({"flowers"})) == python
    assert in_python(python, frozenset({"flowers"})) == python


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Two versions, and a folder that is at the first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").mkdir()
    for text in ("one", "two"):
        (tmp_path / "a b/labels.txt").write_text(text)
        kamld.dataset("flowers").commit("a b", text)
    return kamld.dataset("flowers")


def refused(call: Callable[[], object]) -> KamldError:
    with pytest.raises(KamldError) as caught:
        call()
    error = caught.value
    assert not re.search(r"kamld [a-z]|--[a-z]", f"{error}"), error
    return error


def do(handle: Dataset, hint: str, **words: str) -> object:
    """The first call of the hint, with these words in place of what stands for them."""
    (found,) = re.findall(r"(?:^|\s)(\.\w+\(.*?\))(?=[ .;,]|$)", hint)[:1]
    return eval(f"handle{found}", {"handle": handle, **words})


def test_what_the_hint_says_can_be_done(flowers: Dataset, tmp_path: Path) -> None:
    flowers.switch("a b", "main~1")
    (tmp_path / "a b/labels.txt").write_text("three")
    nowhere = refused(lambda: flowers.commit("a b", "three"))
    assert nowhere.code == "no_branch"
    made = do(flowers, nowhere.hint, NEW="try")
    assert flowers.at("try") == made.version  # type: ignore[attr-defined]
    lost = refused(lambda: flowers.at().read("label.txt"))
    assert (lost.code, lost.hint) == (
        "unknown_path", 'Did you mean "labels.txt"? .ls() shows what there is.',
    )  # fmt: skip
    assert do(flowers, lost.hint)
    flowers.protect()
    shut = refused(flowers.undo)
    assert shut.code == "protected_branch"
    do(flowers, shut.hint)
    assert flowers.undo().version == flowers.at()
    (tmp_path / "new").mkdir()
    (tmp_path / "new/labels.txt").write_text("one")
    taken = refused(lambda: flowers.commit("new", "x"))
    assert taken.code == "name_taken"
    assert f'.init("{tmp_path}/new", bind="main")' in taken.hint
    flowers.init("new", bind="main")
    assert flowers.commit("new", "x").landed is None


def test_others_are_named_and_the_own_is_not(flowers: Dataset) -> None:
    other = kamld.dataset("other")
    elsewhere = refused(lambda: other.status("a b"))
    assert (elsewhere.code, elsewhere.hint) == (
        "bound_elsewhere", 'Its own handle does that: kamld.dataset("default/flowers")',
    )  # fmt: skip
    with pytest.raises(KamldError) as unknown:
        kamld.dataset("zoo/zebras").at()
    assert unknown.value.hint == 'kamld.hub().ls() shows those there are; .commit(FOLDER, "…") makes one.'
    assert refused(lambda: flowers.at("mian")).hint == 'Did you mean "main"?'
    assert refused(lambda: flowers.at("main~7")).hint == ".log() shows all."
    assert refused(lambda: flowers["main"].open("x")).code == "unknown_path"
    assert refused(lambda: flowers.tag("t", remove=True)).hint == ".names() shows those there are"


def test_a_folder_where_a_revision_belongs(flowers: Dataset) -> None:
    for call in (flowers.checkout, flowers.mount):
        mistaken = refused(lambda: call("work"))  # noqa: B023 - called here
        assert mistaken.code == "unknown_revision"
        assert 'folder="work"' in mistaken.hint
    assert flowers.checkout("main~1", "work").files == 1


def test_an_old_version_is_not_amended(flowers: Dataset, tmp_path: Path) -> None:
    flowers.checkout("main", "c")
    (tmp_path / "c/more.txt").write_text("more")
    flowers.commit("c", "more")
    (tmp_path / "a b/labels.txt").write_text("other")
    old = refused(lambda: flowers.commit("a b", amend=True))
    assert old.code == "not_newest"
    assert old.hint.startswith("Commit without amend=True: it is merged.")
    assert old.hint.endswith(f' first: .switch("{tmp_path}/a b", "main")')
