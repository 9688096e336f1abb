"""Which part each example belongs to: pure, over columns, and the same whatever order they come in.

Examples that may not be parted (equal content, a group in common) form a *unit*. A unit has a score,
a number below 2**64 that hangs on the seed and on what it is; its stratum has thresholds, rising, one
for every part but the last; it belongs to the first part whose threshold is above its score. The
first time that a stratum is met its thresholds are put where the shares come out exact; from then on
they stay, so growth moves nobody. What is known of an example from before goes first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

Thresholds = dict[str, tuple[int, ...]]
Ints = NDArray[np.int64]
Scores = NDArray[np.uint64]

_TOP = 2**64 - 1
UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Grouping:
    """Which examples have which groups; an example may have several, or none."""

    members: Ints  # positions of examples
    groups: Ints  # positions in `names`, one for each of `members`
    names: tuple[str, ...]  # sorted


NO_GROUPS = Grouping(np.zeros(0, np.int64), np.zeros(0, np.int64), ())


@dataclass(frozen=True, slots=True)
class Examples:
    """Columns, one row for each example. Parts are numbers; UNKNOWN where there was none before."""

    scores: Scores  # equal where the content is
    strata: Ints  # positions in `stratum_names`
    stratum_names: tuple[str, ...]
    grouping: Grouping
    by_path: Ints  # the part that it had as this file
    by_content: Ints  # the part that this content had


@dataclass(frozen=True, slots=True)
class Plan:
    parts: Ints  # of each example
    thresholds: Thresholds
    leaked: int  # examples whose content is in another part too
    leaked_groups: tuple[str, ...]  # groups that are in several parts
    short: tuple[str, ...]  # strata that have no example in some part


def score(seed: int, data: bytes) -> int:
    """0 … 2**64 − 1, the same for equal data and seed for ever."""
    return int.from_bytes(blake3(seeded(seed) + data).digest(8), "big")


def scores_of(seed: int, rows: Sequence[bytes]) -> Scores:
    start = seeded(seed)
    digests = b"".join([blake3(start + row).digest(8) for row in rows])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def seeded(seed: int) -> bytes:
    return (seed & _TOP).to_bytes(8, "little")


def group_score(seed: int, name: str) -> int:
    return score(seed, b"group " + name.encode("utf-8", "surrogatepass"))


def plan(examples: Examples, shares: Sequence[float], before: Thresholds, seed: int) -> Plan:
    content, unit_of, unit_scores = _units(examples, seed)
    count, parts = len(unit_scores), len(shares)
    by_path = _votes(unit_of, examples.by_path, count, parts)
    by_content = _votes(unit_of, examples.by_content, count, parts)
    known = np.where(by_path >= 0, by_path, by_content)
    stratum = _commonest(unit_of, examples.strata, count)
    weights = np.bincount(unit_of, minlength=count)
    names = examples.stratum_names
    thresholds = dict(before)
    for at, bounds in _new_thresholds(
        unit_scores, weights, stratum, known, shares, {i for i, n in enumerate(names) if n in before},
        [score(seed, name.encode("utf-8", "surrogatepass")) for name in names],
    ).items():  # fmt: skip
        thresholds[names[at]] = bounds
    chosen = known.copy()
    for at, rows in _by_value(stratum, np.flatnonzero(known < 0)):
        limits = np.array(thresholds[names[at]], np.uint64)
        chosen[rows] = np.searchsorted(limits, unit_scores[rows], side="right")
    side = np.where(examples.by_path >= 0, examples.by_path, chosen[unit_of])
    return Plan(
        side, thresholds, _leaked(content, side), _leaked_groups(examples.grouping, side),
        _short(examples, side, parts),
    )  # fmt: skip


def _units(examples: Examples, seed: int) -> tuple[Ints, Ints, Scores]:
    """(number of the content of each example, number of its unit, score of each unit)."""
    keys, content = np.unique(examples.scores, return_inverse=True)
    content = content.astype(np.int64)
    grouping = examples.grouping
    if not len(grouping.members):
        return content, content, keys
    root = _joined(len(keys), len(grouping.names), content[grouping.members], grouping.groups)
    roots, unit_of_node = np.unique(root, return_inverse=True)
    first_group = np.full(len(roots), len(grouping.names), np.int64)
    np.minimum.at(first_group, unit_of_node[grouping.groups + len(keys)], grouping.groups)
    of_groups = np.array([group_score(seed, name) for name in grouping.names] + [0], np.uint64)
    scores = of_groups[first_group]
    alone = first_group[unit_of_node[: len(keys)]] == len(grouping.names)  # no group: its own content
    scores[unit_of_node[: len(keys)][alone]] = keys[alone]
    return content, unit_of_node[content].astype(np.int64), scores


def _joined(contents: int, groups: int, content: Ints, group: Ints) -> Ints:
    """The root of every content and, behind them, of every group: union-find over the pairs."""
    parent = list(range(contents + groups))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for one, other in zip(content.tolist(), (group + contents).tolist(), strict=True):
        a, b = find(one), find(other)
        if a != b:
            parent[max(a, b)] = min(a, b)
    return np.array([find(node) for node in range(contents + groups)], np.int64)


def _votes(unit_of: Ints, parts: Ints, count: int, kinds: int) -> Ints:
    """The part that most of a unit's examples had; the first of them in a tie; UNKNOWN: none had one."""
    there = parts >= 0
    flat = np.bincount(unit_of[there] * kinds + parts[there], minlength=count * kinds)
    votes = flat.reshape(count, kinds)
    return np.where(votes.any(axis=1), votes.argmax(axis=1), UNKNOWN)


def _commonest(unit_of: Ints, strata: Ints, count: int) -> Ints:
    """The stratum that most of a unit's examples are of; the first of them in a tie."""
    kinds = int(strata.max(initial=0)) + 1
    pairs, often = np.unique(unit_of * kinds + strata, return_counts=True)
    units, kind = np.divmod(pairs, kinds)
    order = np.lexsort((-kind, often, units))  # the last of each unit is its commonest
    found = np.zeros(count, np.int64)
    found[units[order]] = kind[order]
    return found


def _by_value(values: Ints, rows: Ints) -> list[tuple[int, Ints]]:
    """The rows for each value that they have."""
    ordered = rows[np.argsort(values[rows], kind="stable")]
    found, starts = np.unique(values[ordered], return_index=True)
    return list(zip(found.tolist(), np.split(ordered, starts[1:]), strict=True)) if len(rows) else []


def _new_thresholds(
    scores: Scores, weights: Ints, stratum: Ints, known: Ints, shares: Sequence[float],
    settled: set[int], order: Sequence[int],
) -> dict[int, tuple[int, ...]]:  # fmt: skip
    """For every stratum that has none yet, from the units that belong to no part yet (else from all).

    Whole examples cannot be shared out exactly. What one stratum has too many or too few of, the next
    makes up for, so many small strata together come out right. `order` is theirs, by the seed.
    """
    owed = [0.0] * len(shares)
    everyone = dict(_by_value(stratum, np.arange(len(scores))))
    fresh = dict(_by_value(stratum, np.flatnonzero(known < 0)))
    found = {}
    for at in sorted(everyone.keys() - settled, key=lambda at: (order[at], at)):
        rows = fresh.get(at, everyone[at])
        rows = rows[np.argsort(scores[rows], kind="stable")]
        sums = np.concatenate([[0], np.cumsum(weights[rows])])
        wanted = quotas(int(sums[-1]), shares, owed)
        bounds = _bounds(scores[rows], sums, wanted, owed, shares)
        got = np.diff([0, *(sums[np.searchsorted(scores[rows], np.array(bounds, np.uint64))]), sums[-1]])
        owed = [o + share * int(sums[-1]) - int(n) for o, share, n in zip(owed, shares, got, strict=True)]
        found[at] = bounds
    return found


def quotas(total: int, shares: Sequence[float], owed: Sequence[float]) -> list[int]:
    """Whole numbers that add up to `total`, each less than one from its share; who is owed most gets
    what is left over. In a tie the later part does."""
    exact = [share * total for share in shares]
    given = [int(e + 1e-9) for e in exact]
    late = sorted(
        range(len(shares)), key=lambda k: (round(owed[k] + exact[k] - given[k], 9), k), reverse=True
    )
    for k in late[: total - sum(given)]:
        given[k] += 1
    return given


def _bounds(
    scores: Scores, sums: Ints, wanted: Sequence[int], owed: Sequence[float], shares: Sequence[float]
) -> tuple[int, ...]:  # fmt: skip
    """Thresholds between sorted scores where the sums come to what is wanted; where large units do not
    let them, nearest to that and what is owed. Within the gap they are as near as can be to where
    infinitely many examples would have them, for the sake of those that come later."""
    bounds, least = [], 0
    for k in range(len(shares) - 1):
        target: float = sum(wanted[: k + 1])
        at = int(np.searchsorted(sums, target))
        if sums[at] != target:
            target += sum(owed[: k + 1])
            at = int(np.abs(sums - target).argmin())
        at = least = max(at, least)
        low = int(scores[at - 1]) + 1 if at else 0
        high = int(scores[at]) if at < len(scores) else _TOP
        nominal = int(min(sum(shares[: k + 1]), 1.0) * 2**64)
        bounds.append(min(max(nominal, low), high, _TOP))
    return tuple(bounds)


def _spread(values: Ints, side: Ints, count: int) -> NDArray[np.bool_]:
    """Whether a value is in several parts."""
    low, high = np.full(count, 2**31), np.full(count, -1)
    np.minimum.at(low, values, side)
    np.maximum.at(high, values, side)
    return high > low


def _leaked(content: Ints, side: Ints) -> int:
    spread = _spread(content, side, int(content.max(initial=-1)) + 1)
    return int(spread[content].sum())


def _leaked_groups(grouping: Grouping, side: Ints) -> tuple[str, ...]:
    spread = _spread(grouping.groups, side[grouping.members], len(grouping.names))
    return tuple(grouping.names[at] for at in np.flatnonzero(spread).tolist())


def _short(examples: Examples, side: Ints, parts: int) -> tuple[str, ...]:
    cells = np.bincount(examples.strata * parts + side, minlength=len(examples.stratum_names) * parts)
    table = cells.reshape(-1, parts)
    lacking = (table == 0).any(axis=1) & table.any(axis=1)
    return tuple(examples.stratum_names[at] for at in np.flatnonzero(lacking).tolist())


def hex_thresholds(thresholds: Mapping[str, Sequence[int]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(f"{bound:016x}" for bound in bounds) for name, bounds in thresholds.items()}


def read_thresholds(kept: Mapping[str, Sequence[str]]) -> Thresholds:
    return {name: tuple(int(bound, 16) for bound in bounds) for name, bounds in kept.items()}
