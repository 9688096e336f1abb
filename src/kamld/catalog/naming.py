"""What a word means where any sort of thing may be named: a version, a run, an endpoint, a
prediction. Asks the store; the catalog only for the dataset of a bare commit id.

A bare word is a dataset or model first. `run:41`, `endpoint:x`, `prediction:…`, `dataset:x` and
`model:x` say the sort; a bare number or 32 hex digits are a run, 26 letters and digits of base 32 a
prediction, other hex digits the beginning of a commit's or a run's id.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

from kamld import ids
from kamld.errors import Invalid, NotFound
from kamld.ids import PredictionId
from kamld.records.history import Dataset
from kamld.records.names import Name, check_word, parse_name, parse_reference
from kamld.records.run import Run
from kamld.store import Repository
from kamld.store.refs.revisions import Resolved

_NUMBER = re.compile(r"[1-9][0-9]{0,7}")
_HEX = re.compile(r"[0-9a-f]{4,64}")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_ADVICE = (
    "Name a dataset, model or endpoint, a version (flowers@v2), a run (run:41), or a prediction by its id."
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    name: Name


Meaning = PredictionId | Endpoint | Run | Resolved
Owners = Callable[[str], Sequence[tuple[str, Dataset]]]
"""Commits whose id begins so, each beside every dataset that it is part of; the catalog's."""


def meaning(repository: Repository, text: str, *, project: str, owners: Owners) -> Meaning:
    """Raises NotFound (unknown_…), with what it may have been, or Invalid (ambiguous_name, …)."""
    return _Words(repository, project, owners).meaning(text)


def find_run(repository: Repository, text: str, *, project: str) -> Run:
    """A sealed run by its number in a project (`41`, `vision/41`), its id, or its id's beginning.

    Raises NotFound (unknown_run), Invalid (ambiguous_run, bad_name).
    """
    of, slash, word = text.rpartition("/")
    if slash:
        check_word(of, "project")
    if _NUMBER.fullmatch(word):
        try:
            return repository.sealed.run_by_number(of if slash else project, int(word))
        except NotFound:
            if slash or len(word) < 4:
                raise
    if slash or not _HEX.fullmatch(word):
        raise NotFound("unknown_run", f'No run "{text}".', "kamld runs shows all, with numbers.")
    if _RUN_ID.fullmatch(word):
        return repository.sealed.run(word)
    found = [run_id for run_id in repository.sealed.run_ids() if run_id.startswith(word)]
    if len(found) > 1:
        said = f'"{word}" is the beginning of {len(found)} runs\' ids.'
        raise Invalid("ambiguous_run", said, "Write more of it, or the run's number.")
    if not found:
        raise NotFound("unknown_run", f'No run "{text}".', "kamld runs shows all, with numbers.")
    return repository.sealed.run(found[0])


class _Words:
    def __init__(self, repository: Repository, project: str, owners: Owners) -> None:
        self._repository = repository
        self._project = project
        self._owners = owners

    def meaning(self, text: str) -> Meaning:
        if "…" in text:
            said = f'"{text}" was shortened to be shown.'
            raise Invalid("shortened_id", said, "Write it in full, or only its beginning.")
        sort, colon, rest = text.partition(":")
        if colon and rest:
            if sort == "run":
                return self._run(rest)
            if sort == "endpoint":
                return self._endpoint(rest)
            if sort == "prediction":
                return self._prediction(rest)
            if sort in ("dataset", "model"):
                return self._version(rest, sort)
        if set(text) & set("@:/"):
            return self._qualified(text)
        return self._bare(text)

    def _endpoint(self, text: str) -> Endpoint:
        name = parse_name(text, self._project)
        if not self._is_endpoint(name):
            there = [str(endpoint) for endpoint in self._repository.sealed.endpoints()]
            near = get_close_matches(str(name), there, 1)
            advice = f'Did you mean "{near[0]}"?' if near else "kamld deployments shows all."
            raise NotFound("unknown_endpoint", f"No endpoint {name} in this hub.", advice)
        return Endpoint(name)

    def _run(self, text: str) -> Run:
        return find_run(self._repository, text, project=self._project)

    def _prediction(self, text: str) -> PredictionId:
        prediction = ids.parse_prediction_id(text)
        if not self._is_prediction(prediction):
            raise NotFound(
                "unknown_prediction",
                f"No deployment of this hub made a prediction {text}.",
                "Compare it with the kamld-prediction-id header; it may be another hub's.",
            )
        return prediction

    def _version(self, text: str, kind: str | None = None) -> Resolved:
        reference = parse_reference(text, self._project)
        if reference.path:
            raise Invalid(
                "path_in_name",
                f"{text} names a file; a version is needed here.",
                f"Leave out :{reference.path}",
            )
        found = self._repository.resolve(reference)
        if kind and found.dataset.kind != kind:
            raise Invalid(
                "other_kind", f"{reference.name} is a {found.dataset.kind}.", "Write only its name."
            )
        return found

    def _qualified(self, text: str) -> Meaning:
        name = parse_reference(text, self._project).name
        if not self._repository.names.find(name):
            if text == str(name) and self._is_endpoint(name):
                return Endpoint(name)
            raise self._unknown(text, name)
        return self._version(text)

    def _bare(self, word: str) -> Meaning:
        name = parse_name(word, self._project)
        found: dict[str, Callable[[], Meaning]] = {}
        if self._repository.names.find(name):
            found[str(name)] = partial(self._version, word)
        elif self._is_endpoint(name):
            found[f"endpoint:{word}"] = partial(Endpoint, name)
        if ids.is_prediction_id(word) and self._is_prediction(ids.parse_prediction_id(word)):
            found[f"prediction:{word}"] = partial(self._prediction, word)
        if self._is_run(word):
            found[f"run:{word}"] = partial(self._run, word)
        if not found and _HEX.fullmatch(word.lower()):
            found = self._by_beginning(word.lower())
        if len(found) > 1:
            said = f'"{word}" may be several things.'
            raise Invalid("ambiguous_name", said, f"Write one of: {', '.join(found)}.")
        if not found:
            raise self._unknown(word, name)
        return next(iter(found.values()))()

    def _by_beginning(self, word: str) -> dict[str, Callable[[], Meaning]]:
        """Commits and runs whose ids begin so, by how each is written plainly."""
        found: dict[str, Callable[[], Meaning]] = {}
        for commit_id, dataset in self._owners(word):
            plain = f"{dataset.project}/{dataset.name}@{ids.short(commit_id)}"
            exact = f"{dataset.project}/{dataset.name}@{commit_id}"
            found[plain] = partial(self._version, exact)
        for run_id in self._repository.sealed.run_ids():
            if run_id.startswith(word):
                found[f"run:{run_id}"] = partial(self._repository.sealed.run, run_id)
        return found

    def _is_endpoint(self, name: Name) -> bool:
        return name in self._repository.sealed.last_events()

    def _is_run(self, word: str) -> bool:
        if not (_NUMBER.fullmatch(word) or _RUN_ID.fullmatch(word)):
            return False
        try:
            self._run(word)
        except NotFound:
            return False
        return True

    def _is_prediction(self, prediction: PredictionId) -> bool:
        try:
            event = self._repository.sealed.event(prediction.event)
        except NotFound:
            return False
        return prediction.slot < len(event.versions)

    def _unknown(self, text: str, name: Name) -> NotFound:
        there: dict[str, str] = {}
        for dataset in self._repository.names.all():
            there[self._plain(Name(dataset.project, dataset.name))] = ""
        for endpoint in self._repository.sealed.endpoints():
            there.setdefault(self._plain(endpoint), "endpoint:")
        near = get_close_matches(self._plain(name), there, 3, 0.6)
        said = " or ".join(f'"{there[word]}{word}"' for word in near)
        advice = f"Did you mean {said}?" if near else _ADVICE
        return NotFound("unknown_name", f'Nothing in this hub goes by "{text}".', advice)

    def _plain(self, name: Name) -> str:
        return name.name if name.project == self._project else str(name)
