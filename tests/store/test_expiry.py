"""When a checkpoint has had its time, against a model that counts line by line."""

from hypothesis import given
from hypothesis import strategies as st

from kamld.store.refs.expiry import Link, Standing, standings
from tests.store.lines import expired


def line(*keep: int | None) -> list[Link]:
    """A history without branches, newest first: c0 is the newest."""
    last = len(keep) - 1
    return [(f"c{n}", (f"c{n + 1}",) if n < last else (), one) for n, one in enumerate(keep)]


def gone(history: list[Link], *named: str) -> list[str]:
    return [one.commit_id for one in standings(history, named) if one.expired]


def test_the_last_ones_are_kept() -> None:
    assert gone(line(2, 2, 2, 2), "c0") == ["c2", "c3"]
    assert gone(line(5, 5, 5, 5), "c0") == []
    assert gone(line(1, 1), "c0") == ["c1"]


def test_each_says_for_itself_how_many_must_follow() -> None:
    assert gone(line(9, 1, 9, 1), "c0") == ["c1", "c3"]


def test_plain_commits_stay_and_do_not_count() -> None:
    assert gone(line(2, None, None, 2, None, 2), "c0") == ["c5"]


def test_what_has_a_name_stays_and_nothing_more() -> None:
    assert gone(line(2, 2, 2, 2, 2, 2), "c0", "c3") == ["c2", "c4", "c5"]


def test_beside_a_branch_lines_expire_too() -> None:
    """Others' commits were faster: each checkpoint hangs beside the branch, below its merge."""
    history: list[Link] = []
    for n in range(6):
        history += [(f"m{n}", (f"m{n + 1}", f"c{n}"), None), (f"c{n}", (f"c{n + 1}",), 2)]
    assert gone(history, "m0") == ["c2", "c3", "c4", "c5"]


def test_one_line_that_needs_it_is_enough() -> None:
    """a: a branch that went off one version before the newest three."""
    history: list[Link] = [("a", ("c3",), 3), *line(2, 2, 2, 2, 2)]
    assert gone(history, "c0") == ["c2", "c3", "c4"]  # `a` is only of old moves: it lives no more
    assert gone(history, "c0", "a") == ["c2", "c4"]  # c3 is the second of that line


def test_what_was_replaced_keeps_nothing_alive() -> None:
    """An amended commit is still there for a day; what is before it goes as if it were not."""
    history: list[Link] = [*(("x0", ("c1",), 2),), *line(2, 2, 2, 2)]
    assert gone(history, "c0") == ["c2", "c3"]
    assert gone([("x0", ("c0",), 2), *line(2, 2, 2, 2)]) == ["c1", "c2", "c3"]  # a removed branch


def test_files_may_be_gone_after_something_was_taken_back() -> None:
    """Something newer than c0 was undone, perhaps long ago."""
    found = {one.commit_id: one for one in standings(line(9, 2, 2, 2), ["c1"])}
    assert found["c2"] == Standing("c2", expired=False, may_be_gone=True)
    assert found["c1"] == Standing("c1", expired=False, may_be_gone=False)


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Link], list[str]]:
    count = draw(st.integers(1, 12))
    history: list[Link] = []
    for n in range(count):
        older = [f"c{m}" for m in range(n + 1, count)]
        parents = draw(st.lists(st.sampled_from(older), unique=True, max_size=2)) if older else []
        history.append((f"c{n}", tuple(parents), draw(st.none() | st.integers(1, 3))))
    named = draw(st.lists(st.sampled_from([one[0] for one in history]), unique=True))
    return history, named


@given(histories())
def test_as_counting_line_by_line(given: tuple[list[Link], list[str]]) -> None:
    history, named = given
    found = list(standings(history, named))
    assert {one.commit_id for one in found if one.expired} == expired(history, named)
    assert {one.commit_id for one in found} == {one for one, _, keep_last in history if keep_last is not None}
    assert all(one.may_be_gone for one in found if one.expired)
