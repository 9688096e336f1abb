import numpy as np
import pytest

from kamld.serving.models.summary import LENGTH_MAX, scores, summary
from kamld.serving.oip.tensors import Array

P = np.array([[0.09, 0.91], [0.6, 0.4]], np.float32)


def texts(*values: str) -> Array:
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("outputs", "classes", "said"),
    [
        ({"p": P[:1]}, ("tulips", "roses"), "roses 0.91"),
        ({"p": P}, ("tulips", "roses"), "roses 0.91, tulips 0.60"),
        ({"p": np.tile(P, (4, 1))}, ("a", "b"), "b 0.91, a 0.60, b 0.91, a 0.60, … (8 rows)"),
        ({"label": np.array([7]), "probabilities": P[:1]}, (), "7 0.91"),
        ({"output_label": texts("roses"), "p": P[:1]}, (), "roses 0.91"),
        ({"label": texts("roses")}, (), "roses"),
        ({"price": np.array([[12.3456]])}, (), "price 12.35"),
        ({"y": np.arange(6.0)}, (), "y [0, 1, 2, 3, … 6 values]"),
        ({"y": np.zeros((0, 2), np.float32)}, ("a", "b"), "y []"),
        ({"a": np.array(True), "b": texts("x" * 500)}, (), "a True, b " + "x" * 60),
        ({"p": np.array([[np.nan, np.nan]])}, (), "p [nan, nan]"),
    ],
)
def test_an_answer_in_a_few_words(outputs: dict[str, Array], classes: tuple[str, ...], said: str) -> None:
    assert summary(outputs, classes) == said


def test_it_is_never_long() -> None:
    many = {f"output{n}": texts("x" * 60) for n in range(9)}
    assert len(summary(many, ())) == LENGTH_MAX


def test_scores_are_sorted() -> None:
    best = scores({"p": P}, ("tulips", "roses"))
    assert [[name for name, _ in row] for row in best] == [["roses", "tulips"], ["tulips", "roses"]]
    assert best[0][0][1] == pytest.approx(0.91)


def test_what_does_not_classify_has_no_scores() -> None:
    assert scores({"price": np.array([[12.0]])}, ()) == []
