"""What is looked at all at once is refused exactly where a look at each would refuse it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.records.kinds import FILE, FOLDER
from kamld.store import Entries
from kamld.workspace.placing import paths

parts = st.sampled_from(
    [b"", b".", b"..", b".kamld", b".kamldx", b"a", b"b", b"a\0", b"\0", b"...", b"\xff", b"\n"]
)
names = st.lists(parts, min_size=1, max_size=4).map(b"/".join)
kinds = st.sampled_from([FILE, FILE, FILE, FOLDER, FOLDER + 1])


def entries(rows: list[tuple[bytes, int]]) -> Entries:
    count = len(rows)
    return Entries(
        [path for path, _ in rows],
        np.array([kind for _, kind in rows], np.uint8),
        np.zeros(count, np.uint64),
        np.zeros((count, 32), np.uint8),
    )


@given(st.lists(st.tuples(names, kinds), max_size=6).map(sorted))
def test_at_once_as_each(rows: list[tuple[bytes, int]]) -> None:
    given_ = entries(rows)
    try:
        paths._check_each(given_)
        refused = False
    except Invalid:
        refused = True
    assert paths._are_plain(given_) <= (not refused)
    if refused:
        with pytest.raises(Invalid, match="Nothing was written"):
            paths.check_paths(given_)


@given(
    st.lists(st.binary(min_size=1).filter(lambda one: not set(one) & set(b"\0/.")), unique=True).map(sorted)
)
def test_plain_names_are_not_looked_at_one_by_one(found: list[bytes]) -> None:
    assert not found or paths._are_plain(entries([(path, FILE) for path in found]))
