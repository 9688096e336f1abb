"""`kamld predict`: one question to a deployment, over HTTP as any client would."""

import time
from pathlib import Path

import click

from kamld.app import serving as wired
from kamld.cli import render
from kamld.cli.context import Door, json_option, pass_door
from kamld.errors import NotFound
from kamld.serving.predict import Predicted, predict

_SHOWN = 3  # classes of a row
_ROWS = 10
_BAR = 20  # columns
_LEAST = 0.005  # a class less likely than this is left out, unless it is the first


@click.command("predict")
@click.argument("endpoint")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--version", help="This version, where several are served: v3")
@json_option
@pass_door
def command(door: Door, endpoint: str, file: Path, version: str | None, as_json: bool) -> None:
    """Ask a deployment about FILE: a picture, a JSON or CSV row, or a NumPy array.

    FILE is brought to the shape and type of the model's input. A picture becomes its pixel values, 0
    to 255; scaling them belongs into the model. Every answer has an id that kamld why traces.

    \b
    Examples:
      kamld predict digits-net digits/3/0042.png
      kamld predict houses row.csv
      kamld predict digits-net array.npy --json
    """
    app = door.app
    path = app.folder / file
    if not path.is_file():
        raise NotFound("no_such_file", f"There is no file {file}.", "Name a picture, table or array.")
    client = wired.connected(app, endpoint)
    start = time.perf_counter()
    predicted = predict(client, endpoint, path, version=version)
    elapsed_ms = (time.perf_counter() - start) * 1000
    if as_json:
        render.json_value(_json(predicted, elapsed_ms))
        return
    _show(predicted, elapsed_ms)


def _show(predicted: Predicted, elapsed_ms: float) -> None:
    answer = predicted.answer
    several = len(predicted.scores) > 1
    for number, row in enumerate(predicted.scores[:_ROWS], 1):
        shown = [pair for at, pair in enumerate(row[:_SHOWN]) if at == 0 or not pair[1] < _LEAST]
        first = [f"row {number}" if at == 0 else "" for at in range(len(shown))] if several else [""]
        render.table(
            [
                (*first[at : at + 1] * several, name, f"{score:.2f}", _bar(score))
                for at, (name, score) in enumerate(shown)
            ],
            right=(1 + several,),
        )
    if len(predicted.scores) > _ROWS:
        render.say(f"… {len(predicted.scores) - _ROWS:,} more rows with --json")
    if not predicted.scores:
        render.say(predicted.summary)
    model = click.style(f"{answer.model} {answer.version}", bold=True)
    render.say(f"{model}, {elapsed_ms:.1f} ms, prediction {answer.prediction}")
    render.advise(f"Trace it: kamld why {answer.prediction}")


def _bar(score: float) -> str:
    return "█" * round(score * _BAR) if 0 <= score <= 1 else ""


def _json(predicted: Predicted, elapsed_ms: float) -> dict[str, object]:
    answer = predicted.answer
    return {
        "prediction_id": answer.prediction,
        "model": answer.model,
        "version": answer.version,
        "ms": round(elapsed_ms, 3),
        "outputs": {name: array.tolist() for name, array in answer.outputs.items()},
        "scores": [[{"class": name, "score": score} for name, score in row] for row in predicted.scores],
    }
