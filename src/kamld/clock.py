"""The time, in the one form that records keep: RFC 3339 in UTC with microseconds.

A text of this form sorts as the times do, so records compare times without parsing them.
"""

import time
from datetime import UTC, datetime, timedelta


def now() -> str:
    return text(datetime.now(UTC))


def now_ms() -> int:
    """Milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


def text(moment: datetime) -> str:
    """A moment as records keep it; one without a zone is taken as local time."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def local(value: str, *, seconds: bool = False) -> str:
    """A record's time as people read it: that of their own clock, to the minute."""
    return here(value).isoformat(" ", "seconds" if seconds else "minutes")


def here(value: str) -> datetime:
    """A record's time on the clock of who asks, without the zone."""
    then = moment(value)
    try:
        return then.astimezone().replace(tzinfo=None)
    except OverflowError:  # the first or last day there is
        return then.replace(tzinfo=None)


def after(earlier: str) -> str:
    """Now, or the microsecond after `earlier` where the clock was set back."""
    return max(now(), just_after(earlier))


def just_after(earlier: str) -> str:
    """The microsecond after; "" after nothing."""
    return text(moment(earlier) + timedelta(microseconds=1)) if earlier else ""


def moment(value: str) -> datetime:
    """The moment that `text` wrote, or any ISO 8601 date or time; without a zone it is local.

    Raises ValueError for anything else.
    """
    parsed = datetime.fromisoformat(value)
    return parsed.astimezone(UTC)
