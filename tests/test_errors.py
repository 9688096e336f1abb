"""The shape of the tree of errors: what a person and a program can rely on."""

import ast
import re
from pathlib import Path

import pytest

import kamld.errors
from kamld.errors import (
    Conflict,
    Invalid,
    KamldError,
    NotFound,
    RunFailed,
    SystemFault,
    UsageError,
    UserError,
)

SRC = Path(kamld.errors.__file__).parent
CODE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


@pytest.mark.parametrize(
    ("kind", "status"),
    [(NotFound, 1), (Conflict, 1), (Invalid, 1), (UsageError, 2), (SystemFault, 3), (KamldError, 3)],
)
def test_exit_statuses(kind: type[KamldError], status: int) -> None:
    error = kind("some_code", "What was wrong.", "What to do.")
    assert error.exit_status == status
    assert (error.code, error.message, error.hint) == ("some_code", "What was wrong.", "What to do.")
    assert str(error) == "What was wrong. What to do."
    assert issubclass(kind, UserError) == (status == 1)


def test_without_a_hint() -> None:
    assert str(NotFound("some_code", "What was wrong.")) == "What was wrong."


def test_a_failed_run_has_the_status_of_its_command() -> None:
    error = RunFailed("run_failed", "It failed.", status=7)
    assert error.exit_status == 7
    assert isinstance(error, UserError)


def test_the_docstring_has_the_tree() -> None:
    said = kamld.errors.__doc__ or ""
    kinds = [kind for kind in vars(kamld.errors).values() if isinstance(kind, type)]
    assert all(kind.__name__ in said for kind in kinds)


def test_every_error_made_has_a_code_and_says_something() -> None:
    """A code is a plain word in the source, so that it can be found; messages are sentences."""
    kinds = {kind.__name__ for kind in vars(kamld.errors).values() if isinstance(kind, type)}
    wrong = []
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            named = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if named not in kinds or not isinstance(node, ast.Call) or not node.args:
                continue
            code = node.args[0]
            literal = isinstance(code, ast.Constant) and isinstance(code.value, str)
            if literal and not CODE.fullmatch(code.value):
                wrong.append(f"{path.name}:{node.lineno}: {code.value}")
            message = node.args[1] if len(node.args) > 1 else None
            if isinstance(message, ast.Constant) and not str(message.value).endswith((".", "?")):
                wrong.append(f"{path.name}:{node.lineno}: {message.value}")
    assert wrong == []
