"""`.torch()` and `.tf()` with the real things: Debian's torch, in Debian's Python, and TensorFlow in an
environment of its own. And what is said where they are absent."""

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


TENSORFLOW = """
import sys
sys.path += sys.argv[1:]
import tensorflow as tf
import kamld
from kamld.errors import Invalid
version = kamld.dataset("many").at()
paths = sorted(version.files().paths)
files = version.tf(shuffle=3)
assert isinstance(files, tf.data.Dataset)
assert files.element_spec == (tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.string))
assert len(files) == 50
def seen(dataset):
    return [path.numpy().decode() for path, _ in dataset]
assert seen(files) == [e.path for e in version.iter(shuffle=3)]
assert seen(files) == [e.path for e in version.iter(shuffle=3, epoch=1)], "each time is an epoch"
assert all(data.numpy() == version.read(path.numpy().decode()) for path, data in files)
parts = [version.tf(shuffle=3, shard=(i, 3)) for i in range(3)]
assert [len(part) for part in parts] == [17, 17, 16]
assert sorted(sum(map(seen, parts), [])) == paths
sizes = version.tf("0*").map(lambda path, data: tf.strings.length(data), num_parallel_calls=2).batch(4)
assert [batch.numpy().tolist() for batch in sizes.prefetch(1)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
assert len(list(version.tf(shuffle=1).repeat(2))) == 100
model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
model.compile(loss="mse")
pairs = version.tf().map(lambda path, data: (tf.ones((1,)), tf.cast(tf.strings.length(data), tf.float32)))
history = model.fit(pairs.batch(10), epochs=2, verbose=0)
assert len(history.history["loss"]) == 2
try:
    version.tf(shard=(3, 3))
except Invalid as error:
    assert error.code == "bad_shard"
else:
    raise AssertionError("a shard that there is not")
print(tf.__version__)
"""


@pytest.mark.long
@pytest.mark.needs("tensorflow")
def test_tensorflow(many: None) -> None:
    """Its own packages first: it has a NumPy and a protobuf that it was built for."""
    python = Path(sys.prefix) / "test-peers/tensorflow/bin/python"
    source, packages = Path(kamld.__file__).parent.parent, Path(msgspec.__file__).parent.parent
    command = [python, "-c", TENSORFLOW, source, packages]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_is_not_there_is_named(many: None) -> None:
    assert not {"torch", "tensorflow"} & set(sys.modules)
    version = kamld.dataset("many").at()
    with pytest.raises(Invalid, match=r"\.torch\(\) needs torch, which is not installed\. pip install torch"):
        version.torch()
    with pytest.raises(Invalid, match="needs tensorflow"):
        version.tf()
