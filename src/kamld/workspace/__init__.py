"""Working folders: what is in them, what changed, committing them, checking versions out."""

from kamld.workspace.binding import Binding, find_binding, read_binding
from kamld.workspace.checkout import check_out, export, materialise
from kamld.workspace.commit import CommitResult, commit_folder
from kamld.workspace.scan import scan
from kamld.workspace.snapshot import snapshot
from kamld.workspace.status import Status, folder_status

__all__ = [
    "Binding",
    "CommitResult",
    "Status",
    "check_out",
    "commit_folder",
    "export",
    "find_binding",
    "folder_status",
    "materialise",
    "read_binding",
    "scan",
    "snapshot",
]
