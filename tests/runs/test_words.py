"""How inputs, outputs and parameters are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kamld.errors import Invalid
from kamld.runs.surroundings import variable
from kamld.runs.words import parse_inputs, parse_outputs, parse_params, typed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-3", -3), ("+4", 4), ("0", 0), ("0.1", 0.1), (".5", 0.5), ("1e-3", 1e-3),
        ("1.", 1.0), ("true", True), ("false", False), ("True", "True"), ("007", "007"),
        ("1_000", "1_000"), ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"), ("", ""),
        ("9223372036854775807", 2**63 - 1), ("9223372036854775808", "9223372036854775808"),
        ("0x10", "0x10"), ("1 ", "1 "), ("a=b", "a=b"), ("00.5", "00.5"),
    ],
)  # fmt: skip
def test_typed(text: str, value: object) -> None:
    assert typed(text) == value
    assert type(typed(text)) is type(value)


@given(st.text())
def test_any_value_is_something(text: str) -> None:
    assert typed(text) is not None


def test_labels() -> None:
    [one, two] = parse_inputs(["digits-train@v2", "other=team/digits@main~1"], "default")
    assert (one.label, str(one.reference.name), one.revision) == (
        "digits-train", "default/digits-train", "v2",
    )  # fmt: skip
    assert (two.label, str(two.reference.name), two.revision) == ("other", "team/digits", "main~1")
    [three, four] = parse_outputs(["net=model:team/digits-net:out/a=b", "dataset:x"], "default")
    assert (three.label, three.kind, str(three.name), three.path) == (
        "net", "model", "team/digits-net", "out/a=b",
    )  # fmt: skip
    assert (four.label, four.kind, four.path) == ("x", "dataset", None)
    [param] = parse_params(["query=a=b"])
    assert (param.name, param.value, param.text) == ("query", "a=b", "a=b")


@pytest.mark.parametrize("text", ["", "=digits", "a b=digits", "digits@", "a/b/c", "..", "-x=digits"])
def test_bad_inputs(text: str) -> None:
    with pytest.raises(Invalid):
        parse_inputs([text], "default")


@pytest.mark.parametrize("text", ["", "model:", "file:net", "model:net:", "=model:net", "model"])
def test_bad_outputs(text: str) -> None:
    with pytest.raises(Invalid):
        parse_outputs([text], "default")


def test_variables() -> None:
    assert variable("KAMLD_INPUT_", "digits-train.v2") == "KAMLD_INPUT_DIGITS_TRAIN_V2"
    assert variable("KAMLD_PARAM_", "größe") == "KAMLD_PARAM_GR__E".replace("__E", "_SSE")
