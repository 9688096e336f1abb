"""Working folders: what is in them, what changed, committing them, checking versions out."""

from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.checkout import check_out, materialise
from kamld.workspace.commit import CommitResult, commit_folder
from kamld.workspace.scan import scan
from kamld.workspace.settle import find_binding, settle
from kamld.workspace.snapshot import snapshot
from kamld.workspace.status import Status, folder_status
from kamld.workspace.tree_cache import Lease, TreeCache

__all__ = [
    "Binding",
    "CommitResult",
    "Lease",
    "Status",
    "TreeCache",
    "check_out",
    "commit_folder",
    "find_binding",
    "folder_status",
    "materialise",
    "read_binding",
    "scan",
    "settle",
    "snapshot",
]
