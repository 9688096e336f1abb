"""`kamld import` of DVC repositories, made by DVC itself."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld
from tests.exchange.dvc_repositories import DVC, Repository, description, folder_list, keep

pytestmark = [pytest.mark.needs("git"), pytest.mark.timeout(180)]
STAGES = """
stages:
  prepare:
    wdir: work
    cmd: cp ../table.csv out.csv; echo '{"rows":1}' > metrics.json; mkdir -p many; echo x > many/x
    deps: [../table.csv]
    outs: [out.csv, many]
    metrics: [{metrics.json: {cache: false}}]
  each:
    foreach: [a, b]
    do:
      cmd: echo ${item} > ${item}.txt
      outs:
      - ${item}.txt
"""


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five Git commits, of which three changed data, and a tag of each kind."""
    made = Repository(tmp_path_factory.mktemp("dvc") / "churn")
    made.commit("begin")
    made.write({"data/1.txt": "1\n", "data/sub/2.txt": "2\n", "table.csv": "a,b\n", "in/deep/x": "x"})
    made.run(DVC, "add", "-q", "data", "table.csv", "in/deep/x")
    made.commit("first data\n\nwith a reason")
    made.run("git", "tag", "first")
    made.write({"train.py": "code"})
    made.commit("code only")
    made.write({"data/3.txt": "3\n", "run.sh": "#!/bin/sh\n"})
    (made.top / "data/1.txt").unlink()
    (made.top / "run.sh").chmod(0o755)
    made.run(DVC, "add", "-q", "data", "run.sh")
    made.commit("third file")
    made.run("git", "tag", "-a", "v2", "-m", "second")
    made.run("git", "tag", "data/2")
    made.write({"dvc.yaml": STAGES, "work/.keep": ""})
    made.run(DVC, "repro", "-q")
    made.commit("stages")
    return made.top


@pytest.fixture
def project(churn: Path, here: Path) -> Repository:
    return Repository(here / "churn", like=churn)


@pytest.mark.needs("dvc")
def test_a_history_comes(kamld: Kamld, project: Repository, here: Path) -> None:
    said = kamld("import churn --into main")
    assert "Created dataset default/churn (dvc:" in said.out
    assert "3 versions and 2 tags (first, v2) from the history in Git." in said.out
    assert "data/2" in said.err, "a tag that cannot be one here is named"
    log = kamld("log churn --json").json
    assert [c["message"] for c in log] == ["stages", "third file", "first data\n\nwith a reason"]
    assert [(c["author"], c["time"]) for c in log[1:]] == [
        ("Ann", "2023-11-14T22:17:20.000000Z"), ("Ann", "2023-11-14T22:15:20.000000Z"),
    ]  # fmt: skip
    head = project.run("git", "rev-parse", "HEAD").strip()
    assert log[0]["imported"] == {
        "source": str(project.top), "kind": "dvc", "revision": head, "time": log[0]["imported"]["time"],
    }  # fmt: skip
    for revision, git_commit in (("main", "HEAD"), ("v2", "v2"), ("first", "first")):
        kamld(f"export churn@{revision} out-{revision}")
        project.run("git", "checkout", "-q", git_commit)
        project.run(DVC, "checkout", "-q", "--force")
        out = here / f"out-{revision}"
        ours = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
        theirs = project.run("git", "ls-files", "--others", "--ignored", "--exclude-standard").split()
        assert ours == {path for path in theirs if not path.startswith(".dvc/")}
        for path in ours:
            assert (out / path).read_bytes() == (project.top / path).read_bytes()
            assert os.access(out / path, os.X_OK) == os.access(project.top / path, os.X_OK), path
    assert not (here / "out-main/work/metrics.json").exists(), "what Git keeps is Git's"
    assert (here / "out-main/run.sh").stat().st_mode & 0o100


@pytest.mark.needs("dvc")
def test_importing_again_brings_only_what_is_new(kamld: Kamld, project: Repository, here: Path) -> None:
    kamld("import churn")
    assert "Nothing has changed" in kamld("import churn").out
    project.write({"data/4.txt": "four\n"})
    project.run(DVC, "add", "-q", "data")
    project.commit("fourth")
    project.run("git", "tag", "fourth")
    again = kamld("import churn --json").json
    assert (again["version_count"], again["tags"], again["bytes_read"]) == (1, ["fourth"], 5)
    assert len(kamld("log churn --json").json) == 4
    kamld("checkout churn mine")
    (here / "mine/own.txt").write_text("own")
    kamld("commit mine -m own")
    project.write({"data/5.txt": "5\n"})
    project.run(DVC, "add", "-q", "data")
    project.commit("fifth")
    assert "merged" in kamld("import churn").out
    assert kamld("cat churn:own.txt").out == "own"
    assert kamld("cat churn:data/5.txt").out == "5\n"


@pytest.mark.needs("dvc")
def test_a_part_of_it(kamld: Kamld, project: Repository, here: Path) -> None:
    kamld("import churn:data/sub")
    assert kamld("cat sub:2.txt").out == "2\n"
    assert len(kamld("log sub --json").json) == 1, "only what changed there"
    kamld("import churn:data/3.txt three")
    assert kamld("cat three:3.txt").out == "3\n"
    assert "name_taken" in kamld("import churn:table.csv three", status=1).err
    assert "empty_source" in kamld("import churn:nowhere", status=1).err


@pytest.mark.needs("dvc")
def test_what_was_moved_is_told(kamld: Kamld, project: Repository, here: Path) -> None:
    kamld("import churn:data before")
    project.run(DVC, "move", "data", "pictures")
    project.commit("moved")
    for name in ("before", "after"):
        told = kamld(f"import churn:data {name}")
        assert "The newest version has no files" in told.out + told.err
        assert "it is pictures there now" in told.out + told.err
    project.run(DVC, "remove", "pictures.dvc")
    project.commit("removed")
    told = kamld("import churn:data later")
    assert "DVC tracks nothing there any more; it tracks " in told.out + told.err


@pytest.mark.needs("dvc")
def test_what_the_cache_lacks_is_named(kamld: Kamld, project: Repository, here: Path) -> None:
    md5 = "26ab0db90d72e28ad0ba1e22ee510510"  # "2\n"
    place = project.top / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    place.chmod(0o644)
    place.unlink()
    (project.top / "data/sub/2.txt").unlink()
    said = kamld("import churn", status=1).err
    assert "missing_content" in said
    assert "data/sub/2.txt of" in said
    assert "(first data)" in said
    assert "dvc fetch --all-commits" in said
    assert kamld("ls --json").json == []
    made = kamld("import churn --leave-out-missing")
    assert "Left out: data/sub/2.txt of" in made.err
    assert kamld("show churn@first --json").json["metadata"] == {"dvc": {"left_out": ["data/sub/2.txt"]}}
    assert kamld("cat churn:data/3.txt").out == "3\n"
    assert "data/sub/2.txt (DVC's cache lacked them)" in kamld("show churn@first").out
    assert "Nothing has changed" in kamld("import churn").out, "what was left out then is not asked for again"


def test_a_version_that_only_lacks_more_is_one(kamld: Kamld, here: Path) -> None:
    made = Repository(here / "less", by_dvc=False)
    cache = made.top / ".dvc/cache"
    made.write({"a.dvc": description(keep(cache, b"a"), "a")})
    made.commit("a")
    made.write({"b.dvc": description("0" * 32, "b")})
    made.commit("b")
    kamld("import less --leave-out-missing")
    assert [c["message"] for c in kamld("log less --json").json] == ["b", "a"]
    assert "left out" in kamld("show less").out
    assert "left out" not in kamld("show less~1".replace("~", "@main~")).out


@pytest.mark.needs("dvc")
def test_what_is_damaged_never_comes(kamld: Kamld, project: Repository, here: Path) -> None:
    md5 = "26ab0db90d72e28ad0ba1e22ee510510"
    place = project.top / f".dvc/cache/files/md5/{md5[:2]}/{md5[2:]}"
    place.chmod(0o644)
    place.write_text("x\n")
    assert "damaged_cache" in kamld("import churn", status=1).err
    assert kamld("ls --json").json == []
    kamld("import churn --leave-out-missing")
    assert kamld("cat churn:data/3.txt").out == "3\n"
    assert "unknown_path" in kamld("cat churn:data/sub/2.txt", status=1).err


@pytest.mark.needs("dvc")
def test_a_remote_in_a_folder_and_a_cache_elsewhere(kamld: Kamld, project: Repository, here: Path) -> None:
    project.run(DVC, "remote", "add", "-d", "shelf", str(here / "shelf"))
    project.run(DVC, "remote", "add", "cloud", "s3://none/of/it")
    for revision in ("first", "main"):  # each by the settings of today: --all-commits takes those of then
        project.run("git", "checkout", "-q", revision, "--", "*.dvc")
        project.run(DVC, "push", "-q")
    shutil.rmtree(project.top / ".dvc/cache")
    kamld("import churn")
    os.rename(here / "shelf", here / "other")
    assert "(from cloud)" in kamld("import churn again", status=1).err
    project.run(DVC, "cache", "dir", str(here / "other"))
    kamld("import churn again")


@pytest.mark.needs("dvc")
def test_the_layout_of_dvc_2(kamld: Kamld, here: Path) -> None:
    """Written by hand, for no DVC 2 can be had as wheels; DVC 3 reads it too, and must agree."""
    made = Repository(here / "old")
    cache = made.top / ".dvc/cache"
    files = {"windows.txt": b"a\r\nb\r\n", "pixels": b"\0\r\n\1"}
    listed = folder_list(cache, files | {"pixels": b"\0\n\1"}, older=True)
    made.write({"data.dvc": description(listed, "data", older=True), ".gitignore": "/data\n/one\n"})
    made.write({"one.dvc": description(keep(cache, b"one\r\n", older=True), "one", older=True)})
    made.commit("old")
    kamld("import old")
    made.run(DVC, "checkout", "-q")
    kamld("export old out")
    subprocess.run(["diff", "-r", here / "out/data", made.top / "data"], check=True)
    assert (here / "out/one").read_bytes() == b"one\r\n"


@pytest.mark.needs("dvc")
def test_a_dvc_repository_below_the_top_of_git(kamld: Kamld, here: Path) -> None:
    outer = Repository(here / "mono", by_dvc=False)
    shutil.rmtree(outer.top / ".dvc")
    outer.write({"other/.keep": "", "team/.keep": ""})
    outer.commit("begin")
    for folder in ("team", "other"):
        subprocess.run([DVC, "init", "-q", "--subdir"], cwd=outer.top / folder, check=True)
        outer.write({f"{folder}/data.txt": folder})
        subprocess.run([DVC, "add", "-q", "data.txt"], cwd=outer.top / folder, check=True)
        outer.commit(folder)
    kamld("import mono/team")
    assert kamld("cat team:data.txt").out == "team"
    assert len(kamld("log team --json").json) == 1


def test_branches_that_were_merged(kamld: Kamld, here: Path) -> None:
    made = Repository(here / "graph", by_dvc=False)
    cache = made.top / ".dvc/cache"
    made.write({"a.dvc": description(keep(cache, b"a"), "a")})
    made.commit("a")
    made.run("git", "checkout", "-q", "-b", "side")
    made.write({"b.dvc": description(keep(cache, b"b"), "b")})
    made.commit("b")
    made.run("git", "checkout", "-q", "main")
    made.write({"c.dvc": description(keep(cache, b"c"), "c")})
    made.commit("c")
    made.run("git", "merge", "-q", "--no-ff", "-m", "both", "side")
    kamld("import graph")
    log = {c["message"]: c for c in kamld("log graph --json").json}
    assert set(log) == {"a", "b", "c", "both"}
    assert log["both"]["parents"] == [log["c"]["commit"], log["b"]["commit"]]
    assert log["b"]["parents"] == log["c"]["parents"] == [log["a"]["commit"]]


def test_hostile_and_odd_descriptions(kamld: Kamld, here: Path) -> None:
    made = Repository(here / "odd", by_dvc=False)
    cache = made.top / ".dvc/cache"
    listed = folder_list(cache, {"../../evil": b"x"})
    made.write({"data.dvc": description(listed, "data")})
    made.commit("evil")
    said = kamld("import odd", status=1).err
    assert "unsafe_path" in said
    assert "evil" in said
    for text, why in {
        description("0" * 32, "../x"): "outside the repository",
        description("0" * 32, "s3://x/y"): "outside the repository",
        "outs:\n- path: x\n  etag: y\n": "kept by etag",
        "outs:\n- path: x\n": "never fetched",
    }.items():
        shutil.rmtree(made.top)
        made = Repository(here / "odd", by_dvc=False)
        made.write({"x.dvc": text, "good.dvc": description(keep(cache, b"good"), "good")})
        made.commit("odd")
        assert why in kamld("import odd", status=1).err
        name = f"odd{len(text)}"
        assert why in kamld(f"import odd {name} --leave-out-missing").err
        assert kamld(f"cat {name}:good").out == "good"
    for text in ("&a [*a]", "- list", "outs: {}\n x", "outs: text"):
        shutil.rmtree(made.top)
        made = Repository(here / "odd", by_dvc=False)
        made.write({"data.dvc": text})
        made.commit("odd")
        assert "bad_description" in kamld("import odd", status=1).err, text


def test_what_has_no_history(kamld: Kamld, here: Path) -> None:
    (here / "alone/.dvc").mkdir(parents=True)
    (here / "alone/.dvc/config").touch()
    assert "is in no Git repository" in kamld("import alone", status=1).err
    made = Repository(here / "new", by_dvc=False)
    assert "no commit of Git's yet" in kamld("import new", status=1).err
    assert "bad_source" in kamld("import new/.git --kind dvc", status=1).err
    made.commit("nothing yet")
    assert "empty_source" in kamld("import new", status=1).err
    made.write({"file": "x"})
    kamld("import new --kind folder")
    assert kamld("cat new:file").out == "x"
    made.write({"a.dvc": description(keep(made.top / ".dvc/cache", b"a"), "a")})
    made.commit("a")
    assert "name_taken" in kamld("import new", status=1).err, "its folder was something else"
    kamld("import new history")
    assert "name_taken" in kamld("import new history --kind folder", status=1).err
    assert "usage" in kamld("import new x --kind folder --leave-out-missing", status=2).err
    assert "usage" in kamld("import new x --kind dvc -m mine", status=2).err
    assert "cannot_be_left" in kamld("import new y --kind dvc --reference", status=1).err
