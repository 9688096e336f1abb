"""The prediction log: what was answered, one JSON line each, one file a UTC day.

A request never waits for the disk: lines are handed to a thread that writes at once, then pauses
for a moment so that a busy server is not woken for every line; a killed server loses that moment's.
A line belongs to the day in its id, and a day's lines stand nearly in the order of their ids, which
`find` relies on for speed only. A file is synced when it is closed: a power cut may take its last
seconds.
"""

import logging
import mmap
import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from kamld import clock, ids
from kamld.errors import SystemFault
from kamld.ids import PredictionId
from kamld.records.deployment import Prediction
from kamld.records.encoding import encode

_log = logging.getLogger(__name__)

WAITING_MAX = 100_000  # lines that wait for a disk that hangs; later ones are counted as lost
_BATCH = 2_000
_PAUSE_S = 0.005  # after each write; a thread switch a request would halve the throughput
_DISORDER_MS = 5_000  # by which a line may stand later than its id's time says
_STEP = 4096  # bytes: bisecting stops at a stretch this long

_LAST_MS = 253402300799_999  # the end of the year 9999


class PredictionLog:
    def __init__(self, folder: Path) -> None:
        """Writes into `folder`, which is made with the first line."""
        self._folder = folder
        self._waiting: deque[tuple[PredictionId, Callable[[], Prediction]]] = deque()
        self._something = threading.Event()
        self._closing = threading.Event()
        self._file = _DayFile(folder)
        self.lost = 0  # lines that could not be written since the start
        self._thread = threading.Thread(target=self._write_on, name="prediction-log", daemon=True)
        self._thread.start()

    def append(self, id: PredictionId, line: Callable[[], Prediction]) -> None:
        """Have `line()` written soon; it is called on the log's own thread. Never blocks."""
        if len(self._waiting) >= WAITING_MAX:
            self.lost += 1
            return
        self._waiting.append((id, line))
        if not self._something.is_set():
            self._something.set()

    def close(self) -> None:
        """Write what waits, sync, stop."""
        self._closing.set()
        self._something.set()
        self._thread.join()

    def _write_on(self) -> None:
        while True:
            self._something.wait()
            self._something.clear()
            closing = self._closing.is_set()
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _BATCH))]
                for day, lines in groupby(batch, key=lambda item: _day(item[0])):
                    self._write(day, [line for _, line in lines])
            if closing:
                self._file.close()
                return
            self._closing.wait(_PAUSE_S)

    def _write(self, day: str, lines: list[Callable[[], Prediction]]) -> None:
        try:
            self._file.write(day, b"".join(encode(line()) + b"\n" for line in lines))
        except OSError as error:
            if not self.lost:
                _log.error("Predictions are not logged: %s", error)
            self.lost += len(lines)
        except Exception:  # noqa: BLE001 the log outlives a bad line
            _log.exception("Lines of the prediction log could not be made")
            self.lost += len(lines)


class _DayFile:
    """The day's file, opened when needed; a half-written line is closed off before the next."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._day = ""
        self._descriptor = -1
        self._torn = False

    def write(self, day: str, lines: bytes) -> None:
        if day != self._day:
            self._open(day)
        left = memoryview(b"\n" + lines if self._torn else lines)
        while left:
            written = os.write(self._descriptor, left)
            self._torn = left[written - 1] != ord("\n")
            left = left[written:]

    def _open(self, day: str) -> None:
        self.close()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(self._folder / f"{day}.jsonl", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        end = os.fstat(self._descriptor).st_size
        self._torn = end > 0 and os.pread(self._descriptor, 1, end - 1) != b"\n"
        self._day = day

    def close(self) -> None:
        if self._descriptor >= 0:
            descriptor, self._descriptor, self._day = self._descriptor, -1, ""
            try:
                os.fsync(descriptor)
            except OSError as error:
                _log.error("The prediction log could not be synced: %s", error)
            finally:
                os.close(descriptor)


def _day(id: PredictionId) -> str:
    return datetime.fromtimestamp(id.time_ms / 1000, UTC).strftime("%Y-%m-%d")


def time_text(id: PredictionId) -> str:
    """The moment of a prediction as its record keeps it."""
    return clock.text(datetime.fromtimestamp(id.time_ms / 1000, UTC))


def find(folder: Path, prediction_id: str) -> Prediction | None:
    """The logged prediction, or None. Damaged lines are passed over.

    Raises Invalid when it is not a prediction id, SystemFault when the log cannot be read.
    """
    id = ids.parse_prediction_id(prediction_id)
    if id.time_ms > _LAST_MS:
        return None  # no calendar has that day
    path = folder / f"{_day(id)}.jsonl"
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size == 0:
                return None
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as lines:
                return _find_near(lines, id) or _find_in(lines, id, 0, len(lines))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SystemFault("unreadable_log", f"Cannot read {path}: {error.strerror}.") from None


def _find_near(lines: mmap.mmap, id: PredictionId) -> Prediction | None:
    start = _bisect(lines, id.time_ms - _DISORDER_MS)
    end = _bisect(lines, id.time_ms + _DISORDER_MS)
    return _find_in(lines, id, start, min(end + _STEP * 4, len(lines)))


def _find_in(lines: mmap.mmap, id: PredictionId, start: int, end: int) -> Prediction | None:
    text = str(id)
    wanted = text.encode()
    while (found := lines.find(wanted, start, end)) >= 0:
        line_start = lines.rfind(b"\n", 0, found) + 1
        line_end = lines.find(b"\n", found)
        line = _parsed(lines[line_start : line_end if line_end >= 0 else len(lines)])
        if line is not None and line.id == text:
            return line
        start = found + 1
    return None


def _bisect(lines: mmap.mmap, time_ms: int) -> int:
    """A place at or before the first line whose id is of `time_ms` or later."""
    low, high = 0, len(lines)
    while high - low > _STEP:
        middle = (low + high) // 2
        position, time = _line_after(lines, middle, high)
        if time is None or time >= time_ms:
            high = middle
        else:
            low = position
    return low


def _line_after(lines: mmap.mmap, position: int, end: int) -> tuple[int, int | None]:
    """Where the first whole, sound line after `position` starts, and its id's time."""
    while (newline := lines.find(b"\n", position, end)) >= 0:
        position = newline + 1
        line_end = lines.find(b"\n", position)
        line = _parsed(lines[position : line_end if line_end >= 0 else len(lines)])
        if line is not None and ids.is_prediction_id(line.id):
            return position, ids.parse_prediction_id(line.id).time_ms
    return position, None


def _parsed(line: bytes) -> Prediction | None:
    try:
        return msgspec.json.decode(line, type=Prediction)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
