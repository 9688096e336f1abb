"""Names of datasets and models. A name leads to an id that never changes; refs belong to the id."""

import re
from collections.abc import Callable
from difflib import get_close_matches

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name
from kamld.store.envelope import seal, unseal

PREFIX = "names/"
_KEY = re.compile(r"names/[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*\.json")


class Names:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def create(self, name: Name, kind: Kind, is_made: Callable[[Dataset], bool]) -> Dataset:
        """The dataset of this name that is still to be made: a new one, or one that somebody else
        began and did not finish, which may be us. A record is never taken away again, for they may
        be finishing it at this moment. Raises Conflict (name_taken).
        """
        key = _key(name)
        while True:
            present = self._read(key)
            there = unseal(present, Dataset, key) if present is not None else None
            if there and is_made(there):
                raise Conflict(
                    "name_taken",
                    f"There is a dataset or model {name} already.",
                    "Choose another name with --name.",
                )
            if there and there.kind == kind:
                return there
            dataset = Dataset(
                id=there.id if there else ids.new_id(), project=name.project, name=name.name, kind=kind,
                created=clock.now(),
            )  # fmt: skip
            try:
                self._blobs.swap(key, present, seal(dataset))
            except Changed:  # perhaps by an earlier try of ours, whose reply was lost
                continue
            return dataset

    def get(self, name: Name) -> Dataset:
        """Raises NotFound (unknown_name), with the nearest name there is."""
        found = self.find(name)
        if found is None:
            raise NotFound("unknown_name", f"No dataset or model {name} in this hub.", self._advice(name))
        return found

    def find(self, name: Name) -> Dataset | None:
        data = self._read(_key(name))
        return unseal(data, Dataset, _key(name)) if data is not None else None

    def all(self) -> list[Dataset]:
        keys = [listed.key for listed in self._blobs.list(PREFIX)]
        return [unseal(self._blobs.get(key), Dataset, key) for key in keys if _KEY.fullmatch(key)]

    def _read(self, key: str) -> bytes | None:
        try:
            return self._blobs.get(key)
        except Missing:
            return None

    def _advice(self, name: Name) -> str:
        there = {str(Name(d.project, d.name)): d for d in self.all()}
        near = get_close_matches(str(name), there, 1, 0.75) or [
            full for full, dataset in there.items() if dataset.name == name.name
        ]
        if near:
            return f'Did you mean "{near[0]}"?'
        return "kamld ls shows those there are; kamld commit FOLDER makes one."


def _key(name: Name) -> str:
    return f"{PREFIX}{name.project}/{name.name}.json"
