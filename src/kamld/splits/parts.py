"""Which datasets are parts of a source, and by which rule: found by its id in their history; names change.

A part that somebody committed to is still known by the split before that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from kamld import ids
from kamld.errors import Conflict
from kamld.records.history import Dataset, Split
from kamld.records.names import MAIN, Name, Reference, parse_name
from kamld.splits import rule as rules
from kamld.store import Repository
from kamld.store.refs.revisions import Resolved

_STEPS = 1000  # commits of somebody's own that are looked through for the split before them


@dataclass(frozen=True, slots=True)
class Made:
    """What a part is now, and the rule of the newest split that made it."""

    head: Resolved
    rule: Split

    @property
    def name(self) -> Name:
        return Name(self.head.dataset.project, self.head.dataset.name)

    @property
    def stem(self) -> str:
        """What its name begins with, where it ends as that of a part does."""
        end = f"-{self.rule.part}"
        return self.name.name.removesuffix(end) if self.name.name.endswith(end) else ""


def recorded_rule(repository: Repository, source: Dataset, names: Sequence[Name]) -> Split | None:
    """The rule by which one of these datasets was made from the source, for who does not repeat it."""
    made = (_made(repository, source, repository.names.find(name)) for name in names)
    return next((_bare(one.rule) for one in made if one), None)


def recorded_parts(
    repository: Repository, source: Dataset, prefix: str
) -> tuple[Split, dict[str, Name]] | None:  # fmt: skip
    """The rule by which the source was split, and the names that its parts have today. `prefix`: only of
    parts that are called so. None: it was not split. Raises Conflict (several_splits)."""
    every = [made for one in repository.names.all() if (made := _made(repository, source, one))]
    found = _families([one for one in every if one.rule.part], source.project)
    usual = prefix or source.name
    if prefix:
        chosen = [one for one in found if any(made.stem == prefix for made in one.values())]
    else:
        chosen = _usual(repository, source, found) or found
    if len(chosen) > 1:
        raise _several(source, chosen)
    if not chosen:
        return None
    names = {part: made.name for part, made in chosen[0].items()}
    stem = next((made.stem for made in chosen[0].values() if made.stem), usual)
    rule = _bare(next(iter(chosen[0].values())).rule)
    for part in rule.parts:  # one of them may have been removed
        names.setdefault(part.name, Name(source.project, f"{stem}-{part.name}"))
    return rule, names


def names_today(repository: Repository, source: Dataset, rule: Split, prefix: str) -> dict[str, Name]:
    """What the parts of a rule are to be called: as those that there are, if they or the source were renamed
    since, else by the source or the prefix."""
    beginning = prefix or source.name
    names = {part.name: parse_name(f"{beginning}-{part.name}", source.project) for part in rule.parts}
    if not prefix:
        known = _known_today(repository, source, rule)
        names |= {part: made.name for part, made in known.items() if part in names}
    return names


def _known_today(repository: Repository, source: Dataset, rule: Split) -> dict[str, Made]:
    """The parts that are meant by who gives a rule and no prefix, none if there are none yet."""
    every = [made for one in repository.names.all() if (made := _made(repository, source, one))]
    families = _families([one for one in every if one.rule.part], source.project)
    wanted = {part.name for part in rule.parts}
    usual = [one for one in _usual(repository, source, families) if wanted & set(one)]
    renamed = [one for one in families if not any(made.stem for made in one.values())]
    same = [one for one in (*usual, *renamed) if rules.is_repeated(rule, next(iter(one.values())).rule)]
    return next(iter((*same, *usual)), {})


def _usual(
    repository: Repository, source: Dataset, families: Sequence[dict[str, Made]]
) -> list[dict[str, Made]]:  # fmt: skip
    """Those that are called as parts of the source are today, else as they were under a former name of it."""
    stems = [{made.stem for made in one.values() if made.stem} for one in families]
    if mine := [one for one, its in zip(families, stems, strict=True) if source.name in its]:
        return mine
    return [
        one for one, its in zip(families, stems, strict=True)
        if any(_was_called(repository, source, stem) for stem in its)
    ]  # fmt: skip


def _was_called(repository: Repository, source: Dataset, stem: str) -> bool:
    found = repository.names.follow(Name(source.project, stem))
    return found is not None and found.id == source.id


def part_head(repository: Repository, source: Dataset, name: Name) -> Resolved | None:
    """What the part of this name is now; None: it is still to be made. Raises Conflict (name_taken,
    part_changed, protected_branch)."""
    dataset = repository.names.find(name)
    if dataset is None or not repository.is_made(dataset):
        return None
    repository.check_open(dataset, MAIN)
    made = _made(repository, source, dataset)
    if made is None:
        raise Conflict(
            "name_taken", f"There is a dataset {name} already, not split from {source.said}.",
            "Choose another name: --prefix for parts, --as for a view.",
        )  # fmt: skip
    if made.head.commit.split is None:
        others = "--prefix" if made.rule.part else "--as"
        raise Conflict(
            "part_changed",
            f"{name} has changes of its own since it was split from {source.said}:"
            f" {ids.short(made.head.commit_id)}  {made.head.commit.message.partition(chr(10))[0]}".rstrip(),
            f"A split would drop them. Take them back: kamld undo {name.said}. Or keep them and"
            f" make others with {others}.",
        )
    return made.head


def _made(repository: Repository, source: Dataset, dataset: Dataset | None) -> Made | None:
    """None: the dataset was not split from the source."""
    if dataset is None or not repository.is_made(dataset):
        return None
    head = repository.resolve(Reference(Name(dataset.project, dataset.name)))
    commit = head.commit
    for _ in range(_STEPS):
        if commit.split or not commit.parents:
            break
        commit = repository.commit(commit.parents[0])
    from_source = commit.origin is not None and commit.origin.dataset == source.id
    return Made(head, commit.split) if commit.split and from_source else None


def _families(every: Sequence[Made], project: str) -> list[dict[str, Made]]:
    """The parts of each split together, by part. One that has another name by now goes to the split of its
    rule that lacks it."""
    found: dict[object, dict[str, Made]] = {}
    strays: list[Made] = []
    for made in every:
        if made.stem and made.name.project == project:
            found.setdefault((rules.essence(made.rule), made.stem), {})[made.rule.part] = made
        else:
            strays.append(made)
    for made in strays:
        rule = rules.essence(made.rule)
        lacking = [
            family for family in found.values()
            if made.rule.part not in family and rules.essence(next(iter(family.values())).rule) == rule
        ]  # fmt: skip
        family = lacking[0] if lacking else found.setdefault((rule, str(made.name)), {})
        family[made.rule.part] = made
    return list(found.values())


def _several(source: Dataset, families: Sequence[Mapping[str, Made]]) -> Conflict:
    told = [
        f"{', '.join(made.name.said for made in family.values())}"
        f" ({rules.words(next(iter(family.values())).rule)})"
        for family in families[:5]
    ]
    return Conflict(
        "several_splits",
        f"{source.said} was split in {len(families):,} ways: {'; '.join(told)}.",
        "Say which with --prefix, or give the options of a new one.",
    )


def _bare(rule: Split) -> Split:
    return msgspec.structs.replace(rule, part="", thresholds={})
