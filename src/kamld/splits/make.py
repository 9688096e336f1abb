"""Carrying a split out: from a version of a dataset and a rule to parts that are datasets of their own.

All parts are written before the first of them lands, and a part is recognised by its rule, so one that
was stopped is finished by repeating it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from kamld.errors import Invalid
from kamld.records.history import Dataset, Origin, Split
from kamld.records.names import MAIN, Name
from kamld.splits import files
from kamld.splits import rule as rules
from kamld.splits.files import Before
from kamld.splits.parts import part_head
from kamld.splits.plan import Ints, Plan, Thresholds, hex_thresholds, plan, read_thresholds
from kamld.splits.rows import RowParts, for_rows, row_parts, the_table
from kamld.store import Entries, Repository, Writer
from kamld.store.refs.revisions import Resolved
from kamld.store.repository import Committed, Version

_THRESHOLDS_MAX = 600_000  # bytes in a commit


@dataclass(frozen=True, slots=True)
class Part:
    dataset: Dataset
    part: str  # "" for a view
    examples: int
    commit_id: str
    committed: Committed | None  # None: it was so already


@dataclass(frozen=True, slots=True)
class SplitResult:
    rule: Split
    parts: tuple[Part, ...]
    of: int  # examples that there were to choose from
    shared: tuple[bytes, ...]  # files that are whole in every part
    leaked: int  # examples whose content is in another part too
    leaked_groups: tuple[str, ...]
    short: tuple[str, ...]  # strata that have no example in some part
    strata: int
    bytes_added: int


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What each part has, before anything is written: whole files by position, or rows of a table."""

    counts: list[int]
    positions: list[Ints] | None
    rows: RowParts | None
    plan: Plan | None
    of: int
    shared: tuple[bytes, ...]


def split(
    repository: Repository, source: Resolved, rule: Split, *, names: Mapping[str, Name], author: str
) -> SplitResult:  # fmt: skip
    """Make or renew the parts of a version; `names` has the dataset's name for each part, and for a
    view (a rule without parts) that of "".

    Raises Conflict (name_taken, other_rule) where those names are something else, (part_changed,
    protected_branch) where they may not be moved, Invalid, NotFound.
    """
    heads = {part: part_head(repository, source.dataset, name) for part, name in names.items()}
    entries = repository.tree(source.commit).entries()
    if table := rule.rows or the_table(entries):
        rule = for_rows(rule, table)
    rule, thresholds = _settled(rule, [head for head in heads.values() if head])
    chosen = _choose(repository, entries, rule, thresholds, heads)
    kept = hex_thresholds(chosen.plan.thresholds) if chosen.plan else {}
    _check_size(kept, rule)
    with repository.writer() as writer:
        versions = {}
        for at, part in enumerate(names):
            its_rule = msgspec.structs.replace(rule, part=part, thresholds=kept)
            versions[part] = _write(
                repository, writer, source, heads[part], entries, chosen, at, its_rule, author
            )
    parts = []
    for at, (part, name) in enumerate(names.items()):
        head, version = heads[part], versions[part]
        dataset = head.dataset if head else repository.create(name, "dataset")
        committed = repository.land_version(dataset, MAIN, version, author=author) if version else None
        commit_id = version.commit_id if version else head.commit_id if head else ""
        parts.append(Part(dataset, part, chosen.counts[at], commit_id, committed))
    made = chosen.plan
    return SplitResult(
        rule, tuple(parts), chosen.of, chosen.shared, made.leaked if made else 0,
        made.leaked_groups if made else (), made.short if made else (), len(kept), writer.bytes_added,
    )  # fmt: skip


def _settled(rule: Split, heads: Sequence[Resolved]) -> tuple[Split, Thresholds]:
    """The rule as it was the first time, and the thresholds that stay. Raises Conflict (other_rule)."""
    thresholds: Thresholds = {}
    for head in heads:
        there = head.commit.split
        assert there is not None
        name = f"{head.dataset.project}/{head.dataset.name}"
        rules.check_known(there, name)
        rules.check_same(rule, there, name)
        rule = msgspec.structs.replace(rule, parts=there.parts)
        thresholds |= read_thresholds(there.thresholds)
    return rule, thresholds


def _choose(
    repository: Repository, entries: Entries, rule: Split, thresholds: Thresholds,
    heads: Mapping[str, Resolved | None],
) -> _Chosen:  # fmt: skip
    order = [part.name for part in rule.parts]
    if rule.rows:
        made = row_parts(repository, entries, rule, thresholds, {
            order.index(part): head for part, head in heads.items() if head and rule.parts
        })  # fmt: skip
        picked = [order.index(part) if part else 0 for part in heads]
        shared = tuple(path for at, path in enumerate(entries.paths) if at != made.at)
        return _Chosen([made.counts[at] for at in picked], None, made, made.plan, made.of, shared)
    found = files.sort_out(entries)
    rows = found.examples
    if not len(rows) and not rule.parts:  # a view of tables and documents alone
        rows, found = found.shared, files.Sorted(found.shared, rows)
    if rule.where:
        rows = files.where(repository, entries, rows, rule)
    if not len(rows):
        raise files.nothing_to_split(len(found.examples), len(entries))
    shared = tuple(entries.paths[at] for at in found.shared.tolist())
    of = len(found.examples)
    if not rule.parts:
        return _Chosen([len(rows)], [np.union1d(rows, found.shared)], None, None, of, shared)
    before = _before(repository, order, [head for head in heads.values() if head])
    examples = files.examples_of(repository, entries, rows, rule, before)
    made_plan = plan(examples, rules.shares(rule.parts), thresholds, rule.seed)
    sides = [rows[made_plan.parts == order.index(part)] for part in heads]
    positions = [np.union1d(side, found.shared) for side in sides]
    return _Chosen([len(side) for side in sides], positions, None, made_plan, of, shared)


def _before(repository: Repository, order: Sequence[str], heads: Sequence[Resolved]) -> Before:
    by_path: dict[bytes, int] = {}
    by_content: dict[bytes, int] = {}
    for head in heads:
        assert head.commit.split is not None
        side = order.index(head.commit.split.part)
        for row in repository.tree(head.commit).entries().rows():
            by_path[row.path] = side
            by_content[row.id] = min(side, by_content.get(row.id, side))
    return Before(by_path, by_content)


def _check_size(thresholds: Mapping[str, Sequence[str]], rule: Split) -> None:
    if sum(len(name.encode()) + 20 * len(bounds) for name, bounds in thresholds.items()) > _THRESHOLDS_MAX:
        raise Invalid(
            "too_many_strata",
            f"{rule.by} tells {len(thresholds):,} kinds apart, too many to keep the shares in each.",
            "Choose a column with fewer values; to keep examples together, use --group.",
        )  # fmt: skip


def _write(
    repository: Repository, writer: Writer, source: Resolved, head: Resolved | None, entries: Entries,
    chosen: _Chosen, at: int, rule: Split, author: str,
) -> Version | None:  # fmt: skip
    """The part's next version, durable but on no branch yet; None: it is as it should be."""
    of = source.dataset
    origin = Origin(dataset=of.id, project=of.project, name=of.name, commit=source.commit_id)
    if head and (head.commit.origin, head.commit.split) == (origin, rule):
        return None
    if chosen.rows:
        part = [p.name for p in rule.parts].index(rule.part) if rule.part else 0
        its = chosen.rows.write(repository, writer, entries, part)
    else:
        assert chosen.positions is not None
        its = entries.take(chosen.positions[at].tolist())
    return repository.write_version(
        writer, its, parents=(head.commit_id,) if head else (), author=author,
        message=rules.about(rule, of.name), origin=origin, split=rule,
    )  # fmt: skip
