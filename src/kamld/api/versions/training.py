"""A version as a dataset of a training framework. Each is imported only when it is asked for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from kamld.blobs import FolderBlobs
from kamld.errors import Invalid
from kamld.reading import Example, Reader, files_of
from kamld.reading.tables import not_installed
from kamld.store import Tree, open_hub

Transform = Callable[[str, bytes], Any]
Shard = tuple[int, int]


@dataclass(frozen=True, slots=True)
class FileStream:
    """Which files in which order, as plain words, so that it can be sent to other processes."""

    hub: str
    tree: str
    where: str  # the version as a person names it
    pattern: str | None
    shuffle: int | None
    epoch: int = 0

    def reader(self, shard: Shard) -> Reader:
        repository = open_hub(FolderBlobs(Path(self.hub)))
        tree = Tree(repository.objects, bytes.fromhex(self.tree))
        files = files_of(repository.objects, tree, self.pattern, self.where)
        return Reader(files, shuffle=self.shuffle, shard=shard, epoch=self.epoch)


def torch_dataset(stream: FileStream, shard: Shard | None, transform: Transform | None) -> Any:
    """Raises Invalid (not_installed, bad_shard), NotFound as `files_of`."""
    if shard is not None and not 0 <= shard[0] < shard[1]:
        raise Invalid("bad_shard", f"There is no part {shard[0]} of {shard[1]}.", "Parts count from 0.")
    return _torch_class()(stream, shard, transform)


@cache
def _torch_class() -> Any:
    try:
        from torch import distributed
        from torch.utils import data
    except ImportError:
        raise not_installed("torch", ".torch()") from None

    class TorchFiles(data.IterableDataset):  # type: ignore[misc]
        """(path, content) of every file, or what `transform` makes of it."""

        def __init__(self, stream: FileStream, shard: Shard | None, transform: Transform | None) -> None:
            super().__init__()
            self._stream, self._shard, self._transform = stream, shard, transform

        def set_epoch(self, epoch: int) -> None:
            self._stream = replace(self._stream, epoch=epoch)

        def __iter__(self) -> Iterator[Any]:
            index, of = self._shard or _process(distributed)
            worker = data.get_worker_info()
            if worker is not None:
                index, of = index * worker.num_workers + worker.id, of * worker.num_workers
            for example in self._stream.reader((index, of)):
                yield self._transform(*example) if self._transform else example

        def __reduce__(self) -> Any:  # a class that is made in a function is not found by its name
            return torch_dataset, (self._stream, self._shard, self._transform)

    return TorchFiles


def _process(distributed: Any) -> Shard:
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def tensorflow_dataset(stream: FileStream, shard: Shard) -> Any:
    """Raises Invalid (not_installed, bad_shard)."""
    try:
        import tensorflow as tf
    except ImportError:
        raise not_installed("tensorflow", ".tf()") from None
    count = len(stream.reader(shard))  # which also says now, and not in the first epoch, what is wrong
    epochs = iter(range(stream.epoch, 2**62))  # each time it is iterated is an epoch

    def examples() -> Iterator[Example]:
        yield from replace(stream, epoch=next(epochs)).reader(shard)

    text = tf.TensorSpec((), tf.string)
    files = tf.data.Dataset.from_generator(examples, output_signature=(text, text))
    return files.apply(tf.data.experimental.assert_cardinality(count))
