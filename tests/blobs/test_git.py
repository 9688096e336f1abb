"""What Git is asked, and what is said where it has no answer."""

import os
import subprocess
from pathlib import Path

import pytest

from kamld.blobs.git import Git
from kamld.errors import NotFound, SystemFault

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def git(tmp_path: Path) -> Git:
    for words in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "é"],
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return Git(tmp_path, os.environ)


def kept(git: Git, data: bytes) -> str:
    words = ["git", "hash-object", "-w", "--stdin"]
    return (
        subprocess.run(words, cwd=git.folder, input=data, capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


def test_contents_come_whole(git: Git) -> None:
    data = [b"", b"\n", b"a\nb", b"\0" * 100_000, b"x blob 5\n"]
    ids = [kept(git, one) for one in data]
    assert git.contents([*ids, ids[0]]) == dict(zip(ids, data, strict=True))
    assert git.contents([]) == {}
    with pytest.raises(SystemFault, match="has no object 012345678901"):
        git.contents([ids[1], "0123456789" * 4])


def test_what_it_has_against_a_question_is_said(git: Git, tmp_path: Path) -> None:
    assert git.line("log", "--format=%s") == "é"
    assert git.ask("rev-parse", "nothing") is None
    with pytest.raises(SystemFault, match="unknown revision") as told:
        git.answer("log", "nothing")
    assert str(tmp_path) in told.value.hint
    (tmp_path / "plain").mkdir()
    with pytest.raises(SystemFault, match="not a git repository"):
        Git(Path("/"), os.environ).answer("log")


def test_no_git(tmp_path: Path) -> None:
    git = Git(tmp_path, {"PATH": str(tmp_path)})
    assert git.ask("version") is None
    with pytest.raises(NotFound, match="no program git"):
        git.answer("version")


def test_nothing_that_the_repository_names_is_started(git: Git, tmp_path: Path) -> None:
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "diff.external", "gpg.program"):
        subprocess.run(["git", "config", key, f"touch {tmp_path}/started; false"], cwd=tmp_path, check=True)
    subprocess.run(["git", "config", "log.showSignature", "true"], cwd=tmp_path, check=True)
    git.answer("ls-tree", "-r", "HEAD")
    git.answer("log", "--no-show-signature", "--stdin", told=b"HEAD\n")
    assert git.line("rev-parse", "HEAD")
    assert not (tmp_path / "started").exists()
