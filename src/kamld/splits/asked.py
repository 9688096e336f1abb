"""What a person asked of a split, and what they left out: the rule, and the names of what it makes."""

from dataclasses import dataclass
from typing import Any

from kamld.errors import UsageError
from kamld.records.history import Dataset, Split, SplitPart
from kamld.records.names import Name, parse_name
from kamld.splits.parts import names_today, recorded_parts, recorded_rule
from kamld.splits.rule import fractions
from kamld.store import Repository

_TEST = 0.2  # the share of the test part, where nothing is said


@dataclass(frozen=True, slots=True)
class Asked:
    """None or empty: not said. `view`: the name of the one dataset to be made."""

    test: float | None = None
    parts: tuple[SplitPart, ...] = ()
    prefix: str = ""
    view: str = ""
    seed: int | None = None
    by: str | None = None
    group: str | None = None
    where: str | None = None
    table: str | None = None
    rows: str | None = None
    file_column: str | None = None

    @property
    def _said(self) -> dict[str, Any]:
        words = ("seed", "by", "group", "where", "table", "rows", "file_column")
        return {word: value for word in words if (value := getattr(self, word)) is not None}

    def check(self) -> None:
        """Raises UsageError where it contradicts itself."""
        if self.test is not None and self.parts:
            raise UsageError("usage", "--test and --parts say the same in two ways.", "Give one of them.")
        of_parts = (self.test, self.parts or None, self.prefix or None, self.seed, self.by, self.group)
        if self.view and any(value is not None for value in of_parts):
            raise UsageError(
                "usage", "--as makes one dataset, not parts of one.", "Give --where alone with it."
            )
        if self.table and not self.where:
            raise UsageError(
                "usage", "--table is for --where.", "To split the rows of a table: --rows TABLE."
            )


@dataclass(frozen=True, slots=True)
class Settled:
    """`names`: the dataset's for each part, the largest first; for a view that of "". `repeated`: the rule is
    that of the parts there are."""

    rule: Split
    names: dict[str, Name]
    repeated: bool


def settle(repository: Repository, source: Dataset, asked: Asked) -> Settled:
    """The rule, by default that of the parts there are, under whatever names they and their source have
    today. Raises UsageError, Invalid (bad_share, bad_name), Conflict (several_splits)."""
    asked.check()
    said, project = asked._said, source.project
    anything = bool(said) or asked.test is not None or bool(asked.parts)
    if asked.view:
        name = parse_name(asked.view, project)
        known = recorded_rule(repository, source, [name])
        if asked.where:
            return Settled(_rule((), said), {"": name}, repeated=False)
        if known is None or anything:
            raise UsageError("usage", "--as needs a condition.", "Say which files: --where 'size > 10000'")
        return Settled(known, {"": name}, repeated=True)
    there = None if anything else recorded_parts(repository, source, asked.prefix)
    if there:
        rule, names = there
        return Settled(rule, {part: names[part] for part in _in_order(rule)}, repeated=True)
    rule = _rule(asked.parts or fractions(_TEST if asked.test is None else asked.test), said)
    names = names_today(repository, source, rule, asked.prefix)
    return Settled(rule, {part: names[part] for part in _in_order(rule)}, repeated=False)


def _in_order(rule: Split) -> list[str]:
    return [part.name for part in sorted(rule.parts, key=lambda part: -part.share)]


def _rule(parts: tuple[SplitPart, ...], said: dict[str, Any]) -> Split:
    return Split(parts=parts, part="", thresholds={}, **({"seed": 0} | said))
