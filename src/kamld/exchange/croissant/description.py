"""The text of a Croissant description, taken apart and checked. JSON-LD in the form in which the
specification writes it: its own names for properties, with or without the prefixes sc, cr, dct and schema.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from kamld.errors import Invalid

VERSIONS = ("http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/1.1")
_PREFIX = re.compile(
    r"(sc|cr|ml|dct|schema|https?://schema\.org/|https?://mlcommons\.org/croissant/)[:/]?(?=\w)"
)
_HEX = {"sha256": re.compile(r"[0-9a-f]{64}"), "md5": re.compile(r"[0-9a-f]{32}")}
_ABOUT = (
    "name", "description", "license", "url", "citeAs", "version", "creator", "publisher", "datePublished",
    "keywords", "inLanguage", "conformsTo",
)  # fmt: skip
_SHOWN = 4000  # letters of a property that go into a version's metadata; the description has all
_OBJECT = {"containedIn", "contentUrl", "sha256", "md5", "name", "encodingFormat"}
_SET = {"containedIn", "includes", "excludes", "encodingFormat", "name"}
_IDLE = {"@type", "@id", "@context", "description", "contentSize", "sameAs", "license", "creator", "url",
         "dateCreated", "dateModified", "datePublished", "version", "alternateName", "inLanguage",
         "keywords", "dataBiases", "dataCollection", "personalSensitiveInformation"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FileObject:
    id: str
    name: str
    url: str  # as written: an address, or a path from the description or within what it is contained in
    format: str
    sha256: str
    md5: str
    size: int | None  # bytes, where it says exactly
    inside: tuple[str, ...]  # ids


@dataclass(frozen=True, slots=True)
class FileSet:
    id: str
    includes: tuple[str, ...]
    excludes: tuple[str, ...]
    inside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    about: dict[str, Any]
    objects: tuple[FileObject, ...]
    sets: tuple[FileSet, ...]

    @property
    def name(self) -> str:
        return _text(self.about.get("name"))

    @property
    def version(self) -> str:
        return _text(self.about.get("version"))


def is_description(text: bytes) -> bool:
    """Whether it says that it is one, of whatever version."""
    return b"mlcommons.org/croissant" in text and b"conformsTo" in text


def parse(text: bytes, where: str) -> Description:
    """Raises Invalid (bad_description, not_supported)."""
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid("bad_description", f"{where} is not JSON: {error}.", "Correct it.") from None
    if not isinstance(said, dict):
        raise Invalid("bad_description", f"{where} describes no dataset.", "Look at it.")
    if "@graph" in said:
        raise _not_supported(where, "a @graph of several things")
    said = _plain(said)
    conforms = [_text(one) for one in _list(said.get("conformsTo"))]
    if not set(conforms) & set(VERSIONS):
        which = ", ".join(conforms) or "it does not say which"
        raise Invalid(
            "not_supported", f"{where} is of no version of Croissant that kamld reads ({which}).",
            "Write it as " + " or ".join(VERSIONS) + ".",
        )  # fmt: skip
    objects, sets = [], []
    for raw in _list(said.get("distribution")):
        if not isinstance(raw, dict):
            raise Invalid("bad_description", f"distribution in {where} has something that is no object.")
        node = _plain(raw)
        kinds = {_PREFIX.sub("", kind) for kind in map(_text, _list(node.get("@type")))}
        named = _text(node.get("@id")) or _text(node.get("name")) or "something"
        if "FileObject" in kinds:
            _check(node, _OBJECT, where, named)
            objects.append(_file_object(node, where, named))
        elif "FileSet" in kinds:
            _check(node, _SET, where, named)
            sets.append(
                FileSet(named, _texts(node, "includes"), _texts(node, "excludes"), _inside(node, where))
            )
        else:
            raise _not_supported(where, f'"{named}", a {" ".join(sorted(kinds)) or "thing without a type"}')
    ids = [one.id for one in objects] + [one.id for one in sets]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise Invalid("bad_description", f'Two things in {where} are called "{twice}".', "Correct it.")
    about = {key: _shortened(said[key]) for key in _ABOUT if said.get(key)}
    return Description(about, tuple(objects), tuple(sets))


def _bytes(said: str) -> int | None:
    """`123`, `123 B`; "1.2 MB" says nothing that could be compared."""
    found = re.fullmatch(r"(\d{1,18})\s*(b|bytes?)?", said.strip().lower())
    return int(found[1]) if found else None


def _file_object(node: dict[str, Any], where: str, named: str) -> FileObject:
    digests = {}
    for kind, pattern in _HEX.items():
        digests[kind] = _text(node.get(kind)).lower()
        if digests[kind] and not pattern.fullmatch(digests[kind]):
            raise Invalid(
                "bad_description", f'The {kind} of "{named}" in {where} is none: {digests[kind][:70]}.',
                "Ask whoever wrote it, or correct it in a copy.",
            )  # fmt: skip
    url = _text(node.get("contentUrl"))
    if not url:
        raise Invalid("bad_description", f'"{named}" in {where} has no contentUrl.', "Correct it.")
    return FileObject(
        named, _text(node.get("name")), url, _text(next(iter(_list(node.get("encodingFormat"))), "")),
        digests["sha256"], digests["md5"], _bytes(_text(node.get("contentSize"))), _inside(node, where),
    )  # fmt: skip


def _inside(node: dict[str, Any], where: str) -> tuple[str, ...]:
    found = []
    for one in _list(node.get("containedIn")):
        if isinstance(one, dict) and set(one) != {"@id"}:
            raise _not_supported(where, "containedIn with a DataSource")
        found.append(_text(one["@id"] if isinstance(one, dict) else one))
    return tuple(found)


def _check(node: dict[str, Any], known: set[str], where: str, named: str) -> None:
    """What is not understood could change which files are meant."""
    if other := next((key for key in node if key not in known | _IDLE and ":" not in key), None):
        raise _not_supported(where, f'{other} of "{named}"')


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """Without the prefixes that the specification uses."""
    return {_PREFIX.sub("", key, count=1) if not key.startswith("@") else key: v for key, v in node.items()}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("@value") or value.get("@id")
    if isinstance(value, list) and len(value) == 1:
        return _text(value[0])
    return value.strip() if isinstance(value, str) else ""


def _texts(node: dict[str, Any], key: str) -> tuple[str, ...]:
    return tuple(filter(None, map(_text, _list(node.get(key)))))


def _shortened(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return value if len(json.dumps(value)) <= _SHOWN else f"{json.dumps(value)[:_SHOWN]}…"


def _not_supported(where: str, what: str) -> Invalid:
    return Invalid(
        "not_supported", f"{where} has {what}, which kamld does not support.",
        "Fetch the files by other means and import the folder.",
    )  # fmt: skip
