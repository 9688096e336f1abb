"""Commands that are killed at a moment of one's choosing: `kill -9`, at a few milliseconds each.

    python -m tests.cli.killing

reads lines of JSON `[seconds, folder, words, …]`: in a child of this warm process, which works in that
folder, each of `words` is a command, one after the other; after so many seconds the child is killed.
Answers each line with [whether it had ended by itself, seconds that it ran, commands that had ended].
"""

import json
import os
import shlex
import signal
import sys
import time
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from kamld.blobs import FolderBlobs
from kamld.cli.main import run
from kamld.store import open_hub
from kamld.store.gc import collect

VERBS = (
    "alias", "branch", "checkout", "commit", "export", "import", "init", "merge", "mv", "purge", "resolve",
    "restore", "rm", "split", "switch", "tag", "undo",
)  # fmt: skip


def main() -> int:
    for verb in VERBS:  # what they need is loaded once, here
        import_module(f"kamld.cli.verb_{verb}")
    for line in sys.stdin:
        seconds, place, *commands = json.loads(line)
        os.write(1, json.dumps(let_run(seconds, place, commands)).encode() + b"\n")
    return 0


def let_run(seconds: float, place: str, commands: list[str]) -> tuple[bool, float, int]:
    ended, say = os.pipe()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        be(Path(place), commands, say)
    os.close(say)
    status = None
    while status is None:
        done, seen = os.waitpid(child, os.WNOHANG)
        left = started + seconds - time.perf_counter()
        if done:
            status = seen
        elif left > 0:
            time.sleep(min(left, 0.0005))
        else:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
    spent = time.perf_counter() - started
    count = len(os.read(ended, 1000))
    os.close(ended)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        said = (Path(place) / "said").read_text()[-1000:]
        raise SystemExit(f"{commands[count]} ended with {os.WEXITSTATUS(status)}: {said}")
    return os.WIFEXITED(status), spent, count


def be(place: Path, commands: list[str], say: int) -> NoReturn:
    status = 70
    try:
        os.chdir(place)
        said = os.open("said", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, 1)
        os.dup2(said, 2)
        for words in commands:
            verb, *rest = shlex.split(words)
            status = collect_now(Path(rest[0])) if verb == "collect" else run([verb, *rest])
            if status == 1 and verb == "merge":
                status = 0  # it waits to be decided
            if status:
                break
            os.write(say, b".")
    finally:
        os._exit(status)


def collect_now(hub: Path) -> int:
    """As `kamld gc` does, but without the day between its two steps."""
    collect(open_hub(FolderBlobs(hub)), 30, timedelta(0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
