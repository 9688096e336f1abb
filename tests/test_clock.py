"""Times as records keep them."""

import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld import clock

moments = st.integers(-60_000_000_000, 250_000_000_000).map(
    lambda second: datetime.fromtimestamp(0, UTC) + timedelta(seconds=second, microseconds=second % 999_983)
)


@given(moments)
def test_a_time_reads_back(moment: datetime) -> None:
    text = clock.text(moment)
    assert len(text) == len("2026-03-02T10:00:00.000000Z")
    assert clock.moment(text) == moment


@given(moments, moments)
def test_times_sort_as_text(one: datetime, other: datetime) -> None:
    assert (one < other) == (clock.text(one) < clock.text(other))


def test_zones() -> None:
    there = datetime(2026, 3, 2, 10, tzinfo=timezone(timedelta(hours=2)))
    assert clock.text(there) == "2026-03-02T08:00:00.000000Z"
    assert clock.moment("2026-03-02T10:00:00+02:00") == there


@pytest.fixture
def in_kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "NPT-5:45")
    time.tzset()
    yield
    monkeypatch.undo()
    os.environ.pop("TZ", None)
    time.tzset()


@pytest.mark.usefixtures("in_kathmandu")
def test_without_a_zone_it_is_local() -> None:
    assert clock.text(clock.moment("2026-03-02T10:00")) == "2026-03-02T04:15:00.000000Z"
    assert clock.text(clock.moment("2026-03-02")) == "2026-03-01T18:15:00.000000Z"


@pytest.mark.usefixtures("in_kathmandu")
def test_people_read_it_by_their_own_clock() -> None:
    assert clock.local("2026-03-02T04:15:59.000000Z") == "2026-03-02 10:00"
    assert clock.local("2026-03-02T18:15:07.000000Z", seconds=True) == "2026-03-03 00:00:07"
    assert clock.local("9999-12-31T23:59:00.000000Z") == "9999-12-31 23:59"  # there is none later


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2026-13-01", "2026-03-02T25:00", "1", "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time(value: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        clock.moment(value)


def test_after() -> None:
    assert clock.after("2000-01-01T00:00:00.000000Z") <= clock.now()
    ahead = clock.text(datetime.now(UTC) + timedelta(days=1))
    assert clock.moment(clock.after(ahead)) - clock.moment(ahead) == timedelta(microseconds=1)
