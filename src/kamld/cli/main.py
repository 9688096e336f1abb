"""The `kamld` command: a table of verbs, each loaded only when it is used, and the one place where
errors become text and exit statuses."""

import gc
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

import click

from kamld.cli import advice
from kamld.cli.errors import internal_fault, machine_fault, show_error, usage_fault
from kamld.errors import KamldError, UsageError

# Verb: its line in `kamld --help`. Each is kamld/cli/verb_<name>.py, `-` as `_`.
SECTIONS: dict[str, dict[str, str]] = {
    "Versions of data and models": {
        "commit": "Keep what is in a folder as a new version.",
        "init": "Begin a dataset or model with a folder, without files.",
        "status": "Show what changed in a folder since its last commit.",
        "diff": "Show what differs between two versions.",
        "log": "Show the history of a dataset or model.",
        "show": "Show one version and what it changed.",
        "cat": "Write a file of any version to the output.",
        "checkout": "Get the files of any version into a folder.",
        "mount": "Have any version as a folder without a copy.",
        "umount": "End a mount.",
        "switch": "Make a folder another version, where it is.",
        "restore": "Have files of a folder back as they were.",
        "split": "Split a dataset into train and test, without copying.",
        "import": "Bring files from elsewhere into the hub, with their origin.",
        "export": "Write a version as a folder or archive, for anybody.",
        "branch": "Make, list or remove branches.",
        "tag": "Give a version a name that stays.",
        "alias": "Give a version a name that may move, such as champion.",
        "merge": "Bring what was done on one branch into another.",
        "resolve": "Decide about a conflict of a merge that waits.",
        "undo": "Take back a last step, or a removal.",
        "mv": "Rename a dataset or model.",
        "rm": "Remove a dataset or model; undo brings it back.",
        "ls": "List datasets and models, or the files of a version.",
    },
    "Runs": {
        "run": "Run a command on versions of data; keep what it makes.",
        "runs": "List runs and compare them.",
        "logs": "Print what a run printed.",
    },
    "Serving": {
        "deploy": "Serve a model version over HTTP.",
        "deployments": "Show what is served, and where.",
        "predict": "Ask a deployment about a picture, a row or an array.",
        "stop": "Stop a deployment.",
    },
    "Anything": {
        "why": "Trace anything back to the data it was made of.",
        "hub": "Show where the hub is and how full.",
        "du": "Show what takes the space, by dataset and model.",
        "doctor": "See how kamld and the hub are, and what is to be done.",
        "fsck": "Verify everything in the hub, byte by byte; repair it.",
        "purge": "Remove a file from every version for good.",
        "gc": "Give back the room of what nothing leads to any more.",
        "rebuild": "Make the catalog and the index anew from what is kept.",
        "demo": "See all of it at work, in a folder of its own.",
    },
}
HIDDEN = {
    "mount-process": "What `kamld mount` starts in the background.",
    "serving-supervisor": "What `kamld deploy` starts in the background.",
    "serving-process": "What the supervisor keeps alive.",
}
_LOOKS = "status"  # takes as long to look at a large folder as to load what it is compared with
_BLAS_THREADS = "OPENBLAS_NUM_THREADS"
VERBS = {verb: about for section in SECTIONS.values() for verb, about in section.items()} | HIDDEN


class Verbs(click.Group):
    """A group that knows its commands' names and help lines without loading them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [verb for verb in VERBS if verb not in HIDDEN]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        with _one_thread_of_numpy():
            module = import_module(f"kamld.cli.verb_{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.short_help = VERBS[cmd_name]
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for title, verbs in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(verbs.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        ctx.meta[advice.WORDS] = tuple(args)
        if args and args[0] == _LOOKS:
            _look_ahead(ctx, args[1:])
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            from difflib import get_close_matches  # 4 ms that only a mistake costs

            near = get_close_matches(args[0], VERBS, 1)
            hint = f'Did you mean "{near[0]}"?' if near else "kamld --help shows all."
            raise UsageError("usage", f'There is no verb "{args[0]}".', hint) from None


@contextmanager
def _one_thread_of_numpy() -> Iterator[None]:
    """NumPy would begin one a processor for algebra that no verb does, and each would look around for
    work for 0.1 s. What is said here is for its loading only: whoever we start is not to hear of it."""
    if _BLAS_THREADS in os.environ:
        yield
        return
    os.environ[_BLAS_THREADS] = "1"
    try:
        yield
    finally:
        del os.environ[_BLAS_THREADS]


def _look_ahead(ctx: click.Context, words: list[str]) -> None:
    ahead = import_module("kamld.scan.ahead")
    ctx.call_on_close(ahead.forget)
    ahead.begin(next((word for word in words if not word.startswith("-")), "."))


@click.group(
    cls=Verbs,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="kamld VERB --help shows examples. Names are written project/name@revision:path.",
)
@click.version_option(package_name="kamld", prog_name="kamld", message="%(prog)s %(version)s")
@click.option("--hub", metavar="FOLDER", help="Use this hub instead of the settings'.")
@click.option("--project", metavar="NAME", help="Project of names written without one.")
@click.pass_context
def cli(ctx: click.Context, hub: str | None, project: str | None) -> None:
    """One versioned home for datasets, models, and everything between raw files and a prediction.

    \b
    kamld commit photos -m "as delivered"     keeps a folder, for ever
    kamld log photos                          shows its versions
    kamld demo                                shows the rest, in a minute
    """
    changes = {"KAMLD_HUB": hub, "KAMLD_PROJECT": project}
    environment = os.environ | {key: value for key, value in changes.items() if value}
    ctx.obj = environment
    advice.hub_named(hub)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run one command and end the process with its status."""
    gc.set_threshold(100_000)  # a large folder's rows are no garbage: to look for some costs a tenth
    status = run(arguments)
    gc.freeze()  # nor is anything at the end of the process: 10 ms
    sys.exit(status)


def run(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    as_json = "--json" in words[: words.index("--") if "--" in words else len(words)]
    advice.begin(VERBS)
    try:
        result: Any = cli.main(words, prog_name="kamld", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except KamldError as error:
        return show_error(error, as_json=as_json)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        return show_error(usage_fault(error), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            return _reader_gone()
        return show_error(machine_fault(error), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - whatever it is, a person gets a sentence, not a traceback
        return show_error(internal_fault(error), as_json=as_json)


def _reader_gone() -> int:
    """Whoever read our output went away, as `| head` does: say nothing more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
