"""Nothing in src is without a caller there, tests aside; the house's other rules are in test_tidy."""

import ast
import re
from collections.abc import Iterator

from tests.test_tidy import Module, modules

# Decorators that do not hand a function to anybody else; one with any other may be called by that.
PASSIVE = {
    "cache", "cached_property", "classmethod", "contextmanager", "dataclass", "lru_cache", "overload",
    "property", "setter", "staticmethod", "total_ordering", "wraps",
}  # fmt: skip
# Bases that call none of our methods by names of their own.
PLAIN_BASES = {
    "ABC", "Enum", "Exception", "Generic", "IntEnum", "NamedTuple", "Protocol", "StrEnum", "Struct",
    "TypedDict", "object",
}  # fmt: skip
# What others call; the verbs of kamld.cli are found by their decorator.
PUBLIC = ("kamld.api", "kamld.reading.tables")
FOR_TESTS = {"MemoryBlobs"}  # a whole backend, which the tests of every room use
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def last_word(node: ast.expr) -> str:
    inner = (
        node.func if isinstance(node, ast.Call) else node.value if isinstance(node, ast.Subscript) else node
    )
    return ast.unparse(inner).split(".")[-1]


def definitions(module: Module, ours: set[str]) -> Iterator[tuple[Definition, str]]:
    """Those at the top of a module and in its classes, with the class of a method; not those that
    something foreign may call: double underscores, registered ones, methods of foreign classes."""
    for node in module.tree.body:
        if isinstance(node, Definition):
            yield node, ""
        if isinstance(node, ast.ClassDef) and all(
            last_word(base) in PLAIN_BASES | ours for base in node.bases
        ):
            yield from ((inner, node.name) for inner in node.body if isinstance(inner, Definition))


def protocol_names(module: Module) -> set[str]:
    """Methods that are a contract, whoever keeps it and whoever calls it."""
    return {
        inner.name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef) and "Protocol" in map(last_word, node.bases)
        for inner in node.body
        if isinstance(inner, Definition)
    }


def references(node: ast.AST, within: str = "") -> Iterator[tuple[str, str, str]]:
    """(how, name, in the definition of what): how is `.` for an attribute, `` for a plain name.

    Texts that name something, as lazy tables and quoted types do, count as either; a bare import
    and `__all__` use nothing.
    """
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.Assign) and ast.unparse(inner.targets[0]) == "__all__":
            continue
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
            yield "", inner.id, within
        elif isinstance(inner, ast.Attribute):
            yield ".", inner.attr, within
        elif isinstance(inner, ast.ImportFrom):
            yield from (("", name.name, within) for name in inner.names if name.asname)
        elif isinstance(inner, ast.Constant) and re.fullmatch(r"[\w.:]+", str(inner.value)):
            yield from ((how, re.split(r"[.:]", str(inner.value))[-1], within) for how in ("", "."))
        name = f"{within}.{inner.name}" if isinstance(inner, Definition) else within
        yield from references(inner, name)


def uncalled(known: list[Module]) -> list[str]:
    """Functions, methods and classes that nothing refers to but themselves. By name alone: what has
    the name of something else that is used is not found."""
    ours = {node.name for module in known for node in module.tree.body if isinstance(node, ast.ClassDef)}
    contracts = set().union(*map(protocol_names, known))
    used: dict[tuple[str, str], set[str]] = {}
    for module in known:
        for how, name, within in references(module.tree):
            used.setdefault((how, name), set()).add(f"{module.name}{within}")
    found = []
    for module in known:
        for node, of in definitions(module, ours):
            public = module.is_in(*PUBLIC) and not node.name.startswith("_")
            exempt = node.name.startswith("__") or node.name in FOR_TESTS | {"_repr_html_"}  # for notebooks
            registered = not set(map(last_word, node.decorator_list)) <= PASSIVE
            if public or exempt or registered or (of and node.name in contracts):
                continue
            ways = (".",) if of else (".", "")
            places = set().union(*(used.get((how, node.name), set()) for how in ways))
            itself = ".".join(filter(None, (module.name, of, node.name)))
            if all(f"{place}.".startswith(f"{itself}.") for place in places):
                found.append(module.at(node, f"{node.name}: nothing in src uses it; use it or remove it"))
    return found


def test_everything_is_used() -> None:
    assert uncalled(modules("src")) == []


def test_what_nobody_uses_is_found() -> None:
    texts = {
        "kamld": "TABLE = {'dataset': 'kamld.b:dataset'}",
        "kamld.api": "def public(): ...\ndef _private(): ...",
        "kamld.cli.commit": "@click.command('commit')\ndef command(): ...\nx = used().method",
        "kamld.a": "__all__ = ['exported']\ndef used(): return Kept()\ndef exported(): return exported()\n"
        "class Kept(Contract):\n def method(self): ...\n def asked(self): ...\n def other(self): ...\n"
        " def __enter__(self): ...\nclass Alone:\n pass\nclass Page(HTMLParser):\n def feed(self): ...\n",
        "kamld.b": "from kamld.a import exported\ndef dataset(): Page\ndef other(): other\n"
        "class Contract(Protocol):\n def asked(self): ...\n",
    }
    found = uncalled([Module(name, name, text) for name, text in texts.items()])
    assert [line.partition(":")[0] + " " + line.split(": ")[1] for line in found] == [
        "kamld.api _private", "kamld.a exported", "kamld.a other", "kamld.a Alone", "kamld.b other",
    ]  # fmt: skip
