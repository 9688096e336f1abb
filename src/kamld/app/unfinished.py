"""What the hub must keep for work on this machine that is not finished, of which the hub does not know."""

from kamld.app import App
from kamld.app.mounts import mounts_folder
from kamld.mount import kept_for_layers
from kamld.runs.draft import kept_for
from kamld.store.gc import Root


def unfinished(app: App) -> frozenset[Root]:
    """For runs that are not closed, and for mounts with changes that are not committed."""
    return frozenset([*kept_for(app.local), *kept_for_layers(mounts_folder(app))])
