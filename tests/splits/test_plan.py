"""The laws of a split, over made-up examples."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.splits.labels import coded, grouping_from
from kamld.splits.plan import (
    NO_GROUPS,
    UNKNOWN,
    Examples,
    Plan,
    group_score,
    hex_thresholds,
    plan,
    quotas,
    read_thresholds,
    scores_of,
)  # fmt: skip

# What an example is: its content, its stratum, its groups.
Row = tuple[bytes, str, tuple[str, ...]]

contents = st.integers(0, 300).map(lambda n: b"%d" % n)
strata = st.sampled_from(["", "a", "b", "c"])
loose = st.tuples(contents, strata, st.just(()))
grouped = st.tuples(
    contents, strata, st.sets(st.sampled_from("pqrstuvw"), max_size=2).map(lambda s: tuple(sorted(s)))
)
many = st.lists(loose, min_size=1, max_size=80)
many_grouped = st.lists(grouped, min_size=1, max_size=60)
shares = st.sampled_from([(0.3, 0.7), (0.5, 0.5), (0.05, 0.95), (0.7, 0.15, 0.15), (0.1, 0.2, 0.3, 0.4)])
seeds = st.integers(-(2**63), 2**64)


def examples(rows: Sequence[Row], seed: int, known: dict[int, int] | None = None) -> Examples:
    codes, names = coded([stratum for _, stratum, _ in rows])
    pairs = [(at, group) for at, (_, _, groups) in enumerate(rows) for group in groups]
    sides = np.full(len(rows), UNKNOWN)
    for at, side in (known or {}).items():
        sides[at] = side
    return Examples(
        scores_of(seed, [content for content, _, _ in rows]), codes, names,
        grouping_from(pairs) if pairs else NO_GROUPS, sides, np.full(len(rows), UNKNOWN),
    )  # fmt: skip


def sides(made: Plan) -> list[int]:
    found: list[int] = made.parts.tolist()
    return found


@given(many, shares, seeds)
def test_shares_are_exact_in_every_stratum(rows: list[Row], parts: tuple[float, ...], seed: int) -> None:
    distinct = [(b"%d" % at, stratum, ()) for at, (_, stratum, _) in enumerate(rows)]
    made = plan(examples(distinct, seed), parts, {}, seed)
    for stratum in {stratum for _, stratum, _ in rows}:
        mine = [side for side, row in zip(sides(made), distinct, strict=True) if row[1] == stratum]
        for k, share in enumerate(parts):
            assert abs(mine.count(k) - share * len(mine)) < 1
    for k, share in enumerate(parts):  # what one stratum has too few of, others make up for
        assert abs(sides(made).count(k) - share * len(rows)) < len(parts)


@given(many_grouped, shares, seeds)
def test_every_example_is_in_exactly_one_part(rows: list[Row], parts: tuple[float, ...], seed: int) -> None:
    made = plan(examples(rows, seed), parts, {}, seed)
    assert len(made.parts) == len(rows)
    assert set(sides(made)) <= set(range(len(parts)))


@given(many_grouped, shares, seeds)
def test_nothing_leaks_at_the_first_split(rows: list[Row], parts: tuple[float, ...], seed: int) -> None:
    made = plan(examples(rows, seed), parts, {}, seed)
    of_content, of_group = defaultdict(set), defaultdict(set)
    for side, (content, _, groups) in zip(sides(made), rows, strict=True):
        of_content[content].add(side)
        for group in groups:
            of_group[group].add(side)
    assert all(len(found) == 1 for found in [*of_content.values(), *of_group.values()])
    assert (made.leaked, made.leaked_groups) == (0, ())


@given(many_grouped, st.randoms(use_true_random=False), shares, seeds)
def test_the_order_does_not_matter(
    rows: list[Row], random: object, parts: tuple[float, ...], seed: int
) -> None:
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    made = plan(examples(rows, seed), parts, {}, seed)
    again = plan(examples([rows[at] for at in order], seed), parts, {}, seed)
    assert [made.parts[at] for at in order] == sides(again)
    assert made.thresholds == again.thresholds


@given(many, many, shares, seeds)
def test_growth_moves_nobody(rows: list[Row], more: list[Row], parts: tuple[float, ...], seed: int) -> None:
    """Not even where nothing but the thresholds is known of what was there before."""
    content_stratum = {content: stratum for content, stratum, _ in [*more, *rows]}
    rows = [(content, content_stratum[content], ()) for content, _, _ in rows]
    more = [(content, content_stratum[content], ()) for content, _, _ in more]
    made = plan(examples(rows, seed), parts, {}, seed)
    grown = plan(examples([*rows, *more], seed), parts, made.thresholds, seed)
    assert sides(grown)[: len(rows)] == sides(made)
    assert made.thresholds.items() <= grown.thresholds.items()


@given(many_grouped, many_grouped, shares, seeds)
def test_growth_moves_nobody_in_groups(
    rows: list[Row], more: list[Row], parts: tuple[float, ...], seed: int
) -> None:
    """Whatever newcomers tie together; and a newcomer follows the group that it is of."""
    made = plan(examples(rows, seed), parts, {}, seed)
    known = dict(enumerate(sides(made)))
    grown = plan(examples([*rows, *more], seed, known), parts, made.thresholds, seed)
    assert sides(grown)[: len(rows)] == sides(made)
    settled = {group: side for side, row in zip(sides(made), rows, strict=True) for group in row[2]}
    leaked = set(grown.leaked_groups)
    for side, (_, _, groups) in zip(sides(grown)[len(rows) :], more, strict=True):
        assert all(settled[group] == side for group in groups if group in settled and group not in leaked)


def test_groups_that_a_newcomer_ties_together_are_told() -> None:
    rows: list[Row] = [(b"1", "", ("ann",)), (b"2", "", ("bob",))]
    made = plan(examples(rows, 0), (0.5, 0.5), {}, 0)
    assert set(sides(made)) == {0, 1}
    both: Row = (b"3", "", ("ann", "bob"))
    grown = plan(examples([*rows, both], 0, dict(enumerate(sides(made)))), (0.5, 0.5), made.thresholds, 0)
    assert sides(grown)[:2] == sides(made)
    assert len(grown.leaked_groups) == 1


def test_content_on_both_sides_is_counted() -> None:
    rows: list[Row] = [(b"same", "", ()), (b"same", "", ()), (b"other", "", ())]
    made = plan(examples(rows, 0, {0: 0, 1: 1}), (0.5, 0.5), {"": (2**63,)}, 0)
    assert made.leaked == 2


def test_a_known_content_keeps_its_part_under_another_path() -> None:
    rows: list[Row] = [(b"%d" % n, "", ()) for n in range(20)]
    them = examples(rows, 0)
    moved = replace(them, by_content=np.array([n % 2 for n in range(20)]))
    assert sides(plan(moved, (0.5, 0.5), {"": (0,)}, 0)) == [n % 2 for n in range(20)]


def test_another_seed_is_another_split() -> None:
    rows: list[Row] = [(b"%d" % n, str(n % 3), ()) for n in range(300)]
    grouped: list[Row] = [(content, stratum, (f"g{n // 4}",)) for n, (content, stratum, _) in enumerate(rows)]
    alone: list[Row] = [(content, content.decode(), ()) for content, _, _ in rows]  # each its own stratum
    for them in (rows, grouped, alone):
        one, two = (sides(plan(examples(them, seed), (0.5, 0.5), {}, seed)) for seed in (1, 2))
        assert 60 < sum(a != b for a, b in zip(one, two, strict=True)) < 240


def test_many_strata_of_one_come_out_right_together() -> None:
    rows: list[Row] = [(b"%d" % n, str(n), ()) for n in range(1000)]
    made = plan(examples(rows, 0), (0.3, 0.7), {}, 0)
    assert abs(sides(made).count(0) - 300) <= 1
    assert len(made.short) == 1000


def test_a_small_stratum_does_not_decide_for_all_that_come() -> None:
    """One example says where it is itself; those that come later are shared out as was asked."""
    shares = []
    for seed in range(40):
        made = plan(examples([(b"first", "rare", ())], seed), (0.3, 0.7), {}, seed)
        later: list[Row] = [(b"%d" % n, "rare", ()) for n in range(200)]
        shares.append(sides(plan(examples(later, seed), (0.3, 0.7), made.thresholds, seed)).count(0) / 200)
    assert abs(float(np.mean(shares)) - 0.3) < 0.07


def test_large_groups_come_as_near_as_they_can() -> None:
    rows: list[Row] = [(b"%d" % n, str(n // 100), (f"g{n // 10}",)) for n in range(400)]
    made = plan(examples(rows, 5), (0.25, 0.75), {}, 5)
    assert sides(made).count(0) == 100  # 25 of each hundred is no multiple of ten


def test_a_new_stratum_gets_thresholds_of_its_own() -> None:
    rows: list[Row] = [(b"%d" % n, "old", ()) for n in range(50)]
    made = plan(examples(rows, 3), (0.3, 0.7), {}, 3)
    more: list[Row] = [(b"x%d" % n, "new", ()) for n in range(70)]
    grown = plan(examples([*rows, *more], 3), (0.3, 0.7), made.thresholds, 3)
    assert sides(grown)[50:].count(0) == 21
    assert grown.thresholds["old"] == made.thresholds["old"]


@pytest.mark.parametrize("total", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("parts", [(0.3, 0.7), (0.7, 0.15, 0.15), (0.25,) * 4])
def test_quotas_add_up(total: int, parts: tuple[float, ...]) -> None:
    given_out = quotas(total, parts, [0.0] * len(parts))
    assert sum(given_out) == total
    assert all(abs(n - share * total) < 1 for n, share in zip(given_out, parts, strict=True))


def test_thresholds_are_kept_as_text() -> None:
    thresholds = {"a": (1, 2**64 - 1), "": (0, 5)}
    assert hex_thresholds(thresholds)["a"] == ("0000000000000001", "ffffffffffffffff")
    assert read_thresholds(hex_thresholds(thresholds)) == thresholds


def test_scores_are_for_ever() -> None:
    """These numbers are in docs/format.md's terms; hubs hang on them."""
    assert scores_of(-7, [b"x"]).tolist() == [7699508125963568214]
    assert group_score(7, "p1") == 856754062795265469
