"""What people write for a run: inputs, outputs, parameters. Parsing only; see `plan` for meaning."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

from kamld.errors import Invalid
from kamld.records.history import Kind
from kamld.records.names import Name, Reference, check_word, parse_name, parse_reference
from kamld.records.run import Parameter
from kamld.runs import surroundings

_LABEL = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
_TRUTH = {"true": True, "false": False}
_KINDS: dict[str, Kind] = {"dataset": "dataset", "model": "model"}
_OUTPUT = "Write KIND:NAME or KIND:NAME:FOLDER; KIND is dataset or model."


@dataclass(frozen=True, slots=True)
class InputWord:
    label: str
    reference: Reference
    revision: str  # as it was written


@dataclass(frozen=True, slots=True)
class OutputWord:
    label: str
    kind: Kind
    name: Name
    path: str | None  # below the working folder; None: a fresh folder


@dataclass(frozen=True, slots=True)
class ParameterWord:
    name: str
    value: Parameter
    text: str  # as it was written


def parse_inputs(texts: Iterable[str], project: str) -> tuple[InputWord, ...]:
    """`[LABEL=]NAME[@REVISION]`, each. Raises Invalid, also for two that are one variable."""
    words = tuple(_input(text, project) for text in texts)
    _check_apart(words, lambda word: word.label, surroundings.INPUT, "inputs")
    return words


def parse_outputs(texts: Iterable[str], project: str) -> tuple[OutputWord, ...]:
    """`[LABEL=]KIND:NAME[:FOLDER]`, each. Raises Invalid, also for one name twice."""
    words = tuple(_output(text, project) for text in texts)
    _check_apart(words, lambda word: word.label, surroundings.OUTPUT, "outputs")
    names = [word.name for word in words]
    for name in names:
        if names.count(name) > 1:
            raise Invalid("duplicate_output", f"{name} is an output twice.", "Leave one out.")
    return words


def parse_params(texts: Iterable[str]) -> tuple[ParameterWord, ...]:
    """`NAME=VALUE`, each. Raises Invalid, also for two that are one variable."""
    words = tuple(_param(text) for text in texts)
    _check_apart(words, lambda word: word.name, surroundings.PARAM, "parameters")
    return words


def typed(text: str) -> Parameter:
    """A whole number that fits 64 bits, a number, true or false; everything else stays a text."""
    if text in _TRUTH:
        return _TRUTH[text]
    if _WHOLE.fullmatch(text) and abs(int(text)) < 2**63:
        return int(text)
    if _NUMBER.fullmatch(text) and not _leading_zero(text) and any(c in text for c in ".eE"):
        return float(text) if math.isfinite(float(text)) else text
    return text


def check_text(text: str, what: str) -> str:
    """A text that a record can keep. Raises Invalid (not_text)."""
    if "\0" in text or (not text.isascii() and _not_utf8(text)):
        shown = text.encode("utf-8", "backslashreplace").decode()[:60]
        raise Invalid("not_text", f'{what} "{shown}" is not UTF-8 text.', "Write it in UTF-8.")
    return text


def _input(text: str, project: str) -> InputWord:
    label, rest = _cut_label(text, before="@:")
    reference = parse_reference(check_text(rest, "The input"), project)
    if reference.path:
        raise Invalid(
            "input_path",
            f'An input is a whole version; "{rest}" names a path in one.',
            "Leave the path out and have the command open it below the input's folder.",
        )
    written = rest.partition("@")[2] or str(reference.revision)
    return InputWord(label or reference.name.name, reference, written)


def _output(text: str, project: str) -> OutputWord:
    label, rest = _cut_label(text, before=":")
    kind, _, named = check_text(rest, "The output").partition(":")
    name, colon, path = named.partition(":")
    if kind not in _KINDS or not name:
        raise Invalid("bad_output", f'"{text}" does not say what the output is.', _OUTPUT)
    if "@" in name:
        raise Invalid("bad_output", f'"{text}" names a revision; an output makes a new one.', _OUTPUT)
    parsed = parse_name(name, project)
    return OutputWord(label or parsed.name, _KINDS[kind], parsed, _path_below(path) if colon else None)


def _path_below(path: str) -> str:
    parts = PurePosixPath(path).parts
    if not parts or ".." in parts or PurePosixPath(path).is_absolute():
        raise Invalid(
            "bad_output_folder",
            f'An output cannot be written to "{path}".',
            "Name a folder below the one where the command starts, or leave it out.",
        )
    return str(PurePosixPath(path))


def _param(text: str) -> ParameterWord:
    name, equals, value = check_text(text, "The parameter").partition("=")
    if not equals or not name or not name.isprintable() or any(c.isspace() for c in name):
        raise Invalid("bad_parameter", f'"{text}" is not a parameter.', "Write NAME=VALUE.")
    return ParameterWord(name, typed(value), value)


def _cut_label(text: str, before: str) -> tuple[str, str]:
    """The label, if one stands before any of these characters, and the rest."""
    match = _LABEL.fullmatch(text)
    if match and not any(c in match[1] for c in before):
        return check_word(match[1], "label"), match[2]
    return "", text


def _leading_zero(text: str) -> bool:
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


def _not_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


Word = TypeVar("Word")


def _check_apart(words: Iterable[Word], label: Callable[[Word], str], prefix: str, what: str) -> None:
    seen: dict[str, str] = {}
    for word in words:
        variable = surroundings.variable(prefix, label(word))
        if variable in seen:
            raise Invalid(
                "same_variable",
                f'The {what} "{seen[variable]}" and "{label(word)}" would both be ${variable}.',
                "Give one of them a label of its own: LABEL=… ."
                if prefix != surroundings.PARAM
                else "Rename one of them.",
            )
        seen[variable] = label(word)
