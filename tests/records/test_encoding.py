"""Canonical JSON: equal records have equal bytes, whatever numbers and texts are in them."""

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid, SystemFault
from kamld.records.deployment import DeploymentEvent, Prediction
from kamld.records.encoding import decode, encode
from kamld.records.history import Commit, Dataset, Move, Ref
from kamld.records.run import Metric, Run

TIME = "2026-03-02T10:00:00.000000Z"
finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(blacklist_categories=("Cs",)), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | finite | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
metadata = st.dictionaries(texts, values, max_size=4)


def commit(**about: Any) -> Commit:
    return Commit(tree="00" * 32, time=TIME, author="a", message="m", **about)


def run(**about: Any) -> Run:
    return Run(
        id="0" * 32, project="p", number=1, name="n", state="succeeded", command=("true",), author="a",
        started="2026-03-02T10:00:00.000000Z", ended="2026-03-02T10:00:01.000000Z", **about,
    )  # fmt: skip


@given(metadata)
def test_a_record_reads_back(about: dict[str, Any]) -> None:
    record = commit(metadata=about)
    assert decode(encode(record), Commit, "it") == record


@given(st.dictionaries(texts, texts | st.integers() | st.booleans() | st.none(), min_size=1))
def test_as_docs_format_says(about: dict[str, Any]) -> None:
    """Keys sorted by their bytes, no white space, nothing is escaped that need not be."""
    fields = {"author": "a", "message": "m", "metadata": about, "time": TIME, "tree": "00" * 32}
    assert list(about) == [] or sorted(about) == sorted(about, key=str.encode)
    written = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    assert encode(commit(metadata=about)) == written.encode()


@pytest.mark.parametrize(
    ("number", "text"),
    [(1.0, "1.0"), (0.1, "0.1"), (1e-5, "0.00001"), (1.5e-7, "1.5e-7"), (1e16, "1e16"), (-0.0, "-0.0")],
)
def test_numbers_as_docs_format_says(number: float, text: str) -> None:
    assert f'"x":{text}}}'.encode() in encode(commit(metadata={"x": number}))


@given(metadata)
def test_the_order_of_making_does_not_matter(about: dict[str, Any]) -> None:
    assert encode(commit(metadata=about)) == encode(commit(metadata=dict(reversed(about.items()))))


@given(finite)
def test_numbers_read_back_exactly(value: float) -> None:
    assert decode(encode(run(metrics={"x": value})), Run, "it").metrics["x"] == value


def test_what_is_absent_is_left_out() -> None:
    assert set(json.loads(encode(commit()))) == {"author", "message", "time", "tree"}


def test_numbers_that_json_lacks() -> None:
    """A loss that diverged is a result too: the record of its run must stay readable."""
    record = run(
        metrics={"loss": math.nan, "best": -math.inf, "worst": math.inf, "x": 0.5}, params={"n": 5, "C": 0.1}
    )
    data = encode(record)
    assert json.loads(data)["metrics"] == {"best": "-inf", "loss": "nan", "worst": "inf", "x": 0.5}
    back = decode(data, Run, "it")
    assert math.isnan(back.metrics["loss"])
    assert (back.metrics["best"], back.metrics["worst"]) == (-math.inf, math.inf)
    assert back.params == {"n": 5, "C": 0.1}
    point = Metric(name="loss", value=math.nan, time="2026-03-02T10:00:00.000000Z", step=3)
    assert math.isnan(decode(encode(point), Metric, "it").value)


def test_null_in_metadata_stays_null() -> None:
    record = commit(metadata={"nothing": None, "inside": [None, {"x": None}]})
    assert decode(encode(record), Commit, "it") == record


def test_bytes_that_are_not_text() -> None:
    with pytest.raises(Invalid) as invalid:
        encode(commit(metadata={"file": "caf\udce9"}))
    assert invalid.value.code == "not_text"
    invalid.value.message.encode()


def test_numbers_of_more_than_64_bits() -> None:
    record = run(params={"seed": 2**200, "low": -(2**70)})
    assert decode(encode(record), Run, "it") == record


def test_a_later_versions_fields_are_ignored() -> None:
    data = json.dumps(json.loads(encode(commit())) | {"signature": {"by": "x"}}).encode()
    assert decode(data, Commit, "it") == commit()


@pytest.mark.parametrize("data", [b"", b"{", b"null", b"[]", b"{}", b'{"tree":1}', b"\xff", b"\x00" * 10])
@pytest.mark.parametrize("kind", [Commit, Dataset, Ref, Move, Run, DeploymentEvent, Prediction])
def test_damage(data: bytes, kind: type[msgspec.Struct]) -> None:
    with pytest.raises(SystemFault) as fault:
        decode(data, kind, "refs/x")
    assert fault.value.code == "damaged_record"
    assert "refs/x" in fault.value.message


@given(st.binary(max_size=60) | st.integers(0, 200).map(lambda n: encode(commit())[:n]))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with suppress(SystemFault):
        decode(data, Commit, "it")


def test_words_of_a_later_version_are_read() -> None:
    later = DeploymentEvent(
        key="0" * 8, endpoint="e", project="p", seq=1, time=TIME, author="a", action="promote"
    )
    assert decode(encode(later), DeploymentEvent, "it") == later
