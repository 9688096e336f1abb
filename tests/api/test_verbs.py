"""Every option of a verb of the command line is an argument in Python. That each verb is there by its name,
typed, documented and shown in the guide, is in tests/docs/test_verbs."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click
import pytest

from kamld.api.dataset import Dataset
from kamld.api.hub import Hub
from kamld.api.mounted import Mounted
from tests.docs.test_verbs import STORE

# Verb: the method, and what its options are called there where that is not the same; or why it needs none.
VERBS: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "init": (Dataset.init, {"model": "not: kamld.model"}),
    "commit": (Dataset.commit, {"model": "not: kamld.model"}),
    "status": (Dataset.status, {}),
    "diff": (
        Dataset.diff,
        {"versions": "old", "patch": "inside", "stat": "inside", "measured": "not: it is about runs"},
    ),
    "log": (Dataset.log, {}),
    "show": (Dataset.show, {}),
    "ls": (Dataset.ls, {"recursive": "not: .at().files()", "everything": "not: there are no pages to turn"}),
    "cat": (Dataset.cat, {"paths": "path"}),
    "checkout": (Dataset.checkout, {}),
    "mount": (Dataset.mount, {"foreground": "not: with"}),
    "umount": (Mounted.umount, {"folder": "not: the handle knows it"}),
    "switch": (Dataset.switch, {"words": "revision"}),
    "restore": (Dataset.restore, {"words": "paths"}),
    "split": (Dataset.split, {"by": "stratify", "view": "as_"}),
    "import": (
        Dataset.import_, {"branch": "into", "model": "not: kamld.model", "fetch": "not: .fetch()"},
    ),
    "export": (Dataset.export, {"dest": "target"}),
    "branch": (
        Dataset.branch,
        {
            "branch": "name", "guard": "protect", "require": "protect", "check": "checks",
            "lift": "not: .unprotect()",
        },
    ),
    "tag": (Dataset.tag, {"tag": "name"}),
    "alias": (Dataset.alias, {"alias": "name"}),
    "merge": (
        Dataset.merge, {"branch": "into", "ours": "prefer", "theirs": "prefer", "abort": "not: .abort()"},
    ),
    "resolve": (
        Dataset.resolve, {"words": "path", "branch": "into", "ours": "decision", "theirs": "decision"},
    ),
    "undo": (Dataset.undo, {}),
    "mv": (Dataset.mv, {}),
    "rm": (Dataset.rm, {}),
    "du": (Dataset.du, {"names": "not: the handle has it"}),
    "purge": (
        Dataset.purge,
        {
            "target": "path", "yes": "not: nobody is asked", "goes_on": "not: Hub.finish_purges",
            "listed": "not: Hub.purges",
        },
    ),
    "gc": (Hub.gc, {}),
    "fsck": (Hub.fsck, {"mend": "not: .repair()", "places": "not: .repair()"}),
    "doctor": (Hub.doctor, {"raised": "upgrade"}),
    "rebuild": (Hub.rebuild, {}),
}  # fmt: skip
OF_THE_HANDLE = {"name", "project", "as_json"}


def options(verb: str) -> list[str]:
    command: click.Command = import_module(f"kamld.cli.verb_{verb}").command
    return [option.name or "" for option in command.params]


def test_these_are_all() -> None:
    assert VERBS.keys() == STORE


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_has_its_name_and_its_options(verb: str) -> None:
    method, called = VERBS[verb]
    assert method.__name__.rstrip("_") == verb
    parameters = set(inspect.signature(method).parameters) | {"name"}
    there = options(verb)
    words = {option: called.get(option, option) for option in there if option not in OF_THE_HANDLE}
    missing = [one for one, word in words.items() if not word.startswith("not: ") and word not in parameters]
    assert not missing, f"kamld {verb} takes {missing}, and Python's {verb} does not"
    assert not called.keys() - set(there), "said of options that there are not"
