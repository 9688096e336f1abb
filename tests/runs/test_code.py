"""Which code is captured, with Git and without."""

import os
import subprocess
from pathlib import Path

import pytest

from kamld.records.run import Code
from kamld.runs import code as captured_code
from kamld.runs.git import without_secrets
from kamld.runs.interface import JobCode
from tests.runs.stage import Stage, Told


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def write(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"{path}\n")


def code_of(stage: Stage, folder: Path | None = None, **words: list[str]) -> tuple[Code, set[str]]:
    made = stage.run("true", folder=folder, **words)  # type: ignore[arg-type]
    assert made.run.code
    return made.run.code, set(stage.tree_files(made.run.code.tree))


def test_a_folder_without_git(stage: Stage) -> None:
    stage.commit("digits", {"rows.csv": "1"})
    write(stage.folder, "train.py", "lib/model.py", "run.sh")
    write(stage.folder, ".env", ".ssh/key", "__pycache__/a.pyc", "node_modules/x.js")
    write(stage.folder, "env/pyvenv.cfg", "env/lib/x.py", "conda/conda-meta/history", "conda/x.py")
    write(stage.folder, "cache/CACHEDIR.TAG", "cache/x", "other-hub/kamld-hub.json", "skipped.txt")
    (stage.folder / ".kamldignore").write_text("skipped.txt\n")
    (stage.folder / "run.sh").chmod(0o755)
    (stage.folder / "link").symlink_to("train.py")
    os.mkfifo(stage.folder / "pipe")
    (stage.folder.parent / "source of digits").rename(stage.folder / "digits")
    code, files = code_of(stage)
    assert files == {"train.py", "lib/model.py", "run.sh", "link"}
    assert (code.folder, code.inside, code.git_commit) == (str(stage.folder), "", None)


def test_what_is_too_large_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_code, "FILE_MAX", 1000)
    write(stage.folder, "train.py")
    (stage.folder / "weights.bin").write_bytes(bytes(1001))
    made = stage.run("true")
    assert made.run.code
    assert set(stage.tree_files(made.run.code.tree)) == {"train.py"}
    assert made.run.notes == ("Not in the code's snapshot, more than 0 MB: weights.bin.",)


def test_the_smallest_of_too_many(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured_code, "FILES_MAX", 2)
    for size in (3, 1, 2):
        (stage.folder / f"{size}.py").write_bytes(b"#" * size)
    made = stage.run("true")
    assert made.run.code
    assert set(stage.tree_files(made.run.code.tree)) == {"1.py", "2.py"}
    assert "the 2 smallest files of 3" in made.run.notes[0]


@pytest.mark.needs("git")
def test_a_git_checkout(stage: Stage) -> None:
    top, folder = stage.folder, stage.folder / "training"
    write(top, "lib.py", "training/train.py", "ignored/big.csv", ".github/ci.yaml", ".env")
    (top / ".gitignore").write_text("ignored/\n")
    git(top, "init", "-b", "work")
    git(top, "add", "lib.py", "training", ".github", ".gitignore")
    git(top, "commit", "-m", "first")
    git(top, "remote", "add", "origin", "https://ada:s3cret@example.org/team/code.git?token=s3cret")
    (top / "lib.py").write_text("changed\n")
    write(top, "new.py")
    code, files = code_of(stage, folder)
    assert files == {"lib.py", "training/train.py", ".github/ci.yaml", ".gitignore", "new.py"}
    assert (code.folder, code.inside) == (str(top), "training")
    assert code.git_commit == git(top, "rev-parse", "HEAD")
    assert code.git_branch == "work"
    assert code.git_remote == "https://example.org/team/code.git"
    diff = stage.text(code.git_diff).decode()
    assert "-lib.py\n+changed" in diff


@pytest.mark.needs("git")
def test_git_without_a_commit_and_without_a_difference(stage: Stage) -> None:
    write(stage.folder, "train.py")
    git(stage.folder, "init", "-b", "main")
    code, files = code_of(stage)
    assert (files, code.git_commit, code.git_branch) == ({"train.py"}, None, "main")
    git(stage.folder, "add", ".")
    git(stage.folder, "commit", "-m", "first")
    code, _ = code_of(stage)
    assert code.git_commit
    assert (code.git_diff, code.git_remote) == (None, None)
    git(stage.folder, "checkout", "--detach")
    assert code_of(stage)[0].git_branch is None


@pytest.mark.needs("git")
def test_a_folder_that_git_ignores_is_on_its_own(stage: Stage) -> None:
    top, folder = stage.folder, stage.folder / "scratch"
    write(top, "lib.py", "scratch/try.py")
    (top / ".gitignore").write_text("scratch\n")
    git(top, "init")
    code, files = code_of(stage, folder)
    assert (files, code.folder, code.git_branch) == ({"try.py"}, str(folder), None)


@pytest.mark.needs("git")
def test_a_home_folder_in_git_is_not_the_code(stage: Stage, home: Path) -> None:
    folder = home / "project"
    write(home, "diary.txt", "project/train.py")
    git(home, "init")
    code, files = code_of(stage, folder)
    assert (files, code.folder) == ({"train.py"}, str(folder))


@pytest.mark.needs("git")
def test_no_program_of_a_repository_is_started(stage: Stage) -> None:
    write(stage.folder, "train.py")
    git(stage.folder, "init")
    git(stage.folder, "add", ".")
    git(stage.folder, "commit", "-m", "first")
    trap = stage.folder.parent / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {stage.folder.parent}/sprung\n")
    trap.chmod(0o755)
    for setting in ("core.fsmonitor", "diff.external", "diff.x.textconv"):
        git(stage.folder, "config", setting, str(trap))
    (stage.folder / ".gitattributes").write_text("*.py diff=x\n")
    write(stage.folder, "train.py")
    (stage.folder / "train.py").write_text("changed\n")
    code, _ = code_of(stage)
    assert b"+changed" in stage.text(code.git_diff)
    assert not (stage.folder.parent / "sprung").exists()


def test_without_the_git_program(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    write(stage.folder, "train.py", ".git/config")
    (stage.folder.parent / "bin").mkdir()
    (stage.folder.parent / "bin" / "true").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(stage.folder.parent / "bin"))
    code, files = code_of(stage)
    assert (files, code.git_commit) == ({"train.py"}, None)


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("https://user:token@host:8443/a/b.git#x", "https://host:8443/a/b.git"),
        ("https://ghp_token@github.com/a/b", "https://github.com/a/b"),
        ("https://host/a?private_token=x", "https://host/a"),
        ("ssh://git:pw@host/a", "ssh://git@host/a"),
        ("git@github.com:team/code.git", "git@github.com:team/code.git"),
        ("user:pw@host:code.git", "host:code.git"),
        ("host:a@b/c", "b/c"),
        ("/srv/a@b/code.git", "/srv/a@b/code.git"),
        ("/srv/git/code.git", "/srv/git/code.git"),
        ("https://host:port/a", ""),
    ],
)
def test_a_remote_without_secrets(address: str, kept: str) -> None:
    assert without_secrets(address) == kept


@pytest.mark.parametrize("name", ["evil", "evil=x", "e v.i"])
@pytest.mark.parametrize("what", ["clean", "process"])
def test_no_filter_is_started(stage: Stage, name: str, what: str) -> None:
    git(stage.folder, "init", "-q", ".")
    write(stage.folder, "train.py", "data.txt")
    git(stage.folder, "add", ".")
    git(stage.folder, "commit", "-qm", "m")
    harm = stage.folder.parent / "harm"
    git(stage.folder, "config", f"filter.{name}.{what}", f"touch {harm}; cat")
    git(stage.folder, "config", f"filter.{name}.required", "true")
    (stage.folder / ".git/info/attributes").write_text(f"*.txt filter={name}\n")
    (stage.folder / "data.txt").write_text("changed\n")
    code, _ = code_of(stage)
    assert not harm.exists()
    assert code.git_diff
    assert b"+changed" in stage.text(code.git_diff)


def test_a_file_with_kamlds_own_name_is_no_code(stage: Stage) -> None:
    git(stage.folder, "init", "-q", ".")
    write(stage.folder, "train.py", "sub/.kamld")
    git(stage.folder, "add", "-f", ".")
    assert code_of(stage)[1] == {"train.py"}


def test_the_job_knows_its_code(stage: Stage) -> None:
    git(stage.folder, "init", "-q", ".")
    write(stage.folder, "train.py", "sub/x.py")
    told = Told()
    made = stage.run("true", folder=stage.folder / "sub", told=told)
    job = told.begun_runs[0].plan.job
    assert made.run.code
    assert job.code == JobCode(tree=made.run.code.tree, inside="sub")
