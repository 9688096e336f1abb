"""How errors look: what was wrong, what to do next, the code at the end."""

import errno
import json
import os

import click

from kamld.cli.terminal import safe
from kamld.errors import KamldError, SystemFault


def show_error(error: KamldError, *, as_json: bool) -> int:
    """Write the error to stderr (for programs to stdout as JSON, one shape always); its status."""
    if as_json:
        shape = {"error": {"code": error.code, "message": _text(error.message), "hint": _text(error.hint)}}
        click.echo(json.dumps(shape, ensure_ascii=False))
    else:
        click.echo(click.style(safe(error.message), fg="red") + f"  ({error.code})", err=True)
        if error.hint:
            click.echo(safe(error.hint), err=True)
    return error.exit_status


def _text(said: str) -> str:
    """Bytes of names that are no text written out, as on a terminal."""
    return said.encode("utf-8", "backslashreplace").decode()


def machine_fault(error: OSError) -> SystemFault:
    """The machine's refusal where no room expected it."""
    if error.errno == errno.ENOTCONN:
        place = str(error.filename or "This").partition("/.kamld")[0]
        said = f"{place} is a mount that nobody serves any more."
        return SystemFault("mount_gone", said, "kamld umount removes it; what was written to it is kept.")
    where = f" {error.filename}" if error.filename else ""
    return SystemFault("io_error", f"The machine refused{where}: {error.strerror or error}.")


def internal_fault(error: Exception) -> SystemFault:
    """A fault of ours. What a developer needs is kept in a file; nothing is sent anywhere."""
    import tempfile  # neither is worth loading for a command that works
    import traceback

    hint = "Please report it."
    try:
        file, path = tempfile.mkstemp(prefix="kamld-", suffix=".txt")
        with os.fdopen(file, "w", encoding="utf-8", errors="replace") as report:
            report.writelines(traceback.format_exception(error))
        hint = f"Please report it with {path}, which says where it happened."
    except OSError:
        pass
    name = type(error).__name__
    return SystemFault("internal", f"This is a fault in kamld itself ({name}): {error}", hint)
