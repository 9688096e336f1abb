"""Why: from a prediction, deployment, version or run back to the deliveries behind it.

Walks the records in the store by their ids, so it needs neither catalog nor prediction log; what a
log line adds is handed in. Everything is shown once; where it is met again it is only named.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from kamld import ids
from kamld.catalog import nodes
from kamld.catalog.naming import Endpoint, Meaning, Owners, meaning
from kamld.catalog.nodes import Node
from kamld.errors import NotFound
from kamld.ids import PredictionId
from kamld.records.deployment import DeploymentEvent, Prediction, ServedVersion
from kamld.records.history import Commit, Kind, Origin
from kamld.records.names import Name
from kamld.records.run import Run
from kamld.store import Repository

CHAIN_SHOWN = 8  # commits of one dataset in a row; of a longer chain the middle is left out
_CHAIN_END = 2  # of these, at the old end
DEPTH = 60  # runs and splits below each other; deeper ones are for another `why`

Gap = tuple[int, str, str, int]  # how many commits; the newest, the oldest; how many are merges
Log = Callable[[str], Prediction | None]
"""The line of the prediction log with this id, if there is one."""


def why(
    repository: Repository, text: str, *, project: str, owners: Owners, log: Log = lambda _: None
) -> Node:
    """The thing that `text` names, and below it what it came from.

    `owners` is asked only for a bare commit id. Raises NotFound, Invalid (see kamld.catalog.naming),
    SystemFault where the store has lost something on the way.
    """
    return explain(repository, meaning(repository, text, project=project, owners=owners),
                   project=project, log=log)  # fmt: skip


def explain(repository: Repository, thing: Meaning, *, project: str, log: Log = lambda _: None) -> Node:
    """`why` of something that has been found already."""
    walk = _Walk(repository, project, log)
    if isinstance(thing, PredictionId):
        return walk.prediction(thing)
    if isinstance(thing, Endpoint):
        return walk.endpoint(thing.name)
    if isinstance(thing, Run):
        return walk.run(thing.id, 0)
    of = thing.dataset
    return walk.version(Name(of.project, of.name), of.kind, thing.commit_id, "", 0)


class _Walk:
    def __init__(self, repository: Repository, project: str, log: Log) -> None:
        self._repository = repository
        self._project = project
        self._log = log
        self._shown: set[str] = set()  # ids of commits and runs
        self._between: set[str] = set()  # ids of commits that stand in a gap
        self._numbers: dict[Name, dict[str, int]] = {}
        self._runs: dict[str, Run | None] = {}

    def prediction(self, prediction: PredictionId) -> Node:
        event = self._repository.sealed.event(prediction.event)
        served = event.versions[prediction.slot]
        node = nodes.of_prediction(prediction, served, event, self._log(str(prediction)))
        below = _under(self.event(event, served), "answered by")
        return msgspec.structs.replace(node, children=(below,))

    def endpoint(self, name: Name) -> Node:
        """As it is now; of one that was stopped also what it served last."""
        history = self._repository.sealed.history(name)
        last = self.event(history[-1], None)
        if history[-1].action == "stop" and len(history) > 1:
            before = _under(self.event(history[-2], None), "before")
            last = msgspec.structs.replace(last, children=(before,))
        return last

    def event(self, event: DeploymentEvent, served: ServedVersion | None) -> Node:
        title = f"deployment {self._plain(Name(event.project, event.endpoint))}"
        node = nodes.of_event(event, title, served)
        below = [
            self.version(Name(one.project, one.name), "model", one.commit, "serves", 1)
            for one in ([served] if served else event.versions)
        ]
        return msgspec.structs.replace(node, children=tuple(below))

    def version(
        self, name: Name, kind: Kind, commit_id: str, via: str, depth: int, *, merged: bool = False
    ) -> Node:
        """A commit of a dataset or model, and the commits before it down to where it came from.

        `merged`: it was merged into commits that are in the answer, so it ends where these begin.
        """
        chain, gap, oldest = self._chain(commit_id, self._shown | self._between if merged else self._shown)
        if not chain:
            return self._repeated(name, kind, commit_id, via)
        self._shown.update(link for link, _ in chain)
        below = self._below(*chain[-1], depth)
        if oldest:
            below = (self._repeated(name, kind, oldest, "parent"), *below)
        for position in reversed(range(len(chain))):
            node = self._commit(name, kind, *chain[position])
            below += self._merged(name, kind, chain[position][1], depth)
            node = msgspec.structs.replace(node, children=below, via="parent" if position else via)
            below = (node,)
            if gap and position == len(chain) - _CHAIN_END:
                between = nodes.of_gap(*gap)
                below = (msgspec.structs.replace(between, children=below),)
        return below[0]

    def run(self, run_id: str, depth: int) -> Node:
        run = self._run(run_id)
        if run is None:
            return nodes.of_unsealed_run(run_id)
        title = f"run {run.number}" if run.project == self._project else (f"run {run.project}/{run.number}")
        if run_id in self._shown:
            return Node(sort="run", title=title, id=run_id, repeated=True)
        self._shown.add(run_id)
        below = [
            self.version(Name(i.project, i.name), i.kind, i.commit, f"input {i.label}", depth + 1)
            for i in run.inputs
        ]
        return msgspec.structs.replace(nodes.of_run(run, title), children=tuple(below))

    def _chain(self, start: str, known: set[str]) -> tuple[list[tuple[str, Commit]], Gap | None, str | None]:
        """The commit and those before it that are of its own dataset, newest first.

        With what was left out in the middle, and the commit at which the chain meets one that is
        known, if it does. Of a merge, the commits of the branch that it landed on.
        """
        head: list[tuple[str, Commit]] = []
        tail: deque[tuple[str, Commit]] = deque()
        dropped, newest, oldest, merges = 0, "", "", 0
        at: str | None = start
        while at is not None and at not in known:
            commit = self._repository.commit(at)
            if len(head) < CHAIN_SHOWN - _CHAIN_END:
                head.append((at, commit))
            else:
                tail.append((at, commit))
            if len(tail) > _CHAIN_END:
                oldest, left_out = tail.popleft()
                newest, dropped = newest or oldest, dropped + 1
                merges += len(left_out.parents) > 1
                self._between.add(oldest)
            ends = commit.run or commit.origin or not commit.parents
            at = None if ends else commit.parents[0]
        return [*head, *tail], (dropped, newest, oldest, merges) if dropped else None, at

    def _merged(self, name: Name, kind: Kind, commit: Commit, depth: int) -> tuple[Node, ...]:
        """What a merge brought in, beside the commits of the branch that it landed on."""
        if depth >= DEPTH and commit.parents[1:]:
            return (nodes.of_depth(f"kamld why {ids.short(commit.parents[1])}"),)
        return tuple(
            self.version(name, kind, parent, "merged", depth + 1, merged=True)
            for parent in commit.parents[1:]
        )

    def _below(self, commit_id: str, commit: Commit, depth: int) -> tuple[Node, ...]:
        """What a commit was made from, other than the commit before it."""
        if not (commit.run or commit.origin):
            return ()
        if depth >= DEPTH:
            return (nodes.of_depth(f"kamld why {ids.short(commit_id)}"),)
        below = []
        if commit.run:
            below.append(_under(self.run(commit.run, depth + 1), "produced by"))
        if origin := commit.origin:
            name = Name(origin.project, origin.name)
            via = "split from" if commit.split else "made from"
            below.append(self.version(name, self._kind(origin), origin.commit, via, depth + 1))
        return tuple(below)

    def _commit(self, name: Name, kind: Kind, commit_id: str, commit: Commit) -> Node:
        tree = self._repository.kept_tree(commit)
        totals = {"entries": tree.count, "bytes": tree.size} if tree else {}
        number = self._number(name, kind, commit_id)
        run = self._run(commit.run) if commit.run else None
        title = self._title(name, kind, commit_id)
        node = nodes.of_commit(commit_id, commit, kind, title, run=run, totals=totals)
        details = {"project": name.project, "name": name.name} | node.details
        if number:
            details["version"] = number
        return msgspec.structs.replace(node, details=details)

    def _repeated(self, name: Name, kind: Kind, commit_id: str, via: str) -> Node:
        title = self._title(name, kind, commit_id)
        return Node(sort=kind, title=title, id=commit_id, via=via, repeated=True)

    def _title(self, name: Name, kind: Kind, commit_id: str) -> str:
        number = self._number(name, kind, commit_id)
        return f"{self._plain(name)} v{number}" if number else self._plain(name)

    def _plain(self, name: Name) -> str:
        return name.name if name.project == self._project else str(name)

    def _number(self, name: Name, kind: Kind, commit_id: str) -> int | None:
        if kind == "model" and name not in self._numbers:
            dataset = self._repository.names.follow(name)
            given = self._repository.refs.versions(dataset) if dataset else {}
            self._numbers[name] = {commit: number for number, commit in given.items()}
        return self._numbers.get(name, {}).get(commit_id)

    def _kind(self, origin: Origin) -> Kind:
        """What has the name now need not be what had it then; only datasets are made others from."""
        dataset = self._repository.names.bound(origin.dataset, Name(origin.project, origin.name))
        return dataset.kind if dataset else "dataset"

    def _run(self, run_id: str) -> Run | None:
        if run_id not in self._runs:
            try:
                self._runs[run_id] = self._repository.sealed.run(run_id)
            except NotFound:
                self._runs[run_id] = None
        return self._runs[run_id]


def _under(node: Node, via: str) -> Node:
    return msgspec.structs.replace(node, via=via)
