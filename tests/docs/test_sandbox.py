"""The harness itself: a page that is wrong must fail, or none of the pages proves anything."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import BadPage, matches
from tests.docs.sandbox import Wrong, run_page

Run = Callable[[str], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(text: str) -> None:
        page = tmp_path / "page.md"
        page.write_text(textwrap.dedent(text).replace("'''", "```"), "utf-8")
        run_page(page, tmp_path / "box")

    return run


def test_right_pages_pass(run: Run) -> None:
    run("""
        A page.

        <!-- file: data.txt -->
        '''text
        one
        two
        '''

        '''console
        $ cat data.txt
        one
        two
        $ mkdir -p sub && cd sub
        $ export GREETING='good morning'
        $ cat <<END
        > $HOME
        > END
        /…/home
        '''

        Later, in the same shell and folder:

        '''console
        $ basename "$PWD"; seq 9
        sub
        1
        ...
        9
        '''

        1. Python, indented in a list:

           '''python
           import os
           greeting = os.environ["GREETING"]
           '''

        '''python
        print(greeting, os.path.basename(os.getcwd()))
        '''
        '''output
        good … sub
        '''

        <!-- exits 3 -->
        '''console
        $ echo "no such thing"; (exit 3)
        no such thing
        '''

        <!-- not run: it would format the disk -->
        '''console
        $ false
        '''

        <!-- first: echo hello > hidden -->
        '''console
        $ cat hidden
        hello
        '''
        """)


WRONG = {
    "another output": "'''console\n$ echo one\ntwo\n'''",
    "more output than shown": "'''console\n$ seq 2\n1\n'''",
    "less output than shown": "'''console\n$ seq 2\n1\n2\n3\n'''",
    "a command that fails": "'''console\n$ false\n'''",
    "a command before the last that fails": "<!-- exits 1 -->\n'''console\n$ false\n$ false\n'''",
    "a failure that does not happen": "<!-- exits 1 -->\n'''console\n$ true\n'''",
    "a shell that ends": "'''console\n$ exit 0\n'''",
    "Python that raises": "'''python\n1 / 0\n'''",
    "Python that prints something else": "'''python\nprint(1)\n'''\n'''output\n2\n'''",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_wrong_pages_fail(run: Run, text: str) -> None:
    with pytest.raises(Wrong):
        run(text)


def test_a_mismatch_shows_the_place_and_the_difference(run: Run) -> None:
    with pytest.raises(Wrong) as wrong:
        run("# Title\n\n'''console\n$ printf 'one\\ntwo\\n'\none\nthree\n'''\n")
    said = str(wrong.value).splitlines()
    assert said[0].endswith(r"page.md:4: $ printf 'one\ntwo\n'")
    assert said[-3:] == [" one", "-three", "+two"]


BAD = {
    "no reason": "<!-- not run: -->\n'''console\n$ true\n'''",
    "a language that would be left out in silence": "'''bash\ntrue\n'''",
    "no language": "'''\ntrue\n'''",
    "no end": "'''console\n$ true\n",
    "no command": "'''console\ntrue\n'''",
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_unclear_pages_are_refused(run: Run, text: str) -> None:
    with pytest.raises(BadPage):
        run(text)


def test_what_a_page_leaves_running_is_ended_and_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.sandbox.STOP_SECONDS", 0.3)
    with pytest.raises(Wrong, match="still running at the end of the page: sleep 1234"):
        run("'''console\n$ setsid sleep 1234 &\n'''")
    alive = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert b"sleep\x001234\x00" not in alive


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("a … c", "a b c", True),
        ("a … c", "a b\nc", False),
        ("a (b) [c] .*", "a (b) [c] .*", True),
        ("id   size", "id            size", True),
        ("a\n...\nd", "a\nb\nc\nd", True),
        ("a\n...\nd", "a\nd", True),
        ("a\n...", "b\na", False),
        ("a", "a   \n\n", True),
        ("  indented", "indented", False),
    ],
)
def test_matching(expected: str, actual: str, same: bool) -> None:
    assert matches(expected.split("\n"), actual.split("\n")) is same
