"""Folders packed by the programs that people use, and compared."""

import os
import subprocess
import zipfile
from pathlib import Path

import zstandard


def odd_folder(top: Path) -> Path:
    (top / "sub").mkdir(parents=True)
    (top / "empty").mkdir()
    (top / "a.txt").write_text("a\n")
    (top / "run.sh").write_text("#!/bin/sh\n")
    (top / "run.sh").chmod(0o755)
    (top / "sub/large").write_bytes(bytes(range(256)) * 40_000)  # 10 MB
    (top / "sub/to-a").symlink_to("../a.txt")
    return top


def equal(one: Path, other: Path) -> None:
    subprocess.run(["diff", "-r", "--no-dereference", one, other], check=True)
    for path in one.rglob("*"):
        assert path.lstat().st_mode & 0o100 == (other / path.relative_to(one)).lstat().st_mode & 0o100, path


def pack(folder: Path, target: Path) -> None:
    """By the programs that people use."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.rglob("*")):
                info = zipfile.ZipInfo.from_file(path, path.relative_to(folder))
                link = path.is_symlink()
                info.external_attr = path.lstat().st_mode << 16
                data = os.readlink(path).encode() if link else b"" if path.is_dir() else path.read_bytes()
                archive.writestr(info, data)
        return
    command = ["tar", "-C", folder, "-cf", "-", "."]
    tar = subprocess.run(command, check=True, capture_output=True).stdout
    programs = {".gz": ["gzip"], ".bz2": ["bzip2"], ".xz": ["xz", "-1"]}
    if target.suffix == ".zst":
        tar = zstandard.ZstdCompressor().compress(tar)
    elif target.suffix in programs:
        tar = subprocess.run(programs[target.suffix], input=tar, check=True, capture_output=True).stdout
    target.write_bytes(tar)
