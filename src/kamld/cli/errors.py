"""How errors look: what was wrong, what to do next, the code at the end."""

import json

import click

from kamld.errors import KamldError


def show_error(error: KamldError, *, as_json: bool) -> int:
    """Write the error to stderr (for programs to stdout as JSON, one shape always); its status."""
    if as_json:
        shape = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        click.echo(json.dumps(shape, ensure_ascii=False))
    else:
        click.echo(click.style(error.message, fg="red") + f"  ({error.code})", err=True)
        if error.hint:
            click.echo(error.hint, err=True)
    return error.exit_status
