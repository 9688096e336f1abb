"""Every verb is in the command line, in Python and in the pages by the same name; and nothing else is."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kamld
from kamld.api.dataset import Dataset, Model
from kamld.api.hub import Hub
from kamld.api.version import Version
from kamld.cli.main import HIDDEN, SECTIONS, VERBS
from tests.docs.pages import Block, blocks
from tests.docs.test_pages import PAGES

# The verbs of the store, which a script uses as well as a person.
STORE = {
    "alias", "branch", "cat", "checkout", "commit", "diff", "doctor", "du", "export", "fsck", "gc", "import",
    "init", "log", "ls", "merge", "mount", "mv", "purge", "rebuild", "resolve", "restore", "rm", "show",
    "split", "status", "switch", "tag", "umount", "undo",
}  # fmt: skip
# Verbs of a person at a prompt alone: a script has no need of them, or is itself what they start.
AT_A_PROMPT = {"run", "runs", "logs", "deploy", "deployments", "predict", "stop", "why", "hub", "demo"}
# Where a name of the command line cannot be one in Python, or says it better.
PYTHON = {"import": "import_"}
# What handles have beside the verbs.
BESIDE = {
    "abort", "at", "author", "bytes", "count", "dataset", "exists", "fetch", "file", "files",
    "finish_purges", "id", "iter", "kind", "location", "message", "metadata", "model", "name", "names",
    "number", "open", "parents", "protect", "purges", "read", "repair", "run", "table", "tf", "time", "torch",
    "unprotect", "url",
}  # fmt: skip


def python_name(verb: str) -> str:
    return PYTHON.get(verb, verb)


def methods(*classes: type) -> set[str]:
    return {name for one in classes for name in dir(one) if not name.startswith("_")}


def running(kind: str) -> Iterator[tuple[Path, Block]]:
    for page in PAGES:
        for block in blocks(page):
            if block.kind == kind and "not run" not in block.notes:
                yield page, block


def spoken() -> set[str]:
    """Verbs that are typed in blocks that the tests run."""
    found = set()
    for _, block in running("console"):
        for line in block.lines:
            if line.startswith(("$ ", "> ")):
                found |= set(re.findall(r"\bkamld (?:--?\w[\w-]*(?:[= ]\S+)? )*([a-z][a-z-]*)", line))
    return found


def called() -> set[str]:
    """Names of attributes and functions in Python blocks that the tests run."""
    found = set()
    for _, block in running("python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Attribute):
                found.add(node.attr)
    return found


def test_the_first_page_leads_to_every_guide() -> None:
    readme = next(page for page in PAGES if page.name == "README.md").read_text("utf-8")
    guides = [page for page in PAGES if page.parent.name == "guide"]
    assert [page.name for page in guides if f"(docs/guide/{page.name})" not in readme] == []
    assert len(guides) > 10


def test_the_verbs_are_these() -> None:
    assert set(VERBS) - set(HIDDEN) == STORE | AT_A_PROMPT
    assert len([verb for section in SECTIONS.values() for verb in section]) == len(STORE | AT_A_PROMPT)


@pytest.mark.parametrize("verb", sorted(STORE))
def test_python_has_it_by_that_name(verb: str) -> None:
    from kamld.api.mounted import Mounted

    homes = [home for home in (Dataset, Version, Hub, Mounted, kamld) if hasattr(home, python_name(verb))]
    assert homes, f"no handle has {python_name(verb)}"
    for home in homes:
        found: Any = inspect.unwrap(getattr(home, python_name(verb)))
        if inspect.isfunction(found):
            assert inspect.getdoc(found), f"{home}.{verb} has no documentation"
            untyped = [n for n, p in inspect.signature(found).parameters.items()
                       if n != "self" and p.annotation is inspect.Parameter.empty]  # fmt: skip
            assert not untyped, f"{home}.{verb}: {untyped}"


def test_python_has_nothing_by_another_name() -> None:
    known = {python_name(verb) for verb in STORE} | BESIDE
    assert methods(Dataset, Model, Version, Hub) - known == set()


@pytest.mark.parametrize("verb", sorted(STORE | AT_A_PROMPT - {"demo"}))  # which tests/cli/test_demo runs
def test_a_page_shows_it_at_work(verb: str) -> None:
    assert verb in spoken(), f"no running example of `kamld {verb}` in README.md or docs/"


@pytest.mark.parametrize("verb", sorted(STORE))
def test_a_page_shows_it_at_work_in_python(verb: str) -> None:
    assert python_name(verb) in called(), f"no running example of .{python_name(verb)}() in docs/"
