"""Splitting a dataset into parts that are datasets of their own, without copying a byte.

An example's side hangs on a hash of its content, so equal files come to the same side and growth
moves nobody. At the first split the threshold is chosen so that the shares are exact; afterwards it
stays, and an example that was split before keeps its side by path, then by content. So the same
content can be on both sides after all, where a file was overwritten with one of the other side; how
often it is so is counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from blake3 import blake3

from kamld.errors import Conflict, Invalid
from kamld.records.encoding import newer
from kamld.records.history import Dataset, Origin, Split, SplitPart
from kamld.records.names import MAIN, Name, Reference
from kamld.store.objects import Writer
from kamld.store.refs.revisions import Resolved
from kamld.store.repository import Committed, Repository, Version
from kamld.store.trees import FOLDER, Entries, Entry

TABLES = (b".csv", b".tsv", b".jsonl", b".parquet")
DOCUMENTS = (b".md", b".rst", b"license", b"readme", b"datasheet")
PARTS = ("train", "test")


@dataclass(frozen=True, slots=True)
class Rule:
    """What the person asked for; `threshold` is known only from a split made before."""

    test: float
    seed: int
    threshold: int | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """Sides that examples already have."""

    test_by_path: dict[bytes, bool]
    test_by_content: dict[bytes, bool]


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows of the source's entries for each side; `shared` are the tables that go to both."""

    train: list[int]
    test: list[int]
    shared: list[int]
    threshold: int
    on_both_sides: int  # examples whose content the other side has too


@dataclass(frozen=True, slots=True)
class Part:
    dataset: Dataset
    part: str
    examples: int
    commit_id: str
    committed: Committed | None  # None: it was so already


@dataclass(frozen=True, slots=True)
class SplitResult:
    parts: tuple[Part, ...]
    shared: tuple[bytes, ...]  # paths of tables that describe files, whole in every part
    on_both_sides: int  # examples whose content the other side has too
    bytes_added: int  # lists of files and commits; no file's content


NOTHING_BEFORE = Before({}, {})


def plan(entries: Entries, rule: Rule, before: Before = NOTHING_BEFORE) -> Plan:
    """Pure. Raises Invalid (bad_share, nothing_to_split)."""
    if not 0 < rule.test < 1:
        raise Invalid("bad_share", f"{rule.test:g} is no share.", "Give one between 0 and 1: --test 0.3")
    shared, examples = _sort_out(entries)
    chosen_from = set(examples)
    known = {at: row for at, row in enumerate(entries.rows()) if at in chosen_from}
    scores = {at: score(rule.seed, row.id) for at, row in known.items()}
    threshold = rule.threshold
    if threshold is None:
        threshold = _threshold(sorted(scores.values()), rule.test)
    test = [at for at, row in known.items() if _is_test(row, scores[at], threshold, before)]
    chosen = set(test)
    train = [at for at in known if at not in chosen]
    both = {known[at].id for at in test} & {known[at].id for at in train}
    return Plan(train, test, shared, threshold, sum(row.id in both for row in known.values()))


def score(seed: int, identifier: bytes) -> int:
    """0 … 2**64 − 1, the same for equal content and seed for ever."""
    seeded = (seed & (2**64 - 1)).to_bytes(8, "little")
    return int.from_bytes(blake3(seeded + identifier).digest(8), "big")


def split(
    repository: Repository, source: Resolved, test: float, seed: int, *, prefix: str, author: str
) -> SplitResult:
    """Make or renew `prefix`-train and `prefix`-test from a version of a dataset.

    Raises Conflict (name_taken, other_rule) where those names are something else, Invalid.
    """
    names = {part: Name(source.dataset.project, f"{prefix}-{part}") for part in PARTS}
    heads = {part: _head(repository, source, name, test, seed) for part, name in names.items()}
    before, threshold = _before(repository, [head for head in heads.values() if head])
    entries = repository.tree(source.commit).entries()
    made = plan(entries, Rule(test, seed, threshold), before)
    rows = {"train": made.train, "test": made.test}
    with repository.writer() as writer:
        versions = {
            part: _write(repository, writer, source, heads[part], entries.take(sorted(chosen + made.shared)),
                         _rule(part, test, seed, made.threshold), author)
            for part, chosen in rows.items()
        }  # fmt: skip
    parts = []
    for part, chosen in rows.items():
        head, version = heads[part], versions[part]
        dataset = head.dataset if head else repository.create(names[part], "dataset")
        committed = repository.land_version(dataset, MAIN, version, author=author) if version else None
        commit_id = version.commit_id if version else head.commit_id if head else ""
        parts.append(Part(dataset, part, len(chosen), commit_id, committed))
    shared = tuple(entries.paths[row] for row in made.shared)
    return SplitResult(tuple(parts), shared, made.on_both_sides, writer.bytes_added)


def _write(
    repository: Repository, writer: Writer, source: Resolved, head: Resolved | None,
    entries: Entries, rule: Split, author: str,
) -> Version | None:  # fmt: skip
    """The part's next version, durable but on no branch yet; None: it is as it should be."""
    of = source.dataset
    origin = Origin(dataset=of.id, project=of.project, name=of.name, commit=source.commit_id)
    if head and (head.commit.origin, head.commit.split) == (origin, rule):
        return None
    share = next(part.share for part in rule.parts if part.name == rule.part)
    return repository.write_version(
        writer, entries, parents=(head.commit_id,) if head else (), author=author,
        message=f"{share * 100:.3g} % of {of.name}, seed {rule.seed}", origin=origin, split=rule,
    )  # fmt: skip


def _head(repository: Repository, source: Resolved, name: Name, test: float, seed: int) -> Resolved | None:
    """What the part is now; None: it is still to be made."""
    dataset = repository.names.find(name)
    if dataset is None or not repository.is_made(dataset):
        return None
    head = repository.resolve(Reference(name))
    rule, origin = head.commit.split, head.commit.origin
    if rule is None or origin is None or origin.dataset != source.dataset.id:
        raise Conflict(
            "name_taken", f"There is a dataset {name} already, and it is no part of {source.dataset.name}.",
            "Choose another beginning for the names with --prefix.",
        )  # fmt: skip
    its_test, _ = _read_rule(rule, name)
    if (its_test, rule.seed) != (test, seed):
        raise Conflict(
            "other_rule", f"{name} was split with --test {its_test:g} --seed {rule.seed}.",
            "Repeat that, or make another pair with --prefix.",
        )  # fmt: skip
    return head


def _rule(part: str, test: float, seed: int, threshold: int) -> Split:
    return Split(
        parts=(SplitPart(name="test", share=test), SplitPart(name="train", share=1 - test)),
        part=part, seed=seed, thresholds={"": (f"{threshold:016x}",)},
    )  # fmt: skip


def _read_rule(rule: Split, where: Name) -> tuple[float, int]:
    """(share of the test part, threshold). Raises SystemFault (newer_record) for what `_rule` does
    not write."""
    if [part.name for part in rule.parts] != ["test", "train"] or rule.by:
        raise newer(
            "split", ", ".join([part.name for part in rule.parts] + [rule.by] * bool(rule.by)), str(where)
        )
    return rule.parts[0].share, int(rule.thresholds[""][0], 16)


def _before(repository: Repository, heads: Sequence[Resolved]) -> tuple[Before, int | None]:
    """Which side every example has already, and the threshold that stays."""
    by_path: dict[bytes, bool] = {}
    by_content: dict[bytes, bool] = {}
    threshold = None
    for head in heads:
        assert head.commit.split is not None
        _, threshold = _read_rule(head.commit.split, Name(head.dataset.project, head.dataset.name))
        side = head.commit.split.part == "test"
        for row in repository.tree(head.commit).entries().rows():
            by_path[row.path] = side
            by_content[row.id] = side
    return Before(by_path, by_content), threshold


def _sort_out(entries: Entries) -> tuple[list[int], list[int]]:
    """(rows that go whole to every part, rows that are examples)."""
    shared: list[int] = []
    examples: list[int] = []
    for at, (path, kind) in enumerate(zip(entries.paths, entries.kinds.tolist(), strict=True)):
        name = path.rsplit(b"/", 1)[-1].lower()
        describes = name.endswith(TABLES) or name.endswith(DOCUMENTS) or name.startswith(DOCUMENTS)
        if kind != FOLDER:
            (shared if describes else examples).append(at)
    if not examples:
        raise Invalid(
            "nothing_to_split",
            "There are only tables and documents here, and no files that they describe.",
            "A split chooses among files, such as pictures; rows of one table cannot be split yet.",
        )
    return shared, examples


def _threshold(scores: list[int], test: float) -> int:
    """Below it are as many of the sorted scores as the share asks for."""
    wanted = round(len(scores) * test)
    return scores[wanted] if wanted < len(scores) else min(scores[-1] + 1, 2**64 - 1)


def _is_test(row: Entry, its_score: int, threshold: int, before: Before) -> bool:
    by_path = before.test_by_path.get(row.path)
    if by_path is not None:
        return by_path
    return before.test_by_content.get(row.id, its_score < threshold)
