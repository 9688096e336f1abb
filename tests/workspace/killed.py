"""Dying at a marked moment: a process that ends, as by `kill -9`, right before or after a function.

python -m tests.workspace.killed WHEN HUB FOLDER NAME [amend | BRANCH]     commits the folder

WHEN is `before:MODULE:ATTRIBUTE`, `after:…`, or `never`.
"""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from kamld.blobs import FolderBlobs
from kamld.errors import KamldError
from kamld.records.names import Name
from kamld.store import open_hub
from kamld.workspace import Wish, commit_folder

STATUS = 9


def die(when: str) -> None:
    """Make this process die there."""
    if when == "never":
        return
    side, module, attribute = when.split(":")
    owner: Any = importlib.import_module(module)
    *inner, last = attribute.split(".")
    for name in inner:
        owner = getattr(owner, name)
    real = getattr(owner, last)

    def last_words(*words: object, **named: object) -> None:
        if side == "after":
            real(*words, **named)
        os._exit(STATUS)

    setattr(owner, last, last_words)


def main() -> int:
    when, hub, folder, name, *how = sys.argv[1:]
    wish = Wish() if not how else Wish(amend=True) if how == ["amend"] else Wish(branch=how[0])
    repository = open_hub(FolderBlobs(Path(hub)), 2)
    die(when)
    try:
        commit_folder(
            repository, Path(folder), "m", name=Name("default", name), kind="dataset", author="me", wish=wish
        )
    except KamldError as error:
        os.write(2, f"{error.code}: {error}\n".encode())
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
