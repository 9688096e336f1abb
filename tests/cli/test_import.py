"""`kamld import` and `kamld export` as people type them, against real archives, servers and tools."""

import hashlib
import io
import os
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.cli.conftest import Kamld
from tests.exchange.packing import equal, odd_folder, pack
from tests.exchange.servers import Web, s3_bucket, web_server


@pytest.fixture
def folder(here: Path) -> Path:
    return odd_folder(here / "odd")


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as server:
        yield server


# --- folders


def test_a_folder_comes_in_and_goes_out_as_it_is(kamld: Kamld, folder: Path, here: Path) -> None:
    said = kamld("import odd").out
    assert "Created dataset default/odd (folder:" in said
    assert "Nothing has changed" in kamld("import odd").out
    (folder / "a.txt").write_text("b\n")
    again = kamld("import odd --json").json
    assert again["changed"]
    assert again["bytes_read"] < 100, "what did not change is not read again"
    assert again["imported"]["source"] == str(folder)
    kamld("export odd out")
    equal(folder, here / "out")
    assert not (here / "out/.kamld").exists()


def test_another_source_does_not_replace_a_dataset(kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd")
    (here / "x").mkdir()
    (here / "x/file").write_text("x")
    assert "name_taken" in kamld("import x odd", status=1).err
    kamld("import x odd --into other")
    assert "file" in kamld("ls odd@other").out


def test_changes_made_here_and_there_are_merged(kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd")
    kamld("checkout odd mine")
    (here / "mine/own.txt").write_text("own")
    kamld("commit mine -m own")
    (folder / "theirs.txt").write_text("theirs")
    assert "merged" in kamld("import odd").out
    listed = kamld("ls odd").out
    assert "own.txt" in listed
    assert "theirs.txt" in listed


def test_what_a_source_can_be_taken_for(kamld: Kamld, folder: Path, here: Path, web: Web) -> None:
    web.files["/x"] = b"x"
    for words, kind in (("odd", "archive"), ("odd", "croissant"), ("odd/a.txt", "mlflow"),
                        (f"{web.address}/x", "folder"), ("odd/a.txt", "bucket")):  # fmt: skip
        said = kamld(f"import {words} it --kind {kind}", status=1).err
        assert "bad_source" in said
        assert "It may be taken for" in said
    kamld("import odd/a.txt it --kind file")


# --- archives

KINDS = ("tar", "tar.gz", "tar.bz2", "tar.xz", "tar.zst", "zip")


@pytest.mark.parametrize("kind", KINDS)
def test_archives_come_in(kind: str, kamld: Kamld, folder: Path, here: Path) -> None:
    pack(folder, here / f"pack.{kind}")
    assert kamld(f"import pack.{kind} --json").json["source_kind"] == "archive"
    assert "Nothing has changed" in kamld(f"import pack.{kind}").out
    kamld("export pack out")
    equal(folder, here / "out")


def with_member(make: Callable[[tarfile.TarFile], None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("good"), io.BytesIO())
        make(tar)
    return out.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


HOSTILE = {
    "above": (member("../evil"),),
    "absolute": (member("/etc/evil"),),
    "link outside": (member("evil", tarfile.SYMTYPE, "/etc/passwd"),),
    "link above": (member("a/evil", tarfile.SYMTYPE, "../../x"),),
    "device": (member("evil", tarfile.CHRTYPE),),
    "fifo": (member("evil", tarfile.FIFOTYPE),),
    "hard link outside": (member("evil", tarfile.LNKTYPE, "../x"),),
    "hard link to nothing": (member("evil", tarfile.LNKTYPE, "nothing"),),
    "twice": (member("evil"), member("evil")),
    "through a link": (member("evil", tarfile.SYMTYPE, "good"), member("evil/x")),
    "our own folder": (member(".kamld/evil"),),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_hostile_archives_are_refused_by_name(fault: str, kamld: Kamld, here: Path, hub: Path) -> None:
    def make(tar: tarfile.TarFile) -> None:
        for info in HOSTILE[fault]:
            tar.addfile(info)

    (here / "x.tar").write_bytes(with_member(make))
    said = kamld("import x.tar", status=1).err
    assert "unsafe_path" in said
    assert "evil" in said
    assert kamld("ls --json").json == []


def test_cut_off_encrypted_and_exploding_archives(kamld: Kamld, folder: Path, here: Path) -> None:
    for kind in KINDS:
        pack(folder, here / f"whole.{kind}")
        data = (here / f"whole.{kind}").read_bytes()
        (here / f"cut.{kind}").write_bytes(data[: len(data) * 2 // 3])
        assert "damaged_archive" in kamld(f"import cut.{kind}", status=1).err, kind
    (here / "none.tar").write_bytes(b"not a tar" * 1000)
    assert "damaged_archive" in kamld("import none.tar", status=1).err
    locked = bytearray((here / "whole.zip").read_bytes())
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    (here / "locked.zip").write_bytes(locked)
    assert "encrypted_archive" in kamld("import locked.zip", status=1).err
    with zipfile.ZipFile(here / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(300_000_000))
    assert "archive_bomb" in kamld("import bomb.zip", status=1).err
    assert kamld("ls --json").json == []


def test_what_macos_adds_is_told(kamld: Kamld, here: Path) -> None:
    names = ["a.png", "__MACOSX/._a.png", "__MACOSX/x/._b", "x/.DS_Store", "x/b"]
    with zipfile.ZipFile(here / "pack.zip", "w") as archive:
        for name in names:
            archive.writestr(name, name)
    told = kamld("import pack.zip")
    assert "3 files are what macOS adds" in told.out + told.err
    assert kamld("ls pack --json").json
    assert len(kamld("import pack.zip other --json").json["remarks"]) == 1


# --- the web


def test_a_file_of_the_web(kamld: Kamld, web: Web, here: Path) -> None:
    data = b"a,b\n1,2\n" * 100_000
    web.files["/t.csv"] = data
    good = hashlib.sha256(data).hexdigest()
    assert "other_checksum" in kamld(f"import {web.address}/t.csv --sha256 {'0' * 64}", status=1).err
    assert kamld("ls --json").json == []
    secret = web.address.replace("://", "://ann:pass@")
    made = kamld(f"import {secret}/t.csv?token=hidden&x=1 --sha256 {good} --json".replace("&", "\\&")).json
    assert made["imported"]["source"] == f"{web.address}/t.csv?x=1"
    assert made["imported"]["checksum"] == f"sha256:{good}"
    assert web.secrets[-1].startswith("Basic ")
    web.files["/t.csv"] = data + b"3,4\n"
    assert kamld(f"import {web.address}/t.csv?x=1 t --json").json["changed"]
    before = len(web.asked)
    assert "Nothing has changed" in kamld(f"import {web.address}/t.csv?x=1 t").out
    assert web.asked[before:] == [("/t.csv", "bytes=0-0")], "it was not fetched again"


def test_a_checksum_is_compared_also_where_nothing_is_fetched(kamld: Kamld, web: Web, here: Path) -> None:
    web.files["/t.csv"] = b"a,b\n1,2\n"
    good, wrong = hashlib.sha256(web.files["/t.csv"]).hexdigest(), "0" * 64
    kamld(f"import {web.address}/t.csv")
    for more in ("t", "other"):
        told = kamld(f"import {web.address}/t.csv {more} --sha256 {wrong}", status=1).err
        assert "other_checksum" in told
        assert good in told
    assert [one["name"] for one in kamld("ls --json").json] == ["t"]
    made = kamld(f"import {web.address}/t.csv other --sha256 {good} --json").json
    assert made["imported"]["checksum"] == f"sha256:{good}"
    assert not kamld(f"import {web.address}/t.csv other2 --json").json["imported"].get("checksum")


def test_a_checksum_of_a_file_here(kamld: Kamld, folder: Path, here: Path) -> None:
    (here / "x.csv").write_bytes(b"a,b\n1,2\n")
    (here / "croissant.json").write_text('{"@context": {}, "@type": "sc:Dataset", "name": "x"}')
    good, wrong = hashlib.sha256(b"a,b\n1,2\n").hexdigest(), "0" * 64
    for source in ("x.csv", "croissant.json --kind croissant"):
        assert "other_checksum" in kamld(f"import {source} --sha256 {wrong}", status=1).err
    assert "is of one file" in kamld(f"import {folder} --sha256 {wrong}", status=1).err
    made = kamld(f"import x.csv --sha256 {good} --json").json
    assert made["imported"]["checksum"] == f"sha256:{good}"
    time.sleep(0.1)
    kamld("import x.csv y")  # which is noted now
    assert "other_checksum" in kamld(f"import x.csv z --sha256 {wrong}", status=1).err


def test_cut_connections_go_on(kamld: Kamld, web: Web, folder: Path, here: Path) -> None:
    pack(folder, here / "pack.tar")
    web.files["/pack.tar"] = (here / "pack.tar").read_bytes()
    web.cut, web.failures = 3_000_000, 2
    kamld(f"import {web.address}/pack.tar")
    kamld("export pack out")
    equal(folder, here / "out")
    assert [asked.split("-")[0] for _, asked in web.asked if asked][:2] == ["bytes=3000000", "bytes=6000000"]


@pytest.mark.timeout(60)
def test_what_was_fetched_before_an_interruption_is_not_fetched_again(
    kamld: Kamld, web: Web, folder: Path, here: Path
) -> None:
    pack(folder, here / "pack.tar")
    web.files["/pack.tar"] = (here / "pack.tar").read_bytes()
    web.cut, web.ranges = 3_000_000, False  # never more than the first 3 MB
    assert "connection_cut" in kamld(f"import {web.address}/pack.tar", status=3).err
    web.cut, web.ranges = 0, True
    web.asked.clear()
    kamld(f"import {web.address}/pack.tar")
    assert ("/pack.tar", "bytes=3000000-") in web.asked
    kamld("export pack out")
    equal(folder, here / "out")


def test_redirects(kamld: Kamld, web: Web) -> None:
    web.files["/b"] = b"content"
    web.redirects = {"/a": f"{web.address}/b", "/loop": "/loop", "/file": "file:///etc/passwd"}
    kamld(f"import {web.address}/a one")
    assert "refused_by_server" in kamld(f"import {web.address}/loop two", status=3).err
    assert "no address of the web" in kamld(f"import {web.address}/file three", status=3).err
    with web_server() as other:
        other.files["/c"] = b"c"
        web.redirects["/other"] = f"{other.address}/c"
        kamld(f"import {web.address.replace('://', '://ann:pass@')}/other four")
        assert set(other.secrets) == {""}, "another host gets no password"


# --- files left where they are


def test_files_left_where_they_are(kamld: Kamld, folder: Path, here: Path, hub: Path) -> None:
    kamld("import odd --reference")
    packs = sum(path.stat().st_size for path in hub.rglob("*.pack"))
    assert packs < 20_000, "no content was copied"
    kamld("export odd out")
    equal(folder, here / "out")
    data = bytearray((folder / "sub/large").read_bytes())
    data[-1] ^= 1
    (folder / "sub/large").write_bytes(data)
    (folder / "a.txt").unlink()
    said = kamld("export odd:sub/large changed", status=3).err
    assert "left_file_changed" in said
    assert str(folder / "sub/large") in said
    assert "left_file_gone" in kamld("export odd:a.txt gone", status=3).err
    assert not (here / "changed").exists()


def test_left_files_are_fetched_later(kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd --reference")
    assert "Fetched 3 files, 10 MB" in kamld("import --fetch odd").out
    os.rename(folder, here / "moved")
    kamld("export odd out")
    equal(here / "moved", here / "out")


def test_a_commit_of_the_same_content_keeps_it(kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd --reference")
    kamld("commit odd --name kept -m 'for good'")
    kamld("rebuild")
    os.rename(folder, here / "moved")
    kamld("export odd out")
    kamld("export kept:sub/large out2")


def test_moved_files_are_found_where_they_were_imported_again(kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd --reference")
    os.rename(folder, here / "moved")
    kamld("import moved again --reference")
    kamld("export odd out")
    equal(here / "moved", here / "out")


def test_web_files_are_left_and_verified(kamld: Kamld, web: Web, here: Path) -> None:
    web.files["/x.bin"] = bytes(3_000_000)
    kamld(f"import {web.address}/x.bin --reference")
    kamld("export x out")
    assert (here / "out/x.bin").read_bytes() == bytes(3_000_000)
    web.files["/x.bin"] = bytes(2_999_999) + b"1"
    assert "left_file_changed" in kamld("export x out2", status=3).err


# --- buckets


@pytest.mark.needs("moto")
@pytest.mark.timeout(120)
def test_folders_that_a_bucket_marks(kamld: Kamld, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Consoles put an object of no bytes with a slash at its end where somebody makes a folder."""
    there = {
        "photos/": b"", "photos/sub-a": b"", "photos/sub/": b"", "photos/sub/q": b"hello", "photos/z/": b"",
        "alone/": b"", "empty": b"", "odd/y/": b"content", "bad/a//b": b"1", "up/../b": b"1", "up/c": b"2",
    }  # fmt: skip
    with s3_bucket("shop") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        for key, content in there.items():
            kinds = {"Authorization": "AWS k:s", "Content-Type": "application/octet-stream"}
            asked = Request(
                f"{variables['AWS_ENDPOINT_URL']}/shop/{key}", data=content, method="PUT", headers=kinds
            )
            with urlopen(asked):
                pass
        for more in ("", " --reference"):
            name = "left" if more else "photos"
            kamld(f"import s3://shop/photos {name}{more}")
            kamld(f"export {name} out-{name}")
            found = {str(p.relative_to(here / f"out-{name}")) for p in (here / f"out-{name}").rglob("*")}
            assert found - {".kamld"} == {"sub-a", "sub", "sub/q", "z"}
            assert (here / f"out-{name}/sub/q").read_bytes() == b"hello"
            assert (here / f"out-{name}/z").is_dir()
            assert (here / f"out-{name}/sub-a").is_file()
        assert "empty_source" in kamld("import s3://shop/alone", status=1).err
        assert kamld("import s3://shop/empty --json").json["files"] == 1
        assert "s3://shop/odd/y was listed" in kamld("import s3://shop/odd", status=1).err
        for folder, key in (("bad", "bad/a//b"), ("up", "up/../b")):
            told = kamld(f"import s3://shop/{folder}", status=1).err
            assert f'The key "{key}" in s3://shop cannot be a path here' in told


# --- exports


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.zst", "zip"])
def test_the_same_version_is_the_same_archive(kind: str, kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd")
    kamld(f"export odd one.{kind}")
    kamld(f"export odd two.{kind}")
    assert (here / f"one.{kind}").read_bytes() == (here / f"two.{kind}").read_bytes()
    assert "target_exists" in kamld(f"export odd one.{kind}", status=1).err
    kamld(f"import one.{kind} back")
    kamld("export back out")
    equal(folder, here / "out")


def test_an_export_that_fails_leaves_nothing(kamld: Kamld, folder: Path, here: Path) -> None:
    kamld("import odd --reference")
    (folder / "sub/large").unlink()
    before = sorted(os.listdir(here))
    kamld("export odd x.tar.gz", status=3)
    kamld("export odd x", status=3)
    assert sorted(os.listdir(here)) == before
    bad = os.fsencode(here) + b"/bytes"
    os.mkdir(bad)
    Path(os.fsdecode(bad + b"/\xff")).write_text("x")
    kamld("import bytes")
    assert "name_not_kept" in kamld("export bytes x.zip", status=1).err
    kamld("export bytes x.tar")


@pytest.mark.parametrize("name", ["x.rar", "x.tar.xz", "x.7z", "x.tbz2", "X.GZ"])
def test_an_archive_that_kamld_does_not_write_is_no_folder(
    name: str, kamld: Kamld, folder: Path, here: Path
) -> None:
    kamld("commit odd -m one")
    said = kamld(f"export odd {name}", status=1).err
    assert "unknown_archive" in said
    assert "It writes .tar, .tar.gz, .tgz, .tar.zst, .tzst, .zip; any other name makes a folder." in said
    assert not (here / name).exists()
