"""A whole hub as a handle: what is in it, and the verbs that are about all of it."""

from dataclasses import dataclass

from kamld.api.connect import connect
from kamld.api.dataset import Dataset, Model, Where
from kamld.api.shown import Listing, html, plain, size
from kamld.app import App
from kamld.records.names import MAIN


@dataclass(frozen=True, slots=True)
class Named:
    """A dataset or model of a hub, and its newest version."""

    name: str  # with the project
    kind: str
    commit: str
    time: str
    files: int
    bytes: int

    def _shown(self) -> dict[str, str]:
        return {
            "name": self.name, "kind": self.kind, "files": f"{self.files:,}", "size": size(self.bytes),
            "time": self.time[:19] + "Z",
        }  # fmt: skip


class Hub:
    """Made by `kamld.hub`."""

    def __init__(self, app: App) -> None:
        self._app = app

    @property
    def location(self) -> str:
        return self._app.settings.hub

    def dataset(self, name: str) -> Dataset:
        """As `kamld.dataset`, in this hub."""
        return Dataset(self._app, name)

    def model(self, name: str) -> Model:
        """As `kamld.model`, in this hub."""
        return Model(self._app, name)

    def ls(self) -> Listing[Named]:
        """Datasets and models that have a version. Raises NotFound (no_hub)."""
        repository, found = self._app.repository, []
        for record in repository.names.all():
            ref = repository.refs.find(record, MAIN)
            if ref is None or ref.commit is None:
                continue
            commit = repository.commit(ref.commit)
            tree, name = repository.tree(commit), f"{record.project}/{record.name}"
            found.append(Named(name, record.kind, ref.commit, commit.time, tree.count, tree.size))
        return Listing(found)

    def __repr__(self) -> str:
        return f"<hub {plain(self.location)}>"

    def _repr_html_(self) -> str:
        return html({"hub": plain(self.location)})


def hub(folder: Where | None = None, *, project: str | None = None) -> Hub:
    """A handle on the hub of the settings, or on the one in this folder."""
    return Hub(connect(folder, project))
