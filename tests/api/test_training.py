"""`.torch()` with the real thing: Debian's, in Debian's Python. And what is said where it is absent."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import kamld
from kamld.errors import Invalid

SCRIPT = """
import pickle, sys, warnings
warnings.simplefilter("ignore")
import kamld, torch
from torch.utils.data import DataLoader, IterableDataset
version = kamld.dataset("many").at()
paths = sorted(version.files().paths)
files = version.torch(shuffle=3, transform=lambda path, data: (path, len(data)))
assert isinstance(files, IterableDataset)
def seen(dataset, workers, **options):
    loader = DataLoader(dataset, batch_size=7, num_workers=workers, **options)
    return [path for names, sizes in loader for path in names]
assert seen(files, 0) == [e.path for e in version.iter(shuffle=3)]
assert seen(files, 0) != sorted(paths)
for workers in (1, 2, 3):
    assert sorted(seen(files, workers)) == paths
files.set_epoch(1)
assert seen(files, 0) == [e.path for e in version.iter(shuffle=3, epoch=1)]
plain = version.torch("0*", shard=(1, 2))
assert [p for p, _ in pickle.loads(pickle.dumps(plain))] == [p for p, _ in plain]
assert len(list(plain)) == 5
print(torch.__version__)
"""


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many").mkdir()
    for n in range(50):
        (tmp_path / f"many/{n:02}").write_bytes(b"x" * n)
    kamld.dataset("many").commit("many", "fifty")


@pytest.mark.long
@pytest.mark.needs("torch")
def test_torch(many: None) -> None:
    source, packages = Path(kamld.__file__).parent.parent, Path(msgspec.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{packages}"}
    done = subprocess.run(
        ["/usr/bin/python3", "-c", SCRIPT], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_named(many: None) -> None:
    assert not {"torch", "tensorflow"} & set(sys.modules)
    version = kamld.dataset("many").at()
    with pytest.raises(Invalid, match=r"\.torch\(\) needs torch, which is not installed\. pip install torch"):
        version.torch()
    with pytest.raises(Invalid, match="needs tensorflow"):
        version.tf()
