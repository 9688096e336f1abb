"""Work that never waits, shared with a copy of this process: threads would take turns at it."""

from kamld.workspace.processes.copies import Copy, begin, may_fork

__all__ = ["Copy", "begin", "may_fork"]
