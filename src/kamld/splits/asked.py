"""What a person asked of a split, and what they left out: the rule, and the names of what it makes."""

from dataclasses import dataclass
from typing import Any

from kamld.errors import UsageError
from kamld.records.history import Dataset, Split, SplitPart
from kamld.records.names import Name, parse_name
from kamld.splits.make import recorded_rule
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


def settle(repository: Repository, source: Dataset, asked: Asked) -> tuple[Split, dict[str, Name]]:
    """The rule, by default that of the parts there are; and the dataset's name for each part, the largest
    first, or for a view that of "". Raises UsageError, Invalid (bad_share, bad_name)."""
    asked.check()
    shares = asked.parts or fractions(_TEST if asked.test is None else asked.test)
    said, project = asked._said, source.project
    anything = bool(said) or asked.test is not None or bool(asked.parts)
    if asked.view:
        name = parse_name(asked.view, project)
        known = recorded_rule(repository, source, [name])
        if asked.where:
            return _rule((), said), {"": name}
        if known is None or anything:
            raise UsageError("usage", "--as needs a condition.", "Say which files: --where 'size > 10000'")
        return known, {"": name}
    beginning = asked.prefix or source.name
    usual = [parse_name(f"{beginning}-{part}", project) for part in ("train", "test")]
    rule = (None if anything else recorded_rule(repository, source, usual)) or _rule(shares, said)
    in_order = sorted(rule.parts, key=lambda part: -part.share)
    return rule, {part.name: parse_name(f"{beginning}-{part.name}", project) for part in in_order}


def _rule(parts: tuple[SplitPart, ...], said: dict[str, Any]) -> Split:
    return Split(parts=parts, part="", thresholds={}, **({"seed": 0} | said))
