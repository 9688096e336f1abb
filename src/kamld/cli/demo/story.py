"""The demo's steps. Each runs the command it shows, in a process of its own, as a person would."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import click

from kamld.cli.demo.digits import correct_digits, write_digits
from kamld.errors import Conflict, SystemFault
from kamld.settings import FILE_NAME

_SETTINGS = 'hub = "hub"\nproject = "default"\n'


@dataclass
class Story:
    folder: Path
    inherited: Mapping[str, str]
    _step: int = field(default=0, init=False)

    @property
    def environment(self) -> dict[str, str]:
        """A hub of the demo's own; nothing of the person's settings, and this Python first."""
        own = {k: v for k, v in self.inherited.items() if not k.startswith("KAMLD_")}
        path = f"{Path(sys.executable).parent}{os.pathsep}{own.get('PATH', os.defpath)}"
        return own | {"PATH": path, "PWD": str(self.folder)}

    def tell(self) -> None:
        """All of it. Raises SystemFault (demo_failed) with the command that failed."""
        start = time.monotonic()
        try:
            self._data()
            self._training()
            self._serving()
        finally:
            self._quietly("stop", "--all")
        self._end(time.monotonic() - start)

    def _data(self) -> None:
        self._title("A folder of pictures becomes a dataset")
        digits = self.folder / "digits"
        count = write_digits(digits)
        self._say(f"digits/ has {count:,} handwritten digits in ten folders, and labels.csv.")
        self._kamld("commit", "digits", "-m", "as delivered")

        delivered = contents(digits)
        self._title("Some are cleaned, removed, added: a second version")
        correct_digits(digits)
        self._kamld("status", "digits")
        self._kamld("diff", "digits", "--patch")
        self._kamld("commit", "digits", "-m", "cleaned, 3 illegible ones removed, 3 new")
        self._kamld("log", "digits")

        self._title("The first delivery, as it was, byte for byte")
        self._kamld("checkout", "digits@main~1", "before")
        if contents(self.folder / "before") != delivered:
            raise SystemFault("demo_failed", "What was checked out is not what was delivered.")
        self._say(f"{len(delivered):,} files compared with the delivery: all equal.")

        self._title("Train and test, without copying, each file's side fixed for ever")
        self._kamld("split", "digits", "--test", "0.3", "--seed", "7")

    def _training(self) -> None:
        self._title("Training: an ordinary script, on versions of data")
        (self.folder / "train.py").write_text(train_script(), "utf-8")
        for strength in ("0.1", "10"):
            self._kamld(
                "run", "-i", "digits-train", "-i", "digits-test", "-o", "model:digits-net",
                "-p", f"C={strength}", "--", "python", "train.py",
            )  # fmt: skip
        self._kamld("runs")

    def _serving(self) -> None:
        runs = self._json("runs", "--json")
        best = max(runs, key=lambda run: run["metrics"].get("accuracy", 0))
        commit = best["outputs"][0]["commit"]
        self._title("The better one is named, and served")
        self._kamld("alias", f"digits-net@{commit[:12]}", "champion")
        self._kamld("deploy", "digits-net@champion")
        self._kamld("deployments")

        self._title("A prediction")
        answer = self._kamld("predict", "digits-net", "digits/3/0042.png", keep=True)

        self._title("What was it made of?")
        told = self._kamld("why", answer.split()[-1], keep=True)
        if "as delivered" not in told:
            raise SystemFault("demo_failed", "The prediction was not traced to the first delivery.")

        self._title("The end: what was started is stopped")
        self._kamld("stop", "digits-net")

    def _end(self, seconds: float) -> None:
        here = Path(os.path.relpath(self.folder))
        self._say("")
        self._say(f"That took {seconds:.0f} s. All of it is in {here}, with a hub of its own. Go on there:")
        if not shutil.which("kamld", path=self.inherited.get("PATH")):
            self._say(f'  export PATH="{Path(sys.executable).parent}:$PATH"')
        self._say(f"  cd {shlex.quote(str(here))}")
        self._say("  kamld why digits-net                      how the model came to be")
        self._say("  kamld runs --compare 1 2                  what made the difference")
        self._say("  kamld checkout digits work                change something, commit, split again")
        self._say('With a folder of your own:  kamld commit FOLDER -m "as delivered"')

    def _title(self, text: str) -> None:
        self._step += 1
        self._say("")
        self._say(click.style(f"{self._step}. {text}", bold=True))

    def _say(self, text: str) -> None:
        click.echo(text)
        sys.stdout.flush()  # before a command writes to the same place

    def _kamld(self, *words: str, keep: bool = False) -> str:
        """Show and run a command; with `keep`, its output comes back too."""
        shown = f"kamld {' '.join(map(_quoted, words))}"
        self._say(click.style(f"$ {shown}", fg="cyan"))
        done = subprocess.run(
            [sys.executable, "-m", "kamld", *words], cwd=self.folder, env=self.environment,
            check=False, stdout=subprocess.PIPE if keep else None, text=True,
        )  # fmt: skip
        if keep:
            self._say(done.stdout.rstrip())
        if done.returncode:
            raise SystemFault(
                "demo_failed",
                f"{shown} ended with status {done.returncode}.",
                f"Everything is still in {self.folder} to look at.",
            )
        return done.stdout or ""

    def _json(self, *words: str) -> Any:
        answer = subprocess.run(
            [sys.executable, "-m", "kamld", *words],
            cwd=self.folder, env=self.environment, check=True, capture_output=True,
        )  # fmt: skip
        return json.loads(answer.stdout)

    def _quietly(self, *words: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "kamld", *words],
            cwd=self.folder, env=self.environment, check=False, capture_output=True,
        )  # fmt: skip


def train_script() -> str:
    return resources.files("kamld.cli.demo").joinpath("train.py").read_text("utf-8")


def _quoted(word: str) -> str:
    """As a person would type it: in double quotes only where a shell needs them."""
    plain = word.replace("~", "").replace("@", "")
    return word if shlex.quote(plain) == plain else f'"{word}"'


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, apart from kamld's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".kamld" not in path.parts
    }


def new_story(folder: Path, environment: Mapping[str, str]) -> Story:
    """A folder for the demo, with settings that give it its own hub. Raises SystemFault."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise Conflict(
                "demo_folder",
                f"{folder} is not empty.",
                "Give another folder with --dir, or remove it.",
            )
        (folder / FILE_NAME).write_text(_SETTINGS, "utf-8")
    except OSError as error:
        raise SystemFault("demo_folder", f"Cannot use {folder}: {error.strerror}.") from None
    return Story(folder.resolve(), environment)


def free_folder(parent: Path) -> Path:
    """kamld-demo, or with the first number that is free."""
    number = 1
    while (folder := parent / ("kamld-demo" if number == 1 else f"kamld-demo-{number}")).exists():
        number += 1
    return folder
