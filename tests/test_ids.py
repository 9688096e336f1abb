"""Identifiers: how they sort, how prediction ids read back, what is none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld import clock, ids
from kamld.errors import Invalid
from kamld.ids import PredictionId, is_prediction_id, new_prediction_id, parse_prediction_id

predictions = st.builds(
    PredictionId,
    time_ms=st.integers(0, 2**48 - 1),
    event=st.integers(0, 2**32 - 1).map("{:08x}".format),
    slot=st.integers(0, 15),
    random=st.integers(0, 2**44 - 1),
)


@given(predictions)
def test_a_prediction_id_reads_back(prediction: PredictionId) -> None:
    text = str(prediction)
    assert is_prediction_id(text)
    assert parse_prediction_id(text) == prediction
    assert parse_prediction_id(text.upper()) == prediction


@given(predictions, predictions)
def test_prediction_ids_sort_by_time(one: PredictionId, other: PredictionId) -> None:
    if one.time_ms < other.time_ms:
        assert str(one) < str(other)


def test_look_alikes_are_understood() -> None:
    prediction = PredictionId(time_ms=1, event="00000000", slot=0, random=1)
    text = str(prediction)
    assert text == "0000000001" + "0" * 15 + "1"
    assert parse_prediction_id(text.replace("0", "O").replace("1", "l")) == prediction
    assert parse_prediction_id(text.replace("1", "I")) == prediction


@given(st.text(max_size=40) | st.text("0123456789abcdefghjkmnpqrstvwxyzOIL", min_size=26, max_size=26))
def test_anything_else_is_invalid(text: str) -> None:
    with suppress(Invalid):
        prediction = parse_prediction_id(text)
        assert is_prediction_id(text)
        assert parse_prediction_id(str(prediction)) == prediction


def test_more_than_128_bits() -> None:
    assert parse_prediction_id("7" + "z" * 25).slot == 15
    with pytest.raises(Invalid):
        parse_prediction_id("8" + "0" * 25)


def test_new_ids() -> None:
    made = [ids.new_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in made)
    assert abs(int(made[0][:12], 16) - clock.now_ms()) < 60_000
    assert ids.short(made[0]) == made[0][:12]
    assert len(ids.new_event_key()) == 8


def test_new_prediction_ids() -> None:
    made = new_prediction_id("00c0ffee", 3)
    assert (made.event, made.slot) == ("00c0ffee", 3)
    assert abs(made.time_ms - clock.now_ms()) < 60_000
    assert str(made) != str(new_prediction_id("00c0ffee", 3))
