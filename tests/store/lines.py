"""Which checkpoints have expired, counted line by line: slow, and plain."""

from collections.abc import Collection, Iterator, Mapping

from kamld.store.refs.expiry import Link


def expired(history: list[Link], named: Collection[str]) -> set[str]:
    """A line is walked from each version that no other goes on from, or none that lives."""
    parents = {one: before for one, before, _ in history}
    keep = {one: keep_last for one, _, keep_last in history}
    living = {*named, *(older for one in named for older in _before(parents, one))}
    firsts: dict[str, set[str]] = {}
    for one, before in parents.items():
        if before:
            firsts.setdefault(before[0], set()).add(one)

    def starts(one: str) -> bool:
        goes_on = firsts.get(one, set())
        return not (goes_on & living if one in living else goes_on)

    def counts(one: str) -> Iterator[int]:
        """Newer checkpoints, on each of the lines through this version that count for it."""
        for start in parents:
            if starts(start) and (start in living or one not in living):
                newer, at = 0, start
                while at != one and parents[at]:
                    newer += keep[at] is not None
                    at = parents[at][0]
                if at == one:
                    yield newer

    checkpoints = {one: last for one, last in keep.items() if last is not None}
    return {one for one, last in checkpoints.items() if one not in named and min(counts(one)) >= last}


def _before(parents: Mapping[str, tuple[str, ...]], start: str) -> Iterator[str]:
    for parent in parents[start]:
        yield parent
        yield from _before(parents, parent)
