"""Whether a request is answered at once or on a worker thread, by how long its model takes.

Handing a request to a thread and back costs more than running a small model, so quick ones are run
on the event loop itself, where nothing else happens meanwhile. A model earns that by being quick
time after time and loses it with the first slow answer, so the loop is held up once at most.
"""

QUICK_MS = 1.0  # answered on the loop below this
QUICK_BYTES = 16 * 1024  # larger requests may take longer than the last ones did
_TRIALS = 5  # quick answers in a row before the loop is risked


class Pace:
    """One model's. Lost updates between threads do no harm, so there is no lock."""

    __slots__ = ("_quick_in_a_row",)

    def __init__(self) -> None:
        self._quick_in_a_row = 0

    def note(self, ms: float) -> None:
        self._quick_in_a_row = self._quick_in_a_row + 1 if ms < QUICK_MS else 0

    def quick(self, size: int) -> bool:
        """Whether to answer a request of `size` bytes on the event loop."""
        return size <= QUICK_BYTES and self._quick_in_a_row >= _TRIALS
