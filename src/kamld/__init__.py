"""KAML-D: one versioned home for datasets, models, and everything that happens between them.

Importing this costs nothing: a name is loaded when it is first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kamld.api.dataset import dataset as dataset
    from kamld.api.dataset import init as init
    from kamld.api.dataset import model as model
    from kamld.api.hub import hub as hub
    from kamld.api.inside_run import input as input
    from kamld.api.inside_run import log_metrics as log_metrics
    from kamld.api.inside_run import output as output
    from kamld.api.inside_run import params as params
    from kamld.api.inside_run import run_id as run_id
    from kamld.errors import KamldError as KamldError

    __version__: str

_HOMES = {
    "KamldError": "kamld.errors",
    "dataset": "kamld.api.dataset",
    "hub": "kamld.api.hub",
    "init": "kamld.api.dataset",
    "input": "kamld.api.inside_run",
    "log_metrics": "kamld.api.inside_run",
    "model": "kamld.api.dataset",
    "output": "kamld.api.inside_run",
    "params": "kamld.api.inside_run",
    "run_id": "kamld.api.inside_run",
}
__all__ = [
    "KamldError", "dataset", "hub", "init", "input", "log_metrics", "model", "output", "params", "run_id",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("kamld")
    elif name in _HOMES:
        from importlib import import_module

        found = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'kamld' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
