"""Times in what kamld says are those of the clock of who asks, wherever they are said."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.cli.conftest import Kamld

AHEAD = timedelta(hours=5, minutes=45)
TIME = r"(\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?)"


@pytest.fixture(autouse=True)
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "NPT-5:45")
        time.tzset()
        yield
    time.tzset()


def there() -> datetime:
    return (datetime.now(UTC) + AHEAD).replace(tzinfo=None)


def is_now(before: str, text: str) -> bool:
    """Whether the one time that is said behind those words is about now."""
    (found,) = re.findall(before + TIME, text)
    return abs(datetime.fromisoformat(found) - there()) < timedelta(minutes=2)


def test_a_time_before_the_first_version(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    said = kamld("log 'digits@main@{2000-01-01T10:00}'", 1).err
    assert "digits@main did not exist at 2000-01-01 10:00:00." in said
    assert is_now("It begins at ", said)


def test_a_version_by_its_time(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    day = f"{there() + timedelta(days=1):%Y-%m-%d}"
    assert f"digits@main@{{{day}T00:00}}" in kamld(f"cat 'digits@main@{{{day}}}:none'", 1).err
    assert f"main@{{{day}T00:00}} is the first" in kamld(f"log 'digits@main@{{{day}}}~3'", 1).err


def test_files_left_elsewhere(kamld: Kamld, digits: Path) -> None:
    kamld("import digits left --reference")
    (digits / "labels.csv").write_text("changed")
    assert is_now("left there on ", kamld("checkout left out", 3).err)
    assert is_now("bytes on ", kamld("fsck", 3).out)


def test_a_purge_and_a_collection(kamld: Kamld, digits: Path) -> None:
    kamld("commit digits -m one")
    kamld("commit digits --amend -m two")
    kamld("purge digits:labels.csv --reason private --yes")
    today = f"{there():%Y-%m-%d}"
    for words in ("show digits:labels.csv", "purge --list"):
        assert today in kamld(words).out
    assert f"on {today}" in kamld("cat digits:labels.csv", 1).err
    assert is_now("newer than now, ", kamld("doctor").out)


def test_what_is_marked_for_deletion(
    kamld: Kamld, digits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    kamld("commit digits -m one")
    kamld("branch digits trial")
    kamld("switch digits trial")
    (digits / "new").write_bytes(bytes(range(256)) * 50)
    kamld("commit digits -m trial")
    kamld("branch digits trial --remove")
    commit = kamld("status digits --json").json["commit"]
    assert is_now("until ", kamld(f"gc --why digits@{commit}").out)
    monkeypatch.setenv("KAMLD_KEEP_DAYS", "0")
    said = kamld("gc").out
    (found,) = re.findall(f"after {TIME}, deletes", said)
    assert abs(datetime.fromisoformat(found) - there() - timedelta(days=1)) < timedelta(minutes=2)
    assert is_now("since ", kamld("doctor").out)
