"""How endpoints look, to programs and to people."""

from collections.abc import Sequence
from typing import Any

from kamld.cli import render
from kamld.records.deployment import ServedVersion
from kamld.serving.interface import EndpointState


def endpoint_json(name: str, state: EndpointState, url: str) -> dict[str, Any]:
    """`grpc_url` is null: there is no gRPC server yet."""
    return {
        "name": name,
        "project": state.project,
        "state": state.state,
        "url": url,
        "grpc_url": None,
        "versions": [{"version": v.version, "commit": v.commit, "weight": v.weight} for v in state.versions],
    }


def endpoint_lines(versions: Sequence[ServedVersion]) -> None:
    rows = [
        (v.version, f"{v.weight} %", f"{v.project}/{v.name}", render.commit_id(v.commit)) for v in versions
    ]
    render.table(rows, right=(1,), indent="  ")
