"""Commands that kamld suggests work as they are printed: with the hub that was named for the one before."""

import ast
import re
from pathlib import Path

import pytest

import kamld as package
from kamld.cli import advice
from kamld.cli.main import VERBS
from tests.cli.conftest import Kamld

CLI = Path(package.__file__).parent / "cli"
SUGGESTED = re.compile(rf"kamld (?:{'|'.join(VERBS)})\b")
MENTIONED = "only kamld merge moves it"  # nothing to be typed


def suggestions(said: str, hub: str) -> list[str]:
    """What can be typed as it stands there: without words in capitals that stand for something."""
    found = re.findall(rf"kamld (--hub {hub} [^,\n]*?)(?:,|\.?$|   )", said, re.MULTILINE)
    return [words for words in found if not re.search(r"\b(FOLDER|NAME|NEW|PLACE)\b|\|", words)]


def test_they_name_the_hub_and_work(kamld: Kamld, digits: Path) -> None:
    typed = 0
    for words in ("commit digits -m one", "status digits", "show digits", "checkout digits@main~0 again",
                  "log digits -n 1", "import digits other", "branch digits@main --protect",
                  "commit digits -b new -m two", "mv other others", "rm others"):  # fmt: skip
        if words.startswith("commit"):
            (digits / "labels.csv").write_text(words)
        said = kamld(f"--hub beside/it {words}").out
        assert "kamld --hub" in said or not SUGGESTED.search(said.replace(MENTIONED, "")), words
        for suggested in suggestions(said, "beside/it"):
            if "undo" not in suggested and "mv" not in suggested:
                kamld(suggested.replace("…", "again"))
                typed += 1
    assert typed >= 6


def test_errors_name_it_too(kamld: Kamld, digits: Path) -> None:
    kamld("--hub 'a b' commit digits -m one")
    kamld("--hub 'a b' branch digits@main --protect")
    (digits / "0/a.txt").write_text("new")
    assert "kamld --hub 'a b' commit " in kamld("--hub 'a b' commit digits -m two", 1).err
    hint = kamld("--hub 'a b' commit digits -m two --json", 1).json["error"]["hint"]
    assert "kamld --hub 'a b' commit " in hint
    elsewhere = kamld(
        "commit digits -m two", 1
    ).err  # which the folder knows, and who types the next does not
    assert f"kamld --hub '{digits.parent}/a b' branch digits@main --unprotect" in elsewhere
    assert "kamld --hub 'a b' ls shows" in kamld("--hub 'a b' log digit5", 1).err + kamld(
        "--hub 'a b' log nothing", 1
    ).err  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Next: kamld log x, or kamld ls", "Next: kamld --hub h log x, or kamld --hub h ls"),
        ("kamld logs in", "kamld --hub h logs in"),
        ("kamld --hub PLACE log x", "kamld --hub PLACE log x"),
        *[(text, text) for text in ("in ~/kamld log x", "a kamld that is old", "kamld logging")],
    ],
)  # fmt: skip
def test_only_commands_are_completed(text: str, said: str) -> None:
    advice.begin(VERBS)
    advice.hub_named("h")
    try:
        assert advice.complete(text) == said
    finally:
        advice.begin()
    assert advice.complete(text) == text


def test_whatever_is_suggested_goes_through_there() -> None:
    plain = []
    for file in CLI.rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in ("render.say", "render.note"):
                words = [part.value for part in ast.walk(call) if isinstance(part, ast.Constant)]
                if SUGGESTED.search("".join(map(str, words)).replace(MENTIONED, "")):
                    plain.append(f"{file.name}:{call.lineno}")
    assert plain == []
