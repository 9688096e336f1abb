"""How errors look: what was wrong, what to do next, the code at the end."""

import errno
import json
import os

import click

from kamld.cli.advice import complete
from kamld.cli.terminal import safe
from kamld.errors import KamldError, SystemFault, UsageError


def show_error(error: KamldError, *, as_json: bool) -> int:
    """Write the error to stderr (for programs to stdout as JSON, one shape always); its status."""
    hint = complete(error.hint)
    if as_json:
        shape = {"error": {"code": error.code, "message": _text(error.message), "hint": _text(hint)}}
        click.echo(json.dumps(shape, ensure_ascii=False))
    else:
        click.echo(click.style(safe(error.message), fg="red") + f"  ({error.code})", err=True)
        if hint:
            click.echo(safe(hint), err=True)
    return error.exit_status


def _text(said: str) -> str:
    """Bytes of names that are no text written out, as on a terminal."""
    return said.encode("utf-8", "backslashreplace").decode()


def usage_fault(error: click.ClickException) -> UsageError:
    """What click found wrong with a command line, as one of our errors."""
    said = _said(error)
    near = getattr(error, "possibilities", None)
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "kamld"
    hint = f"Did you mean {' or '.join(sorted(near))}?" if near else f"{path} --help shows how it is typed."
    return UsageError("usage", said if said.endswith((".", "?", "!")) else f"{said}.", hint)


def _said(error: click.ClickException) -> str:
    if isinstance(error, click.NoSuchOption):
        return f"There is no option {error.option_name}."
    param = error.param if isinstance(error, click.BadParameter) else None
    if param is None or not isinstance(error, click.BadParameter):
        return error.format_message()
    is_option, context = isinstance(param, click.Option), error.ctx
    what = param.opts[-1] if is_option else param.human_readable_name.upper()
    if isinstance(error, click.MissingParameter):
        return f"Missing: {what if is_option or context is None else param.make_metavar(context)}."
    return f"{what}: {error.message}"


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
