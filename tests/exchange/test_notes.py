"""Notes of earlier imports: what was brought is known again, and no notes grow or stay for ever."""

import os
import time
from pathlib import Path

from kamld.exchange.notes import Notes


def test_what_is_said_again_and_again_is_kept_once(tmp_path: Path) -> None:
    for _ in range(5):
        notes = Notes(tmp_path, "s3://bucket")
        notes.read()
        for number in range(100):
            notes.add(b"f%d" % number, "stamp", bytes([number]) * 32, number)
        notes.write()
    (file,) = tmp_path.glob("*.notes")
    assert len(file.read_text().splitlines()) <= 300
    known = Notes(tmp_path, "s3://bucket").read()
    assert known == {(b"f%d" % number, "stamp"): (bytes([number]) * 32, number) for number in range(100)}


def test_notes_of_sources_that_nobody_asks_for_any_more_go(tmp_path: Path) -> None:
    for source in ("old", "new"):
        notes = Notes(tmp_path, source)
        notes.add(b"f", "stamp", bytes(32), 1)
        notes.write()
    old = Notes(tmp_path, "old").aside.with_suffix(".notes")
    long_ago = time.time() - 91 * 24 * 3600
    os.utime(old, (long_ago, long_ago))
    assert len(Notes(tmp_path, "new").read()) == 1
    assert not old.exists()
