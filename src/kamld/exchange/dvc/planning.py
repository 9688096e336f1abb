"""Which versions a history makes: one for every Git commit that tracks what no parent of it does. Pure, but
for the repository that it asks."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from kamld.exchange.dvc.outputs import Output
from kamld.exchange.dvc.project import Project, Revision


@dataclass(frozen=True, slots=True)
class Step:
    """A version to be made. `outputs` of Git's commit; `parents` are Git's too."""

    revision: Revision
    outputs: list[Output]
    parents: tuple[str, ...]


@dataclass(slots=True)
class Plan:
    """`same`: commits that track what another does, which stands for them; None: nothing yet."""

    steps: list[Step] = field(default_factory=list)
    same: dict[str, str | None] = field(default_factory=dict)


def plan(project: Project, made: dict[str, str]) -> Plan:
    """What versions there are to be; those that were made before are not made again."""
    planned = Plan()
    tracked: dict[str, list[Output]] = {}
    above: dict[str, tuple[str, ...]] = {}  # commits with a version, to those with one right before them
    for revision in project.revisions():
        parents = _furthest(_stand_ins(planned, revision.parents), above)
        if revision.id in made:
            above[revision.id] = parents
            continue
        if not revision.touched:
            planned.same[revision.id] = parents[0] if parents else None
            continue
        found = project.outputs(revision.id)
        if len(parents) == 1:
            if parents[0] not in tracked:
                tracked[parents[0]] = project.outputs(parents[0])
            if tracked[parents[0]] == found:
                planned.same[revision.id] = parents[0]
                continue
        if not found and not parents:
            planned.same[revision.id] = None
            continue
        above[revision.id], tracked[revision.id] = parents, found
        planned.steps.append(Step(revision, found, parents))
    return planned


def _stand_ins(planned: Plan, parents: Iterable[str]) -> tuple[str, ...]:
    stands = (planned.same.get(parent, parent) for parent in parents)
    return tuple(dict.fromkeys(stand for stand in stands if stand))


def _furthest(parents: tuple[str, ...], above: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Those that are not before another of them."""
    if len(parents) < 2:
        return parents
    before: set[str] = set()
    waiting = [one for parent in parents for one in above.get(parent, ())]
    while waiting:
        one = waiting.pop()
        if one not in before:
            before.add(one)
            waiting += above.get(one, ())
    return tuple(parent for parent in parents if parent not in before)
