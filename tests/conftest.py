"""What every test gets: a person's machine with nothing of kamld's on it, and named components.

A test that wants more than Python says so: `@pytest.mark.needs("git")`, or by a fixture below
(`small_disk`, `unprivileged`). Where the machine cannot give it, the test is skipped, and the last
lines of the output name the component and the reason; with --strict-components (or STRICT_COMPONENTS set)
it fails instead. Nothing else skips: tests/test_tidy.py refuses it.
"""

import ctypes
import fcntl
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from tests.counts import COUNTS, tried
from tests.mount.somebody import as_somebody

ROOT = Path(__file__).resolve().parent.parent

hypothesis_settings.register_profile("kamld", deadline=None, derandomize=True, max_examples=60)
hypothesis_settings.register_profile("long", deadline=None, max_examples=1000)


# --- a person's machine


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; no setting of kamld, of Git or of the terminal comes in from outside."""
    folder = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(("KAMLD_", "GIT_", "XDG_", "ORT_")) or name == "CI":
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    return folder


# --- components


def _program(name: str) -> Callable[[], str | None]:
    return lambda: None if shutil.which(name) else f"{name} is not installed"


def _probe(command: list[str], seconds: int = 20) -> str | None:
    """None: the command works. Else why not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = (done.stderr or done.stdout).strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"status {done.returncode}")


def _mount_problem() -> str | None:
    return _probe([*_in_mount_namespace(), "sh", "-c", "mount -t tmpfs -o size=1M kamld /mnt"])


def _unprivileged_problem() -> str | None:
    if os.geteuid() != 0:
        return None
    forbidden = 'f=$(mktemp) && chmod 0 "$f"; ! cat "$f" 2>&1; got=$?; rm -f "$f"; exit $got'
    return _probe([*_WITHOUT_PRIVILEGES, "sh", "-c", forbidden])


def _torch_problem() -> str | None:
    """Debian's torch is for Debian's Python, which must be of our version to load our packages."""
    ours = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]} and 'another Python')"
    there = "import importlib.util as i; sys.exit(not i.find_spec('torch') and 'no python3-torch')"
    return _probe(["/usr/bin/python3", "-c", ours]) or _probe(
        ["/usr/bin/python3", "-c", f"import sys; {there}"]
    )


_MOUNT = """if True:
        import os, sys, tempfile
        from kamld.cli.main import run
        from kamld.mount import check_possible
        try:
            check_possible()
        except Exception as error:
            sys.exit(str(error))
        os.chdir(tempfile.mkdtemp())
        os.mkdir("a"), open("a/b", "w").close()
        words = "commit a -m x", "mount a there", "umount there"
        hub = ["--hub", os.path.abspath("hub")]
        sys.exit(next((status for word in words if (status := run([*hub, *word.split()]))), 0))
    """


def _fuse_problem() -> str | None:
    """What is missing; or, in a container, the right to mount."""
    return _probe([sys.executable, "-c", _MOUNT], seconds=60)


def _fuse_without_root_problem() -> str | None:
    return _probe(as_somebody(sys.executable, "-c", _MOUNT), seconds=60)


def _peer(name: str) -> Callable[[], str | None]:
    """Somebody else's tool, which would not share an environment with ours: it has one of its own, made
    on first use from requirements/peers/<name>.lock."""

    def made() -> str | None:
        lock, place = ROOT / f"requirements/peers/{name}.lock", Path(sys.prefix) / "test-peers" / name
        mark = place / "made-from.lock"
        place.parent.mkdir(exist_ok=True)
        with open(place.with_suffix(".busy"), "w") as busy:
            fcntl.flock(busy, fcntl.LOCK_EX)  # workers of one run want it at the same moment
            if mark.exists() and mark.read_bytes() == lock.read_bytes():
                return None
            uv = [sys.executable, "-m", "uv"]
            options = ["--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
            for command in (
                [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)],
                [*uv, "pip", "install", "--quiet", "--python", str(place / "bin/python"), *options],
            ):
                if problem := _probe(command, seconds=150):
                    return problem
            mark.write_bytes(lock.read_bytes())
            return None

    return made


def _tensorflow_problem() -> str | None:
    newest = (3, 13)
    if sys.version_info[:2] > newest:
        return "TensorFlow has no packages for this Python yet"
    return _peer("tensorflow")()


COMPONENTS: dict[str, Callable[[], str | None]] = {
    "curl": _program("curl"),
    "datasets": _peer("huggingface"),
    "dvc": _peer("dvc"),
    "fuse": _fuse_problem,
    "fuse without root": _fuse_without_root_problem,
    "git": _program("git"),
    "mlflow": _peer("mlflow"),
    "moto": _peer("s3"),
    "small disk": _mount_problem,
    "tensorflow": _tensorflow_problem,
    "torch": _torch_problem,
    "unprivileged": _unprivileged_problem,
}


@cache
def _problem(component: str) -> str | None:
    return COMPONENTS[component]()


# --- a disk that can be full


@dataclass
class SmallDisk:
    """A disk of a few MB of its own, mounted at `path` for as long as the test runs.

    As root it is there for everybody. Without root it is there only for programs that are started
    with `command`, which is therefore how a test starts all that touches it.
    """

    path: Path
    _enter: list[str] = field(default_factory=list)

    def command(self, *words: str | Path) -> list[str]:
        return [*self._enter, *map(str, words)]

    def run(self, *words: str | Path) -> "subprocess.CompletedProcess[str]":
        command = self.command(*words)
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def _in_mount_namespace() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    """8 MB, or as many as `@pytest.mark.parametrize("small_disk", [MB], indirect=True)` says."""
    size = f"size={getattr(request, 'param', 8)}M"
    path = tmp_path / "small disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", size, "kamld-test", str(path)]
    if os.geteuid() == 0:
        subprocess.run(mount, check=True, capture_output=True)
        try:
            yield SmallDisk(path)
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=True, capture_output=True)
        return
    hold = [*_in_mount_namespace(), "sh", "-c", '"$@" && echo ready && exec sleep 3600', "sh"]
    with subprocess.Popen([*hold, *mount], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        target = [
            "nsenter",
            f"--target={holder.pid}",
            "--user",
            "--mount",
            "--preserve-credentials",
        ]
        try:
            yield SmallDisk(path, [*target, "--wd=."])
        finally:
            holder.kill()


# --- somebody who may not do everything

_WITHOUT_PRIVILEGES = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
# What lets root pass by the permissions of files: DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER.
_PASS_BY_PERMISSIONS = (1 << 1) | (1 << 2) | (1 << 3)


@dataclass
class Unprivileged:
    """A person whom file permissions stop: chmod 0 on a file means no, also where root tests."""

    def command(self, *words: str | Path) -> list[str]:
        """The command, started as such a person."""
        prefix = _WITHOUT_PRIVILEGES if os.geteuid() == 0 else []
        return [*prefix, *map(str, words)]

    @contextmanager
    def here(self) -> Iterator[None]:
        """This thread, and those it starts, as such a person; for library calls in the test."""
        if os.geteuid() != 0:
            yield
            return
        before = _capabilities()
        _set_effective(before, before[0] & ~_PASS_BY_PERMISSIONS)
        try:
            yield
        finally:
            _set_effective(before, before[0])


@pytest.fixture
def unprivileged() -> Unprivileged:
    return Unprivileged()


_FIXTURES = {"small_disk": "small disk", "unprivileged": "unprivileged"}
_LINUX_CAPABILITY_VERSION_3 = 0x20080522
_Words = ctypes.c_uint32 * 6  # effective, permitted, inheritable: the low 32 bits, then the high


def _capabilities() -> list[int]:
    words = _Words()
    _capability_call("capget", words)
    return list(words)


def _set_effective(capabilities: list[int], effective: int) -> None:
    _capability_call("capset", _Words(effective, *capabilities[1:]))


def _capability_call(name: str, words: "ctypes.Array[ctypes.c_uint32]") -> None:
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    if getattr(ctypes.CDLL(None, use_errno=True), name)(header, words) != 0:
        raise OSError(ctypes.get_errno(), name)


# --- how much was tried, which tests run, and what is said about those that did not


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Counts the examples of property tests."""
    handle = getattr(getattr(item, "obj", None), "hypothesis", None)
    if handle is None or not hasattr(handle, "inner_test"):
        return (yield)
    inner, examples = handle.inner_test, 0

    @wraps(inner)
    def counted(*args: Any, **named: Any) -> Any:
        nonlocal examples
        examples += 1
        return inner(*args, **named)

    handle.inner_test = counted
    try:
        return (yield)
    finally:
        handle.inner_test = inner
        tried(1, "properties")
        tried(examples, "examples of them")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the slow tests too")
    parser.addoption(
        "--strict-components",
        action="store_true",
        default=bool(os.environ.get("STRICT_COMPONENTS")),
        help="a test whose component cannot be had fails (default where STRICT_COMPONENTS is set)",
    )


def pytest_configure(config: pytest.Config) -> None:
    hypothesis_settings.load_profile("long" if config.getoption("--long") else "kamld")


_slow = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    slow = [item for item in items if item.get_closest_marker("long")]
    if slow and not config.getoption("--long"):
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in slow]
        config.stash[_slow] = len(slow)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a worker of xdist's tells the process that prints
        session.config.workeroutput["slow"] = session.config.stash.get(_slow, 0)
        session.config.workeroutput["tried"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    said = getattr(node, "workeroutput", {})
    node.config.stash[_slow] = said.get("slow", 0)
    COUNTS.update(said.get("tried", {}))


def _components(item: pytest.Item) -> list[str]:
    named = [name for marker in item.iter_markers("needs") for name in marker.args]
    by_fixture = [_FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in _FIXTURES]
    return [*named, *by_fixture]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for component in _components(item):
        if component not in COMPONENTS:
            pytest.fail(f'no component "{component}"; there are: {", ".join(COMPONENTS)}', pytrace=False)
        problem = _problem(component)
        if problem:
            item.user_properties.append(("not tested", f"{component}: {problem}"))
            give_up = pytest.fail if item.config.getoption("--strict-components") else pytest.skip
            give_up(f"not tested: {component}: {problem}")


@pytest.hookimpl(wrapper=True, tryfirst=True)  # so that these are the last lines but the result
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Iterator[None]:
    yield
    if COUNTS:
        each = "; ".join(f"{count:,} {what}" for what, count in COUNTS.items())
        terminalreporter.write_line(f"tried: {each}")
    if slow := config.stash.get(_slow, 0):
        terminalreporter.write_line(f"left out: {slow} slow tests (./dev test --long runs them)")
    kinds = ("skipped", "failed", "error")
    reports = [report for kind in kinds for report in terminalreporter.getreports(kind)]
    properties = [said for report in reports for said in getattr(report, "user_properties", ())]
    reasons = Counter(reason for key, reason in properties if key == "not tested")
    for reason, tests in sorted(reasons.items()):
        terminalreporter.write_line(f"not tested: {reason} (tests: {tests})")
