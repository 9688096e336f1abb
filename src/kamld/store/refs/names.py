"""Names of datasets and models. A name leads to an id that never changes; refs belong to the id."""

from difflib import get_close_matches

from kamld import clock, ids
from kamld.blobs import Blobs, Changed, Missing
from kamld.errors import Conflict, NotFound
from kamld.records.encoding import decode, encode
from kamld.records.history import Dataset, Kind
from kamld.records.names import Name

PREFIX = "names/"


class Names:
    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def create(self, name: Name, kind: Kind) -> Dataset:
        """Raises Conflict (name_taken)."""
        dataset = Dataset(
            id=ids.new_id(), project=name.project, name=name.name, kind=kind, created=clock.now()
        )
        try:
            self._blobs.swap(_key(name), None, encode(dataset))
        except Changed as now:
            if now.value == encode(dataset):  # it had landed; only the reply was lost
                return dataset
            raise Conflict(
                "name_taken",
                f"There is a dataset or model {name} already.",
                "Choose another name with --name.",
            ) from None
        return dataset

    def get(self, name: Name) -> Dataset:
        """Raises NotFound (unknown_name), with the nearest name there is."""
        found = self.find(name)
        if found is None:
            raise NotFound("unknown_name", f"No dataset or model {name} in this hub.", self._advice(name))
        return found

    def find(self, name: Name) -> Dataset | None:
        try:
            return decode(self._blobs.get(_key(name)), Dataset, _key(name))
        except Missing:
            return None

    def all(self) -> list[Dataset]:
        keys = [listed.key for listed in self._blobs.list(PREFIX)]
        return [decode(self._blobs.get(key), Dataset, key) for key in keys]

    def remove(self, dataset: Dataset) -> None:
        """Forget a name that nothing was landed under yet."""
        self._blobs.delete(_key(Name(dataset.project, dataset.name)))

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
