"""A mount forgets what was purged: its own caches, and the pages that the system keeps of what it has shown,
which it would go on to show for as long as it likes. So a few seconds later it cannot be read there.
"""

import logging
from collections.abc import Callable, Iterable
from threading import Event, Thread

from kamld.errors import KamldError
from kamld.mount.beneath import Beneath
from kamld.store import HEED_S, Holes, Repository

log = logging.getLogger("kamld.mount")


class Forgetting:
    """`beneath`: the version that is shown now. `shown_elsewhere`: paths at which a layer shows any of these
    contents of the version's."""

    def __init__(
        self, repository: Repository, beneath: Callable[[], Beneath],
        shown_elsewhere: Callable[[frozenset[bytes]], Iterable[bytes]],
    ) -> None:  # fmt: skip
        """Raises SystemFault."""
        self._repository, self._beneath, self._elsewhere = repository, beneath, shown_elsewhere
        self._known = Holes(repository.blobs).gone(frozenset())
        self._again = set[bytes]()  # dropped once, while somebody may have been reading; so once more
        self._end = Event()

    def begin(self, drop: Callable[[Iterable[bytes]], None]) -> None:
        """`drop` has the system forget what it keeps of the files at these paths."""
        Thread(target=self._watch, args=(drop,), daemon=True, name="mount-forgetting").start()

    def close(self) -> None:
        self._end.set()

    def _watch(self, drop: Callable[[Iterable[bytes]], None]) -> None:
        while not self._end.wait(HEED_S / 2):
            try:
                drop(self._again)
                self._again = set()
                gone = Holes(self._repository.blobs).gone(self._known)
                if new := gone - self._known:
                    self._forget(new, drop)
                self._known = gone
            except (KamldError, OSError) as error:  # looked for again, after as long
                log.warning("%s", error)

    def _forget(self, new: frozenset[bytes], drop: Callable[[Iterable[bytes]], None]) -> None:
        """The packs first, else what is dropped might be read from them again."""
        beneath = self._beneath()
        self._repository.objects.heed_purges()
        beneath.forget()
        self._again = {*beneath.paths_of(new), *self._elsewhere(new)}
        drop(self._again)
