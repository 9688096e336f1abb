"""The house's style as a test. What import-linter and ruff check is in .importlinter and ruff's.

A rule gives one line an offence: where, and what to do. `test_a_planted_fault_is_found` shows that
each of them can fail. Limits are for splitting by sense: keep the branching in the parent, move
pure leaves below.
"""

import ast
import importlib
import os
import pwd
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import packages_distributions
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SRC = ROOT / "src"
PACKAGE = SRC / "kamld"

FILE_LINES = 400
BODY_LINES = 70  # of a function, without signature and docstring; aim at 40
ROOM_MODULES = 12
MANY_MODULES = {"kamld.cli"}  # one file a verb, however many verbs there are

BANNED_NAMES = {"utils", "util", "common", "helpers", "misc", "base", "core", "manager"}
DOORS = ("kamld.cli", "kamld.api", "kamld.__main__")
# Who may look at the person's surroundings: the doors, and the settings for them.
MAY_LOOK = (*DOORS, "kamld.settings")
# What `.torch()`, `.pandas()` and their like hand over to: whoever calls them has it, or is told.
BROUGHT = {"pandas", "polars", "tensorflow", "torch"}
# May import by name: verbs, the public names, and what looks into tables.
LAZY_TABLES = {"kamld", "kamld.cli.main", "kamld.cli.verb_status"}

# Folders of tests/ that do not have the name of a room.
KINDS_OF_TESTS = {"properties", "faults", "doors", "compat", "cluster", "docs"}


@dataclass(frozen=True)
class Module:
    name: str
    place: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    def at(self, node: ast.AST, what: str) -> str:
        return f"{self.place}:{getattr(node, 'lineno', 1)}: {what}"

    def is_in(self, *rooms: str) -> bool:
        return any(self.name == room or self.name.startswith(f"{room}.") for room in rooms)


def read(path: Path) -> Module:
    parts = path.relative_to(SRC if path.is_relative_to(SRC) else ROOT).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return Module(name, str(path.relative_to(ROOT)), path.read_text("utf-8"))


def modules(*folders: str) -> list[Module]:
    return [read(path) for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def text_files() -> Iterator[tuple[str, str]]:
    """Every file of the project but the locks, with its text."""
    for folder in ("src", "tests", "docs", "bench", "changes", ".ci"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path.relative_to(ROOT)), path.read_bytes().decode("utf-8", "replace")
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and not path.name.startswith(".venv"):
            yield path.name, path.read_bytes().decode("utf-8", "replace")


# --- rules for a module


def file_length(module: Module) -> Iterator[str]:
    lines = module.text.count("\n")
    if lines > FILE_LINES:
        yield f"{module.place}: {lines} lines; at most {FILE_LINES}"


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def body_length(module: Module) -> Iterator[str]:
    for function in functions(module):
        body = function.body[ast.get_docstring(function) is not None :]
        lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
        if lines > BODY_LINES:
            yield module.at(function, f"{function.name} has {lines} lines; at most {BODY_LINES}")


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{name.name}" for name in node.names)]
    return []


def buried_imports(module: Module) -> Iterator[str]:
    for function in functions(module):
        for node in ast.walk(function):
            if any(name.split(".")[0] == "kamld" for name in imports(node)):
                yield module.at(node, "kamld imported inside a function: it hides a cycle")


def imports_by_name(module: Module) -> Iterator[str]:
    if module.name in LAZY_TABLES:
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield module.at(node, f"only {sorted(LAZY_TABLES)} import by name")


def banned_name(module: Module) -> Iterator[str]:
    if banned := BANNED_NAMES & set(module.name.split(".")):
        yield f"{module.place}: {banned} says nothing: name the module by what it is about"


def surroundings(module: Module) -> Iterator[str]:
    """Below the doors nothing prints, asks, or reads the person's environment or place."""
    if module.is_in(*MAY_LOOK):
        return
    words = (
        r"(os\.(environ|getenv|getcwd|getlogin)|sys\.(stdin|stdout|stderr|argv)"
        r"|Path\.(cwd|home)|getpass\.\w+)"
    )
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and re.fullmatch(words, ast.unparse(node)):
            yield module.at(node, f"{ast.unparse(node)}: take it as a parameter, from a door")
        for name in imports(node):
            if re.fullmatch(words, name):
                yield module.at(node, f"{name}: take it as a parameter, from a door")
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "input"):
            yield module.at(node, f"{ast.unparse(node.func)}(): only doors speak to people")
        if isinstance(node, ast.Attribute) and node.attr == "expanduser":
            yield module.at(node, "expanduser: only doors know whose home it is")


def names_as_markup(module: Module) -> Iterator[str]:
    """A file called `[/red]` must print as it is called."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call):
            maker = ast.unparse(node.func).split(".")[-1]
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if maker in ("Console", "TextColumn") and given.get("markup") != "False":
                yield module.at(node, f"{maker}(...) without markup=False")


def says_what_it_is(module: Module) -> Iterator[str]:
    if module.tree.body and not ast.get_docstring(module.tree):
        yield f"{module.place}: no docstring: what it is, and is not"


RULES: dict[Callable[[Module], Iterator[str]], tuple[str, str]] = {  # and a fault each must find
    file_length: ("kamld.a", "\n" * (FILE_LINES + 1)),
    body_length: ("kamld.a", "def f():\n    'doc'\n" + "    x = 1\n" * (BODY_LINES + 1)),
    buried_imports: ("kamld.a", "def f():\n    from kamld import store\n"),
    imports_by_name: ("kamld.a", "import importlib\nimportlib.import_module('kamld.b')\n"),
    banned_name: ("kamld.store.utils", ""),
    surroundings: ("kamld.store.a", "import os\nx = os.environ['HOME']\n"),
    names_as_markup: ("kamld.cli.a", "from rich.console import Console\nConsole(stderr=True)\n"),
    says_what_it_is: ("kamld.a", "import os\n"),
}
EVERYWHERE = {file_length, body_length, banned_name}  # in tests, docs and bench too


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_style(rule: Callable[[Module], Iterator[str]]) -> None:
    folders = ("src", "tests", "docs", "bench") if rule in EVERYWHERE else ("src",)
    assert [offence for module in modules(*folders) for offence in rule(module)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_planted_fault_is_found(rule: Callable[[Module], Iterator[str]]) -> None:
    name, text = RULES[rule]
    assert len(list(rule(Module(name, "planted.py", text)))) == 1


# --- rules for the whole


def test_rooms_are_small() -> None:
    sizes = {
        str(room.relative_to(ROOT)): len([p for p in room.glob("*.py") if p.stem != "__init__"])
        for room in (PACKAGE, *(path for path in PACKAGE.rglob("*") if path.is_dir()))
        if ".".join(room.relative_to(SRC).parts) not in MANY_MODULES
    }
    assert {room: size for room, size in sizes.items() if size > ROOM_MODULES} == {}


def unreachable(known: dict[str, Module]) -> set[str]:
    """Modules that no door reaches by imports or by writing their names, as lazy tables do."""
    reached: set[str] = set()
    waiting = [name for name, module in known.items() if module.is_in(*DOORS)] + ["kamld"]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in known:
            continue
        reached.add(name)
        waiting.append(name.rpartition(".")[0])
        for node in ast.walk(known[name].tree):
            waiting.extend(imports(node))
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                waiting.extend(re.findall(r"^kamld(?:\.\w+)+", node.value))
    return set(known) - reached


def test_every_module_is_reachable() -> None:
    assert unreachable({module.name: module for module in modules("src")}) == set()


def test_an_unreachable_module_is_found() -> None:
    texts = {
        "kamld": "TABLE = {'dataset': 'kamld.b:dataset'}",
        "kamld.cli.commit": "from kamld.a import x",
        "kamld.a": "",
        "kamld.b": "",
        "kamld.c": "from kamld import a",
    }
    known = {name: Module(name, name, text) for name, text in texts.items()}
    assert unreachable(known) == {"kamld.c"}


def test_nothing_is_left_unfinished() -> None:
    words = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")
    assert [place for place, text in text_files() if words.search(text)] == []


def test_no_file_knows_this_machine() -> None:
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    persons = [home] if home.parent in (Path("/home"), Path("/Users")) else []
    places = [str(place) for place in (ROOT, Path("/ro" + "ot"), *persons)]
    here = re.compile("|".join(re.escape(place) + r"\b" for place in places))
    assert [place for place, text in text_files() if here.search(text)] == []


def test_tests_mirror_the_rooms() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir()} | KINDS_OF_TESTS
    single = {f"test_{path.stem}.py" for path in PACKAGE.glob("*.py")}
    single |= {"conftest.py", "counts.py", "somebody.py", "test_tidy.py", "test_unused.py"}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        place = path.relative_to(ROOT / "tests")
        if len(place.parts) == 1:
            assert place.name in single, f"{place} is of no room: put it in a folder with the room's name"
        else:
            assert place.parts[0] in rooms, f"{place}: there is no room {place.parts[0]}"


def test_no_test_is_skipped_in_silence() -> None:
    """Only tests/conftest.py skips, and says so at the end of the output."""
    skips = re.compile(r"pytest\.(skip|importorskip|xfail)\b|mark\.(skip|skipif|xfail)\b")
    found = [module.place for module in modules("tests") if skips.search(module.text)]
    assert set(found) <= {"tests/conftest.py", "tests/test_tidy.py"}


def test_every_room_is_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix in ("", ".py")}
    rooms -= {"__init__", "__main__", "__pycache__"}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", text)} == set()


# --- dependencies


def project() -> dict[str, list[Requirement]]:
    described = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    groups = {"base": described["project"]["dependencies"]}
    groups |= described["project"]["optional-dependencies"] | described["dependency-groups"]
    return {group: [Requirement(line) for line in lines] for group, lines in groups.items()}


def test_what_is_imported_is_declared() -> None:
    declared = {canonicalize_name(r.name) for g in ("base", "demo", "mount") for r in project()[g]}
    trees = [module.tree for module in modules("src")]
    names = {name.split(".")[0] for tree in trees for n in ast.walk(tree) for name in imports(n)}
    foreign = names - sys.stdlib_module_names - {"kamld"} - BROUGHT
    providers = packages_distributions()
    given = {name for name in foreign for d in providers[name] if canonicalize_name(d) in declared}
    assert foreign - given == set()


def test_the_lock_holds_what_pyproject_asks_for() -> None:
    """`./dev lock` makes it anew. Hashes only: no index, no host, no folder of somebody's."""
    text = (ROOT / "requirements/dev.lock").read_text("utf-8")
    assert "://" not in text
    assert re.findall(r"^-.*", text, re.MULTILINE) == []
    pins = re.findall(r"^([\w.-]+)==([\w.+!]+).*\\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pins) == len(re.findall(r"^\w", text, re.MULTILINE))
    versions = {canonicalize_name(name): version for name, version in pins}
    wanted = [r for requirements in project().values() for r in requirements]
    assert [str(r) for r in wanted if versions.get(canonicalize_name(r.name), "") not in r.specifier] == []


# --- what the commands and the changes say


def verbs() -> dict[str, click.Command]:
    if not (PACKAGE / "cli/main.py").exists():
        return {}
    cli = importlib.import_module("kamld.cli.main").cli
    context = click.Context(cli, info_name="kamld")
    found = {name: cli.get_command(context, name) for name in cli.list_commands(context)}
    return {name: command for name, command in found.items() if not command.hidden}


def test_every_verb_shows_an_example_in_its_help() -> None:
    for name, command in verbs().items():
        text = command.get_help(
            click.Context(command, info_name=f"kamld {name}", help_option_names=["-h", "--help"])
        )
        example = re.compile(rf"^ *(\$ )?kamld {name}\b", re.MULTILINE)
        assert example.search(text), f"kamld {name} --help has no line that starts: kamld {name}"


def test_every_verb_is_in_the_docs() -> None:
    """A heading names it. `./dev docs` writes docs/reference/cli.md, which has one a verb."""
    pages = [page.read_text("utf-8") for page in (ROOT / "docs").rglob("*.md")]
    headings = [line for page in pages for line in page.splitlines() if line.startswith("#")]
    for name in verbs():
        assert any(re.search(rf"\bkamld {name}\b", line) for line in headings), name


def test_changes_are_told_in_sentences() -> None:
    for path in sorted((ROOT / "changes").glob("*.*.md")):
        text = path.read_text("utf-8").strip()
        assert re.fullmatch(r"[A-Z`].{20,600}[.!]", text, re.DOTALL), (
            f"{path.name}: whole sentences, at most 600 letters; see changes/README.md"
        )
