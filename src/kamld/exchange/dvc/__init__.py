"""DVC repositories with their history: Git's commits, and what DVC tracked at each. Needs Git, not DVC."""

from kamld.exchange.dvc.history import History
from kamld.exchange.dvc.project import Project, find_project

__all__ = ["History", "Project", "find_project"]
