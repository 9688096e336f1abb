"""Imports, splits, exports and names from Python do what the commands of those names do."""

import io
import tarfile
from pathlib import Path

import pytest

import kamld
from kamld.errors import Conflict, Invalid, NotFound, UsageError
from tests.exchange.servers import s3_bucket


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for n in range(20):
        (tmp_path / f"photos/{n}.jpg").write_text(f"photo {n}")
    (tmp_path / "photos/labels.csv").write_text(
        "file,label\n" + "".join(f"{n}.jpg,{n % 2}\n" for n in range(20))
    )
    return tmp_path


def test_import(here: Path) -> None:
    photos = kamld.dataset("photos")
    first = photos.import_(here / "photos", "as delivered")
    assert (first.created, first.changed, first.kind, first.version.message) == (
        True,
        True,
        "folder",
        "as delivered",
    )
    assert first.version.count == 21
    again = photos.import_("photos")
    assert (again.changed, again.landed, again.version) == (False, None, first.version)
    assert "nothing had changed in" in repr(again)
    (here / "photos/0.jpg").write_text("another")
    changed = photos.import_("photos")
    assert [change.path for change in changed.changes] == ["0.jpg"]
    assert changed.version.parents[0] == first.version
    (here / "other").mkdir()
    (here / "other/x").touch()
    with pytest.raises(Conflict, match="not imported from"):
        photos.import_("other")
    assert photos.import_("other", into="side").branch == "side"
    with pytest.raises(NotFound):
        photos.import_("nothing")
    with pytest.raises(Invalid):
        photos.import_("photos", sha256="1")


def test_left_where_they_are_and_fetched(here: Path) -> None:
    net = kamld.model("net")
    assert net.import_("photos", reference=True).version.kind == "model"
    assert net.fetch() == 21
    assert net.fetch() == 0
    for path in (here / "photos").iterdir():
        path.unlink()
    assert net.at().read("3.jpg") == b"photo 3"


def test_export(here: Path) -> None:
    photos = kamld.dataset("photos")
    photos.commit("photos", "first")
    done = photos.export("out.tar.gz", path="1*.jpg")
    assert (done.kind, done.files) == ("tar.gz", 11)
    with tarfile.open(here / "out.tar.gz") as tar:
        assert len(tar.getnames()) == 11
    stream = io.BytesIO()
    assert photos.export(stream).kind == "tar"
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        assert len(tar.getnames()) == 21
    assert photos.export("folder", revision="main").kind == "folder"
    for target, file in (("one.jpg", "one.jpg"), ("other/", "other/10.jpg")):
        one = photos.export(target, path="10.jpg")
        assert (one.kind, Path(one.target)) == ("file", Path(file).absolute())
        assert Path(file).is_file()
    with pytest.raises(Conflict):
        photos.export("folder")
    with pytest.raises(NotFound):
        photos.export("x", path="none")
    with pytest.raises(UsageError):
        photos.export("x", delete=True)


@pytest.mark.needs("moto")
def test_export_into_a_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = kamld.dataset("photos")
    photos.commit("photos", "first")
    with s3_bucket("shop") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        photos = kamld.dataset("photos")
        assert photos.export("s3://shop/p", dry_run=True).put == 21
        assert photos.export("s3://shop/p").put == 21
        assert photos.export("s3://shop/p").put == 0
        assert photos.export("s3://shop/p", path="1.jpg").left_there[0] == "0.jpg"
        assert kamld.dataset("back").import_("s3://shop/p").version.count == 21


def test_split() -> None:
    photos = kamld.dataset("photos")
    photos.commit("photos", "first")
    made = photos.split(0.25, seed=7, stratify="labels.csv:label")
    assert [part.part for part in made.parts] == ["train", "test"]
    assert [part.examples for part in made.parts] == [15, 5]
    assert made.shared == ("labels.csv",)
    assert set(made["train"].files().paths) | set(made["test"].files().paths) == set(
        photos.at().files().paths
    )
    again = photos.split()
    assert not any(part.changed for part in again.parts)
    assert again["test"] == made["test"] == kamld.dataset("photos-test").at()
    three = photos.split(parts={"a": 0.5, "b": 0.3, "c": 0.2}, prefix="three")
    assert sum(part.examples for part in three.parts) == 20
    view = photos.split(where="size > 7", as_="long")
    assert view.parts[0].examples == 10
    assert "photos-train" in repr(made)
    assert "<table>" in made._repr_html_()
    for wrong in ({"test": 0.1, "parts": {"a": 0.5, "b": 0.5}}, {"as_": "x"}, {"table": "labels.csv"}):
        with pytest.raises(UsageError):
            photos.split(**wrong)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        photos.split(0.5)
    with pytest.raises(Invalid):
        photos.split(2)


def test_mv_and_rm() -> None:
    photos = kamld.dataset("photos")
    version = photos.commit("photos", "first").version
    photos.mv("vision/pictures")
    assert photos.name == "vision/pictures"
    assert photos.at() == kamld.dataset("vision/pictures").at()
    assert photos.at().id == version.id
    photos.mv("photos")
    assert photos.name == "vision/photos", "the project stays"
    kamld.model("taken").import_("photos")
    with pytest.raises(Conflict):
        photos.mv("default/taken")
    assert photos.name == "vision/photos"
    photos.rm()
    assert not photos.exists
    with pytest.raises(NotFound):
        photos.rm()
    with pytest.raises(Conflict):
        kamld.dataset("taken").rm()


def test_rebuild() -> None:
    kamld.dataset("photos").commit("photos", "first")
    made = kamld.hub().rebuild()
    assert (made.commits, made.damaged) == (1, ())
    assert made.objects > 20
