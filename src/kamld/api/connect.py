"""Where a script's handles come from: the settings, read as the command line reads them."""

import os
from pathlib import Path

from kamld import settings
from kamld.app import App
from kamld.records.names import leave_out


def connect(hub: str | os.PathLike[str] | None, project: str | None) -> App:
    """Opens nothing yet. Raises Invalid for bad settings."""
    given = {"KAMLD_HUB": os.fspath(hub) if hub is not None else "", "KAMLD_PROJECT": project or ""}
    environment = {**os.environ, **{key: value for key, value in given.items() if value}}
    folder = Path.cwd()
    app = App(settings.read(environment, folder), folder, environment, hub_named=hub is not None)
    leave_out("" if project else app.settings.project)  # what is given here, a command line does not know
    return app
