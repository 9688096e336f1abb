"""`kamld import` of Croissant descriptions: files beside them, of the web, and in archives."""

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Kamld
from tests.exchange.servers import Web, web_server

CONTEXT = {"@language": "en", "@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def described(*distribution: dict[str, Any], **more: Any) -> bytes:
    said = {
        "@context": CONTEXT, "@type": "sc:Dataset", "name": "flowers",
        "dct:conformsTo": "http://mlcommons.org/croissant/1.0", "license": "https://example.org/cc-by",
        "version": "1.2.0", "recordSet": [{"@type": "cr:RecordSet", "@id": "r"}],
        "distribution": list(distribution),
    }  # fmt: skip
    return json.dumps(said | more).encode()


def file(name: str, url: str, data: bytes | None = None, **more: Any) -> dict[str, Any]:
    check = {"sha256": sha256(data)} if data is not None else {}
    return {"@type": "cr:FileObject", "@id": name, "name": name, "contentUrl": url} | check | more


def members(name: str, inside: str | list[str], *includes: str, **more: Any) -> dict[str, Any]:
    where = [{"@id": one} for one in ([inside] if isinstance(inside, str) else inside)]
    return {"@type": "cr:FileSet", "@id": name, "containedIn": where, "includes": list(includes)} | more


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in files.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


@pytest.fixture
def mine(here: Path) -> Path:
    (here / "mine").mkdir()
    return here / "mine"


def listed(kamld: Kamld, name: str) -> dict[str, bytes]:
    kamld(f"export {name} out-{name}")
    top = Path(f"out-{name}")
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


PICTURES = {
    "train/a.jpg": b"a",
    "train/deep/b.jpg": b"b",
    "train/no.txt": b"no",
    "labels.csv": b"l",
    "x.jpg": b"x",
}


def test_files_and_archives_beside_the_description(kamld: Kamld, mine: Path) -> None:
    pictures = zipped(PICTURES)
    (mine / "tables").mkdir()
    (mine / "tables/prices.csv").write_bytes(b"p")
    (mine / "pictures.zip").write_bytes(pictures)
    text = described(
        file("prices.csv", "tables/prices.csv", b"p"),
        file("pictures.zip", "pictures.zip", pictures, encodingFormat="application/zip"),
        file("labels", "labels.csv", b"l", containedIn={"@id": "pictures.zip"}),
        members("jpegs", "pictures.zip", "*.jpg", excludes="x.*"),
    )
    (mine / "croissant.json").write_bytes(text)
    said = kamld("import mine/croissant.json").out
    assert "Created dataset default/flowers (croissant:" in said
    assert listed(kamld, "flowers") == {
        "croissant.json": text, "tables/prices.csv": b"p", "labels.csv": b"l", "train/a.jpg": b"a",
        "train/deep/b.jpg": b"b",
    }  # fmt: skip
    assert "Nothing has changed" in kamld("import mine/croissant.json").out
    commit = kamld("show flowers --json").json
    assert commit["imported"]["kind"] == "croissant"
    assert commit["imported"]["revision"] == "1.2.0"
    assert commit["imported"]["checksum"] == f"sha256:{sha256(text)}"
    assert commit["metadata"]["croissant"]["license"] == "https://example.org/cc-by"
    shown = kamld("show flowers").out
    assert "https://example.org/cc-by" in shown


def test_from_the_web(kamld: Kamld, web: Web) -> None:
    photos = tarred({"a/1.jpg": b"1", "a/2.jpg": b"2", "b.jpg": b"3"})
    web.files |= {"/d/photos.tar.gz": photos, "/d/table.csv": b"table", "/e/any": b"any"}
    web.files["/d/croissant.json"] = described(
        file("photos.tar.gz", "photos.tar.gz", photos),
        file("table.csv", f"{web.address}/d/table.csv", b"table"),
        file("named.bin", f"{web.address}/e/any?x=1", b"any"),
        members("some", "photos.tar.gz", "a/*"),
    )
    made = kamld(f"import {web.address}/d/croissant.json --json").json
    assert (made["name"], made["source_kind"], made["files"]) == ("flowers", "croissant", 5)
    found = listed(kamld, "flowers")
    assert set(found) == {"croissant.json", "table.csv", "named.bin", "a/1.jpg", "a/2.jpg"}
    assert found["named.bin"] == b"any"
    asked = [path for path, _ in web.asked]
    assert "Nothing has changed" in kamld(f"import {web.address}/d/croissant.json").out
    again = [path for path, _ in web.asked[len(asked) :]]
    assert "/d/table.csv" not in again, "what has the same checksum is not fetched again"
    web.files["/d/croissant.json"] = web.files["/d/croissant.json"].replace(b"1.2.0", b"1.3.0")
    assert kamld(f"import {web.address}/d/croissant.json --json").json["changed"]
    web.files["/d/plain.json"] = b'{"x": 1}'
    assert kamld(f"import {web.address}/d/plain.json --json").json["source_kind"] == "address"


def test_several_archives_have_folders(kamld: Kamld, mine: Path) -> None:
    parts = {name: zipped({"1.jpg": name.encode(), "2.txt": b""}) for name in ("train.zip", "test.zip")}
    for name, data in parts.items():
        (mine / name).write_bytes(data)
    (mine / "metadata.json").write_bytes(described(
        *(file(name, name, data) for name, data in parts.items()), members("all", list(parts), "*.jpg"),
    ))  # fmt: skip
    kamld("import mine/metadata.json")
    found = listed(kamld, "flowers")
    assert {path: data for path, data in found.items() if path != "metadata.json"} == {
        "train/1.jpg": b"train.zip", "test/1.jpg": b"test.zip",
    }  # fmt: skip


def test_sets_beside_the_description(kamld: Kamld, here: Path, mine: Path, web: Web) -> None:
    (mine / "data/deep").mkdir(parents=True)
    for name in ("a.txt", "b.txt", "deep/c.txt", "d.bin"):
        (mine / "data" / name).write_text(name)
    (mine / "data/to-d.txt").symlink_to("d.bin")
    listing = {"@type": "cr:FileSet", "name": "texts", "includes": "data/*.txt", "excludes": ["*/b.txt"]}
    text = described(file("d", "data/a.txt", b"a.txt"), listing)
    (mine / "croissant.json").write_bytes(text)
    kamld("import mine/croissant.json")
    assert set(listed(kamld, "flowers")) == {"croissant.json", "data/a.txt", "data/deep/c.txt"}
    web.files["/croissant.json"] = text
    assert "not_supported" in kamld(f"import {web.address}/croissant.json x", status=1).err


def test_an_archive_whose_format_is_written_wrong(kamld: Kamld, web: Web) -> None:
    """As that of FLORES-200 is: a tar.gz behind a short address, called application/x-tar."""
    data = tarred({"a/1.dev": b"1", "a/2.tsv": b"2"})
    web.files["/short"] = data
    archive = file("repository", f"{web.address}/short", data, encodingFormat="application/x-tar")
    web.files["/metadata.json"] = described(archive, members("dev", "repository", "a/*.dev"))
    kamld(f"import {web.address}/metadata.json")
    assert set(listed(kamld, "flowers")) == {"metadata.json", "a/1.dev"}


def test_an_archive_that_nothing_is_taken_from_stays_one(kamld: Kamld, mine: Path) -> None:
    (mine / "a.zip").write_bytes(zipped({"x": b"x"}))
    (mine / "c.json").write_bytes(described(file("a.zip", "a.zip", (mine / "a.zip").read_bytes())))
    kamld("import mine/c.json")
    assert set(listed(kamld, "flowers")) == {"c.json", "a.zip"}


def test_every_checksum_counts_and_sizes_are_told(kamld: Kamld, mine: Path) -> None:
    (mine / "t.csv").write_bytes(b"a,b\n1,2\n")
    data, wrong = b"a,b\n1,2\n", hashlib.md5(b"wanted").hexdigest()
    (mine / "croissant.json").write_bytes(described(file("t.csv", "t.csv", data, md5=wrong)))
    assert wrong in kamld("import mine/croissant.json", status=1).err
    right = hashlib.md5(data).hexdigest()
    longer = file("t.csv", "t.csv", data, md5=right, contentSize="9 B")
    (mine / "croissant.json").write_bytes(described(longer))
    assert kamld("import mine/croissant.json one --json").json["remarks"] == [
        '"t.csv" has 8 bytes; the description says 9.'
    ]
    for said in ("8 B", "8", "1.2 MB"):
        more = file("t.csv", "t.csv", data, md5=right, contentSize=said)
        (mine / "croissant.json").write_bytes(described(more))
        assert kamld(f"import mine/croissant.json n{said[0]}{len(said)} --json").json["remarks"] == []


def test_other_checksums_are_refused(kamld: Kamld, mine: Path, web: Web) -> None:
    (mine / "t.csv").write_bytes(b"other")
    (mine / "a.zip").write_bytes(zipped({"in.csv": b"other"}))
    web.files["/t.csv"] = b"other"
    archive = file("a.zip", "a.zip", (mine / "a.zip").read_bytes())
    for distribution in (
        [file("t.csv", "t.csv", b"wanted")],
        [file("t.csv", f"{web.address}/t.csv", b"wanted")],
        [file("t.csv", "t.csv", md5=hashlib.md5(b"wanted").hexdigest())],
        [file("a.zip", "a.zip", b"wanted"), members("m", "a.zip", "*")],
        [archive, file("in", "in.csv", b"wanted", containedIn={"@id": "a.zip"})],
    ):
        (mine / "c.json").write_bytes(described(*distribution))
        assert "other_checksum" in kamld("import mine/c.json", status=1).err
        assert kamld("ls --json").json == []
    (mine / "c.json").write_bytes(described(file("t.csv", "t.csv")))
    assert "no checksum for t.csv" in kamld("import mine/c.json").err


def wrong(**more: Any) -> dict[str, Any]:
    return file("x", "x.csv", b"x") | more


NOT_SUPPORTED = {
    "a version": described(wrong(), **{"dct:conformsTo": "http://mlcommons.org/croissant/9.9"}),
    "no version": described(wrong(), **{"dct:conformsTo": None}),
    "a graph": json.dumps({"@graph": [], "conformsTo": "http://mlcommons.org/croissant/1.0"}).encode(),
    "a repository": described(
        file("repo", "https://example.org/r", encodingFormat="git+https"), members("m", "repo", "*")
    ),
    "a kind of thing": described({"@type": "sc:DataDownload", "@id": "x"}),
    "a source of data": described(wrong(containedIn={"@type": "cr:DataSource", "fileObject": {"@id": "y"}})),
    "a set of a set": described(file("a.zip", "a.zip"), members("m", "a.zip", "*"), members("n", "m", "*")),
    "an archive in one": described(
        file("a.zip", "a.zip"),
        file("b.zip", "b.zip", containedIn={"@id": "a.zip"}),
        members("m", "b.zip", "*"),
    ),
    "a property": described(wrong(transform={"regex": "x"})),
    "another scheme": described(wrong(contentUrl="ftp://example.org/x")),
}


@pytest.mark.parametrize("what", NOT_SUPPORTED)
def test_what_is_not_supported_is_named(what: str, kamld: Kamld, mine: Path) -> None:
    (mine / "croissant.json").write_bytes(NOT_SUPPORTED[what])
    said = kamld("import mine/croissant.json", status=1).err
    assert "not_supported" in said, said
    assert kamld("ls --json").json == []


def test_hostile_and_broken_descriptions(kamld: Kamld, here: Path, mine: Path) -> None:
    (here / "secret").write_text("s")
    (mine / "link").symlink_to(here / "secret")
    (mine / "a.zip").write_bytes(zipped({"in.csv": b"x"}))
    archive = file("a.zip", "a.zip")
    for text, code in {
        described(file("x", "../secret")): "unsafe_path",
        described(file("x", str(here / "secret"))): "unsafe_path",
        described(file("x", "link")): "unsafe_path",
        described(file("x", "gone.csv")): "no_such_source",
        described(file("x", "a.zip"), file("x", "a.zip")): "bad_description",
        described(file("x", "a.zip"), file("y", "./a.zip")): "unsafe_path",
        described(file("x", "a.zip", sha256="sha256")): "bad_description",
        described({"@type": "cr:FileObject", "@id": "x"}): "bad_description",
        described(members("m", "nowhere", "*")): "bad_description",
        described("text"): "bad_description",  # type: ignore[arg-type]
        described(archive, file("y", "out.csv", containedIn={"@id": "a.zip"})): "unknown_path",
        b"[" * 100_000 + b'"mlcommons.org/croissant conformsTo"': "bad_description",
        b"mlcommons.org/croissant conformsTo": "bad_description",
    }.items():
        (mine / "croissant.json").write_bytes(text)
        assert code in kamld("import mine/croissant.json", status=1).err, text[-300:]
    (mine / "croissant.json").write_bytes(described(archive, members("m", "a.zip", "*.png")))
    assert "No file is in m (*.png)" in kamld("import mine/croissant.json").err
