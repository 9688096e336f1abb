"""Runs the blocks of one page as its reader would: one shell, one folder, an empty home.

Whatever the page started is stopped at its end; what `kamld stop --all` leaves running is an error.
"""

import contextlib
import difflib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

from kamld.mount.launch import unmount
from kamld.mount.records import mounted_folders
from tests.docs.pages import Block, Command, blocks, commands, matches

COMMAND_SECONDS = 150
STOP_SECONDS = 10

_SHELL = """
while IFS= read -r -d '' -u {read} _command; do
    rm -f "$1"  # what still runs writes to the old one
    eval "$_command" {read}<&- {write}>&- </dev/null >"$1" 2>&1
    printf '%s\\n' "$?" >&{write}
done
"""
_PYTHON = """
import json, os, sys, traceback
requests, replies, output = open({read}), open({write}, "w"), sys.argv[1]
names = {{"__name__": "__main__"}}
for request in map(json.loads, requests):
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if os.path.exists(output):
        os.unlink(output)
    printed = os.open(output, os.O_WRONLY | os.O_CREAT)
    os.dup2(printed, 1), os.dup2(printed, 2), os.close(printed)
    status = 0
    try:
        exec(compile(request["source"], request["name"], "exec"), names)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush(), sys.stderr.flush()
    print(status, file=replies, flush=True)
"""


class Wrong(AssertionError):
    """The page says one thing, and the program does another."""


class Companion:
    """A program that lives as long as the page and does as it is told, one request at a time."""

    def __init__(self, starter: list[str], script: str, words: list[str], box: "Sandbox") -> None:
        requests, self._requests = os.pipe()
        self._replies, replies = os.pipe()
        self._output = Path(words[-1])
        self.process = subprocess.Popen(
            [*starter, script.format(read=requests, write=replies), *words],
            pass_fds=(requests, replies),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            cwd=box.work,
            env=box.environment,
        )
        os.close(requests)
        os.close(replies)

    def ask(self, request: str) -> tuple[int, list[str]]:
        """Exit status, and the lines that it printed. Raises Wrong when it takes too long."""
        os.write(self._requests, request.encode())
        ready, _, _ = select.select([self._replies], [], [], COMMAND_SECONDS)
        if not ready:
            raise Wrong(f"no end after {COMMAND_SECONDS} s:\n{self._output.read_text()}")
        reply = os.read(self._replies, 100).decode().strip()
        printed = self._output.read_text("utf-8", "replace").splitlines()
        return int(reply or "-1"), printed

    def close(self) -> None:
        os.close(self._requests)
        os.close(self._replies)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Sandbox:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.work = folder / "work"
        self.home = folder / "home"
        for needed in (self.work, self.home, folder / "tmp"):
            needed.mkdir(parents=True)
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(folder / "tmp"),
            "LANG": "C.UTF-8",
            "TERM": "dumb",
            "NO_COLOR": "1",
            "COLUMNS": "100",
        }
        output = str(folder / "shell-output")
        self._shell = Companion(["bash", "-c"], _SHELL, ["bash", output], self)
        self._python: Companion | None = None

    def shell(self, command: str) -> tuple[int, list[str]]:
        return self._shell.ask(f"{command}\0")

    def python(self, name: str, source: str) -> tuple[int, list[str]]:
        """In the shell's folder and with its variables; names stay for the page's next block."""
        if self._python is None:
            output = str(self.folder / "python-output")
            self._python = Companion([sys.executable, "-c"], _PYTHON, [output], self)
        folder = "\n".join(self.shell("pwd")[1])
        pairs = "\n".join(self.shell("env -0")[1]).rstrip("\0").split("\0")
        request = {
            "name": name,
            "source": source,
            "folder": folder,
            "environment": dict(pair.split("=", 1) for pair in pairs),
        }
        return self._python.ask(json.dumps(request) + "\n")

    def close(self) -> list[str]:
        """Stop what the page started. The commands that had to be ended by force."""
        for hub in self.folder.rglob("kamld-hub.json"):
            environment = self.environment | {"KAMLD_HUB": str(hub.parent)}
            stop = ["kamld", "stop", "--all"]
            subprocess.run(stop, env=environment, timeout=60, check=False, capture_output=True)
        for companion in filter(None, (self._shell, self._python)):
            companion.close()
        for mounted in mounted_folders():
            if mounted.startswith(f"{self.folder}/"):
                unmount(Path(mounted), gone=True)
        left = self._processes_after(STOP_SECONDS)
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        self._processes_after(STOP_SECONDS)
        return list(left.values())

    def _processes_after(self, seconds: float) -> dict[int, str]:
        """Those that are still there then; earlier once three looks in a row found none, for a
        process that becomes another program has no environment to be known by at that moment."""
        until = time.monotonic() + seconds
        empty = 0
        while True:
            left = dict(self._processes())
            empty = 0 if left else empty + 1
            if empty == 3 or (left and time.monotonic() > until):
                return left
            time.sleep(0.05)

    def _processes(self) -> Iterator[tuple[int, str]]:
        """Ids and commands of those that were started with this page's home."""
        mine = f"HOME={self.home}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mine in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    yield int(entry.name), command.decode("utf-8", "replace")


def run_page(path: Path, folder: Path) -> None:
    """Raises BadPage, or Wrong with the difference for the first block that is not as it says."""
    page = blocks(path)
    sandbox = Sandbox(folder)
    try:
        for block, after in zip_longest(page, page[1:]):
            _run_block(sandbox, path, block, after)
    finally:
        left = sandbox.close()
    if left:
        raise Wrong(f"{path}: still running at the end of the page: {', '.join(left)}")


def _run_block(sandbox: Sandbox, path: Path, block: Block, after: Block | None) -> None:
    if "not run" in block.notes:
        return
    if first := block.notes.get("first"):
        _check(sandbox, path, Command(block.line, first, []), 0)
    if name := block.notes.get("file"):
        folder = "\n".join(sandbox.shell("pwd")[1])
        Path(folder, name).write_text(block.text, "utf-8")
    elif block.kind == "console":
        listed = commands(path, block)
        for command in listed:
            last = command is listed[-1]
            _check(sandbox, path, command, int(block.notes.get("exits", 0)) if last else 0)
    elif block.kind == "python":
        status, printed = sandbox.python(f"{path.name}:{block.line}", block.text)
        expected = after.lines if after and after.kind == "output" else []
        _compare(f"{path}:{block.line}: the Python block", expected, printed, status, 0)


def _check(sandbox: Sandbox, path: Path, command: Command, exits: int) -> None:
    status, printed = sandbox.shell(command.text)
    where = f"{path}:{command.line}: $ {command.text}"
    _compare(where, command.expected, printed, status, exits)


def _compare(where: str, expected: list[str], printed: list[str], got: int, exits: int) -> None:
    if got != exits:
        raise Wrong("\n".join([f"{where}\nexits {got}, not {exits}:", *printed]))
    if expected and not matches(expected, printed):
        difference = difflib.unified_diff(expected, printed, "the page", "the program", lineterm="")
        raise Wrong("\n".join([where, *difference]))
