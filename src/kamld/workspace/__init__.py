"""Working folders: what is in them, what changed, committing them, checking versions out."""

from kamld.scan.listing import scan
from kamld.workspace.binding import Binding, read_binding
from kamld.workspace.checkout import check_out
from kamld.workspace.commit import CommitResult, commit_folder
from kamld.workspace.committing.plan import Wish
from kamld.workspace.placing.files import materialise
from kamld.workspace.placing.tree_cache import Lease, TreeCache
from kamld.workspace.settle import find_binding, settle
from kamld.workspace.snapshot import snapshot
from kamld.workspace.status import Status, folder_status

__all__ = [
    "Binding",
    "CommitResult",
    "Lease",
    "Status",
    "TreeCache",
    "Wish",
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
