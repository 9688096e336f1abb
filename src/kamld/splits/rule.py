"""What a person asks of a split, as the record that keeps it; and back into the words they typed."""

import math
import shlex
from collections.abc import Sequence

import msgspec

from kamld.errors import Conflict, Invalid
from kamld.records.encoding import newer
from kamld.records.history import Split, SplitPart
from kamld.records.names import check_word

FOLDER = "folder"  # `by`: the folder that a file is in
_BY = {"": "", FOLDER: FOLDER}


def fractions(test: float) -> tuple[SplitPart, ...]:
    """Raises Invalid (bad_share)."""
    if not 0 < test < 1:
        raise Invalid("bad_share", f"{test:g} is no share.", "Give one between 0 and 1: --test 0.3")
    return (SplitPart(name="test", share=test), SplitPart(name="train", share=1 - test))


def parse_parts(text: str) -> tuple[SplitPart, ...]:
    """From `train=0.7,val=0.15,test=0.15`. Raises Invalid (bad_share, bad_name)."""
    example = "Write it like --parts train=0.7,val=0.15,test=0.15"
    parts = []
    for word in filter(None, (word.strip() for word in text.split(","))):
        name, _, number = word.partition("=")
        try:
            share = float(number)
        except ValueError:
            raise Invalid("bad_share", f'"{word}" is no part with its share.', example) from None
        if not 0 < share < 1:
            raise Invalid("bad_share", f"{number} is no share.", f"Give ones between 0 and 1. {example}")
        parts.append(SplitPart(name=check_word(name.strip(), "part"), share=share))
    names = [part.name for part in parts]
    if len(parts) < 2:
        raise Invalid("bad_share", "A split has two parts or more.", example)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise Invalid("bad_share", f'The part "{twice}" is there twice.', example)
    total = math.fsum(part.share for part in parts)
    if abs(total - 1) > 1e-6:
        raise Invalid("bad_share", f"The shares add up to {total:g}, not to 1.", example)
    return tuple(parts)


def table_and_column(text: str, option: str) -> tuple[str, str]:
    """From `labels.csv:label`. Raises Invalid (bad_column)."""
    table, colon, column = text.rpartition(":")
    if not colon or not table or not column:
        raise Invalid(
            "bad_column", f'{option} "{text}" names no table and column.',
            f"Write the table, a colon and the column: {option} labels.csv:{text or 'label'}",
        )  # fmt: skip
    return table, column


def words(rule: Split) -> str:
    """The options that ask for it."""
    said: list[str] = []
    if [part.name for part in rule.parts] == ["test", "train"]:
        said += ["--test", f"{rule.parts[0].share:g}"]
    elif rule.parts:
        said += ["--parts", ",".join(f"{part.name}={part.share:g}" for part in rule.parts)]
    if rule.parts:
        said += ["--seed", str(rule.seed)]
    for option, value in (
        ("--stratify", rule.by), ("--group", rule.group), ("--where", rule.where), ("--table", rule.table),
        ("--rows", rule.rows), ("--file-column", rule.file_column),
    ):  # fmt: skip
        said += [option, value] if value else []
    return shlex.join(said)


def about(rule: Split, name: str) -> str:
    """A line for the log: `30 % of flowers, seed 7, by folder`."""
    share = next((part.share for part in rule.parts if part.name == rule.part), None)
    said = name if share is None else f"{share * 100:.3g} % of {name}, seed {rule.seed}"
    if rule.by:
        said += f", by {rule.by}"
    if rule.group:
        said += f", {rule.group} together"
    return f"{said} where {' '.join(rule.where.split())}" if rule.where else said


def check_known(rule: Split, where: str) -> Split:
    """Raises SystemFault (newer_record) for a rule that only a later kamld can go on with."""
    by = rule.by
    if by not in _BY and ":" not in by:
        raise newer("split", by, where)
    if any(len(bounds) != len(rule.parts) - 1 for bounds in rule.thresholds.values()):
        raise newer("split", ", ".join(part.name for part in rule.parts), where)
    return rule


def check_same(asked: Split, there: Split, name: str) -> None:
    """Raises Conflict (other_rule)."""
    if essence(asked) != essence(there):
        way = "--prefix" if there.parts else "--as"
        raise Conflict(
            "other_rule", f"{name} was made with {words(there)}.",
            f"Repeat that, or make others with {way}.",
        )  # fmt: skip


def is_repeated(asked: Split, there: Split) -> bool:
    """Whether it asks for what there is, also where it leaves out which table's rows were split."""
    return asked.rows in ("", there.rows) and _of_rows(asked, there.rows) == _of_rows(there, there.rows)


def _of_rows(rule: Split, table: str) -> tuple[object, ...]:
    by, group = (column.removeprefix(f"{table}:") for column in (rule.by, rule.group))
    return essence(msgspec.structs.replace(rule, rows="", by=by, group=group))


def essence(rule: Split) -> tuple[object, ...]:
    """What two rules that are the same have in common."""
    shares = tuple(sorted((part.name, round(part.share, 9)) for part in rule.parts))
    return (shares, rule.seed, rule.by, rule.group, rule.where, rule.table, rule.rows, rule.file_column)


def shares(parts: Sequence[SplitPart]) -> list[float]:
    return [part.share for part in parts]
